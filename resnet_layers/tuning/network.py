"""From a sample to the row of a network, and to the network."""

from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers.layers import styles
from resnet_layers.networks.model import ResNet
from resnet_layers.networks.variant import Variant
from resnet_layers.tuning.space import Sample


def row(sample: Sample) -> Variant:
    """The row that a variant of this architecture would have."""
    width, stages = sample["width"], range(1, sample["stages"] + 1)
    preactivation = sample["preactivation"]
    style = styles.get("timm_v2" if preactivation else "torchvision").replace(
        shortcut=sample["shortcut"],
        normalization=sample["normalization"],
        activation=sample.get("activation"),  # some normalizations have their own
        attention=_or_none(sample["attention"]),
        attention_ratio=sample.get("attention_ratio", 1 / 16),
        anti_aliasing=_or_none(sample["anti_aliasing"]),
    )
    groups, inner_width = sample.get("groups", 1), sample.get("inner_width", 1)
    return Variant(
        blocks=tuple(sample[f"stage{i}_blocks"] for i in stages),
        filters=tuple(width * 2 ** (i - 1) for i in stages),
        bottleneck=sample["block"] == "bottleneck",
        groups=groups,
        group_width=width * inner_width // groups if groups * inner_width > 1 else None,
        stem=_stem(sample["stem"], width),
        head={"dropout": sample["dropout"]},
        style=style,
    )


def make_network(
    sample: Sample,
    classes: int,
    input_shape: Sequence[int | None],
    activation: str | None,
    dtype: Any,
) -> ResNet:
    """The network of a sample, with fresh weights."""
    keywords = {} if dtype is None else {"dtype": dtype}
    found = row(sample)
    stem: Any = found.make_stem(**keywords)
    stages = found.make_stages(stem, 32, sample["drop_path"], **keywords)
    size = image_size(sample, input_shape)
    if size != tuple(input_shape[:2]):
        resize = keras.layers.Resizing(
            *size,
            crop_to_aspect_ratio=None in input_shape[:2],
            data_format="channels_last",
            name="resize",
            **keywords,
        )
        stem = keras.Sequential([resize, stem], name="stem")
    return ResNet(
        stem,
        stages,
        found.make_head(classes, activation, **keywords),
        norm=found.make_norm(**keywords),
        input_shape=input_shape,
        name="resnet",
        **keywords,
    )


def image_size(sample: Sample, input_shape: Sequence[int | None]) -> tuple[Any, Any]:
    """Height and width that the convolutions see.

    The shorter side is the sample's and the longer one in proportion; images of unknown sizes
    become squares.
    """
    height, width = input_shape[:2]
    if "image_size" not in sample:
        return height, width
    side: int = sample["image_size"]
    if height is None or width is None:
        return side, side
    shorter = min(height, width)
    return round(height * side / shorter), round(width * side / shorter)


def _stem(kind: str, width: int) -> dict[str, Any]:
    if kind == "small":
        return {"filters": width, "kernel_size": 3, "strides": 1, "pooling": None}
    if kind == "7x7":
        return {"filters": width}
    half = max(1, width // 2)
    return {"filters": width, "kernel_size": 3, "hidden_filters": (half, half)}


def _or_none(value: str) -> str | None:
    return None if value == "none" else value
