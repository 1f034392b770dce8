"""`IdentityBlock` and `ConvBlock`: `activation(body(x) + shortcut(x))`."""

from collections.abc import Iterable
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._arguments import Shaped, takes
from resnet_layers.layers._batches import takes_none
from resnet_layers.layers._composite import build_once
from resnet_layers.layers._geometry import Geometry
from resnet_layers.layers.conv_norm import ConvNorm, NormAct
from resnet_layers.layers.primitives import attention, pooling
from resnet_layers.layers.primitives.activation import activation, addition_before


class ResidualBlock(Shaped):
    """What both blocks share: the body, the addition, the activation."""

    def __init__(
        self,
        filters: int,
        *,
        _geometry: dict[str, Any],
        drop_path: float,
        style: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape_by(Geometry(filters=filters, style=styles.get(style), **_geometry))
        self.drop_path = checks.fraction("drop_path", drop_path)
        self.output_filters = self._geometry.output_filters
        style, keywords = self.style, self.child_keywords()
        self.preactivation = (
            NormAct(style, name="preactivation", **keywords) if style.preactivation else None
        )
        self.body = tuple(
            ConvNorm(**unit.arguments(), name=f"conv{i + 1}", **keywords)
            for i, unit in enumerate(self._geometry.units)
        )
        self.attention = self._make_attention(self._geometry.regular_filters)
        each_image = (None,) + (1,) * (style.rank + 1)
        self.drop = (
            keras.layers.Dropout(self.drop_path, noise_shape=each_image, name="drop", **keywords)
            if self.drop_path
            else None
        )
        if style.zero_init_last:
            _start_at_zero(self.body[-1])
        self._add: Any = (
            _residual_alone if style.shortcut == "none" else addition_before(style.activation)
        )
        self._activate = activation(None if style.preactivation else style.activation)

    def _make_attention(self, channels: int) -> keras.layers.Layer | None:
        """Sized by the channels that the block has if its widths are regular."""
        keywords: dict[str, Any] = {"data_format": self.style.data_format, "name": "attention"}
        keywords |= {"kernel_regularizer": self.style.kernel_regularizer, **self.child_keywords()}
        if self.style.attention == "se":
            squeezed = attention.squeezed_channels(channels, self.style.attention_ratio)
            return attention.SqueezeExcitation(self.output_filters, squeezed, **keywords)
        if self.style.attention == "eca":
            kernel_size = attention.eca_kernel_size(channels)
            return attention.EfficientChannelAttention(kernel_size, **keywords)
        return None

    def in_turn(self) -> Iterable[Any]:
        return (self.preactivation, *self.body, self.attention)

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        if self.preactivation is not None:
            x = self.preactivation(inputs, training=training)
        return self._activate(
            self._add(self.residual(x, training), self.shortcut(inputs, x, training))
        )

    def residual(self, inputs: Any, training: bool | None = None) -> Any:
        """The path through the convolutions."""
        x = inputs
        if self._geometry.pools:
            x = pooling.max_pool(x, self.strides, self.style.data_format)
        for i, unit in enumerate(self.body):
            x = unit(x, training=training)  # last: (B, ceil(H/s), ceil(W/s), output_filters)
            if i == self._geometry.smoothed:
                x = pooling.smooth(
                    self.style.anti_aliasing, x, self.strides, self.style.data_format
                )
        if self.attention is not None:
            x = self.attention(x)
        if self.drop is not None:
            x = self.drop(x, training=training)
        return x

    def shortcut(self, inputs: Any, activated: Any, training: bool | None = None) -> Any:
        """The path beside the body, from the input or from the input after pre-activation."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        return self.layout.strided(input_shape, self.strides, self.output_filters)

    def own_config(self) -> dict[str, Any]:
        return {**super().own_config(), "drop_path": self.drop_path}


@keras.saving.register_keras_serializable(package="resnet_layers")
@takes(Geometry, "strides", "first_dilation_rate")
class IdentityBlock(ResidualBlock):
    """`activation(body(x) + x)`: a residual block that keeps the shape of its input.

    The body is two 3×3 convolutions, or, for a bottleneck, 1×1, 3×3 and 1×1, each followed by
    normalization. It never has a projection, so its structure does not depend on what it meets:
    where the number of channels or the resolution changes, use `ConvBlock`.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        **geometry: The fields of `Geometry`, each as an argument of its own.
        drop_path: Probability with which training drops the body for an image, in [0, 1).
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, output_filters)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range, or if the input does not have `output_filters`
            channels.
        TypeError: If a value has the wrong type.

    Example:

    >>> IdentityBlock(4, bottleneck=True)(keras.ops.ones((1, 9, 9, 16))).shape
    TensorShape([1, 9, 9, 16])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, sections 3.2 and 4.1
        (figure 5); for groups, Xie et al., Aggregated Residual Transformations, 2017, section 3;
        for `drop_path`, Huang et al., Deep Networks with Stochastic Depth, 2016, section 3.
    """

    def __init__(
        self, filters: int, *, drop_path: float = 0.0, style: Any = "torchvision", **kwargs: Any
    ) -> None:
        super().__init__(filters, drop_path=drop_path, style=style, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check_channels(input_shape)
        super().build(input_shape)

    def shortcut(self, inputs: Any, activated: Any, training: bool | None = None) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_channels(input_shape)
        return super().compute_output_shape(input_shape)

    def _check_channels(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        channels = self.layout.channels(input_shape)
        if channels != self.output_filters:
            raise ValueError(
                f"The input of IdentityBlock '{self.name}' must have the {self.output_filters} "
                "channels that the block makes, since its shortcut is the input itself; use "
                "ConvBlock where the number of channels changes. "
                f"Received: input_shape={input_shape}, {channels} channels"
            )


@keras.saving.register_keras_serializable(package="resnet_layers")
@takes(Geometry, strides=2)
class ConvBlock(ResidualBlock):
    """`activation(body(x) + projection(x))`: a residual block that changes the shape.

    The projection is a 1×1 convolution with the strides of the block, followed by normalization
    where `style.normalize_shortcut` says so. It is always present, whatever the input shape. With
    `style.shortcut="A"` it has no parameters: the input is read at every `strides`-th pixel and
    its new channels are zero. With `"D"` average pooling makes the step before it.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        **geometry: The fields of `Geometry`, each as an argument of its own.
        drop_path: Probability with which training drops the body for an image, in [0, 1).
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), output_filters)`

    Raises:
        ValueError: If a value is out of range, or if `style.shortcut="A"` would have to drop
            channels.
        TypeError: If a value has the wrong type.

    Example:

    >>> ConvBlock(8, strides=2)(keras.ops.ones((1, 9, 9, 4))).shape
    TensorShape([1, 5, 5, 8])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, equation 2 and section 4.1;
        for groups, Xie et al., Aggregated Residual Transformations, 2017, section 3; for
        dilation, Yu et al., Dilated Residual Networks, 2017, section 2.
    """

    def __init__(
        self, filters: int, *, drop_path: float = 0.0, style: Any = "torchvision", **kwargs: Any
    ) -> None:
        super().__init__(filters, drop_path=drop_path, style=style, **kwargs)
        projection, keywords = self._geometry.projection, self.child_keywords()
        self.projection: Any = projection and ConvNorm(
            **projection.arguments(), name="projection", **keywords
        )
        self._shortcut: Any = {"none": _nothing, "A": self._pad, "D": self._pool_and_project}.get(
            self.style.shortcut, self._project
        )

    def build(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        if self.style.shortcut == "A" and self.layout.channels(input_shape) > self.output_filters:
            raise ValueError(
                f"The input of ConvBlock '{self.name}' must have at most {self.output_filters} "
                "channels, since a shortcut of option 'A' adds channels and cannot drop any. "
                f"Received: input_shape={input_shape}"
            )
        super().build(input_shape)
        if self.projection is not None:
            build_once(self.projection, input_shape)

    def shortcut(self, inputs: Any, activated: Any, training: bool | None = None) -> Any:
        return self._shortcut(inputs, activated, training)

    def _project(self, inputs: Any, activated: Any, training: bool | None) -> Any:
        return self.projection(activated, training=training)

    def _pool_and_project(self, inputs: Any, activated: Any, training: bool | None) -> Any:
        data_format = self.style.data_format
        if self._geometry.strided:
            pooled = pooling.average(activated, self.strides, data_format)
        else:
            pooled = pooling.average_dilated(activated, self.dilation_rate, data_format)
        return self.projection(pooled, training=training)

    def _pad(self, inputs: Any, activated: Any, training: bool | None) -> Any:
        x = pooling.subsample(inputs, self.strides, self.style.data_format)
        new = self.output_filters - self.layout.channels(inputs.shape)
        return self.layout.pad_channels(x, new)  # (B, ceil(H/s), ceil(W/s), output_filters)


def _nothing(*_: Any) -> None:
    """The shortcut of a plain twin."""


def _residual_alone(residual: Any, shortcut: None) -> Any:
    """The sum of a plain twin."""
    return residual


def _start_at_zero(unit: ConvNorm) -> None:
    """Makes a unit without activation start as 0."""
    if unit.normalization is not None:
        unit.normalization.gamma_initializer = keras.initializers.Zeros()
    else:
        unit.convolution.kernel_initializer = keras.initializers.Zeros()
