"""`ResNetStage`: blocks in sequence at one resolution."""

from typing import Any

import keras

from resnet_layers import _checks, styles
from resnet_layers._checks import IntOrPair
from resnet_layers._composite import Composite
from resnet_layers.blocks import ConvBlock, IdentityBlock, ResidualBlock


@keras.saving.register_keras_serializable(package="resnet_layers")
class ResNetStage(Composite):
    """One `ConvBlock` that changes the shape, then `IdentityBlock`s: `block_n(… block_1(x))`.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        blocks: Number of blocks, positive.
        strides: Step of the first block in pixels: a positive integer or a pair.
        bottleneck: Whether blocks are bottlenecks, with `4 * filters` output channels.
        groups: Number of groups of the 3×3 convolutions; divides their channels.
        group_width: Channels of each group, positive, or `None`; see `IdentityBlock`.
        projection: Whether the first block is a `ConvBlock`. Without one, the stage takes and
            makes the same number of channels, as the first stage of ResNet-18 and 34 does, and
            `strides` must be 1. With `style.shortcut="C"` every block is a `ConvBlock`, and
            this must be true.
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`; without a projection, `channels == output_filters`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), output_filters)`

    Raises:
        ValueError: If a value is out of range, or if `strides` is above 1 or `style.shortcut` is
            `"C"` without a projection.
        TypeError: If a value has the wrong type.

    Example:

    >>> ResNetStage(8, 3, strides=2)(keras.ops.ones((1, 9, 9, 4))).shape
    TensorShape([1, 5, 5, 8])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (conv2_x …
        conv5_x).
    """

    def __init__(
        self,
        filters: int,
        blocks: int,
        *,
        strides: IntOrPair = 1,
        bottleneck: bool = False,
        groups: int = 1,
        group_width: int | None = None,
        projection: bool = True,
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = _checks.integer("blocks", blocks)
        self.strides = _checks.int_or_pair("strides", strides)
        self.projection = _checks.boolean("projection", projection)
        self.style = styles.get(style)
        if not projection and self.style.shortcut == "C":
            raise ValueError(
                "`projection` must be True where a style has projections in all blocks. "
                "Received: projection=False, style.shortcut='C'"
            )
        if not projection and _checks.pair(self.strides) != (1, 1):
            raise ValueError(
                "`strides` must be 1 without a projection, since an IdentityBlock keeps the shape. "
                f"Received: strides={strides!r}, projection=False"
            )
        block_layers: list[ResidualBlock] = []
        for i in range(self.blocks):
            keywords = dict(
                bottleneck=bottleneck,
                groups=groups,
                group_width=group_width,
                style=self.style.child(i),
                name=f"block{i + 1}",
                **self.child_keywords(),
            )
            first = i == 0
            if (first and projection) or self.style.shortcut == "C":
                block: ResidualBlock = ConvBlock(
                    filters, strides=self.strides if first else 1, **keywords
                )
            else:
                block = IdentityBlock(filters, **keywords)
            block_layers.append(block)
        self.block_layers = tuple(block_layers)
        self.filters = block_layers[0].filters
        self.bottleneck = block_layers[0].bottleneck
        self.groups = block_layers[0].groups
        self.group_width = block_layers[0].group_width
        self.output_filters = block_layers[0].output_filters
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        shape = input_shape
        for block in self.block_layers:
            if not block.built:
                block.build(shape)
            shape = block.compute_output_shape(shape)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        for block in self.block_layers:
            x = block(x, training=training)  # (B, ceil(H/s), ceil(W/s), output_filters)
        return x

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = _checks.image_shape(self, input_shape)
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
            "projection": self.projection,
            "style": self.style.get_config(),
        }
