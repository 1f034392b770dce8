"""Normalizations that Keras lacks, or rounds more."""

import math
from typing import Any, ClassVar

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers.layers._layout import Layout


class _PerChannel(keras.layers.Layer):
    """What both normalizations below share: variables for each channel, and exact statistics."""

    # The variables, with their initial values.
    initial: ClassVar[dict[str, str]]

    def __init__(self, *, epsilon: float = 1e-5, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False
        self.epsilon = checks.positive("epsilon", epsilon)
        self.axis = checks.choice("axis", axis, (-1, 1))
        self.gamma_initializer: Any = self.initial["gamma"]  # as Keras' layers have it

    def build(self, input_shape: Any) -> None:
        channels = input_shape[self.axis]
        for name, initializer in {**self.initial, "gamma": self.gamma_initializer}.items():
            variable = self.add_weight(
                shape=(channels,), initializer=initializer, autocast=False, name=name
            )
            setattr(self, name, variable)
        self.input_spec = keras.InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def exact(self, inputs: Any) -> list[Any]:
        """The input and the variables in at least float32, so that they broadcast."""
        x = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        variables = [ops.cast(getattr(self, name), x.dtype) for name in self.initial]
        return [x, *(ops.reshape(variable, shape) for variable in variables)]

    def pixel_axes(self, x: Any) -> list[int]:
        """All axes but the batch and the channels."""
        return [i for i in range(1, len(x.shape)) if i != self.axis % len(x.shape)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "axis": self.axis}


@keras.saving.register_keras_serializable(package="resnet_layers")
class FilterResponseNormalization(_PerChannel):
    """`max(x / sqrt(mean(x²) + epsilon) * gamma + beta, tau)`, the mean over all pixels.

    It is normalization and nonlinearity in one, and the same in training and inference.

    Args:
        epsilon: Added to the mean of squares, above 0.
        axis: The axis of the channels, -1 or 1.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, …, channels)`, or `(batch, channels, …)` with `axis=1`.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> FilterResponseNormalization()(keras.ops.ones((1, 9, 9, 4))).shape
    TensorShape([1, 9, 9, 4])

    Reference:
        Singh and Krishnan, Filter Response Normalization Layer, 2019, section 3; timm 1.0
        `layers/filter_response_norm.py`.
    """

    initial: ClassVar[dict[str, str]] = {"gamma": "ones", "beta": "zeros", "tau": "zeros"}

    def call(self, inputs: Any) -> Any:
        x, gamma, beta, tau = self.exact(inputs)
        mean = ops.mean(ops.square(x), axis=self.pixel_axes(x), keepdims=True)
        y = ops.maximum(x * ops.rsqrt(mean + self.epsilon) * gamma + beta, tau)
        return ops.cast(y, self.compute_dtype)


class _PerGroup(_PerChannel):
    """What normalizes over groups of channels."""

    def __init__(self, *, groups: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = checks.integer("groups", groups)

    def mean_of_group(self, x: Any) -> Any:
        """The mean over pixels and groups, the same for all channels of a group."""
        channels = x.shape[self.axis]
        groups = math.gcd(self.groups, channels)
        means = ops.mean(x, axis=self.pixel_axes(x))  # (B, C)
        shape = (-1, groups, channels // groups)
        means = ops.mean(ops.reshape(means, shape), axis=2, keepdims=True)  # (B, G, 1)
        means = ops.reshape(ops.tile(means, (1, 1, shape[2])), (-1, channels))
        data_format = "channels_last" if self.axis == -1 else "channels_first"
        return Layout(len(x.shape) - 2, data_format).over_pixels(means)

    def centre(self, x: Any) -> Any:
        """The deviation from the mean of the group."""
        deviation = x - self.mean_of_group(x)
        # What rounding left in the mean would be amplified by deep networks.
        return deviation - self.mean_of_group(deviation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}


@keras.saving.register_keras_serializable(package="resnet_layers")
class GroupNormalization(_PerGroup):
    """`(x - mean) / std * gamma + beta`, both over the pixels and channels of a group.

    Keras' layer of this name rounds more, which the deep BiT networks amplify, and refuses
    channels that the groups do not divide.

    Args:
        groups: Number of groups of channels, positive; where it does not divide the channels, the
            largest number that divides both is taken.
        epsilon: Added to the variance, above 0.
        axis: The axis of the channels, -1 or 1.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, …, channels)`, or `(batch, channels, …)` with `axis=1`.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> GroupNormalization()(keras.ops.ones((1, 9, 9, 64))).shape
    TensorShape([1, 9, 9, 64])

    Reference:
        Wu and He, Group Normalization, 2018, section 3.
    """

    initial: ClassVar[dict[str, str]] = {"gamma": "ones", "beta": "zeros"}

    def call(self, inputs: Any) -> Any:
        x, gamma, beta = self.exact(inputs)
        deviation = self.centre(x)
        variance = self.mean_of_group(ops.square(deviation))
        y = deviation * (ops.rsqrt(variance + self.epsilon) * gamma) + beta
        return ops.cast(y, self.compute_dtype)


@keras.saving.register_keras_serializable(package="resnet_layers")
class EvoNormS0(_PerGroup):
    """`x * sigmoid(v * x) / std(x) * gamma + beta`, the deviation over pixels and a group.

    It is normalization and nonlinearity in one, and the same in training and inference.

    Args:
        groups: Number of groups of channels, positive; where it does not divide the channels, the
            largest number that divides both is taken.
        epsilon: Added to the variance, above 0.
        axis: The axis of the channels, -1 or 1.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, …, channels)`, or `(batch, channels, …)` with `axis=1`.

    Output shape:
        The input shape.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.

    Example:

    >>> EvoNormS0()(keras.ops.ones((1, 9, 9, 64))).shape
    TensorShape([1, 9, 9, 64])

    Reference:
        Liu et al., Evolving Normalization-Activation Layers, 2020, table 1; timm 1.0
        `layers/evo_norm.py`.
    """

    initial: ClassVar[dict[str, str]] = {"gamma": "ones", "beta": "zeros", "v": "ones"}

    def call(self, inputs: Any) -> Any:
        x, gamma, beta, v = self.exact(inputs)
        variance = self.mean_of_group(ops.square(self.centre(x)))
        y = x * ops.sigmoid(v * x) * ops.rsqrt(variance + self.epsilon) * gamma + beta
        return ops.cast(y, self.compute_dtype)
