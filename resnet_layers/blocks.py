"""`IdentityBlock` and `ConvBlock`: `activation(body(x) + shortcut(x))`."""

from typing import Any

import keras
from keras import ops

from resnet_layers import _checks, styles
from resnet_layers._checks import IntOrPair
from resnet_layers._composite import Composite
from resnet_layers.conv_norm import ConvNorm, strided_shape


class ResidualBlock(Composite):
    """What both blocks share: the body, the addition, the activation."""

    def __init__(
        self,
        filters: int,
        *,
        strides: IntOrPair = 1,
        bottleneck: bool,
        groups: int,
        group_width: int | None,
        style: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = _checks.integer("filters", filters)
        self.strides = _checks.int_or_pair("strides", strides)
        self.bottleneck = _checks.boolean("bottleneck", bottleneck)
        self.groups = _checks.integer("groups", groups)
        self.group_width = (
            None if group_width is None else _checks.integer("group_width", group_width)
        )
        self.style = styles.get(style)
        self.output_filters = self.filters * (4 if self.bottleneck else 1)
        width = self.groups * self.group_width if self.group_width else self.filters
        if not (self.bottleneck and self.group_width):
            _checks.divisible("filters", self.filters, self.groups)

        kernel_sizes = (1, 3, 1) if self.bottleneck else (3, 3)
        last = len(kernel_sizes) - 1
        strided = 1 if self.bottleneck and self.style.strides_on == "3x3" else 0
        self.body = tuple(
            ConvNorm(
                self.output_filters if i == last else width,
                kernel_size,
                strides=self.strides if i == strided else 1,
                groups=self.groups if kernel_size == 3 else 1,
                activation=None if i == last else self.style.activation,
                style=self.style.child(i),
                name=f"conv{i + 1}",
                **self.child_keywords(),
            )
            for i, kernel_size in enumerate(kernel_sizes)
        )
        if self.style.zero_init_last:  # a style without normalization refuses it
            self.body[last].normalization.gamma_initializer = keras.initializers.Zeros()
        self._activate = keras.activations.get(self.style.activation)
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        shape = input_shape
        for layer in self.body:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        for layer in self.body:
            x = layer(x, training=training)  # last: (B, ceil(H/s), ceil(W/s), output_filters)
        if self.style.shortcut != "none":
            x = ops.add(x, self.shortcut(inputs, training))
        return self._activate(x)

    def shortcut(self, inputs: Any, training: bool | None = None) -> Any:
        """The path beside the body."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _checks.image_shape(self, input_shape)
        return strided_shape(input_shape, self.strides, self.output_filters)

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "bottleneck": self.bottleneck,
            "groups": self.groups,
            "group_width": self.group_width,
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
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, output_filters)`

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
        (figure 5); for groups, Xie et al., Aggregated Residual Transformations, 2017, section 3.
    """

    def __init__(
        self,
        filters: int,
        *,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
            style=style,
            **kwargs,
        )

    def build(self, input_shape: Any) -> None:
        self._check_channels(input_shape)
        super().build(input_shape)

    def shortcut(self, inputs: Any, training: bool | None = None) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_channels(input_shape)
        return super().compute_output_shape(input_shape)

    def _check_channels(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        if input_shape[-1] != self.output_filters:
            raise ValueError(
                f"The input of IdentityBlock '{self.name}' must have the {self.output_filters} "
                "channels that the block makes, since its shortcut is the input itself; use "
                "ConvBlock where the number of channels changes. "
                f"Received: input_shape={input_shape}, {input_shape[-1]} channels"
            )


@keras.saving.register_keras_serializable(package="resnet_layers")
class ConvBlock(ResidualBlock):
    """`activation(body(x) + projection(x))`: a residual block that changes the shape.

    The projection is a 1×1 convolution with the strides of the block, followed by normalization
    where `style.normalize_shortcut` says so. It is there whatever the input looks like. With
    `style.shortcut="A"` it has no parameters: the input is read at every `strides`-th pixel and
    its new channels are zero.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        strides: Step of the block in pixels: a positive integer or a pair. One convolution of
            the body carries it: the first, or the 3×3 of a bottleneck if `style.strides_on` says
            so.
        bottleneck: Whether the body is a bottleneck, with `4 * filters` output channels.
        groups: Number of groups of the 3×3 convolutions; divides their channels.
        group_width: Channels of each group, positive: the first convolution of a basic body, or
            the first two of a bottleneck, then have `groups * group_width` channels instead of
            `filters`. `None` leaves them at `filters`.
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`

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
        for groups, Xie et al., Aggregated Residual Transformations, 2017, section 3.
    """

    def __init__(
        self,
        filters: int,
        *,
        strides: IntOrPair = 2,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            strides=strides,
            bottleneck=bottleneck,
            groups=groups,
            group_width=group_width,
            style=style,
            **kwargs,
        )
        self.projection = (
            ConvNorm(
                self.output_filters,
                1,
                strides=self.strides,
                activation=None,
                style=self._projection_style(),
                name="projection",
                **self.child_keywords(),
            )
            if self.style.shortcut in ("B", "C")
            else None
        )

    def _projection_style(self) -> styles.BlockStyle:
        style = self.style.child(len(self.body))
        if style.normalize_shortcut:
            return style
        return style.replace(normalization=None, zero_init_last=False)

    def build(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        if self.style.shortcut == "A" and input_shape[-1] > self.output_filters:
            raise ValueError(
                f"The input of ConvBlock '{self.name}' must have at most {self.output_filters} "
                "channels, since a shortcut of option 'A' adds channels and cannot drop any. "
                f"Received: input_shape={input_shape}"
            )
        super().build(input_shape)
        if self.projection is not None and not self.projection.built:
            self.projection.build(input_shape)

    def shortcut(self, inputs: Any, training: bool | None = None) -> Any:
        if self.projection is not None:
            return self.projection(inputs, training=training)
        height, width = _checks.pair(self.strides)
        x = inputs[:, ::height, ::width, :]  # (B, ceil(H/s), ceil(W/s), C)
        new = self.output_filters - inputs.shape[-1]
        return ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, new)])

    def own_config(self) -> dict[str, Any]:
        return {**super().own_config(), "strides": self.strides}
