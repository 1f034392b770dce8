"""Normalizations that Keras lacks, against slow NumPy."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.normalization import (
    EvoNormS0,
    FilterResponseNormalization,
    GroupNormalization,
    make_normalization,
)
from resnet_layers.styles import BlockStyle
from tests.randomize import images, randomize, relative_difference, value

KINDS = [GroupNormalization, EvoNormS0, FilterResponseNormalization]
every_kind = pytest.mark.parametrize("kind", KINDS)
SHAPES = [(2, 7, 6), (2, 5, 4, 6), (2, 3, 4, 5, 6), (2, 1, 1, 6)]


def expected(layer: Any, x: np.ndarray) -> np.ndarray:
    """The formulas, with channels last, image by image and group by group."""
    y = np.empty_like(x, "float64")
    gamma, beta = value(layer.gamma), value(layer.beta)
    pixels = tuple(range(x.ndim - 2))
    for image, out in zip(x.astype("float64"), y, strict=True):
        if isinstance(layer, FilterResponseNormalization):
            rms = np.sqrt((image**2).mean(pixels) + layer.epsilon)
            out[:] = np.maximum(image / rms * gamma + beta, value(layer.tau))
            continue
        size = x.shape[-1] // np.gcd(layer.groups, x.shape[-1])
        for start in range(0, x.shape[-1], size):
            c = slice(start, start + size)
            group = image[..., c]
            std = np.sqrt(group.var() + layer.epsilon)
            if isinstance(layer, GroupNormalization):
                out[..., c] = (group - group.mean()) / std * gamma[c] + beta[c]
            else:
                gate = 1 / (1 + np.exp(-value(layer.v)[c] * group))
                out[..., c] = group * gate / std * gamma[c] + beta[c]
    return y


def make(kind: Any, shape: tuple[int | None, ...], **arguments: Any) -> Any:
    if kind is not FilterResponseNormalization:
        arguments = {"groups": 3, **arguments}
    layer = kind(epsilon=1e-3, **arguments)
    layer.build(shape)
    return randomize(layer)


@every_kind
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 3, 6, 4, 32])
def test_normalization_equals_slow_numpy(kind: Any, shape: tuple[int, ...], groups: int) -> None:
    if kind is FilterResponseNormalization and groups > 1:
        pytest.skip("has no groups")
    arguments = {} if kind is FilterResponseNormalization else {"groups": groups}
    layer, x = make(kind, shape, **arguments), images(*shape)
    assert relative_difference(layer(x), expected(layer, x)) < 1e-5
    first = make(kind, (shape[0], 6, *shape[1:-1]), axis=1, **arguments)
    first.set_weights(layer.get_weights())
    y = value(first(np.moveaxis(x, -1, 1)))
    assert relative_difference(np.moveaxis(y, 1, -1), expected(layer, x)) < 1e-5
    np.testing.assert_array_equal(value(layer(x)), value(layer(x, training=True)))


@every_kind
def test_mean_far_from_zero_costs_no_digits(kind: Any) -> None:
    layer = make(kind, (2, 9, 9, 6))
    x = (images(2, 9, 9, 6) + 300).astype("float32")
    assert relative_difference(layer(x), expected(layer, x)) < 1e-5


@every_kind
def test_mixed_precision_computes_in_float32(kind: Any) -> None:
    exact = make(kind, (2, 9, 9, 6))
    layer = make(kind, (2, 9, 9, 6), dtype="mixed_float16")
    x = (images(2, 9, 9, 6) * 300).astype("float16")  # whose squares float16 cannot hold
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert relative_difference(y, expected(exact, x)) < 2e-3
    assert {v.dtype for v in layer.variables} == {"float32"}


@every_kind
def test_unknown_sizes_and_xla_change_nothing(kind: Any) -> None:
    layer, x = make(kind, (None, None, None, 6)), images(2, 5, 4, 6)
    signature = [tf.TensorSpec((None, None, None, 6), tf.float32)]
    for function in (
        tf.function(layer, input_signature=signature),
        tf.function(layer, jit_compile=True),
    ):
        assert relative_difference(function(x), layer(x)) < 1e-5


@every_kind
def test_config_and_file_round_trip(kind: Any, tmp_path: Path) -> None:
    inputs = keras.Input((6, None, None))
    layer = make(kind, (None, 6, None, None), axis=1, name="normalization")
    copied = kind.from_config(layer.get_config())
    assert copied.get_config() == layer.get_config()
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, 6, 5, 4)
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


@every_kind
def test_every_variable_gets_a_gradient(kind: Any) -> None:
    layer, x = make(kind, (2, 5, 4, 6)), tf.constant(images(2, 5, 4, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert np.abs(value(gradient)).max() > 0


@pytest.mark.parametrize(
    ("normalization", "name"),
    [
        ("batch", "BatchNormalization"),
        ("frozen_batch", "FrozenBatchNormalization"),
        ("group", "GroupNormalization"),
        ("evonorm_s0", "EvoNormS0"),
        ("frn", "FilterResponseNormalization"),
        (None, "NoneType"),
    ],
)
@pytest.mark.parametrize(("data_format", "axis"), [("channels_last", -1), ("channels_first", 1)])
def test_style_chooses_the_normalization(
    normalization: str | None, name: str, data_format: str, axis: int
) -> None:
    style = BlockStyle(normalization=normalization, epsilon=0.25, data_format=data_format)
    layer: Any = make_normalization(style)
    assert type(layer).__name__ == name
    if layer is not None:
        assert (layer.epsilon, layer.axis, layer.name) == (0.25, axis, "normalization")
