"""Batch normalization by the fused kernel, against Keras' own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.layers.primitives.batch_normalization import (
    BatchNormalization,
    FrozenBatchNormalization,
)
from tests.support.randomize import (
    assert_same_weights,
    images,
    normalizations,
    randomize,
    relative_difference,
    value,
)
from tests.support.uncompiled import uncompiled

Stock = keras.layers.BatchNormalization

# Rounding of the values that a policy computes, and how it grows in sums.
BOUNDS = {"float32": 1e-5, "mixed_bfloat16": 1e-2, "mixed_float16": 1e-3, "bfloat16": 1e-2}
INPUTS = {
    "images": images(4, 5, 6, 8),
    "one_channel": 1 + images(4, 5, 6, 1),
    "one_pixel": images(1, 1, 1, 8),
    "constant": np.full((4, 5, 6, 8), 3, "float32"),
    "squares_beyond_float16": 1e4 * images(4, 5, 6, 8),
    "many_pixels": images(8, 28, 28, 4),
}
UNKNOWN = (None, None, None)


def make(kind: Any, channels: int, dtype: str = "float32", **arguments: Any) -> Any:
    layer = kind(**{"momentum": 0.75, "epsilon": 1e-3, "dtype": dtype, **arguments})
    layer.build((*UNKNOWN, channels))
    return randomize(layer)


def compiled(function: Any, mode: str, x: Any) -> Any:
    if mode == "eager":
        return function
    signature = [tf.TensorSpec((*UNKNOWN, x.shape[-1]), x.dtype)] if mode == "unknown" else None
    return tf.function(function, input_signature=signature, jit_compile=mode == "xla")


def step(layer: Any, x: Any, mode: str = "eager", training: bool = True) -> list[np.ndarray]:
    """The output, its gradients and the statistics after a step, in float64."""
    # Every dtype has these numbers, and their sums are exact.
    weights = np.random.default_rng(3).integers(-8, 9, x.shape) / 8

    def gradients(x: Any) -> Any:
        variables = [layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as tape:
            tape.watch([x, *variables])
            y = layer(x, training=training)
            precise = tf.float64 if y.dtype == tf.float64 else tf.float32
            loss = tf.reduce_sum(tf.cast(y, precise) * tf.cast(weights, precise))
        return [y, *tape.gradient(loss, [x, *variables])]

    results = compiled(gradients, mode, x)(x)
    statistics = [layer.moving_mean, layer.moving_variance]
    return [value(tf.cast(result, "float64")) for result in [*results, *statistics]]


def kernels(layer: Any, x: Any, **arguments: Any) -> int:
    """How many fused kernels a graph of the layer has."""
    graph = tf.function(lambda x: layer(x, **arguments)).get_concrete_function(x).graph
    return sum(node.type == "FusedBatchNormV3" for node in graph.get_operations())


def cast(x: np.ndarray, policy: str) -> Any:
    """As the layer casts it."""
    return tf.cast(x, keras.DTypePolicy(policy).compute_dtype)


@pytest.mark.share(8)
@pytest.mark.parametrize("mode", ["eager", "graph", "unknown"])
@pytest.mark.parametrize("policy", BOUNDS)
@pytest.mark.parametrize("name", INPUTS)
def test_training_step_equals_that_of_keras_in_float64(name: str, policy: str, mode: str) -> None:
    x = cast(INPUTS[name], policy)
    layer = make(BatchNormalization, x.shape[-1], policy)
    exact = make(Stock, x.shape[-1], "float64")
    exact.set_weights([value(tf.cast(v, "float64")) for v in layer.weights])
    results, expected = step(layer, x, mode), step(exact, tf.cast(x, "float64"))
    if name == "constant":
        # The gradient for gamma is what rounding leaves of 0.
        assert np.abs(results.pop(2)).max() < 1e-2
        assert np.abs(expected.pop(2)).max() < 1e-9
        # So is the deviation from the mean, which the division by its root makes larger.
        last_bits = 4 * np.spacing(np.float32(3)) / np.sqrt(layer.epsilon)
        most = last_bits * np.abs(value(layer.gamma)).max()
        most += BOUNDS[policy] * np.abs(expected[0]).max()
        assert np.abs(results.pop(0) - expected.pop(0)).max() < most
    for result, right in zip(results, expected, strict=True):
        assert relative_difference(result, right) < BOUNDS[policy]


@pytest.mark.share(3)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_xla_compiles_the_computation_of_keras(policy: str, training: bool) -> None:
    x = cast(INPUTS["images"], policy)
    ours, stock = make(BatchNormalization, 8, policy), make(Stock, 8, policy)
    results, expected = (step(layer, x, "xla", training) for layer in (ours, stock))
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, right)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", BOUNDS)
def test_frozen_layer_normalizes_by_its_statistics(policy: str, training: bool) -> None:
    x = cast(INPUTS["images"], policy)
    layer = make(BatchNormalization, 8, policy)
    layer.trainable = not training
    stock = make(Stock, 8, policy)
    results = step(layer, x, training=training)
    for result, right in zip(results, step(stock, x, training=False), strict=True):
        assert relative_difference(result, right) < BOUNDS[policy]
    assert_same_weights(layer.weights, stock.weights)
    frozen = make(FrozenBatchNormalization, 8, policy)
    np.testing.assert_array_equal(value(frozen(x, training=True)), value(layer(x)))
    if policy == "float32":
        np.testing.assert_array_equal(value(layer(x)), value(stock(x)))


def test_one_pixel_gives_beta_and_no_variance() -> None:
    layer = make(BatchNormalization, 8)
    before = value(layer.moving_variance)
    y = layer(INPUTS["one_pixel"], training=True)
    np.testing.assert_array_equal(value(y)[0, 0, 0], value(layer.beta))
    np.testing.assert_array_equal(value(layer.moving_variance), before * np.float32(0.75))


@pytest.mark.parametrize("mode", ["eager", "unknown", "xla"])
@pytest.mark.parametrize("size", [1e3, 1e4])
def test_variance_survives_a_large_mean(size: float, mode: str) -> None:
    # mean(x²) - mean(x)² has an error of size² × 6e-8, up to 6 here.
    x = tf.constant(size + images(4, 5, 6, 8))
    layer, exact = make(BatchNormalization, 8), make(Stock, 8, "float64")
    results, expected = step(layer, x, mode), step(exact, tf.cast(x, "float64"))
    assert relative_difference(results[0], expected[0]) < 2e-6 * size
    assert relative_difference(results[-1], expected[-1]) < 1e-5


def test_small_epsilon_is_taken_as_it_is() -> None:
    x = tf.constant(1e-4 * INPUTS["images"])
    layer = make(BatchNormalization, 8, epsilon=1e-9)
    exact = make(Stock, 8, "float64", epsilon=1e-9)
    for result, right in zip(step(layer, x), step(exact, tf.cast(x, "float64")), strict=True):
        assert relative_difference(result, right) < 1e-5


@pytest.mark.parametrize("mode", ["eager", "unknown"])
def test_gradients_of_gradients_equal_those_of_keras(mode: str) -> None:
    x = tf.constant(INPUTS["images"])

    def second(layer: Any) -> Any:
        def penalty(x: Any) -> Any:
            with tf.GradientTape() as outer:
                outer.watch([x, layer.gamma.value])
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(layer(x, training=True) ** 3)
                norm = tf.reduce_sum(inner.gradient(loss, x) ** 2)
            return outer.gradient(norm, [x, layer.gamma.value])

        return compiled(penalty, mode, x)(x)

    results, expected = second(make(BatchNormalization, 8)), second(make(Stock, 8))
    for result, right in zip(results, expected, strict=True):
        assert relative_difference(result, right) < 1e-5


@pytest.mark.parametrize("policy", BOUNDS)
def test_kernel_is_fused_in_training_and_for_16_bits(policy: str) -> None:
    x = cast(INPUTS["images"], policy)
    for axis in (-1, 3):
        layer = make(BatchNormalization, 8, policy, axis=axis)
        assert kernels(layer, x, training=True) == 1
        assert kernels(layer, x, training=False) == (policy != "float32")
    frozen = make(FrozenBatchNormalization, 8, policy)
    assert kernels(frozen, x, training=True) == (policy != "float32")


def test_network_has_a_kernel_for_each_normalization() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", blocks=(1, 1), filters=(16, 32))
    assert kernels(model, tf.ones((1, 8, 8, 3)), training=True) == len(normalizations(model))


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"scale": False}, (2, 5, 4, 8)),
        ({"center": False}, (2, 5, 4, 8)),
        ({"renorm": True}, (2, 5, 4, 8)),
        ({"synchronized": True}, (2, 5, 4, 8)),
        ({"axis": 1}, (2, 8, 5, 4)),
        ({"axis": 2}, (2, 5, 8, 4)),
        ({}, (6, 8)),
        ({}, (2, 5, 8)),
        ({}, (2, 3, 5, 4, 8)),
        ({"dtype": "float64"}, (2, 5, 4, 8)),
        # The input stays float32 and the output is float16.
        ({"dtype": "mixed_float16", "autocast": False}, (2, 5, 4, 8)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_all_else_is_the_computation_of_keras(
    arguments: dict[str, Any], shape: tuple[int, ...], training: bool
) -> None:
    x = tf.constant(images(*shape))
    layers = []
    for kind in (BatchNormalization, Stock):
        layer = kind(momentum=0.75, **arguments)
        layer.build(shape)
        layers.append(randomize(layer))
    assert kernels(layers[0], x, training=training) == 0
    ours, stock = (layer(x, training=training) for layer in layers)
    assert ours.dtype == stock.dtype
    np.testing.assert_array_equal(value(ours), value(stock))
    assert_same_weights(layers[0].weights, layers[1].weights)


def test_mask_is_that_of_keras() -> None:
    x = tf.constant(INPUTS["images"])
    mask = tf.constant(np.random.default_rng(0).uniform(size=x.shape[:3]) < 0.5)
    ours, stock = make(BatchNormalization, 8), make(Stock, 8)
    y, expected = (layer(x, training=True, mask=mask) for layer in (ours, stock))
    np.testing.assert_array_equal(value(y), value(expected))
    assert_same_weights(ours.weights, stock.weights)


@pytest.mark.share(3)
@pytest.mark.parametrize("policy", [*BOUNDS, "float64"])
@pytest.mark.parametrize("shape", [(0, 5, 6, 8), (2, 0, 6, 8)], ids=["images", "pixels"])
@pytest.mark.parametrize("mode", ["eager", "unknown", "xla"])
def test_empty_batch_changes_nothing(mode: str, shape: tuple[int, ...], policy: str) -> None:
    """Keras' own has NaN in its statistics after one."""
    layer, untouched = (make(BatchNormalization, 8, policy) for _ in range(2))
    y, _, *gradients, _, _ = step(layer, cast(np.zeros(shape), policy), mode)
    assert y.shape == shape
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0.0)
    assert_same_weights(layer.weights, untouched.weights)


CLUSTERED = """
from tests.layers.test_batch_normalization import *
for size in (1e3, 1e4):
    x = tf.constant(size + images(4, 5, 6, 8))
    exact = step(make(Stock, 8, "float64"), tf.cast(x, "float64"))
    for mode in ("graph", "unknown"):
        found = step(make(BatchNormalization, 8), x, mode)
        for a, b in zip(found, exact, strict=True):
            assert relative_difference(a, b) < 4e-7 * size, (size, mode)
print("done")
"""


@pytest.mark.slow
@pytest.mark.share(2)
def test_variance_survives_a_large_mean_in_clusters_of_xla() -> None:
    flags = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"
    done = subprocess.run(
        [sys.executable, "-c", CLUSTERED],
        env={**os.environ, "TF_XLA_FLAGS": flags},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-2000:]


def test_functions_run_eagerly_and_checked_numbers_are_right() -> None:
    x = tf.constant(INPUTS["images"])
    expected = step(make(BatchNormalization, 8), x, "graph")
    with uncompiled():
        eager = step(make(BatchNormalization, 8), x, "graph")
    tf.debugging.enable_check_numerics()
    try:
        checked = [step(make(BatchNormalization, 8), x, mode) for mode in ("eager", "graph")]
        step(make(BatchNormalization, 8), tf.constant(INPUTS["one_pixel"]), "graph")
    finally:
        tf.debugging.disable_check_numerics()
    for found in (eager, *checked):
        for a, b in zip(found, expected, strict=True):
            assert relative_difference(a, b) < 1e-6


def test_numpy_and_symbolic_inputs_are_taken() -> None:
    layer = make(BatchNormalization, 8)
    x = INPUTS["images"]
    np.testing.assert_array_equal(value(layer(x)), value(layer.call(x)))
    inputs = keras.Input((5, 6, 8))
    model = keras.Model(inputs, layer.call(inputs))
    np.testing.assert_array_equal(value(model(x)), value(layer(x)))


def test_config_is_that_of_keras() -> None:
    arguments: dict[str, Any] = {"momentum": 0.5, "gamma_regularizer": "l2", "name": "n"}
    config = BatchNormalization(**arguments).get_config()
    assert config == Stock(**arguments).get_config()
    assert BatchNormalization.from_config(config).get_config() == config


@pytest.mark.parametrize("kind", [BatchNormalization, FrozenBatchNormalization])
def test_file_keeps_the_class_and_the_values(kind: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5, 6, 8)), kind(epsilon=0.25)])
    randomize(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[0]) is kind
    assert_same_weights(again.weights, model.weights)
    x = INPUTS["images"]
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


def test_distribution_over_one_device_changes_nothing() -> None:
    def train() -> Any:
        model = keras.Sequential([keras.Input((5, 6, 8)), BatchNormalization()])
        randomize(model)
        model.compile("sgd", "mse", jit_compile=False)
        x = INPUTS["images"]
        model.fit(x, x, batch_size=2, shuffle=False, verbose=0)
        return model

    alone = train()
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        distributed = train()
    assert_same_weights(distributed.weights, alone.weights)


@pytest.mark.share(4)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_inference_is_the_same_in_a_vectorized_map(policy: str, graph: bool) -> None:
    x = np.stack([images(2, 6, 5, 4, seed=seed) for seed in range(3)])
    for layer in (
        BatchNormalization(dtype=policy),
        FrozenBatchNormalization(dtype=policy),
        rl.ConvBlock(4, dtype=policy),
        rl.IdentityBlock(4, style=rl.BlockStyle(activation="mish"), dtype=policy),
    ):
        layer(x[0])
        randomize(layer)
        expected = tf.stack([tf.cast(layer(one), "float32") for one in x])
        for vectorized in (tf.vectorized_map, keras.ops.vectorized_map):

            def found(x: Any, over: Any = vectorized, one: Any = layer) -> Any:
                return over(lambda batch: one(batch, training=False), x)

            y = (tf.function(found) if graph else found)(tf.constant(x))
            assert relative_difference(tf.cast(y, "float32"), expected) < BOUNDS[policy]
