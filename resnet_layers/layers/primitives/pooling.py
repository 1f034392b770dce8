"""Steps without parameters, for arrays of any rank: blur, average, maximum, every n-th pixel."""

from typing import Any

import keras
from keras import ops

from resnet_layers.layers._layout import Layout

Steps = int | tuple[int, ...]


def _layout(x: Any, data_format: str) -> Layout:
    return Layout(len(x.shape) - 2, data_format)


def _slice(x: Any, axis: int, start: int | None, stop: int | None, step: int = 1) -> Any:
    index = [slice(None)] * len(x.shape)
    index[axis] = slice(start, stop, step)
    return x[tuple(index)]


def _pool(pool: Any, x: Any, *arguments: Any, data_format: str) -> Any:
    """Volumes in at least float32, since TensorFlow pools none in float16 on a CPU."""
    dtype = x.dtype
    if len(x.shape) == 5:
        x = ops.cast(x, keras.backend.result_type(dtype, "float32"))
    return ops.cast(pool(x, *arguments, data_format=data_format), dtype)


def smooth(kind: str | None, x: Any, strides: Steps, data_format: str) -> Any:
    """The step of anti-aliasing: `"blur"` or `"average"`."""
    return (blur if kind == "blur" else average)(x, strides, data_format)


def blur(x: Any, strides: Steps, data_format: str) -> Any:
    """`[1, 2, 1] / 4` along each axis, the border reflected, then every `strides`-th pixel."""
    layout = _layout(x, data_format)
    for axis, step in zip(layout.pixel_axes, layout.spread(strides), strict=True):
        # The second pixel from each end, or the only one.
        before = _slice(_slice(x, axis, None, 2), axis, -1, None)
        after = _slice(_slice(x, axis, -2, None), axis, None, 1)
        padded = ops.concatenate([before, x, after], axis=axis)
        left = _slice(padded, axis, None, -2, step)
        middle = _slice(padded, axis, 1, -1, step)
        right = _slice(padded, axis, 2, None, step)
        x = (left + 2 * middle + right) / 4  # (…, ceil(size / step), …)
    return x


def subsample(x: Any, strides: Steps, data_format: str) -> Any:
    """Every `strides`-th pixel, from the first."""
    layout = _layout(x, data_format)
    for axis, step in zip(layout.pixel_axes, layout.spread(strides), strict=True):
        x = _slice(x, axis, None, None, step)
    return x


def step(x: Any, strides: Steps, data_format: str) -> Any:
    """The same as `subsample`, with quicker gradients on TensorFlow, where it slices slowly."""
    if len(x.shape) == 5:  # TensorFlow pools no volumes in float64 on a CPU
        return subsample(x, strides, data_format)
    return ops.average_pool(x, 1, strides, "valid", data_format)


def average(x: Any, strides: Steps, data_format: str) -> Any:
    """The mean of each window of `strides` pixels; of what is there, where the last is cut."""
    layout = _layout(x, data_format)
    strides = layout.spread(strides)
    if max(strides) == 1:
        return x
    if max(strides) == 2:  # then Keras pads at the end alone, and counts no padding
        return _pool(ops.average_pool, x, strides, strides, "same", data_format=data_format)
    pads = layout.shape((0, 0), [(0, step - 1) for step in strides], (0, 0))

    def means(y: Any) -> Any:
        y = ops.pad(y, pads)
        return _pool(ops.average_pool, y, strides, strides, "valid", data_format=data_format)

    one_image = _slice(_slice(x, 0, None, 1), layout.channel_axis, None, 1)
    return means(x) / means(ops.ones_like(one_image))


def average_pairs(x: Any, data_format: str) -> Any:
    """The mean of each whole window of 2 pixels; of a single pixel, where there is only one."""
    for axis in _layout(x, data_format).pixel_axes:
        # Slices make the sizes max(size // 2, 1) where they are not known, too.
        first = _slice(x, axis, None, 1) + _slice(_slice(x, axis, None, 2), axis, -1, None)
        others = _slice(x, axis, 2, -1, 2) + _slice(x, axis, 3, None, 2)
        x = ops.concatenate([first, others], axis=axis) / 2
    return x


def average_dilated(x: Any, rates: Steps, data_format: str) -> Any:
    """The mean of each pixel and the next one along each dilated axis, where zeros are beyond."""
    layout = _layout(x, data_format)
    for axis, rate in zip(layout.pixel_axes, layout.spread(rates), strict=True):
        if rate > 1:
            pads = [(0, 0)] * len(x.shape)
            pads[axis] = (0, 1)
            x = (x + _slice(ops.pad(x, pads), axis, 1, None)) / 2
    return x


def max_pool(x: Any, strides: Steps, data_format: str) -> Any:
    """The maximum of each window of `strides` pixels; of what is there, where the last is cut."""
    return _pool(ops.max_pool, x, strides, strides, "same", data_format=data_format)


def max_pool3(x: Any, strides: int, border: float | str | None, data_format: str) -> Any:
    """The maximum of 3 pixels along each axis.

    The border is a number, `"edge"` for the outermost pixels once more, which changes no maximum,
    or `None` for Keras' padding.
    """
    if border is None:
        return _pool(ops.max_pool, x, 3, strides, "same", data_format=data_format)
    layout = _layout(x, data_format)
    if border == "edge":
        for axis in layout.pixel_axes:
            ends = _slice(x, axis, None, 1), _slice(x, axis, -1, None)
            x = ops.concatenate([ends[0], x, ends[1]], axis=axis)
    else:
        pads = layout.shape((0, 0), [(1, 1)] * layout.rank, (0, 0))
        x = ops.pad(x, pads, constant_values=border)
    if layout.rank < 3:
        return ops.max_pool(x, 3, strides, "valid", data_format=data_format)
    for axis in layout.pixel_axes:  # TensorFlow pools volumes in float32 alone
        left, middle = _slice(x, axis, None, -2, strides), _slice(x, axis, 1, -1, strides)
        x = ops.maximum(ops.maximum(left, middle), _slice(x, axis, 2, None, strides))
    return x
