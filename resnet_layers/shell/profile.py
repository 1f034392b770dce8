# ruff: noqa: T201 (printing is what commands are for)
"""`profile`: what a network costs, by its name or from its file."""

from pathlib import Path
from typing import Any

from resnet_layers.analysis.profile import profile
from resnet_layers.networks import variants
from resnet_layers.shell import classifier, errors


def run(
    model: str,
    image_size: list[int] | None,
    batch: int,
    dtype: str | None,
    convention: str,
    depth: int,
    format: str,  # noqa: A002 (the name of the option)
    all_layers: bool,
) -> int:
    """Prints a network's parameters, multiply-adds, memory and receptive fields."""
    network: Any = classifier.open_model(Path(model)) if model.endswith(".keras") else model
    with errors.values():
        shape = None if image_size is None else _shape(network, image_size)
        found = profile(network, shape, batch, dtype, convention)
        shown = None if all_layers else depth
        writers = {"csv": found.to_csv, "json": found.to_json, "markdown": found.to_markdown}
        print(writers.get(format, found.text)(shown).rstrip("\n"))
    return 0


def _shape(network: Any, image_size: list[int]) -> tuple[int, ...]:
    """An image of that size with the channels of the network, in the order of its axes."""
    if isinstance(network, str):
        layout, channels = variants.find(network).layout, 3
    else:
        layout = network.stem.layout
        channels = layout.channels((None, *network.input_shape))
    sizes = image_size * layout.rank if len(image_size) == 1 else image_size
    if len(sizes) != layout.rank:
        raise ValueError(
            f"`image_size` must be one number, or one for each of {layout.rank} axes. "
            f"Received: image_size={image_size}"
        )
    if layout.data_format == "channels_first":
        return (channels, *sizes)
    return (*sizes, channels)
