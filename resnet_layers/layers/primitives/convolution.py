"""Convolutions that Keras lacks, or has slower: of groups, and with weight standardization."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

# timm 1.0 `layers/std_conv.py`, as the BiT networks of `models/resnetv2.py` use it.
_EPSILON = 1e-8


class StandardizesKernel:
    """`(kernel - mean) / sqrt(variance + 1e-8)` over the inputs of each filter, at every call."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        exact = ops.cast(kernel, "float32")
        mean, variance = ops.moments(exact, _inputs(kernel), keepdims=True)
        standard = (exact - mean) * ops.rsqrt(variance + _EPSILON)
        return super().convolution_op(inputs, ops.cast(standard, inputs.dtype))  # type: ignore[misc]


def standardized_kernel(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `StandardizesKernel` makes of a kernel, exactly."""
    variance = kernel.var(_inputs(kernel), keepdims=True)
    return (kernel - kernel.mean(_inputs(kernel), keepdims=True)) / np.sqrt(variance + _EPSILON)


def _inputs(kernel: Any) -> tuple[int, ...]:
    """All axes but the filters."""
    return tuple(range(len(kernel.shape) - 1))


_NATIVE_GROUPS: ContextVar[bool] = ContextVar("_NATIVE_GROUPS", default=False)


@contextmanager
def native_groups() -> Iterator[None]:
    """Traces all grouped convolutions as operators of TensorFlow, for inference alone.

    Keras 3.15 compiles each of them with XLA by itself, which other runtimes cannot read.
    """
    token = _NATIVE_GROUPS.set(True)
    try:
        yield
    finally:
        _NATIVE_GROUPS.reset(token)


@cache
def has_gradients(dtype: str) -> bool:
    """Whether TensorFlow has the gradients of grouped convolutions of images, here and now.

    On a CPU they are oneDNN's, which not every build has, nor every dtype.
    """
    import tensorflow as tf

    with tf.init_scope():  # at once, whatever is being traced
        x, kernel = tf.ones((1, 3, 3, 4), dtype), tf.ones((3, 3, 2, 4), dtype)
        how = {"out_backprop": x, "strides": [1] * 4, "padding": "SAME"}
        try:  # no tape records in this scope
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **how)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **how)
        except tf.errors.OpError:
            return False
    return True


def _convolve(x: Any, kernel: Any, *, data_format: str, padding: str, **how: Any) -> Any:
    """By TensorFlow's own operator."""
    import tensorflow as tf

    pixels = "DHW"[-len(how["strides"]) :]
    layout = f"N{pixels}C" if data_format == "channels_last" else f"NC{pixels}"
    return tf.nn.convolution(x, kernel, data_format=layout, padding=padding.upper(), **how)


@lru_cache(maxsize=256)
def _compiled(shapes: tuple[tuple[int, ...], ...], dtype: str, **how: Any) -> Any:
    """A convolution under XLA, of inputs and a kernel of these shapes.

    Keras' own would be a function in a function, which several threads cannot trace at once.
    """
    import tensorflow as tf

    return tf.function(lambda x, kernel: _convolve(x, kernel, **how), jit_compile=True)


def _is_eager(x: Any) -> bool:
    """Whether this is a tensor of TensorFlow outside of all tracing."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.executing_eagerly() and tf.is_tensor(x)


class DividesChannels:
    """A grouped convolution by TensorFlow's own operator, where that has gradients.

    Keras 3.15 compiles each one with XLA by itself, for those that have none, at every eager call
    anew. That took 30 times as long in a training step of ResNeXt-50 on a CPU.
    """

    def _is_native(self: Any, inputs: Any) -> bool:
        if _NATIVE_GROUPS.get():
            return True
        return (
            keras.backend.backend() == "tensorflow"
            and self.groups > 1
            and self.rank < 3
            and has_gradients(keras.backend.standardize_dtype(inputs.dtype))
        )

    def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
        native = self._is_native(inputs)
        if not native and (self.groups == 1 or not _is_eager(inputs)):
            return super().convolution_op(inputs, kernel)  # type: ignore[misc]
        import tensorflow as tf

        how = {
            "strides": self.strides,
            "dilations": self.dilation_rate,
            "padding": self.padding,
            "data_format": self.data_format,
        }
        if not native:
            x, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
            shapes = (tuple(x.shape), tuple(kernel.shape))
            return _compiled(shapes, x.dtype.name, **how)(x, kernel)
        if self.rank < 3:
            return _convolve(inputs, kernel, **how)
        axis = -1 if self.data_format == "channels_last" else 1
        parts = (tf.split(inputs, self.groups, axis), tf.split(kernel, self.groups, -1))
        return tf.concat([_convolve(x, k, **how) for x, k in zip(*parts, strict=True)], axis)


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv1D(DividesChannels, keras.layers.Conv1D):
    """`Conv1D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv2D(DividesChannels, keras.layers.Conv2D):
    """`Conv2D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv3D(DividesChannels, keras.layers.Conv3D):
    """`Conv3D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv1D(StandardizesKernel, DividesChannels, keras.layers.Conv1D):
    """`Conv1D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv2D(StandardizesKernel, DividesChannels, keras.layers.Conv2D):
    """`Conv2D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv3D(StandardizesKernel, DividesChannels, keras.layers.Conv3D):
    """`Conv3D` with weight standardization."""


def convolution_class(rank: int, *, groups: int, standardized: bool) -> type[keras.layers.Layer]:
    """The class of a convolution."""
    if standardized:
        return (StandardizedConv1D, StandardizedConv2D, StandardizedConv3D)[rank - 1]
    if groups > 1:
        return (GroupedConv1D, GroupedConv2D, GroupedConv3D)[rank - 1]
    return (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)[rank - 1]
