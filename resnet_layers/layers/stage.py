"""`ResNetStage`: blocks in sequence, the first of which may change the shape."""

from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._rematerialization import rematerialize
from resnet_layers.layers.blocks import ConvBlock, IdentityBlock, ResidualBlock


@keras.saving.register_keras_serializable(package="resnet_layers")
class ResNetStage(Composite):
    """One `ConvBlock` that changes the shape, then `IdentityBlock`s: `block_n(… block_1(x))`.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        blocks: Number of blocks, positive.
        strides: Step of one block in pixels: a positive integer, or one for each pixel axis. It
            is the first block's, or the last one's if `style.strided_block` says so.
        bottleneck: Whether blocks are bottlenecks, with `4 * filters` output channels.
        groups: Number of groups of the 3×3 convolutions; divides their channels.
        group_width: Channels of each group, positive, or `None`; see `IdentityBlock`.
        kernel_size: Size in pixels of the convolutions called 3×3 here: a positive integer, or
            one for each pixel axis.
        dilation_rate: Distance between the pixels that the 3×3 convolutions read: a positive
            integer, or one for each pixel axis.
        first_dilation_rate: The same for what comes before the strides, or what would be: the
            rate of the stage before. `None` for `dilation_rate`; see `ConvBlock`.
        widths: For each block the channels of its convolutions, or `None` where they are regular.
        drop_path: Probability with which training drops the body of a block for an image, in
            [0, 1): one number, or one for each block.
        projection: Whether the first block is a `ConvBlock`. Without one, the stage takes and
            makes the same number of channels, as the first stage of ResNet-18 and 34 does, and
            `strides` must be 1. With `style.shortcut="C"` every block is a `ConvBlock`, and
            this must be true.
        rematerialize: Whether the backward pass computes the inside of each block again in place
            of keeping it: training takes less memory and more time. Results stay the same.
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `style.rank` and `style.data_format` say;
        without a projection, `channels == output_filters`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), output_filters)`

    Raises:
        ValueError: If a value is out of range; if `strides` is above 1 or `style.shortcut` is
            `"C"` without a projection; or if a list has not one value for each block.
        TypeError: If a value has the wrong type.

    Example:

    >>> ResNetStage(8, 3, strides=2)(keras.ops.ones((1, 9, 9, 4))).shape
    TensorShape([1, 5, 5, 8])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (conv2_x …
        conv5_x); for `rematerialize`, Chen et al., Training Deep Nets with Sublinear Memory Cost,
        2016, section 4.
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        *,
        strides: IntOrInts = 1,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        kernel_size: IntOrInts = 3,
        dilation_rate: IntOrInts = 1,
        first_dilation_rate: IntOrInts | None = None,
        widths: Sequence[Sequence[int] | None] | None = None,
        drop_path: float | Sequence[float] = 0.0,
        projection: bool = True,
        rematerialize: bool = False,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = checks.integer("blocks", blocks)
        self.style = styles.get(style)
        self.layout = self.style.layout
        self.strides = checks.sizes("strides", strides, self.style.rank)
        self.projection = checks.boolean("projection", projection)
        self.rematerialize = checks.boolean("rematerialize", rematerialize)
        self.widths = checks.widths("widths", widths, self.blocks)
        self.drop_path = checks.fractions("drop_path", drop_path, self.blocks)
        if not projection and first_dilation_rate is not None:
            raise ValueError(
                "`first_dilation_rate` must be None without a projection, since an IdentityBlock "
                f"has one rate. Received: first_dilation_rate={first_dilation_rate!r}, "
                "projection=False"
            )
        if not projection and self.style.shortcut == "C":
            raise ValueError(
                "`projection` must be True where a style has projections in all blocks. "
                "Received: projection=False, style.shortcut='C'"
            )
        if not projection and max(self.layout.spread(self.strides)) > 1:
            raise ValueError(
                "`strides` must be 1 without a projection, since an IdentityBlock keeps the shape. "
                f"Received: strides={strides!r}, projection=False"
            )
        self.block_layers = tuple(
            self._make_block(
                i,
                filters,
                bottleneck=bottleneck,
                groups=groups,
                group_width=group_width,
                kernel_size=kernel_size,
                dilation_rate=dilation_rate,
                first_dilation_rate=first_dilation_rate,
            )
            for i in range(self.blocks)
        )
        first = self.block_layers[0]
        self.filters = first.filters
        self.bottleneck = first.bottleneck
        self.groups = first.groups
        self.group_width = first.group_width
        self.kernel_size = first.kernel_size
        self.dilation_rate = checks.sizes("dilation_rate", dilation_rate, self.style.rank)
        self.first_dilation_rate = getattr(first, "first_dilation_rate", None)
        self.output_filters = self.block_layers[-1].output_filters
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def _make_block(
        self, i: int, filters: int, *, dilation_rate: Any, first_dilation_rate: Any, **keywords: Any
    ) -> ResidualBlock:
        strided = i == (0 if self.style.strided_block == "first" else self.blocks - 1)
        strides = self.strides if strided else 1
        style = self.style.child(i)
        keywords |= {
            "widths": self.widths[i] if self.widths else None,
            "drop_path": self.drop_path[i] if isinstance(self.drop_path, tuple) else self.drop_path,
            "name": f"block{i + 1}",
            **self.child_keywords(),
        }
        if self.style.strided_block == "last":  # all convolutions come before the strides
            dilation_rate = first_dilation_rate or dilation_rate
        changes_shape = i == 0 and self.projection
        if not changes_shape and style.shortcut != "C":
            if max(self.layout.spread(strides)) == 1:
                return IdentityBlock(filters, dilation_rate=dilation_rate, style=style, **keywords)
            if style.shortcut != "none":
                style = style.replace(shortcut="A")
        return ConvBlock(
            filters,
            strides=strides,
            dilation_rate=dilation_rate,
            first_dilation_rate=first_dilation_rate if i == 0 else None,
            style=style,
            **keywords,
        )

    def build(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        shape = input_shape
        for block in self.block_layers:
            if not block.built:
                block.build(shape)
            shape = block.compute_output_shape(shape)
        axis = self.layout.channel_axis
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim, axes={axis: input_shape[axis]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        again = self.rematerialize and training and not isinstance(inputs, keras.KerasTensor)
        x = inputs
        for block in self.block_layers:  # to (B, ceil(H/s), ceil(W/s), output_filters)
            x = rematerialize(block, x, self) if again else block(x, training=training)
        return x

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = _shapes.batch_shape(self, input_shape, self.layout)
        for block in self.block_layers:
            shape = block.compute_output_shape(shape)
        return shape

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "blocks": self.blocks,
            "strides": self.strides,
            "bottleneck": self.bottleneck,
            "groups": self.groups,
            "group_width": self.group_width,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "first_dilation_rate": self.first_dilation_rate,
            "widths": self.widths,
            "drop_path": self.drop_path,
            "projection": self.projection,
            "rematerialize": self.rematerialize,
            "style": self.style.get_config(),
        }
