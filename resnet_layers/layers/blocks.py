"""`IdentityBlock` and `ConvBlock`: `activation(body(x) + shortcut(x))`."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._geometry import Body
from resnet_layers.layers.conv_norm import ConvNorm, NormAct
from resnet_layers.layers.primitives import attention, sampling


class ResidualBlock(Composite):
    """What both blocks share: the body, the addition, the activation."""

    def __init__(
        self,
        filters: int,
        *,
        strides: IntOrInts = 1,
        bottleneck: bool,
        groups: int,
        group_width: int | None,
        kernel_size: IntOrInts,
        dilation_rate: IntOrInts,
        first_dilation_rate: IntOrInts | None = None,
        widths: Sequence[int] | None,
        drop_path: float,
        style: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.style = styles.get(style)
        self.layout = self.style.layout
        rank = self.style.rank
        self.filters = checks.integer("filters", filters)
        self.strides = checks.sizes("strides", strides, rank)
        self.bottleneck = checks.boolean("bottleneck", bottleneck)
        self.groups = checks.integer("groups", groups)
        self.group_width = (
            None if group_width is None else checks.integer("group_width", group_width)
        )
        self.kernel_size = checks.sizes("kernel_size", kernel_size, rank)
        self.dilation_rate = checks.sizes("dilation_rate", dilation_rate, rank)
        self.first_dilation_rate = (
            None
            if first_dilation_rate is None
            else checks.sizes("first_dilation_rate", first_dilation_rate, rank)
        )
        self.widths = None if widths is None else checks.integers("widths", widths)
        self.drop_path = checks.fraction("drop_path", drop_path)

        keywords = self.child_keywords()
        body = Body(self)
        self.output_filters = body.output_filters
        self.preactivation = (
            NormAct(self.style, name="preactivation", **keywords)
            if self.style.preactivation
            else None
        )
        self.body = tuple(
            ConvNorm(**unit, style=style, name=f"conv{i + 1}", **keywords)
            for i, (unit, style) in enumerate(zip(body.units, body.styles, strict=True))
        )
        self._smoothed = body.smoothed
        self.attention = self._make_attention(body.regular_filters)
        self.drop = (
            keras.layers.Dropout(
                self.drop_path, noise_shape=(None,) + (1,) * (rank + 1), name="drop", **keywords
            )
            if self.drop_path
            else None
        )
        if self.style.zero_init_last:
            _start_at_zero(self.body[-1])
        self._activate = keras.activations.get(
            None if self.style.preactivation else self.style.activation
        )
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def _make_attention(self, channels: int) -> keras.layers.Layer | None:
        """Sized by the channels that the block has if its widths are regular."""
        keywords = {
            "data_format": self.style.data_format,
            "name": "attention",
            **self.child_keywords(),
        }
        if self.style.attention == "se":
            squeezed = attention.squeezed_channels(channels, self.style.attention_ratio)
            return attention.SqueezeExcitation(self.output_filters, squeezed, **keywords)
        if self.style.attention == "eca":
            kernel_size = attention.eca_kernel_size(channels)
            return attention.EfficientChannelAttention(kernel_size, **keywords)
        return None

    def build(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        if self.preactivation is not None and not self.preactivation.built:
            self.preactivation.build(input_shape)
        shape = input_shape
        for unit in self.body:
            if not unit.built:
                unit.build(shape)
            shape = unit.compute_output_shape(shape)
        if self.attention is not None and not self.attention.built:
            self.attention.build(shape)
        axis = self.layout.channel_axis
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim, axes={axis: input_shape[axis]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        if self.preactivation is not None:
            x = self.preactivation(inputs, training=training)
        y = self.residual(x, training)
        if self.style.shortcut != "none":
            y = ops.add(y, self.shortcut(inputs, x, training))
        return self._activate(y)

    def residual(self, inputs: Any, training: bool | None = None) -> Any:
        """The path through the convolutions."""
        x = inputs
        for i, unit in enumerate(self.body):
            x = unit(x, training=training)  # last: (B, ceil(H/s), ceil(W/s), output_filters)
            if i == self._smoothed:
                x = sampling.smooth(
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
        return {
            "filters": self.filters,
            "bottleneck": self.bottleneck,
            "groups": self.groups,
            "group_width": self.group_width,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "widths": self.widths,
            "drop_path": self.drop_path,
            "style": self.style.get_config(),
        }


@keras.saving.register_keras_serializable(package="resnet_layers")
class IdentityBlock(ResidualBlock):
    """`activation(body(x) + x)`: a residual block that keeps the shape of its input.

    The body is two 3×3 convolutions, or, for a bottleneck, 1×1, 3×3 and 1×1, each followed by
    normalization. It never has a projection, so its structure does not depend on what it meets:
    where the number of channels or the resolution changes, use `ConvBlock`.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        bottleneck: Whether the body is a bottleneck, with `4 * filters` output channels.
        groups: Number of groups of the 3×3 convolutions; divides their channels.
        group_width: Channels of each group, positive: the first convolution of a basic body, or
            the first two of a bottleneck, then have `groups * group_width` channels instead of
            `filters`. `None` leaves them at `filters`.
        kernel_size: Size in pixels of the convolutions called 3×3 here: a positive integer, or
            one for each pixel axis.
        dilation_rate: Distance between the pixels that the 3×3 convolutions read: a positive
            integer, or one for each pixel axis.
        widths: Channels of each convolution of the body, where they are not regular, as in
            pruned networks; `None` where they are. The last ones are the `output_filters`.
        drop_path: Probability with which training drops the body for an image, in [0, 1).
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, output_filters)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range, or if the input has not `output_filters` channels.
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
        self,
        filters: int,
        *,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        kernel_size: IntOrInts = 3,
        dilation_rate: IntOrInts = 1,
        widths: Sequence[int] | None = None,
        drop_path: float = 0.0,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
            kernel_size=kernel_size,
            dilation_rate=dilation_rate,
            widths=widths,
            drop_path=drop_path,
            style=style,
            **kwargs,
        )

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
class ConvBlock(ResidualBlock):
    """`activation(body(x) + projection(x))`: a residual block that changes the shape.

    The projection is a 1×1 convolution with the strides of the block, followed by normalization
    where `style.normalize_shortcut` says so. It is there whatever the input looks like. With
    `style.shortcut="A"` it has no parameters: the input is read at every `strides`-th pixel and
    its new channels are zero. With `"D"` average pooling makes the step before it.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        strides: Step of the block in pixels: a positive integer, or one for each pixel axis. One
            convolution of the body carries it: the first, or the 3×3 of a bottleneck if
            `style.strides_on` says so.
        bottleneck: Whether the body is a bottleneck, with `4 * filters` output channels.
        groups: Number of groups of the 3×3 convolutions; divides their channels.
        group_width: Channels of each group, positive: the first convolution of a basic body, or
            the first two of a bottleneck, then have `groups * group_width` channels instead of
            `filters`. `None` leaves them at `filters`.
        kernel_size: Size in pixels of the convolutions called 3×3 here: a positive integer, or
            one for each pixel axis.
        dilation_rate: Distance between the pixels that the 3×3 convolutions read: a positive
            integer, or one for each pixel axis.
        first_dilation_rate: The same, up to the convolution that carries the strides. Where
            dilation stands for the strides of this block, it is the rate of the block before.
            `None` for `dilation_rate`.
        widths: Channels of each convolution of the body, where they are not regular, as in
            pruned networks; `None` where they are. The last ones are the `output_filters`.
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
        self,
        filters: int,
        *,
        strides: IntOrInts = 2,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        kernel_size: IntOrInts = 3,
        dilation_rate: IntOrInts = 1,
        first_dilation_rate: IntOrInts | None = None,
        widths: Sequence[int] | None = None,
        drop_path: float = 0.0,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            strides=strides,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
            kernel_size=kernel_size,
            dilation_rate=dilation_rate,
            first_dilation_rate=first_dilation_rate,
            widths=widths,
            drop_path=drop_path,
            style=style,
            **kwargs,
        )
        self.projection = self._make_projection()

    def _make_projection(self) -> ConvNorm | None:
        style, spread = self.style, self.layout.spread
        if style.shortcut not in ("B", "C", "D"):
            return None
        strided = max(spread(self.strides)) > 1
        dilated = max(spread(self.dilation_rate)) > 1
        wide = style.shortcut != "D" and style.shortcut_kernel_size > 1 and (strided or dilated)
        if not style.normalize_shortcut:
            style = style.without_normalization()
        return ConvNorm(
            self.output_filters,
            style.shortcut_kernel_size if wide else 1,
            strides=1 if style.shortcut == "D" else self.strides,
            dilation_rate=(self.first_dilation_rate or self.dilation_rate)
            if wide and not strided
            else 1,
            activation=None,
            style=style.child(len(self.body)),
            name="projection",
            **self.child_keywords(),
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
        if self.projection is not None and not self.projection.built:
            self.projection.build(input_shape)

    def shortcut(self, inputs: Any, activated: Any, training: bool | None = None) -> Any:
        data_format = self.style.data_format
        if self.projection is None:
            x = sampling.subsample(inputs, self.strides, data_format)
            new = self.output_filters - self.layout.channels(inputs.shape)
            return self.layout.pad_channels(x, new)  # (B, ceil(H/s), ceil(W/s), output_filters)
        if self.style.shortcut == "D":
            if max(self.layout.spread(self.strides)) > 1:
                activated = sampling.average(activated, self.strides, data_format)
            else:
                activated = sampling.average_dilated(activated, self.dilation_rate, data_format)
        return self.projection(activated, training=training)

    def own_config(self) -> dict[str, Any]:
        return {
            **super().own_config(),
            "strides": self.strides,
            "first_dilation_rate": self.first_dilation_rate,
        }


def _start_at_zero(unit: ConvNorm) -> None:
    """Makes a unit without activation start as 0."""
    if unit.normalization is not None:
        unit.normalization.gamma_initializer = keras.initializers.Zeros()
    else:
        unit.convolution.kernel_initializer = keras.initializers.Zeros()
