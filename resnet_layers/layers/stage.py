"""`ResNetStage`: blocks in sequence, the first of which may change the shape."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._arguments import Shaped, takes
from resnet_layers.layers._batches import stands_in, takes_none
from resnet_layers.layers._geometry import Geometry
from resnet_layers.layers._rematerialization import rematerialize
from resnet_layers.layers.blocks import ConvBlock, IdentityBlock, ResidualBlock

# Ten times as many as the deepest network that anybody has published.
_MOST_BLOCKS = 10_000


@keras.saving.register_keras_serializable(package="resnet_layers")
@takes(Geometry, "widths")
class ResNetStage(Shaped):
    """One `ConvBlock` that changes the shape, then `IdentityBlock`s: `block_n(… block_1(x))`.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        blocks: Number of blocks, positive.
        strides: Step of one block in pixels: a positive integer, or one for each pixel axis. It
            is the first block's, or the last one's if `style.strided_block` says so.
        **geometry: The fields of `Geometry`, each as an argument of its own.
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
        widths: Sequence[Sequence[int] | None] | None = None,
        drop_path: float | Sequence[float] = 0.0,
        projection: bool = True,
        rematerialize: bool = False,
        style: Any = "torchvision",
        _geometry: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = checks.integer("blocks", blocks)
        if self.blocks > _MOST_BLOCKS:
            raise ValueError(f"`blocks` must be at most {_MOST_BLOCKS}. Received: blocks={blocks}")
        self.shape_by(Geometry(filters=filters, style=styles.get(style), **_geometry))
        self.projection = checks.boolean("projection", projection)
        self.rematerialize = checks.boolean("rematerialize", rematerialize)
        self.widths = checks.widths("widths", widths, self.blocks)
        self.drop_path = checks.fractions("drop_path", drop_path, self.blocks)
        if not self.projection:
            self._check_without_projection()
        walk = self._geometry.of_blocks(self.blocks, self.projection, self.widths)
        self.block_layers = tuple(self._make_block(i, *place) for i, place in enumerate(walk))
        self.output_filters = self.block_layers[-1].output_filters

    def _check_without_projection(self) -> None:
        if self._geometry.first_dilation_rate is not None:
            raise ValueError(
                "`first_dilation_rate` must be None without a projection, since an IdentityBlock "
                "has one rate. Received: "
                f"first_dilation_rate={self._geometry.first_dilation_rate!r}, projection=False"
            )
        if self.style.shortcut == "C":
            raise ValueError(
                "`projection` must be True where a style has projections in all blocks. "
                "Received: projection=False, style.shortcut='C'"
            )
        if self._geometry.strided:
            raise ValueError(
                "`strides` must be 1 without a projection, since an IdentityBlock keeps the shape. "
                f"Received: strides={self._geometry.strides!r}, projection=False"
            )

    def _make_block(self, i: int, geometry: Geometry, converts: bool) -> ResidualBlock:
        kind = ConvBlock if converts else IdentityBlock
        left_out = {"strides", "first_dilation_rate"} - {*kind.geometry_arguments}
        drop_path = self.drop_path[i] if isinstance(self.drop_path, tuple) else self.drop_path
        keywords = {"drop_path": drop_path, "name": f"block{i + 1}", **self.child_keywords()}
        return kind(**geometry.arguments(*left_out), **keywords)

    def in_turn(self) -> Iterable[Any]:
        return self.block_layers

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        again = self.rematerialize and training and not isinstance(inputs, keras.KerasTensor)
        again = again and stands_in() is not True  # whose gradients would be those of an image
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
        own = ("blocks", "widths", "drop_path", "projection", "rematerialize")
        return {**super().own_config(), **{name: getattr(self, name) for name in own}}
