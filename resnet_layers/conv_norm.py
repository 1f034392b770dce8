"""`ConvNorm`: convolution, normalization, activation. The only place that knows padding."""

from typing import Any

import keras
from keras import ops

from resnet_layers import _checks, styles
from resnet_layers._checks import IntOrPair
from resnet_layers._composite import Composite


@keras.saving.register_keras_serializable(package="resnet_layers")
class ConvNorm(Composite):
    """`activation(normalization(convolution(x)))`, the unit that ResNet blocks are made of.

    Args:
        filters: Number of output channels, positive.
        kernel_size: Height and width of the kernel in pixels: a positive integer or a pair.
        strides: Step of the convolution in pixels: a positive integer or a pair.
        dilation_rate: Distance between the pixels that a kernel reads: a positive integer or a
            pair; above 1 only where `strides` is 1.
        groups: Number of groups that the channels are divided into; divides `filters` and the
            number of input channels.
        activation: `None`, a name that Keras knows, or a registered function.
        style: `BlockStyle`, its name or its config: bias, padding, normalization, initializer
            and regularizer are taken from it.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`

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
        kernel_size: IntOrPair,
        *,
        strides: IntOrPair = 1,
        dilation_rate: IntOrPair = 1,
        groups: int = 1,
        activation: Any = "relu",
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = _checks.integer("filters", filters)
        self.kernel_size = _checks.int_or_pair("kernel_size", kernel_size)
        self.strides = _checks.int_or_pair("strides", strides)
        self.dilation_rate = _checks.int_or_pair("dilation_rate", dilation_rate)
        self.groups = _checks.integer("groups", groups)
        self.activation = styles.standardize_activation(activation)
        self.style = styles.get(style)
        _checks.divisible("filters", self.filters, self.groups)
        strided = max(_checks.pair(self.strides)) > 1
        if strided and max(_checks.pair(self.dilation_rate)) > 1:
            raise ValueError(
                "`dilation_rate` must be 1 where `strides` is above 1. "
                f"Received: strides={strides!r}, dilation_rate={dilation_rate!r}"
            )
        # At stride 1 both paddings are the same, and a kernel of one pixel needs none.
        larger = max(_checks.pair(self.kernel_size)) > 1
        self._pads = strided and larger and self.style.padding == "symmetric"
        self.convolution = keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="valid" if self._pads else "same",
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            use_bias=self.style.use_bias,
            kernel_initializer=self.style.kernel_initializer,
            kernel_regularizer=self.style.kernel_regularizer,
            name="convolution",
            **self.child_keywords(),
        )
        self.normalization: Any = (
            _batch_normalization(self.style, **self.child_keywords())
            if self.style.normalization
            else None
        )
        self._activate = keras.activations.get(self.activation)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        if input_shape[-1] % self.groups:
            raise ValueError(
                f"The input of ConvNorm '{self.name}' must have a number of channels that `groups` "
                f"divides. Received: input_shape={input_shape}, groups={self.groups}"
            )
        if not self.convolution.built:
            # Any size: the one that the convolution meets is padded.
            self.convolution.build((input_shape[0], None, None, input_shape[-1]))
        if self.normalization is not None and not self.normalization.built:
            self.normalization.build(self.compute_output_shape(input_shape))
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = ops.cast(inputs, self.compute_dtype)  # images may be integers
        if self._pads:
            x = pad_symmetric(x, self.kernel_size)
        x = self.convolution(x)  # (B, ceil(H/s), ceil(W/s), filters)
        if self.normalization is not None:
            x = self.normalization(x, training=training)
        return self._activate(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _checks.image_shape(self, input_shape)
        return strided_shape(input_shape, self.strides, self.filters)

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": styles.plain(self.activation),
            "style": self.style.get_config(),
        }


def _batch_normalization(
    style: styles.BlockStyle, dtype: Any, trainable: bool
) -> keras.layers.BatchNormalization:
    frozen = style.normalization == "frozen_batch"
    layer = FrozenBatchNormalization if frozen else keras.layers.BatchNormalization
    return layer(
        momentum=style.momentum,
        epsilon=style.epsilon,
        name="normalization",
        dtype=dtype,
        trainable=trainable,
    )


@keras.saving.register_keras_serializable(package="resnet_layers")
class FrozenBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that never trains, whatever happens to the layers around it.

    Keras normalizes by moving statistics where a layer does not train.
    """

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Layer.trainable.fset(self, False)


def pad_symmetric(inputs: Any, kernel_size: int | tuple[int, int], value: float = 0.0) -> Any:
    """Pads height and width so that every pixel can be the centre of the kernel."""
    spatial = []
    for size in _checks.pair(kernel_size):
        before = (size - 1) // 2
        spatial.append((before, size - 1 - before))
    return ops.pad(inputs, [(0, 0), *spatial, (0, 0)], constant_values=value)


def strided_shape(
    shape: Any, strides: int | tuple[int, int], filters: int
) -> tuple[int | None, ...]:
    """The shape after a step of `strides`: ceil(size / stride), unknown where unknown."""
    spatial = (
        None if size is None else -(-size // stride)
        for size, stride in zip(shape[1:3], _checks.pair(strides), strict=True)
    )
    return (shape[0], *spatial, filters)
