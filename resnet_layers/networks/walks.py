"""The operations of stems, blocks, stages and heads, from their geometry: no layer is made."""

from collections.abc import Sequence
from typing import Any

from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import styles
from resnet_layers.layers._geometry import Geometry, Unit
from resnet_layers.layers.head import FLATTENING
from resnet_layers.layers.primitives import attention
from resnet_layers.layers.stem import StemGeometry
from resnet_layers.layers.styles import BlockStyle
from resnet_layers.networks.operations import IMAGE, Operation, Path, Walk, Window
from resnet_layers.networks.variant import Variant

# Of each normalization: its kind, and its weights and moving statistics for each channel.
_NORMALIZATIONS = {
    "batch": ("batch_normalization", 2, 2),
    "frozen_batch": ("frozen_batch_normalization", 2, 2),
    "group": ("group_normalization", 2, 0),
    "evonorm_s0": ("evonorm_s0", 3, 0),
    "frn": ("filter_response_normalization", 3, 0),
}


def of_row(row: Variant, classes: int, image: Sequence[int], output_stride: int = 32) -> Walk:
    """A whole network.

    Args:
        row: The network, as `ResNet.from_variant` builds it.
        classes: Number of outputs.
        image: Pixels along each axis, then channels.
        output_stride: The largest step of the last feature map in pixels.
    """
    walk, stem = Walk(tuple(image)), row.stem_geometry
    x = of_stem(walk, ("stem",), IMAGE, stem)
    for i, stage in enumerate(row.stages(stem.filters, stem.reach, output_stride)):
        walked = stage.geometry.of_blocks(stage.blocks, stage.projection, stage.widths)
        x = of_blocks(walk, (f"stage{i + 1}",), x, walked)
    style = styles.get(row.style)
    if style.preactivation:
        x = of_normalization(walk, ("norm",), x, style, style.activation)
    of_head(walk, ("head",), x, **{"classes": classes, **row.head})
    return walk


def of_stem(walk: Walk, path: Path, x: int, stem: StemGeometry) -> int:
    """A `Stem`."""
    style = stem.style
    for i, unit in enumerate(stem.units):
        name = "conv" if i == len(stem.units) - 1 else f"hidden{i + 1}"
        x = of_unit(walk, (*path, name), x, unit)
    smoothed = style.anti_aliasing if stem.pooling else None
    if stem.pool_unit and smoothed:  # normalized after the step
        x = of_convolution(walk, (*path, "pool_conv"), x, stem.pool_unit)
        x = _smooth_stem(walk, (*path, "pool"), x, smoothed)
        return _normalized(walk, (*path, "pool_conv"), x, stem.pool_unit)
    if stem.pool_unit:
        return of_unit(walk, (*path, "pool_conv"), x, stem.pool_unit)
    if stem.pooling and smoothed != "average":
        steps = 1 if smoothed else 2
        x = _pooled(walk, (*path, "pool"), x, 3, steps, "same" if style.padding == "same" else "")
    return _smooth_stem(walk, (*path, "smooth"), x, smoothed) if smoothed else x


def of_blocks(walk: Walk, path: Path, x: int, blocks: Any) -> int:
    """The blocks of a stage, each with whether it is a `ConvBlock`."""
    before, start = None, 0
    for i, (block, converts) in enumerate(blocks):
        name = (*path, f"block{i + 1}")
        here = len(walk.operations)
        if (block, walk.shape(x)) == before:  # most of a deep network
            x = walk.repeat(start, name)
        else:
            before = (block, walk.shape(x))
            x = of_block(walk, name, x, block, converts)
        start = here
    return x


def of_block(walk: Walk, path: Path, x: int, block: Geometry, converts: bool) -> int:
    """An `IdentityBlock`, or a `ConvBlock` if it converts: `activation(body(x) + shortcut(x))`."""
    style, inputs = block.style, x
    if style.preactivation:
        x = of_normalization(walk, (*path, "preactivation"), x, style, style.activation)
    activated = x
    if block.pools:
        steps = style.layout.spread(block.strides)
        pixels = [-(-n // step) for n, step in zip(walk.shape(x)[:-1], steps, strict=True)]
        x = walk.pooling((*path, "pool"), x, [Window(step, step) for step in steps], pixels)
    for i, unit in enumerate(block.units):
        x = of_unit(walk, (*path, f"conv{i + 1}"), x, unit)
        if i == block.smoothed and (block.strided or style.anti_aliasing == "blur"):
            x = _smoothed(walk, (*path, f"smooth{i + 1}"), x, style, block.strides)
    x = _attention(walk, (*path, "attention"), x, style, block.regular_filters)
    if style.shortcut != "none":
        shortcut = inputs
        if converts:
            shortcut = _shortcut(walk, path, activated if block.projection else inputs, block)
        x = walk.pointwise((*path, "add"), "addition", x, shortcut)
    if style.preactivation or style.activation is None:
        return x
    return walk.pointwise((*path, "activation"), "activation", x)


def unit_of(layer: Any) -> Unit:
    """The arguments of a `ConvNorm`."""
    names = ("filters", "kernel_size", "strides", "dilation_rate", "groups", "activation", "style")
    return Unit(**{name: getattr(layer, name) for name in names})


def of_unit(walk: Walk, path: Path, x: int, unit: Unit) -> int:
    """A `ConvNorm`."""
    return _normalized(walk, path, of_convolution(walk, path, x, unit), unit)


def of_convolution(walk: Walk, path: Path, x: int, unit: Unit) -> int:
    """The convolution of a `ConvNorm` by itself."""
    style, spread = unit.style, unit.style.layout.spread
    steps = spread(unit.strides)
    places = list(zip(spread(unit.kernel_size), steps, spread(unit.dilation_rate), strict=True))
    pixels = [-(-size // step) for size, step in zip(walk.shape(x)[:-1], steps, strict=True)]
    if max(steps) > 1 and style.padding == "symmetric":
        if max(spread(unit.kernel_size)) > 1:  # zeros around the map, as the layer has them
            pads = [((size - 1) // 2, size // 2) for size, _, _ in places]
            x = walk.padding((*path, "padding"), x, pads)
        windows = [Window(*place) for place in places]
    else:
        sizes = walk.shape(x)[:-1]
        windows = [same_window(n, *place) for n, place in zip(sizes, places, strict=True)]
    return walk.convolution(
        (*path, "convolution"),
        x,
        unit.filters,
        windows,
        pixels,
        groups=unit.groups,
        bias=style.biased(style.normalization is not None),
        standardized=style.standardize_kernels,
    )


def of_normalization(walk: Walk, path: Path, x: int, style: BlockStyle, activation: Any) -> int:
    """A `NormAct`: a normalization and an activation."""
    if style.normalization:
        kind, weights, statistics = _NORMALIZATIONS[style.normalization]
        channels = walk.shape(x)[-1]
        x = walk.add(
            Operation(
                (*path, "normalization"),
                kind,
                (x,),
                walk.shape(x),
                weights=weights * channels,
                statistics=statistics * channels,
                sees_all=not statistics,
                trainable=style.normalization != "frozen_batch",
            )
        )
    return _activated(walk, path, x, activation)


def _activated(walk: Walk, path: Path, x: int, activation: Any) -> int:
    return x if activation is None else walk.pointwise((*path, "activation"), "activation", x)


def of_attention(walk: Walk, path: Path, x: int, squeezed: int = 0, kernel_size: int = 0) -> int:
    """`SqueezeExcitation`, or `EfficientChannelAttention` if it has a size of its kernel."""
    channels = walk.shape(x)[-1]
    means = walk.all_pixels((*path, "means"), x, "means")
    if squeezed:
        y = walk.dense((*path, "squeeze"), means, squeezed)
        y = walk.pointwise((*path, "relu"), "activation", y)
        y = walk.dense((*path, "excite"), y, channels)
    else:
        y = walk.add(
            Operation(
                (*path, "convolution"),
                "convolution",
                (means,),
                (channels,),
                weights=kernel_size,
                macs=kernel_size * channels,
            )
        )
    y = walk.pointwise((*path, "sigmoid"), "activation", y)
    return walk.pointwise((*path, "product"), "product", x, y)


def of_head(
    walk: Walk,
    path: Path,
    x: int,
    *,
    classes: int,
    pooling: str = "avg",
    hidden_units: int | Sequence[int] | None = None,
    activation: Any = None,
    **_: Any,
) -> int:
    """A `ClassifierHead`."""
    if pooling in FLATTENING:
        x = walk.flatten((*path, "flatten"), _pooled(walk, (*path, "pool"), x, 2, 2, "same"))
    else:
        x = walk.all_pixels((*path, "pool"), x)
    hidden = {"hidden": hidden_units} if isinstance(hidden_units, int) else {}
    if isinstance(hidden_units, Sequence):
        hidden = {f"hidden{i}": units for i, units in enumerate(hidden_units, start=1)}
    for name, units in hidden.items():
        x = walk.dense((*path, name), x, units)
        x = walk.pointwise((*path, f"{name}_relu"), "activation", x)
    x = walk.dense((*path, "dense"), x, classes)
    return x if activation is None else walk.pointwise((*path, "activation"), "activation", x)


def _normalized(walk: Walk, path: Path, x: int, unit: Unit) -> int:
    if unit.style.folded:  # the normalization is in the kernel
        return _activated(walk, path, x, unit.activation)
    return of_normalization(walk, path, x, unit.style, unit.activation)


def same_window(length: int, size: int, stride: int = 1, rate: int = 1) -> Window:
    """A window where a map is padded as Keras does, more at its end."""
    span = (size - 1) * rate + 1
    missing = (-(-length // stride) - 1) * stride + span - length
    return Window(size, stride, rate, max(missing, 0) // 2)


def _pooled(
    walk: Walk, path: Path, x: int, size: int, stride: int, padding: str = "", kind: str = "pooling"
) -> int:
    """A pooling that keeps `ceil(length / stride)` pixels."""
    pixels = walk.shape(x)[:-1]
    windows = [
        same_window(n, size, stride) if padding == "same" else Window(size, stride, 1, size // 2)
        for n in pixels
    ]
    return walk.pooling(path, x, windows, [-(-n // stride) for n in pixels], kind)


def _smooth_stem(walk: Walk, path: Path, x: int, kind: str) -> int:
    """The step of a stem by anti-aliasing."""
    if kind == "blur":
        return _pooled(walk, path, x, 3, 2, kind="blur")
    pixels = walk.shape(x)[:-1]
    windows = [Window(min(n, 2), 2) for n in pixels]
    return walk.pooling(path, x, windows, [max(n // 2, 1) for n in pixels])


def _smoothed(walk: Walk, path: Path, x: int, style: BlockStyle, strides: IntOrInts) -> int:
    """The step of a block by anti-aliasing."""
    steps = style.layout.spread(strides)
    pixels = walk.shape(x)[:-1]
    blurs = style.anti_aliasing == "blur"
    windows = [Window(3, step, 1, 1) if blurs else Window(step, step) for step in steps]
    smaller = [-(-n // step) for n, step in zip(pixels, steps, strict=True)]
    return walk.pooling(path, x, windows, smaller, "blur" if blurs else "pooling")


def _attention(walk: Walk, path: Path, x: int, style: BlockStyle, channels: int) -> int:
    """The attention of a block whose regular channels these are."""
    if style.attention == "se":
        squeezed = attention.squeezed_channels(channels, style.attention_ratio)
        return of_attention(walk, path, x, squeezed=squeezed)
    if style.attention == "eca":
        return of_attention(walk, path, x, kernel_size=attention.eca_kernel_size(channels))
    return x


def _shortcut(walk: Walk, path: Path, x: int, block: Geometry) -> int:
    """The shortcut of a `ConvBlock`."""
    style, spread = block.style, block.style.layout.spread
    steps, pixels = spread(block.strides), walk.shape(x)[:-1]
    smaller = [-(-n // step) for n, step in zip(pixels, steps, strict=True)]
    if style.shortcut == "A":
        shape = (*smaller, block.output_filters)
        windows = tuple(Window(1, step) for step in steps)
        return walk.add(Operation((*path, "shortcut"), "padding", (x,), shape, windows=windows))
    if style.shortcut == "D" and (block.strided or max(spread(block.dilation_rate)) > 1):
        rates = spread(1 if block.strided else block.dilation_rate)
        sizes = steps if block.strided else [min(rate, 2) for rate in rates]
        pools = [Window(*place) for place in zip(sizes, steps, rates, strict=True)]
        x = walk.pooling((*path, "pool"), x, pools, smaller)
    unit = block.projection
    return x if unit is None else of_unit(walk, (*path, "projection"), x, unit)
