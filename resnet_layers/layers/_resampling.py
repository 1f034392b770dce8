"""Resampling by a matrix for each axis: Pillow's arithmetic, for sizes that a graph may not know.

Functions take the operations that they compute with, `keras.ops` or `TensorFlow`.
"""

import math
from collections.abc import Callable
from typing import Any

import keras


class TensorFlow:
    """What is used of `keras.ops`, by TensorFlow: for `tf.data` on another backend."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.abs, self.cast, self.einsum, self.floor = tf.abs, tf.cast, tf.einsum, tf.floor
        self.logical_and, self.maximum = tf.logical_and, tf.maximum
        self.sin, self.where, self.clip = tf.sin, tf.where, tf.clip_by_value
        self.convert_to_tensor = tf.convert_to_tensor
        self.arange, self.sum = tf.range, tf.reduce_sum
        self.moveaxis, self.flip = tf.experimental.numpy.moveaxis, tf.experimental.numpy.flip

    def shape(self, x: Any) -> list[Any]:
        """Sizes, as far as they are known as numbers."""
        import tensorflow as tf

        return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]


def is_foreign(x: Any) -> bool:
    """Whether it is a tensor of TensorFlow on a backend that cannot compute with it."""
    of_tensorflow = type(x).__module__.partition(".")[0] == "tensorflow"
    return of_tensorflow and keras.backend.backend() != "tensorflow"


def where(ops: Any, condition: Any, a: Any, b: Any) -> Any:
    """One of two sizes, which may be known only when the graph runs."""
    return (a if condition else b) if isinstance(condition, bool) else ops.where(condition, a, b)


def nearest(ops: Any, number: Any, divisor: Any) -> Any:
    """Python's `round(number / divisor)`: halves become even."""
    up = (2 * number + divisor) // (2 * divisor)
    return where(ops, (2 * number + divisor) % (2 * divisor) == 0, up // 2 * 2, up)


def _triangle(ops: Any, x: Any) -> Any:
    return ops.maximum(1.0 - ops.abs(x), 0.0)


def _cubic(ops: Any, x: Any) -> Any:
    """Keys 1981, with a = -0.5."""
    x = ops.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))


def _lanczos(ops: Any, x: Any) -> Any:
    """Three lobes of the sine."""
    x = ops.abs(x)
    return ops.where(x < 3.0, _sinc(ops, x) * _sinc(ops, x / 3.0), 0.0)


def _sinc(ops: Any, x: Any) -> Any:
    angle = math.pi * ops.maximum(x, 1e-7)
    return ops.where(x < 1e-7, 1.0, ops.sin(angle) / angle)


def _box(ops: Any, x: Any) -> Any:
    """The pixel that a centre lies in; halves belong to the later one."""
    return ops.cast(ops.logical_and(x > -0.5, x <= 0.5), "float32")


_FILTERS: dict[str, Callable[[Any, Any], Any]] = {
    "nearest": _box,
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}


def of_whole(ops: Any, before: Any, after: Any, size: int, interpolation: str) -> Any:
    """The matrix (size, before) that resizes to `after` pixels and keeps `size` in the middle."""
    rest = after - size
    start = rest // 2 + (rest % 2) * (rest // 2 % 2)  # Python's round(rest / 2)
    centres = 2 * (ops.arange(size, dtype="int32") + start) + 1
    rough = ops.cast(centres, "float32") * (
        ops.cast(before, "float32") / ops.cast(after, "float32")
    )
    return _matrix(ops, before, centres * before, rough, before, after, interpolation)


def of_middle(ops: Any, before: Any, middle: Any, size: int, interpolation: str) -> Any:
    """The matrix (size, before) that resizes the `middle` pixels of an axis to `size`."""
    centres = (2 * ops.arange(size, dtype="int32") + 1) * middle + (before - middle) * size
    rough = ops.cast(centres, "float32") / size
    return _matrix(ops, before, centres, rough, middle, size, interpolation)


def _matrix(
    ops: Any, pixels: Any, centres: Any, rough: Any, before: Any, after: Any, interpolation: str
) -> Any:
    """Weights of all `pixels` for each centre, where `before` pixels become `after`.

    `centres` are whole numbers of `1 / (2 * after)` pixels, and `rough` the same in half pixels.
    The filter is as wide as a pixel of the smaller image, so that shrinking averages.
    """
    places = 2 * ops.arange(pixels, dtype="int32") + 1
    # Distances in whole numbers, since float32 has no fractions of pixels in large images.
    distances = places[None, :] * after - centres[:, None]
    # The nearest pixel is as wide as a pixel of the image itself.
    larger = after if interpolation == "nearest" else where(ops, after < before, before, after)
    distances = ops.cast(distances, "float32") / ops.cast(2 * larger, "float32")
    weights = _FILTERS[interpolation](ops, distances)
    # Far pixels of long images overflow, and can seem near: a rough distance tells them.
    scale = ops.cast(before, "float32") / ops.cast(after, "float32")
    rough = ops.cast(places, "float32")[None, :] - rough[:, None]
    weights = ops.where(ops.abs(rough) < 7.0 * ops.maximum(scale, 1.0), weights, 0.0)
    return weights / ops.sum(weights, axis=1, keepdims=True)
