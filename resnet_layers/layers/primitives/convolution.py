"""Convolutions that Keras lacks or TensorFlow has wrong: pixels, groups, standardized kernels."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers.layers.primitives import pooling

# timm 1.0 `layers/std_conv.py`, as the BiT networks of `models/resnetv2.py` use it.
_EPSILON = 1e-8


class StandardizesKernel:
    """`(kernel - mean) / sqrt(variance + 1e-8)` over the inputs of each filter, at every call."""

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("name") == "kernel":  # whose rounding would be large beside its deviations
            kwargs["autocast"] = False
        return super().add_weight(*args, **kwargs)  # type: ignore[misc]

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        exact = ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
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


class Convolves:
    """Keras' convolution, with TensorFlow's own operators where those are right and quicker.

    With oneDNN, TensorFlow 2.21 reads beyond the input for the gradient of a kernel of one pixel
    with strides, which was wrong or ended the process. So the step is made first, by a pooling of
    single pixels, which takes a fifth of the time of slicing.

    For groups Keras 3.15 compiles each convolution with XLA by itself, for those that have no
    gradients, at every eager call anew. That took 30 times as long in a training step of
    ResNeXt-50 on a CPU.
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

    def _steps_first(self: Any) -> bool:
        if _NATIVE_GROUPS.get() or keras.backend.backend() != "tensorflow":
            return False
        return max(self.kernel_size) == 1 and max(self.strides) > 1

    def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
        how = {
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }
        if self._steps_first():
            inputs = pooling.step(inputs, self.strides, self.data_format)
            how["strides"] = (1,) * self.rank
        native = self._is_native(inputs)
        if not native and (self.groups == 1 or not _is_eager(inputs)):
            return ops.conv(inputs, kernel, dilation_rate=self.dilation_rate, **how)
        import tensorflow as tf

        how["dilations"] = self.dilation_rate
        if not native:
            x, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
            shapes = (tuple(x.shape), tuple(kernel.shape))
            return _compiled(shapes, x.dtype.name, **how)(x, kernel)
        if self.rank < 3:
            return _convolve(inputs, kernel, **how)
        axis = -1 if self.data_format == "channels_last" else 1
        parts = (tf.split(inputs, self.groups, axis), tf.split(kernel, self.groups, -1))
        return tf.concat([_convolve(x, k, **how) for x, k in zip(*parts, strict=True)], axis)


class _Conv1D(keras.layers.Conv1D):
    """Keras' layer, which has a `call` of its own that never asks `convolution_op`."""

    call = keras.layers.Conv2D.call


@keras.saving.register_keras_serializable(package="resnet_layers")
class Conv1D(Convolves, _Conv1D):
    """`Conv1D` whose gradients are right with oneDNN."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class Conv2D(Convolves, keras.layers.Conv2D):
    """`Conv2D` whose gradients are right with oneDNN."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class Conv3D(Convolves, keras.layers.Conv3D):
    """`Conv3D` whose gradients are right with oneDNN."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv1D(Convolves, _Conv1D):
    """`Conv1D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv2D(Convolves, keras.layers.Conv2D):
    """`Conv2D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupedConv3D(Convolves, keras.layers.Conv3D):
    """`Conv3D` of groups."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv1D(StandardizesKernel, Convolves, _Conv1D):
    """`Conv1D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv2D(StandardizesKernel, Convolves, keras.layers.Conv2D):
    """`Conv2D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv3D(StandardizesKernel, Convolves, keras.layers.Conv3D):
    """`Conv3D` with weight standardization."""


def convolution_class(rank: int, *, groups: int, standardized: bool) -> type[keras.layers.Layer]:
    """The class of a convolution."""
    if standardized:
        return (StandardizedConv1D, StandardizedConv2D, StandardizedConv3D)[rank - 1]
    if groups > 1:
        return (GroupedConv1D, GroupedConv2D, GroupedConv3D)[rank - 1]
    return (Conv1D, Conv2D, Conv3D)[rank - 1]
