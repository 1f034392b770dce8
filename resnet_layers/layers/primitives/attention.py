"""Attention over channels: squeeze-and-excitation, and efficient channel attention."""

import math
from typing import Any

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers.layers import _identifiers
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.primitives.convolution import Conv1D


class ChannelAttention(Composite):
    """What both share: `x * weights(mean(x))`, the mean over all pixels."""

    def __init__(self, *, data_format: str, kernel_regularizer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_regularizer = _identifiers.checked(
            "kernel_regularizer", kernel_regularizer, keras.regularizers
        )
        self.data_format = checks.choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.input_spec = keras.InputSpec(min_ndim=3, max_ndim=5)

    def call(self, inputs: Any) -> Any:
        layout = Layout(len(inputs.shape) - 2, self.data_format)
        weights = self.weigh(ops.mean(inputs, axis=layout.pixel_axes))  # (B, C)
        return inputs * layout.over_pixels(weights)

    def weigh(self, means: Any) -> Any:
        """From (B, C) means to (B, C) weights between 0 and 1."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def own_config(self) -> dict[str, Any]:
        regularizer = _identifiers.copied(self.kernel_regularizer)
        return {"data_format": self.data_format, "kernel_regularizer": regularizer}


@keras.saving.register_keras_serializable(package="resnet_layers")
class SqueezeExcitation(ChannelAttention):
    """`x * sigmoid(excite(relu(squeeze(mean(x)))))`, the mean over all pixels.

    Args:
        filters: Number of channels, positive.
        squeezed: Number of channels in between, positive.
        data_format: `"channels_last"` or `"channels_first"`.
        kernel_regularizer: Regularizer of the kernels: a name, a config, an object or `None`.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, …, filters)`, or `(batch, filters, …)` with channels first.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range, or if the input has other channels.
        TypeError: If a value has the wrong type.

    Example:

    >>> SqueezeExcitation(16, 8)(keras.ops.ones((1, 9, 9, 16))).shape
    TensorShape([1, 9, 9, 16])

    Reference:
        Hu et al., Squeeze-and-Excitation Networks, 2017, section 3.
    """

    def __init__(
        self,
        filters: int,
        squeezed: int,
        *,
        data_format: str = "channels_last",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, kernel_regularizer=kernel_regularizer, **kwargs)
        self.filters = checks.integer("filters", filters)
        self.squeezed = checks.integer("squeezed", squeezed)
        axis = Layout(data_format=self.data_format).channel_axis
        self.input_spec = keras.InputSpec(min_ndim=3, max_ndim=5, axes={axis: self.filters})
        regularizer = _identifiers.copied(self.kernel_regularizer)
        keywords = {"kernel_regularizer": regularizer, **self.child_keywords()}
        dense = keras.layers.Dense
        self.squeeze = dense(self.squeezed, activation="relu", name="squeeze", **keywords)
        self.excite = dense(self.filters, activation="sigmoid", name="excite", **keywords)

    def build(self, input_shape: Any) -> None:
        if not self.squeeze.built:
            self.squeeze.build((None, self.filters))
        if not self.excite.built:
            self.excite.build((None, self.squeezed))

    def weigh(self, means: Any) -> Any:
        return self.excite(self.squeeze(means))

    def own_config(self) -> dict[str, Any]:
        return {"filters": self.filters, "squeezed": self.squeezed, **super().own_config()}


@keras.saving.register_keras_serializable(package="resnet_layers")
class EfficientChannelAttention(ChannelAttention):
    """`x * sigmoid(convolution(mean(x)))`, the mean over all pixels, the convolution over channels.

    Args:
        kernel_size: Number of neighbouring channels that decide about one, positive.
        data_format: `"channels_last"` or `"channels_first"`.
        kernel_regularizer: Regularizer of the kernels: a name, a config, an object or `None`.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, …, channels)`, or `(batch, channels, …)` with channels first.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> EfficientChannelAttention(3)(keras.ops.ones((1, 9, 9, 16))).shape
    TensorShape([1, 9, 9, 16])

    Reference:
        Wang et al., ECA-Net, 2019, section 3.
    """

    def __init__(
        self,
        kernel_size: int,
        *,
        data_format: str = "channels_last",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, kernel_regularizer=kernel_regularizer, **kwargs)
        self.kernel_size = checks.integer("kernel_size", kernel_size)
        self.convolution = Conv1D(
            1,
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            kernel_regularizer=_identifiers.copied(self.kernel_regularizer),
            name="convolution",
            **self.child_keywords(),
        )

    def build(self, input_shape: Any) -> None:
        if not self.convolution.built:
            self.convolution.build((None, None, 1))

    def weigh(self, means: Any) -> Any:
        x = self.convolution(means[..., None])  # (B, C, 1)
        return ops.sigmoid(x[..., 0])

    def own_config(self) -> dict[str, Any]:
        return {"kernel_size": self.kernel_size, **super().own_config()}


def squeezed_channels(channels: int, ratio: float) -> int:
    """A share of the channels as timm rounds it: the nearest multiple of 8, at least 8."""
    return max(8, int(channels * ratio + 4) // 8 * 8)


def eca_kernel_size(channels: int) -> int:
    """An odd number that grows with the logarithm of the channels: ECA-Net, equation 12."""
    size = int(abs(math.log2(channels) + 1) / 2)
    return max(size if size % 2 else size + 1, 3)
