"""Attention over channels, against slow NumPy, and timm's rules for its sizes."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet_layers import attention
from tests.randomize import images, randomize, relative_difference, value

SHAPES = [(2, 7, 6), (2, 5, 4, 6), (2, 3, 4, 5, 6), (2, 1, 1, 6)]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def make(kind: str, shape: tuple[int | None, ...], **arguments: Any) -> Any:
    layer: Any = (
        attention.SqueezeExcitation(6, 4, **arguments)
        if kind == "se"
        else attention.EfficientChannelAttention(3, **arguments)
    )
    layer.build(shape)
    return randomize(layer)


def expected(layer: Any, x: np.ndarray) -> np.ndarray:
    means = x.mean(tuple(range(1, x.ndim - 1)), dtype="float64")  # (B, C)
    if isinstance(layer, attention.SqueezeExcitation):
        kernel, bias = map(value, layer.squeeze.weights)
        hidden = np.maximum(means @ kernel + bias, 0)
        kernel, bias = map(value, layer.excite.weights)
        weights = sigmoid(hidden @ kernel + bias)
    else:
        kernel = value(layer.convolution.kernel)[:, 0, 0]
        padded = np.pad(means, [(0, 0), (1, 1)])
        weights = sigmoid(sum(kernel[k] * padded[:, k : k + 6] for k in range(3)))
    return x * weights.reshape(len(x), *[1] * (x.ndim - 2), 6)


@pytest.mark.parametrize("kind", ["se", "eca"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_equals_slow_numpy(kind: str, shape: tuple[int, ...]) -> None:
    layer, x = make(kind, shape), images(*shape)
    assert relative_difference(layer(x), expected(layer, x)) < 1e-5
    first = make(kind, (shape[0], 6, *shape[1:-1]), data_format="channels_first")
    first.set_weights(layer.get_weights())
    y = np.moveaxis(value(first(np.moveaxis(x, -1, 1))), 1, -1)
    assert relative_difference(y, expected(layer, x)) < 1e-5


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_unknown_sizes_and_xla_change_nothing(kind: str) -> None:
    layer, x = make(kind, (None, None, None, 6)), images(2, 5, 4, 6)
    signature = [tf.TensorSpec((None, None, None, 6), tf.float32)]
    for function in (
        tf.function(layer, input_signature=signature),
        tf.function(layer, jit_compile=True),
    ):
        assert relative_difference(function(x), layer(x)) < 1e-5


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_config_round_trip(kind: str) -> None:
    layer = make(kind, (2, 6, 5, 4), data_format="channels_first")
    copied = type(layer).from_config(layer.get_config())
    assert copied.get_config() == layer.get_config()


# timm 1.0.31: seresnet18, seresnet50, resnetrs50; and the kernels of ecaresnet50d and others.
@pytest.mark.parametrize(
    ("ratio", "channels", "squeezed"),
    [
        (1 / 16, (64, 128, 256, 512), (8, 8, 16, 32)),
        (1 / 16, (256, 512, 1024, 2048), (16, 32, 64, 128)),
        (0.25, (256, 512, 1024, 2048), (64, 128, 256, 512)),
    ],
)
def test_squeezed_channels_are_timms(
    ratio: float, channels: tuple[int, ...], squeezed: tuple[int, ...]
) -> None:
    assert tuple(attention.squeezed_channels(c, ratio) for c in channels) == squeezed


def test_eca_kernel_sizes_are_timms() -> None:
    sizes = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7, 19: 3, 1: 3}
    assert {channels: attention.eca_kernel_size(channels) for channels in sizes} == sizes
