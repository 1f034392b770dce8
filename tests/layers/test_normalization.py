"""Normalizations that Keras lacks, against slow NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.layers.conv_norm import make_normalization
from resnet_layers.layers.primitives.batch_normalization import FrozenBatchNormalization
from resnet_layers.layers.primitives.normalization import (
    EvoNormS0,
    FilterResponseNormalization,
    GroupNormalization,
)
from resnet_layers.layers.styles import BlockStyle
from tests.support.randomize import images, randomize, relative_difference, value

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


def make_and_call(kind: Any, shape: tuple[int | None, ...]) -> Any:
    return make(kind, (None, 5, 4, 6), name="n")(keras.Input(shape[1:]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (FilterResponseNormalization, {}),
        *((kind, {"groups": n}) for kind in KINDS[:2] for n in (1, 3, 6, 4, 32)),
    ],
)
def test_normalization_equals_slow_numpy(
    kind: Any, arguments: dict[str, int], shape: tuple[int, ...]
) -> None:
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
@pytest.mark.parametrize(
    # Squares that float16 cannot hold, and deviations that bfloat16 cannot; the bounds are a few
    # roundings of the output.
    ("dtype", "factor", "mean", "bound"),
    [("float16", 300, 0, 2e-3), ("bfloat16", 1, 30, 1e-2)],
)
def test_mixed_precision_computes_in_float32(
    kind: Any, dtype: str, factor: float, mean: float, bound: float
) -> None:
    exact = make(kind, (2, 9, 9, 6))
    layer = make(kind, (2, 9, 9, 6), dtype=f"mixed_{dtype}")
    x = keras.ops.cast(images(2, 9, 9, 6) * factor + mean, dtype)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    x, y = value(keras.ops.cast(x, "float32")), keras.ops.cast(y, "float32")
    assert relative_difference(y, expected(exact, x)) < bound
    assert {v.dtype for v in layer.variables} == {"float32"}


@pytest.mark.share(4)
@every_kind
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("sizes", [(7,), (5, 4), (1, 2), (3, 1, 5)])
def test_unknown_sizes_and_xla_change_nothing(kind: Any, axis: int, sizes: tuple[int, ...]) -> None:
    unknown: list[int | None] = [None, *(None for _ in sizes)]
    unknown.insert(axis % (len(sizes) + 2), 6)
    layer, x = make(kind, tuple(unknown), axis=axis), images(2, *sizes, 6)
    inputs = keras.Input(tuple(unknown[1:]))
    for function in (
        tf.function(layer, input_signature=[tf.TensorSpec(unknown, tf.float32)]),
        tf.function(layer, jit_compile=True),
        keras.Model(inputs, layer(inputs)),
    ):
        y = value(function(np.moveaxis(x, -1, axis)))
        assert relative_difference(np.moveaxis(y, axis, -1), expected(layer, x)) < 1e-5


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


@pytest.mark.parametrize("kind", [GroupNormalization, EvoNormS0])
def test_config_holds_the_groups_as_given(kind: Any) -> None:
    layer = make(kind, (None, 5, 5, 6), groups=4)  # 2 groups of 3 channels
    assert layer.get_config()["groups"] == 4
    one_group = make(kind, (None, 5, 5, 6), groups=2)
    x = images(2, 5, 5, 6)
    np.testing.assert_array_equal(value(layer(x)), value(one_group(x)))


def test_frozen_batch_normalization_uses_its_statistics_and_never_trains() -> None:
    layer = FrozenBatchNormalization(epsilon=1e-3, trainable=True)
    layer.build((None, None, None, 6))
    randomize(layer)
    layer.trainable = True
    assert layer.trainable_variables == []
    x = images(2, 5, 4, 6)
    before = [value(v).copy() for v in layer.weights]
    gamma, beta, mean, variance = before
    y = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    for training in (False, True):
        assert relative_difference(layer(x, training=training), y) < 1e-5
    for variable, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(value(variable), old)


@pytest.mark.parametrize("normalization", ["batch", "frozen_batch"])
def test_style_gives_the_momentum(normalization: str) -> None:
    layer: Any = make_normalization(BlockStyle(normalization=normalization, momentum=0.75))
    assert layer.momentum == 0.75


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        *(
            (
                lambda make=make, groups=groups: make(groups=groups),
                error,
                f"`groups` must be a positive integer. Received: groups={groups}",
            )
            for make in (GroupNormalization, EvoNormS0)
            for groups, error in ((0, ValueError), (-2, ValueError), (2.5, TypeError))
        ),
        *(
            (
                lambda make=make, epsilon=epsilon: make(epsilon=epsilon),
                ValueError,
                f"`epsilon` must be a positive number. Received: epsilon={epsilon}",
            )
            for make in KINDS
            for epsilon in (0, -1.0)
        ),
        *(
            (
                lambda make=make: make(axis=2),
                ValueError,
                "`axis` must be one of -1, 1. Received: axis=2",
            )
            for make in KINDS
        ),
        *(
            (
                # One channel would broadcast to six.
                lambda make=make: make_and_call(make, (None, 5, 4, 1)),
                ValueError,
                "Input 0 with name 'None' of layer 'n' is incompatible with the layer: expected "
                "axis -1 of input shape to have value 6, but received input with shape "
                "(None, 5, 4, 1)",
            )
            for make in KINDS
        ),
    ],
)
def test_bad_arguments_and_inputs_are_refused(
    call: Callable[[], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


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
    if normalization in ("group", "evonorm_s0"):
        assert layer.groups == 32


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", ["batch", "frozen_batch", "group", "evonorm_s0", "frn"])
def test_variables_are_read_as_they_are_under_every_policy(name: str, policy: str) -> None:
    unit: Any = make_normalization(BlockStyle(normalization=name), dtype=policy)
    unit.build((None, None, None, 32))
    assert unit.weights
    for variable in unit.weights:
        assert not variable._autocast, variable.path
