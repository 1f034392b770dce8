"""Parameters and multiply-adds of a network that does not exist yet, from its row."""

import dataclasses
import math
from collections.abc import Sequence

from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import styles
from resnet_layers.layers._geometry import Geometry, Unit
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.primitives import attention
from resnet_layers.layers.stem import StemGeometry
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


# A map while it is followed through the network: pixels along each axis, then channels.
_Map = tuple[int, ...]


def cost_of(row: Variant, classes: int, input_shape: Sequence[int]) -> Cost:
    """What the network of a row takes.

    Args:
        row: A network whose head is one dense layer.
        classes: Number of outputs.
        input_shape: Pixels along each axis, then channels.

    Returns:
        Its cost, worked out without a layer.
    """
    style, stem = styles.get(row.style), row.stem_geometry
    x, total = _stem(stem, tuple(input_shape))
    for stage in row.stages(stem.filters, stem.reach):
        before, cost, size = None, Cost(), x
        for block, converts in stage.geometry.of_blocks(
            stage.blocks, stage.projection, stage.widths
        ):
            if (block, x) != (before, size):  # or it is like the one before
                before, size = block, x
                x, cost = _block(block, x, converts)
            total += cost
    if style.preactivation:
        total += Cost(_NORMALIZATIONS[style.normalization] * x[-1])
    return total + _dense(x[-1], classes)


def _stem(stem: StemGeometry, x: _Map) -> tuple[_Map, Cost]:
    style, total = stem.style, Cost()
    for unit in stem.units:
        x, cost = _convolution(x, unit)
        total += cost
    if stem.pool_unit:
        x, cost = _convolution(x, stem.pool_unit)
        total += cost
    if stem.pooling is None or (stem.pool_unit and not style.anti_aliasing):
        return x, total
    if style.anti_aliasing == "average":
        return (*(max(size // 2, 1) for size in x[:-1]), x[-1]), total
    return _strided(x, 2, style.layout), total


def _block(block: Geometry, x: _Map, converts: bool) -> tuple[_Map, Cost]:
    style = block.style
    total = Cost(_NORMALIZATIONS[style.normalization] * x[-1] if style.preactivation else 0)
    y = x
    for i, unit in enumerate(block.units):
        y, cost = _convolution(y, unit)
        if i == block.smoothed:
            y = _strided(y, block.strides, style.layout)
        total += cost
    total += _attention(style, block.regular_filters, y[-1])
    if converts and block.projection:
        pooled = _strided(x, block.strides, style.layout) if style.shortcut == "D" else x
        total += _convolution(pooled, block.projection)[1]
    return y, total


def _convolution(x: _Map, unit: Unit) -> tuple[_Map, Cost]:
    style, filters = unit.style, unit.filters
    *pixels, _ = _strided(x, unit.strides, style.layout)
    kernel = math.prod(style.layout.spread(unit.kernel_size))
    weights = kernel * (x[-1] // unit.groups) * filters
    bias = filters if style.biased(style.normalization is not None) else 0
    normalization = 0 if style.folded else _NORMALIZATIONS[style.normalization] * filters
    macs = math.prod(pixels) * weights
    return (*pixels, filters), Cost(weights + bias + normalization, macs)


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


def _strided(x: _Map, strides: IntOrInts, layout: Layout) -> _Map:
    *pixels, channels = x
    steps = layout.spread(strides)
    return (*(-(-size // step) for size, step in zip(pixels, steps, strict=True)), channels)
