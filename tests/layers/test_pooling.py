"""Steps without parameters, against slow NumPy, in every rank, data format and size."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers.layers.primitives import pooling
from tests.support.randomize import images, randomize, relative_difference, value

Along = Callable[[np.ndarray], np.ndarray]


def along_each_axis(x: np.ndarray, steps: list[Along]) -> np.ndarray:
    for axis, step in enumerate(steps, start=1):
        x = np.apply_along_axis(step, axis, x)
    return x


def blurred(step: int) -> Along:
    def along(row: np.ndarray) -> np.ndarray:
        n = len(row)
        before, after = [row[min(1, n - 1)]], [row[max(n - 2, 0)]]
        padded = np.concatenate([before, row, after])
        return np.array([(padded[i : i + 3] * [1, 2, 1]).sum() / 4 for i in range(0, n, step)])

    return along


def averaged(step: int) -> Along:
    return lambda row: np.array([row[i : i + step].mean() for i in range(0, len(row), step)])


def paired(row: np.ndarray) -> np.ndarray:
    return np.array([row[i : i + 2].mean() for i in range(0, max(len(row) - 1, 1), 2)])


def with_the_next(row: np.ndarray) -> np.ndarray:
    return (row + np.append(row[1:], 0)) / 2


def largest(step: int, border: float | str) -> Along:
    around = -np.inf if border == "edge" else border

    def along(row: np.ndarray) -> np.ndarray:
        padded = np.concatenate([[around], row, [around]])
        return np.array([padded[i : i + 3].max() for i in range(0, len(row), step)])

    return along


# The function, and what it does along each axis, for given strides.
STEPS: dict[str, tuple[Callable[..., Any], Callable[[int], Along]]] = {
    "blur": (pooling.blur, blurred),
    "average": (pooling.average, averaged),
    "subsample": (pooling.subsample, lambda s: lambda row: row[::s]),
    "average_pairs": (lambda x, _, f: pooling.average_pairs(x, f), lambda _: paired),
    "average_dilated": (
        pooling.average_dilated,
        lambda s: with_the_next if s > 1 else lambda row: row,
    ),
}


def run(step: Callable[..., Any], x: np.ndarray, strides: Any, data_format: str) -> np.ndarray:
    """The result with channels last, from an input with channels last."""
    first = data_format == "channels_first"
    tensor = keras.ops.convert_to_tensor(np.moveaxis(x, -1, 1) if first else x)
    y = value(step(tensor, strides, data_format))
    return np.moveaxis(y, 1, -1) if first else y


@pytest.mark.parametrize("name", STEPS)
@given(st.data())
def test_step_equals_slow_numpy(name: str, data: st.DataObject) -> None:
    step, along = STEPS[name]
    rank = data.draw(st.integers(1, 3))
    sizes = [data.draw(st.integers(1, 7)) for _ in range(rank)]
    strides = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    data_format = data.draw(st.sampled_from(["channels_last", "channels_first"]))
    x = images(2, *sizes, 3)
    expected = along_each_axis(x, [along(s) for s in strides])
    actual = run(step, x, strides, data_format)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@given(st.data(), st.sampled_from([0.0, -np.inf, "edge"]), st.integers(1, 2))
def test_maximum_equals_slow_numpy(data: st.DataObject, border: float | str, strides: int) -> None:
    rank = data.draw(st.integers(1, 3))
    sizes = [data.draw(st.integers(1, 7)) for _ in range(rank)]
    data_format = data.draw(st.sampled_from(["channels_last", "channels_first"]))
    x = images(2, *sizes, 3)

    def step(x: Any, s: Any, f: str) -> Any:
        return pooling.max_pool3(x, s, border, f)

    expected = along_each_axis(x, [largest(strides, border)] * rank)
    np.testing.assert_array_equal(run(step, x, strides, data_format), expected)


def test_maximum_without_a_border_is_the_one_of_keras() -> None:
    for rank, layer in enumerate(
        (keras.layers.MaxPool1D, keras.layers.MaxPool2D, keras.layers.MaxPool3D), start=1
    ):
        x = images(2, *(5, 2, 1)[:rank], 3)
        y = pooling.max_pool3(keras.ops.convert_to_tensor(x), 2, None, "channels_last")
        np.testing.assert_array_equal(value(y), value(layer(3, 2, "same")(x)))


SIZES = [(1, 1), (1, 6), (5, 2), (7, 8)]


@pytest.mark.share(8)
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_step_is_the_same_for_unknown_sizes_and_under_xla(name: str, strides: int) -> None:
    step, _ = STEPS[name]

    def call(x: Any) -> Any:
        return step(x, strides, "channels_last")

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    unknown = tf.function(call, input_signature=signature)
    compiled = tf.function(call, jit_compile=True)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, call(inputs))
    for size in SIZES:
        x = images(2, *size, 3)
        expected = call(keras.ops.convert_to_tensor(x))
        for function in (unknown, compiled, model):
            y = function(x)
            assert y.shape == expected.shape
            assert relative_difference(y, expected) < 1e-6


def test_smooth_is_blur_or_average() -> None:
    x = keras.ops.convert_to_tensor(images(1, 5, 6, 2))
    for kind, step in (("blur", pooling.blur), ("average", pooling.average)):
        a, b = pooling.smooth(kind, x, 2, "channels_last"), step(x, 2, "channels_last")
        np.testing.assert_array_equal(value(a), value(b))


def test_blur_keeps_what_is_constant() -> None:
    for sizes in itertools.product((1, 2, 3), repeat=2):
        x = keras.ops.ones((1, *sizes, 1))
        np.testing.assert_array_equal(value(pooling.blur(x, 2, "channels_last")), 1.0)


def test_identity_where_nothing_is_averaged() -> None:
    x = keras.ops.convert_to_tensor(images(1, 5, 6, 2))
    assert pooling.average(x, (1, 1), "channels_last") is x


# Every function at once, so that each rank and layout is compiled but once.
def all_steps(x: Any, data_format: str) -> list[Any]:
    steps = [step(x, 2, data_format) for step, _ in STEPS.values()]
    steps += [pooling.average(x, 3, data_format)]
    return steps + [pooling.max_pool3(x, 2, v, data_format) for v in (0.0, -np.inf, "edge", None)]


@pytest.mark.share(6)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_ranks_and_data_formats_are_the_same_symbolically_and_under_xla(
    rank: int, data_format: str
) -> None:
    pixels, unknown = (5, 2, 1)[:rank], (None,) * rank
    first = data_format == "channels_first"
    x = images(2, *((3, *pixels) if first else (*pixels, 3)))

    def call(z: Any) -> list[Any]:
        return all_steps(z, data_format)

    inputs = keras.Input((3, *unknown) if first else (*unknown, 3))
    model = keras.Model(inputs, call(inputs))
    expected = call(keras.ops.convert_to_tensor(x))
    for function in (model, tf.function(call, jit_compile=True)):
        for actual, eager in zip(function(x), expected, strict=True):
            assert relative_difference(actual, eager) < 1e-6


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 3e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_low_precision_is_kept(rank: int, dtype: str, bound: float, data_format: str) -> None:
    x = keras.ops.cast(images(2, *(3, 5, 4, 3)[: rank + 1]), dtype)
    exact = all_steps(keras.ops.cast(x, "float32"), data_format)
    for actual, expected in zip(all_steps(x, data_format), exact, strict=True):
        assert keras.backend.standardize_dtype(actual.dtype) == dtype
        assert relative_difference(keras.ops.cast(actual, "float32"), expected) < bound


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradient_has_the_size_of_the_step(rank: int) -> None:
    x = tf.constant(images(2, *(5, 2, 1)[:rank], 3))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        sums = [tf.reduce_sum(y) for y in all_steps(x, "channels_last")]
    for total in sums:
        gradient = value(tape.gradient(total, x))
        # Each step is homogeneous: f(x) is the product of its gradient and x.
        np.testing.assert_allclose((gradient * value(x)).sum(), value(total), rtol=1e-5)


@pytest.mark.parametrize("kind", ["blur", "average"])
def test_pooling_convolution_is_smoothed_before_it_is_normalized(kind: str) -> None:
    """As in timm, where the batch's statistics are those of the smoothed map."""
    style = rl.BlockStyle(anti_aliasing=kind, momentum=0.0)
    stem: Any = rl.Stem(4, kernel_size=3, pooling="conv", style=style, dtype="float64")
    x = images(3, 21, 16, 3).astype("float64")
    stem.build(x.shape)
    randomize(stem)
    y = stem(x, training=True)
    kernel, normalization = stem.pool_conv.convolution.kernel, stem.pool_conv.normalization
    step = pooling.blur if kind == "blur" else keras.ops.average_pool
    arguments = (2, "channels_last") if kind == "blur" else (2, 2, "valid")  # odd pixels are left
    z = value(step(keras.ops.conv(stem.convolve(x, True), kernel, padding="same"), *arguments))
    assert stem.compute_output_shape(x.shape) == y.shape == z.shape
    mean, variance = z.mean((0, 1, 2)), z.var((0, 1, 2))
    assert relative_difference(normalization.moving_mean, mean) < 1e-6
    scaled = (z - mean) / np.sqrt(variance + 1e-5)
    expected = scaled * value(normalization.gamma) + value(normalization.beta)
    assert relative_difference(y, np.maximum(expected, 0)) < 1e-6
