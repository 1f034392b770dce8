"""`Stem`: from images to the first feature map."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._arguments import Shaped, Value, takes
from resnet_layers.layers._batches import takes_none
from resnet_layers.layers._geometry import Unit
from resnet_layers.layers.conv_norm import ConvNorm
from resnet_layers.layers.primitives import pooling
from resnet_layers.layers.styles import BlockStyle


@dataclasses.dataclass(frozen=True, kw_only=True)
class StemGeometry(Value):
    """What a stem is given besides its style.

    Args:
        filters: Number of output channels, positive.
        kernel_size: Size of the kernels in pixels: a positive integer, or one for each pixel axis.
        strides: Step of the first convolution in pixels: a positive integer, or one for each pixel
            axis.
        hidden_filters: Channels of the convolutions before the last one; none by default. With
            `style.factorize` they are one number: the channels between space and time.
        pooling: `"max"` for 3×3 max-pooling with stride 2; `"zero_padded_max"` for the same where
            the zeros around the image take part; `"conv"` for a 3×3 convolution with stride 2; or
            `None`. With `style.anti_aliasing`, `"average"` takes the place of the maximum, and
            `"blur"` makes the step after it; either makes the step after that convolution.
        style: `BlockStyle`.
    """

    filters: int
    kernel_size: IntOrInts = 7
    strides: IntOrInts = 2
    hidden_filters: Sequence[int] = ()
    pooling: str | None = "max"
    style: BlockStyle

    def __post_init__(self) -> None:
        rank = self.style.rank
        self.checked(
            filters=checks.integer("filters", self.filters),
            kernel_size=checks.sizes("kernel_size", self.kernel_size, rank),
            strides=checks.sizes("strides", self.strides, rank),
            hidden_filters=checks.integers("hidden_filters", self.hidden_filters),
            pooling=checks.choice(
                "pooling", self.pooling, ("max", "zero_padded_max", "conv", None)
            ),
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels of the image for each pixel of the stem's output, along each axis."""
        steps = self.style.layout.spread(self.strides)
        return tuple(step * 2 for step in steps) if self.pooling else steps

    @functools.cached_property
    def units(self) -> tuple[Unit, ...]:
        """The convolutions before the pooling, the first of which strides."""
        style = self.style
        if style.factorize:
            if len(self.hidden_filters) != 1:
                raise ValueError(
                    "`hidden_filters` must be one number where a style factorizes convolutions: "
                    "the channels between space and time. "
                    f"Received: hidden_filters={self.hidden_filters}"
                )
            whole = self._unit(self.filters, self.strides)
            units = whole.factorized(self.hidden_filters[0], style.layout)
        else:
            widths = (*self.hidden_filters, self.filters)
            units = [self._unit(width, 1 if i else self.strides) for i, width in enumerate(widths)]
        styles = [*(style.child(i + 2) for i in range(len(units) - 1)), style]
        units = [dataclasses.replace(u, style=s) for u, s in zip(units, styles, strict=True)]
        if style.preactivation:  # the first block normalizes and activates
            raw = style.without_normalization()
            units[-1] = dataclasses.replace(units[-1], activation=None, style=raw)
        return tuple(units)

    @property
    def pool_unit(self) -> Unit | None:
        """The convolution that takes the place of a pooling, or `None`."""
        if self.pooling != "conv":
            return None
        return Unit(
            filters=self.filters,
            kernel_size=3,
            strides=1 if self.style.anti_aliasing else 2,
            activation=self.style.activation,
            style=self.style.child(1),
        )

    def _unit(self, filters: int, strides: IntOrInts) -> Unit:
        return Unit(
            filters=filters,
            kernel_size=self.kernel_size,
            strides=strides,
            activation=self.style.activation,
            style=self.style,
        )


@keras.saving.register_keras_serializable(package="resnet_layers")
@takes(StemGeometry)
class Stem(Shaped):
    """`max_pool(activation(normalization(convolution(x))))`, the start of a network.

    The defaults are the stem for photographs: 7×7 with stride 2, then 3×3 max-pooling with
    stride 2. For small images take `Stem(16, kernel_size=3, strides=1, pooling=None)`, which
    keeps their resolution. A deep stem is `Stem(64, kernel_size=3, hidden_filters=(32, 32))`.
    With pre-activation, nothing follows the last convolution.

    Args:
        filters: Number of output channels, positive.
        **geometry: The fields of `StemGeometry`, each as an argument of its own.
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `style.rank` and `style.data_format` say.

    Output shape:
        `(batch, h, w, filters)`, where `h = ceil(height / strides)`, halved once more and rounded
        up if there is pooling; `w` likewise. Average pooling drops an odd pixel, as timm's does.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> Stem()(keras.ops.ones((1, 33, 32, 3))).shape
    TensorShape([1, 9, 8, 64])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (photographs) and
        section 4.2 (small images); He et al., Bag of Tricks, 2018, section 4.2 (deep); Bello et
        al., Revisiting ResNets, 2021, section 4.2 (convolution for pooling).
    """

    def __init__(
        self, filters: int = 64, *, style: Any = "torchvision", _geometry: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.shape_by(StemGeometry(filters=filters, style=styles.get(style), **_geometry))
        keywords = self.child_keywords()
        *hidden, last = self._geometry.units
        pool_unit = self._geometry.pool_unit
        self.hidden = tuple(
            ConvNorm(**unit.arguments(), name=f"hidden{i + 1}", **keywords)
            for i, unit in enumerate(hidden)
        )
        self.conv = ConvNorm(**last.arguments(), name="conv", **keywords)
        self.pool_conv = (
            ConvNorm(**pool_unit.arguments(), name="pool_conv", **keywords) if pool_unit else None
        )

    def in_turn(self) -> Iterable[Any]:
        return (*self.hidden, self.conv, self.pool_conv)

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.pool(self.convolve(inputs, training), training)

    def convolve(self, inputs: Any, training: bool | None = None) -> Any:
        """The convolutions by themselves: from images to the map before the pooling."""
        x = inputs
        for unit in self.hidden:
            x = unit(x, training=training)
        return self.conv(x, training=training)

    def pool(self, inputs: Any, training: bool | None = None) -> Any:
        """The pooling by itself: from the convolution's map to the stem's output."""
        kind, data_format = self.style.anti_aliasing, self.style.data_format
        if self.pooling is None:
            return inputs
        smooth = pooling.average_pairs if kind == "average" else _blur
        if self.pool_conv is not None and kind:  # as timm does: normalized after it
            x = smooth(self.pool_conv.convolve(inputs), data_format)
            return self.pool_conv.normalize(x, training)
        if self.pool_conv is not None:
            return self.pool_conv(inputs, training=training)
        if kind == "average":
            return smooth(inputs, data_format)
        x = pooling.max_pool3(inputs, 1 if kind else 2, self._border(), data_format)
        return smooth(x, data_format) if kind else x

    def _border(self) -> float | str | None:
        """What surrounds the image: `None` for nothing, as Keras pads."""
        if self.pooling == "zero_padded_max":
            return 0.0
        if self.style.padding == "same":
            return None
        # Padding must never be the maximum, and an infinity would ruin the value range of a
        # quantized model. After ReLU zeros are never above what they surround.
        after_relu = self.style.activation == "relu" and not self.style.preactivation
        return 0.0 if after_relu else "edge"

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = _shapes.batch_shape(self, input_shape, self.layout)
        shape = self.layout.strided(shape, self.strides, self.filters)
        if self.pooling is None:
            return shape
        if self.style.anti_aliasing == "average":
            pixels = [size and max(size // 2, 1) for size in self.layout.pixels(shape)]
            return self.layout.shape(shape[0], pixels, self.filters)
        return self.layout.strided(shape, 2, self.filters)


def _blur(x: Any, data_format: str) -> Any:
    return pooling.blur(x, 2, data_format)
