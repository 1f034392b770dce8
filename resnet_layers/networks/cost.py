"""Parameters and multiply-adds of a network that does not exist yet, from its row."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from resnet_layers.layers import styles
from resnet_layers.layers._geometry import Body
from resnet_layers.layers.primitives import attention
from resnet_layers.layers.styles import BlockStyle
from resnet_layers.networks.variant import Variant

# Variables for each channel, moving statistics included.
_NORMALIZATIONS = {"batch": 4, "frozen_batch": 4, "group": 2, "evonorm_s0": 3, "frn": 3, None: 0}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network takes.

    Args:
        parameters: Numbers in all its variables, moving statistics included.
        macs: Multiply-adds of its convolutions and dense layers for one image.
    """

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


@dataclasses.dataclass(frozen=True)
class _Block:
    """The arguments of a residual block, as `Body` reads them."""

    filters: int
    strides: int
    bottleneck: bool
    groups: int
    group_width: int | None
    style: BlockStyle
    kernel_size: int = 3
    dilation_rate: int = 1
    first_dilation_rate: int | None = None
    widths: None = None

    @property
    def layout(self) -> Any:
        return self.style.layout


# A map while it is followed through the network: height, width, channels.
_Map = tuple[int, int, int]


def cost_of(row: Variant, classes: int, input_shape: Sequence[int]) -> Cost:
    """What the network of a row takes.

    Args:
        row: A network for images whose stages are regular: it has no `widths`, and its first
            blocks stride.
        classes: Number of outputs.
        input_shape: `(height, width, channels)`.

    Returns:
        Its cost, worked out without a layer.
    """
    style = styles.get(row.style)
    height, width, channels = input_shape
    x, total = _stem(row, style, (height, width, channels))
    for i, (depth, filters) in enumerate(zip(row.blocks, row.filters, strict=True)):
        bottleneck = row.bottleneck if isinstance(row.bottleneck, bool) else row.bottleneck[i]
        strides = row.strides[i] if row.strides is not None else (2 if i else 1)
        block = _Block(
            filters=filters,
            strides=strides,
            bottleneck=bottleneck,
            groups=row.groups,
            group_width=row.group_width and row.group_width * filters // row.filters[0],
            style=style,
        )
        projects = i > 0 or bottleneck or x[2] != filters or style.shortcut == "C"
        x, first = _block(block, x, projects)
        rest = dataclasses.replace(block, strides=1)
        x, other = _block(rest, x, style.shortcut == "C")
        rest_cost = Cost(other.parameters * (depth - 1), other.macs * (depth - 1))
        total = total + first + rest_cost
    if style.preactivation:
        total += Cost(_NORMALIZATIONS[style.normalization] * x[2])
    return total + _dense(x[2], classes)


def _stem(row: Variant, style: BlockStyle, x: _Map) -> tuple[_Map, Cost]:
    stem = {"kernel_size": 7, "strides": 2, "hidden_filters": (), "pooling": "max", **row.stem}
    total = Cost()
    for i, filters in enumerate((*stem["hidden_filters"], stem["filters"])):
        last = i == len(stem["hidden_filters"])
        normalized = not (last and style.preactivation)  # the first block normalizes
        unit = {"filters": filters, "kernel_size": stem["kernel_size"]}
        strides = 1 if i else stem["strides"]
        x, cost = _convolution(x, unit, strides, style if normalized else _raw(style))
        total += cost
    if stem["pooling"] == "conv":
        strides = 1 if style.anti_aliasing else 2
        unit = {"filters": stem["filters"], "kernel_size": 3}
        smaller, cost = _convolution(x, unit, strides, style)
        return _halved(x) if style.anti_aliasing else smaller, total + cost
    if stem["pooling"] is None:
        return x, total
    if style.anti_aliasing == "average":
        return (max(x[0] // 2, 1), max(x[1] // 2, 1), x[2]), total
    return _halved(x), total


def _block(block: _Block, x: _Map, projects: bool) -> tuple[_Map, Cost]:
    style, body = block.style, Body(block)
    total = Cost(_NORMALIZATIONS[style.normalization] * x[2] if style.preactivation else 0)
    y = x
    for i, (unit, unit_style) in enumerate(zip(body.units, body.styles, strict=True)):
        y, cost = _convolution(y, unit, unit["strides"], unit_style)
        if i == body.smoothed:
            y = _strided(y, block.strides)
        total += cost
    total += _attention(style, body.regular_filters, y[2])
    if projects and style.shortcut in ("B", "C", "D"):
        size = style.shortcut_kernel_size if style.shortcut != "D" and block.strides > 1 else 1
        unit = {"filters": body.output_filters, "kernel_size": size}
        projection = style if style.normalize_shortcut else _raw(style)
        strided = _strided(x, block.strides)  # a convolution computes where it steps
        total += _convolution(strided, unit, 1, projection)[1]
    return y, total


def _convolution(
    x: _Map, unit: dict[str, Any], strides: int, style: BlockStyle
) -> tuple[_Map, Cost]:
    filters = unit["filters"]
    height, width, _ = _strided(x, strides)
    weights = unit["kernel_size"] ** 2 * (x[2] // unit.get("groups", 1)) * filters
    bias = filters if style.biased(style.normalization is not None) else 0
    normalization = 0 if style.folded else _NORMALIZATIONS[style.normalization] * filters
    return (height, width, filters), Cost(weights + bias + normalization, height * width * weights)


def _attention(style: BlockStyle, regular: int, channels: int) -> Cost:
    if style.attention == "se":
        squeezed = attention.squeezed_channels(regular, style.attention_ratio)
        return _dense(channels, squeezed) + _dense(squeezed, channels)
    if style.attention == "eca":
        size = attention.eca_kernel_size(regular)
        return Cost(size, size * channels)
    return Cost()


def _dense(inputs: int, outputs: int) -> Cost:
    return Cost((inputs + 1) * outputs, inputs * outputs)


def _raw(style: BlockStyle) -> BlockStyle:
    return style.without_normalization()


def _strided(x: _Map, strides: int) -> _Map:
    return math.ceil(x[0] / strides), math.ceil(x[1] / strides), x[2]


def _halved(x: _Map) -> _Map:
    return _strided(x, 2)
