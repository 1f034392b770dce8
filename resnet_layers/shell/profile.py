# ruff: noqa: T201 (printing is what commands are for)
"""`profile` and `compare`: what networks cost, by their names or from their files."""

from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers.analysis.comparison import Comparison
from resnet_layers.analysis.profile import profile
from resnet_layers.networks import variants
from resnet_layers.shell import classifier, errors


def run(
    models: list[str],
    image_size: list[int] | None,
    batch: int,
    dtype: str | None,
    convention: str,
    format: str,  # noqa: A002 (the name of the option)
    *depth: int | None,
) -> int:
    """Prints parameters, multiply-adds, memory and receptive fields of networks.

    Args:
        models: Names or files.
        image_size: Pixels of each axis, or one number for all.
        batch: Number of images.
        dtype: Policy, or `None`.
        convention: What counts as an operation.
        format: How to print it.
        *depth: How deep the tree of one network is; nothing to compare several.
    """
    networks = networks_of(models)
    with errors.values():
        profiles = [
            profile(network, shape_of(network, image_size), batch, dtype, convention)
            for network in networks
        ]
        found: Any = profiles[0] if depth else Comparison(tuple(profiles))
        writers = {"csv": found.to_csv, "json": found.to_json, "markdown": found.to_markdown}
        print(writers.get(format, found.text)(*depth).rstrip("\n"))
    return 0


def networks_of(models: list[str]) -> list[Any]:
    """What is analysed: names as they are, and the models of files.

    Raises:
        InputError: If a file cannot be opened, or has no network of which that could be said.
    """
    for model in models:
        if not model.endswith(".keras") and model not in variants.VARIANTS and Path(model).exists():
            raise errors.InputError(
                "A network must be a name from `resnet-layers list`, or a .keras file. "
                f"Received: '{model}'"
            )
    return [
        classifier.open_model(Path(model)) if model.endswith(".keras") else model
        for model in models
    ]


def shape_of(network: Any, image_size: list[int] | None) -> tuple[int, ...] | None:
    """An image of that size with the channels of the network, in the order of its axes."""
    if not image_size:
        return None
    if isinstance(network, str):
        layout, channels = variants.find(network).layout, 3
    else:
        layout = network.stem.layout
        channels = layout.channels((None, *network.input_shape))
    for size in image_size:
        checks.integer("image_size", size)
    sizes = image_size * layout.rank if len(image_size) == 1 else image_size
    if len(sizes) != layout.rank:
        raise ValueError(
            f"`image_size` must be one number, or one for each of {layout.rank} axes. "
            f"Received: image_size={image_size}"
        )
    if layout.data_format == "channels_first":
        return (channels, *sizes)
    return (*sizes, channels)
