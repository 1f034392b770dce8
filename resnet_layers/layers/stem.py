"""`Stem`: from images to the first feature map."""

from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _shapes, styles
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._geometry import factorized
from resnet_layers.layers.conv_norm import ConvNorm
from resnet_layers.layers.primitives import sampling


@keras.saving.register_keras_serializable(package="resnet_layers")
class Stem(Composite):
    """`max_pool(activation(normalization(convolution(x))))`, the start of a network.

    The defaults are the stem for photographs: 7×7 with stride 2, then 3×3 max-pooling with
    stride 2. For small images take `Stem(16, kernel_size=3, strides=1, pooling=None)`, which
    keeps their resolution. A deep stem is `Stem(64, kernel_size=3, hidden_filters=(32, 32))`.
    With pre-activation the last convolution is left as it is.

    Args:
        filters: Number of output channels, positive.
        kernel_size: Size of the kernels in pixels: a positive integer, or one for each pixel
            axis.
        strides: Step of the first convolution in pixels: a positive integer, or one for each
            pixel axis.
        hidden_filters: Channels of the convolutions before the last one; none by default. With
            `style.factorize` they are one number: the channels between space and time.
        pooling: `"max"` for 3×3 max-pooling with stride 2; `"zero_padded_max"` for the same where
            the zeros around the image take part; `"conv"` for a 3×3 convolution with stride 2;
            or `None`. With `style.anti_aliasing`, `"average"` takes the place of the maximum, and
            `"blur"` makes the step after it.
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
        self,
        filters: int = 64,
        *,
        kernel_size: IntOrInts = 7,
        strides: IntOrInts = 2,
        hidden_filters: Sequence[int] = (),
        pooling: str | None = "max",
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.style = styles.get(style)
        self.layout = self.style.layout
        self.filters = checks.integer("filters", filters)
        self.kernel_size = checks.sizes("kernel_size", kernel_size, self.style.rank)
        self.strides = checks.sizes("strides", strides, self.style.rank)
        self.hidden_filters = checks.integers("hidden_filters", hidden_filters)
        self.pooling = checks.choice("pooling", pooling, ("max", "zero_padded_max", "conv", None))
        *hidden, last = self._units()
        raw = self.style.preactivation
        keywords = self.child_keywords()
        self.hidden = tuple(
            ConvNorm(
                **unit,
                activation=self.style.activation,
                style=self.style.child(i + 2),
                name=f"hidden{i + 1}",
                **keywords,
            )
            for i, unit in enumerate(hidden)
        )
        self.conv = ConvNorm(
            **last,
            activation=None if raw else self.style.activation,
            style=self.style.without_normalization() if raw else self.style,
            name="conv",
            **keywords,
        )
        self.pool_conv = (
            ConvNorm(
                self.filters,
                3,
                strides=1 if self.style.anti_aliasing else 2,
                activation=None,  # comes after anti-aliasing
                style=self.style.child(1),
                name="pool_conv",
                **keywords,
            )
            if self.pooling == "conv"
            else None
        )
        self._activate = keras.activations.get(self.style.activation)
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def _units(self) -> list[dict[str, Any]]:
        """Keywords of the convolutions, the first of which strides."""
        widths = (*self.hidden_filters, self.filters)
        if self.style.factorize:
            if len(self.hidden_filters) != 1:
                raise ValueError(
                    "`hidden_filters` must be one number where a style factorizes convolutions: "
                    "the channels between space and time. "
                    f"Received: hidden_filters={self.hidden_filters}"
                )
            unit = {"kernel_size": self.kernel_size, "strides": self.strides, "dilation_rate": 1}
            parts = factorized(unit, self.layout)
            return [{**part, "filters": width} for part, width in zip(parts, widths, strict=True)]
        return [
            {
                "filters": width,
                "kernel_size": self.kernel_size,
                "strides": self.strides if i == 0 else 1,
            }
            for i, width in enumerate(widths)
        ]

    def build(self, input_shape: Any) -> None:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        shape = input_shape
        for unit in (*self.hidden, self.conv, self.pool_conv):
            if unit is not None and not unit.built:
                unit.build(shape)
            shape = shape if unit is None else unit.compute_output_shape(shape)
        axis = self.layout.channel_axis
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim, axes={axis: input_shape[axis]})

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
        if self.pool_conv is not None:
            x = self.pool_conv(inputs, training=training)
            return self._activate(sampling.smooth(kind, x, 2, data_format) if kind else x)
        if kind == "average":
            return sampling.average_pairs(inputs, data_format)
        x = sampling.max_pool3(inputs, 1 if kind else 2, self._border(), data_format)
        return sampling.smooth(kind, x, 2, data_format) if kind else x

    def _border(self) -> float | None:
        """What surrounds the image: `None` for nothing, as Keras pads."""
        if self.pooling == "zero_padded_max":
            return 0.0
        if self.style.padding == "same":
            return None
        # Padding must never be the maximum. After ReLU zeros are not, and unlike an infinity
        # they survive the quantization of an exported model.
        after_relu = self.style.activation == "relu" and not self.style.preactivation
        return 0.0 if after_relu else float("-inf")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = _shapes.batch_shape(self, input_shape, self.layout)
        shape = self.layout.strided(shape, self.strides, self.filters)
        if self.pooling is None:
            return shape
        if self.style.anti_aliasing == "average" and self.pooling != "conv":
            pixels = [size and max(size // 2, 1) for size in self.layout.pixels(shape)]
            return self.layout.shape(shape[0], pixels, self.filters)
        return self.layout.strided(shape, 2, self.filters)

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "hidden_filters": self.hidden_filters,
            "pooling": self.pooling,
            "style": self.style.get_config(),
        }
