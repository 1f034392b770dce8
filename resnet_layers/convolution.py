"""Convolutions of every rank, with weight standardization where a style asks for it."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers.styles import BlockStyle

# timm 1.0 `layers/std_conv.py`, as the BiT networks of `models/resnetv2.py` use it.
_EPSILON = 1e-8


class StandardizesKernel:
    """`(kernel - mean) / sqrt(variance + 1e-8)` over the inputs of each filter, at every call."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        exact = ops.cast(kernel, "float32")
        mean, variance = ops.moments(exact, _inputs(kernel), keepdims=True)
        standard = (exact - mean) * ops.rsqrt(variance + _EPSILON)
        return super().convolution_op(inputs, ops.cast(standard, inputs.dtype))  # type: ignore[misc]


def standardize(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `StandardizesKernel` makes of a kernel, exactly."""
    variance = kernel.var(_inputs(kernel), keepdims=True)
    return (kernel - kernel.mean(_inputs(kernel), keepdims=True)) / np.sqrt(variance + _EPSILON)


def _inputs(kernel: Any) -> tuple[int, ...]:
    """All axes but the filters."""
    return tuple(range(len(kernel.shape) - 1))


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv1D(StandardizesKernel, keras.layers.Conv1D):
    """`Conv1D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv2D(StandardizesKernel, keras.layers.Conv2D):
    """`Conv2D` with weight standardization."""


@keras.saving.register_keras_serializable(package="resnet_layers")
class StandardizedConv3D(StandardizesKernel, keras.layers.Conv3D):
    """`Conv3D` with weight standardization."""


_PLAIN = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}
_STANDARDIZED = {1: StandardizedConv1D, 2: StandardizedConv2D, 3: StandardizedConv3D}


def must_transpose(style: BlockStyle) -> bool:
    """Whether the device has no convolutions with channels first, as TensorFlow on a CPU."""
    if style.data_format == "channels_last" or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def make_convolution(style: BlockStyle, **keywords: Any) -> keras.layers.Layer:
    """A convolution as the style has them, but with channels last where it must be so."""
    classes = _STANDARDIZED if style.standardize_kernels else _PLAIN
    return classes[style.rank](
        data_format="channels_last" if must_transpose(style) else style.data_format,
        use_bias=style.biased(normalized=style.normalization is not None),
        kernel_initializer=style.kernel_initializer,
        kernel_regularizer=style.kernel_regularizer,
        name="convolution",
        **keywords,
    )
