"""`Stem`: from images to the first feature map."""

from typing import Any

import keras
from keras import ops

from resnet_layers import _checks, styles
from resnet_layers._checks import IntOrPair
from resnet_layers._composite import Composite
from resnet_layers.conv_norm import ConvNorm, pad_symmetric, strided_shape


@keras.saving.register_keras_serializable(package="resnet_layers")
class Stem(Composite):
    """`max_pool(activation(normalization(convolution(x))))`, the start of a network.

    The defaults are the stem for photographs: 7×7 with stride 2, then 3×3 max-pooling with
    stride 2. For small images take `Stem(16, kernel_size=3, strides=1, pooling=None)`, which
    keeps their resolution.

    Args:
        filters: Number of output channels, positive.
        kernel_size: Height and width of the kernel in pixels: a positive integer or a pair.
        strides: Step of the convolution in pixels: a positive integer or a pair.
        pooling: `"max"` for 3×3 max-pooling with stride 2, or `None`.
        style: `BlockStyle`, its name or its config.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`

    Output shape:
        `(batch, h, w, filters)`, where `h = ceil(height / strides)`, halved once more and rounded
        up if there is pooling; `w` likewise.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> Stem()(keras.ops.ones((1, 33, 32, 3))).shape
    TensorShape([1, 9, 8, 64])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (photographs) and
        section 4.2 (small images).
    """

    def __init__(
        self,
        filters: int = 64,
        *,
        kernel_size: IntOrPair = 7,
        strides: IntOrPair = 2,
        pooling: str | None = "max",
        style: Any = "torchvision",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pooling = _checks.choice("pooling", pooling, ("max", None))
        self.style = styles.get(style)
        self.conv = ConvNorm(
            filters,
            kernel_size,
            strides=strides,
            activation=self.style.activation,
            style=self.style,
            name="conv",
            **self.child_keywords(),
        )
        self.filters = self.conv.filters
        self.kernel_size = self.conv.kernel_size
        self.strides = self.conv.strides
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        input_shape = _checks.image_shape(self, input_shape)
        if not self.conv.built:
            self.conv.build(input_shape)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: input_shape[-1]})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.pool(self.conv(inputs, training=training))

    def pool(self, inputs: Any) -> Any:
        """The pooling by itself: from the convolution's map to the stem's output."""
        if self.pooling is None:
            return inputs
        if self.style.padding == "same":
            return ops.max_pool(inputs, 3, 2, "same", data_format="channels_last")
        # Padding must never be the maximum. After ReLU zeros are not, and unlike an infinity
        # they survive the quantization of an exported model.
        value = 0.0 if self.style.activation == "relu" else float("-inf")
        x = pad_symmetric(inputs, 3, value)
        return ops.max_pool(x, 3, 2, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = self.conv.compute_output_shape(_checks.image_shape(self, input_shape))
        return shape if self.pooling is None else strided_shape(shape, 2, self.filters)

    def own_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pooling": self.pooling,
            "style": self.style.get_config(),
        }
