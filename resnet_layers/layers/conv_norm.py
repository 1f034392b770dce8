"""`ConvNorm`: convolution, normalization, activation; and `NormAct`, without the convolution."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _identifiers, _shapes, styles
from resnet_layers.layers._batches import takes_none
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.primitives.activation import activation as make_activation
from resnet_layers.layers.primitives.batch_normalization import (
    BatchNormalization,
    FrozenBatchNormalization,
)
from resnet_layers.layers.primitives.convolution import convolution_class
from resnet_layers.layers.primitives.normalization import (
    EvoNormS0,
    FilterResponseNormalization,
    GroupNormalization,
)
from resnet_layers.layers.styles import BlockStyle


@keras.saving.register_keras_serializable(package="resnet_layers")
class ConvNorm(Composite):
    """`activation(normalization(convolution(x)))`, the unit that ResNet blocks are made of.

    Args:
        filters: Number of output channels, positive.
        kernel_size: Size of the kernel in pixels: a positive integer, or one for each pixel axis.
        strides: Step of the convolution in pixels: a positive integer, or one for each axis.
        dilation_rate: Distance between the pixels that a kernel reads: a positive integer, or one
            for each axis; above 1 only where `strides` is 1.
        groups: Number of groups that the channels are divided into; divides `filters` and the
            number of input channels.
        activation: `None`, a name that Keras knows, or a registered function.
        style: `BlockStyle`, its name or its config: bias, padding, normalization, initializer,
            regularizer, rank and data format are taken from it.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`, in every padding.

    Raises:
        ValueError: If a value is out of range, or if `groups` does not divide the channels.
        TypeError: If a value has the wrong type.

    Example:

    >>> ConvNorm(8, 3, strides=2)(keras.ops.ones((1, 15, 16, 3))).shape
    TensorShape([1, 8, 8, 8])

    Reference:
        Ioffe and Szegedy, Batch Normalization, 2015, section 3.2 (normalization after the
        convolution, before the nonlinearity).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: IntOrInts,
        *,
        strides: IntOrInts = 1,
        dilation_rate: IntOrInts = 1,
        groups: int = 1,
        activation: Any = "relu",
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.follow(styles.get(style))
        self.filters = checks.integer("filters", filters)
        self.kernel_size = checks.sizes("kernel_size", kernel_size, self.style.rank)
        self.strides = checks.sizes("strides", strides, self.style.rank)
        self.dilation_rate = checks.sizes("dilation_rate", dilation_rate, self.style.rank)
        self.groups = checks.integer("groups", groups)
        self.activation = _identifiers.checked_activation(activation)
        checks.divisible("filters", self.filters, self.groups)
        strided = max(self.layout.spread(self.strides)) > 1
        if strided and max(self.layout.spread(self.dilation_rate)) > 1:
            raise ValueError(
                "`dilation_rate` must be 1 where `strides` is above 1. "
                f"Received: strides={strides!r}, dilation_rate={dilation_rate!r}"
            )
        # At stride 1 both paddings are the same, and a kernel of one pixel needs none.
        larger = max(self.layout.spread(self.kernel_size)) > 1
        self._pads = strided and larger and self.style.padding == "symmetric"
        self._transposes = must_transpose(self.style)
        self.convolution = make_convolution(
            self.style,
            filters=self.filters,
            kernel_size=self.kernel_size,
            strides=self.strides,
            padding="valid" if self._pads else "same",
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            **self.child_keywords(),
        )
        self.normalization: Any = (
            None if self.style.folded else make_normalization(self.style, **self.child_keywords())
        )
        self._activate = make_activation(self.activation)

    def build(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        channels = self.layout.channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"The input of ConvNorm '{self.name}' must have a number of channels that `groups` "
                f"divides. Received: input_shape={input_shape}, groups={self.groups}"
            )
        if not self.convolution.built:
            # Any size: the one that the convolution meets is padded.
            layout = Layout(self.style.rank, self.convolution.data_format)
            unknown = (None,) * self.style.rank
            self.convolution.build(layout.shape(input_shape[0], unknown, channels))
        if self.normalization is not None and not self.normalization.built:
            self.normalization.build(self.compute_output_shape(input_shape))
        self.input_spec = keras.InputSpec(
            ndim=self.layout.ndim, axes={self.layout.channel_axis: channels}
        )

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.normalize(self.convolve(inputs), training)

    def convolve(self, inputs: Any) -> Any:
        """The convolution by itself."""
        x = _shapes.cast(inputs, self.compute_dtype)  # images may be integers
        if self._pads:
            x = self.layout.pad(x, self.kernel_size)
        if self._transposes:
            return ops.moveaxis(self.convolution(ops.moveaxis(x, 1, -1)), -1, 1)
        return self.convolution(x)  # (B, ceil(H/s), ceil(W/s), filters)

    def normalize(self, inputs: Any, training: bool | None = None) -> Any:
        """Normalization and activation by themselves, of what the convolution made."""
        x = inputs
        if self.normalization is not None:
            x = self.normalization(x, training=training)
        return self._activate(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        return self.layout.strided(input_shape, self.strides, self.filters)

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": _identifiers.copied(self.activation),
            "style": self.style.get_config(),
        }


@keras.saving.register_keras_serializable(package="resnet_layers")
class NormAct(Composite):
    """`activation(normalization(x))`: what comes before the convolutions of pre-activation.

    Args:
        style: `BlockStyle`, its name or its config: normalization, activation and data format
            are taken from it.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a style has no value of that name.
        TypeError: If a value has the wrong type.

    Example:

    >>> NormAct("timm_v2")(keras.ops.ones((1, 9, 9, 4))).shape
    TensorShape([1, 9, 9, 4])

    Reference:
        He et al., Identity Mappings in Deep Residual Networks, 2016, section 4.1.
    """

    def __init__(self, style: Any = "timm_v2", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.follow(styles.get(style))
        self.normalization: Any = make_normalization(self.style, **self.child_keywords())
        self._activate = make_activation(self.style.activation)

    def in_turn(self) -> Iterable[Any]:
        return (self.normalization,)

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = _shapes.cast(inputs, self.compute_dtype)
        if self.normalization is not None:
            x = self.normalization(x, training=training)
        return self._activate(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return _shapes.batch_shape(self, input_shape, self.layout)

    def own_config(self) -> dict[str, Any]:
        return {"style": self.style.get_config()}


def must_transpose(style: BlockStyle) -> bool:
    """Whether the device has no convolutions with channels first, as TensorFlow on a CPU."""
    if style.data_format == "channels_last" or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def make_convolution(style: BlockStyle, **keywords: Any) -> keras.layers.Layer:
    """A convolution as the style has them, but with channels last where it must be so."""
    kind = convolution_class(
        style.rank, groups=keywords["groups"], standardized=style.standardize_kernels
    )
    return kind(
        data_format="channels_last" if must_transpose(style) else style.data_format,
        use_bias=style.biased(normalized=style.normalization is not None),
        kernel_initializer=_identifiers.copied(style.kernel_initializer),
        kernel_regularizer=_identifiers.copied(style.kernel_regularizer),
        name="convolution",
        **keywords,
    )


def make_normalization(style: BlockStyle, **keywords: Any) -> keras.layers.Layer | None:
    """The normalization of a style."""
    keywords |= {
        "name": "normalization",
        "axis": style.layout.channel_axis,
        "epsilon": style.epsilon,
    }
    match style.normalization:
        case "batch":
            return BatchNormalization(momentum=style.momentum, **keywords)
        case "frozen_batch":
            return FrozenBatchNormalization(momentum=style.momentum, **keywords)
        case "group":
            return GroupNormalization(groups=32, **keywords)
        case "evonorm_s0":
            return EvoNormS0(**keywords)
        case "frn":
            return FilterResponseNormalization(**keywords)
    return None
