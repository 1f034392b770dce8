"""A batch of no images leaves every variable as it was, and gives no NaN."""

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
from tests.support.cases import CASES, CASES_BY_NAME, Case
from tests.support.randomize import randomize, value

ROOT = Path(__file__).parents[2]
ON_IMAGES = [case for case in CASES if case.layer is not rl.Preprocessing]
# One of each kind of block, for every run.
OFTEN = ("conv_norm_strided", "conv_block_pooled", "stage", "stem_deep", "norm_act", "model")


def in_child(code: str, **environment: str) -> str:
    """What a process of its own prints, which must not die."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


def learns_nothing(case: Case, mode: str) -> None:
    layer = case.create()
    if not layer.built:
        layer.build(case.input_shape)
    randomize(layer)
    shape = (0, *case.input_shape[1:])
    before = [value(v) for v in layer.weights]

    def step(x: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            total = tf.reduce_sum(y)
        found = tape.gradient(total, [x, *layer.trainable_variables])
        return [y, *(gradient for gradient in found if gradient is not None)]

    signature = [tf.TensorSpec((None, *shape[1:]))] if mode == "unknown" else None
    compiled = tf.function(step, input_signature=signature, jit_compile=mode == "xla")
    y, *gradients = (step if mode == "eager" else compiled)(tf.zeros(shape))
    assert tuple(y.shape) == tuple(layer.compute_output_shape(shape))
    for gradient in gradients:
        assert np.isfinite(value(gradient)).all()
    for variable, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(value(variable), old, err_msg=variable.path)


@pytest.mark.share(8)
@pytest.mark.parametrize("mode", ["eager", "unknown"])
@pytest.mark.parametrize("name", OFTEN)
def test_no_images_teach_nothing(name: str, mode: str) -> None:
    learns_nothing(CASES_BY_NAME[name], mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "graph", "unknown", "xla"])
@pytest.mark.parametrize("case", ON_IMAGES, ids=lambda case: case.name)
def test_no_images_teach_no_layer_anything(case: Case, mode: str) -> None:
    learns_nothing(case, mode)


@pytest.mark.slow
@pytest.mark.share(2)
def test_no_images_teach_nothing_with_onednn() -> None:
    code = f"""
from tests.layers.test_empty_batches import CASES_BY_NAME, learns_nothing
for name in {OFTEN}:
    for mode in ("eager", "unknown"):
        learns_nothing(CASES_BY_NAME[name], mode)
print("done")
"""
    assert in_child(code, TF_ENABLE_ONEDNN_OPTS="1").endswith("done\n")


def learns_nothing_on_jax(case: Case, compiled: bool) -> None:
    import jax

    layer = case.create()
    if not layer.built:
        layer.build(case.input_shape)
    randomize(layer)
    shape = (0, *case.input_shape[1:])
    before = [value(v) for v in layer.variables]
    x = jax.numpy.zeros(shape)
    if compiled:
        trained, others = layer.trainable_variables, layer.non_trainable_variables

        def total(trained: Any, others: Any, x: Any) -> Any:
            y, others = layer.stateless_call(trained, others, x, training=True)
            return keras.ops.sum(y), (y, others)

        step = jax.jit(jax.value_and_grad(total, has_aux=True))
        (_, (y, new)), gradients = step(
            *([v.value for v in variables] for variables in (trained, others)), x
        )
        for gradient in gradients:
            assert np.isfinite(value(gradient)).all()
        for variable, found in zip(others, new, strict=True):
            variable.assign(found)
    else:
        y = layer(x, training=True)
    assert tuple(y.shape) == tuple(layer.compute_output_shape(shape))
    for variable, old in zip(layer.variables, before, strict=True):
        if "seed" not in variable.path:
            np.testing.assert_array_equal(value(variable), old, err_msg=variable.path)


ON_JAX = """
from tests.layers.test_empty_batches import ON_IMAGES, learns_nothing_on_jax
for case in ON_IMAGES:
    if case.name in {names}:
        for compiled in (False, True):
            learns_nothing_on_jax(case, compiled)
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["conv_norm_strided"], id="one"),
        # Each takes some 20 seconds, and the process has 500.
        *(
            pytest.param(
                [case.name for case in ON_IMAGES[i::8]],
                id=f"{i}",
                marks=[pytest.mark.slow, pytest.mark.share(8)],
            )
            for i in range(8)
        ),
    ],
)
def test_no_images_teach_nothing_on_jax(names: Any) -> None:
    assert in_child(ON_JAX.format(names=names), KERAS_BACKEND="jax").endswith("done\n")


REPLICAS = """
import keras, numpy as np, tensorflow as tf, resnet_layers as rl
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((9, 16, 16, 3)).astype("float32"), rng.integers(0, 3, 9)
parts = rl.Stem(8, kernel_size=3, strides=1), [rl.ResNetStage(16, 1, strides=2)]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = rl.ResNet(*parts, rl.ClassifierHead(3))
    model.compile("sgd", loss)
model.fit(x, y, batch_size=4, epochs=2, verbose=0)  # the ninth image leaves a replica with none
found = model.evaluate(x, y, batch_size=4, verbose=0)
for variable in model.weights:
    first, second = (v.numpy() for v in variable.value.values)
    assert np.isfinite(first).all(), variable.path
    np.testing.assert_array_equal(first, second, err_msg=variable.path)
again = rl.ResNet.from_config(model.get_config())
again.set_weights(model.get_weights())
again.compile("sgd", loss)
assert abs(again.evaluate(x, y, batch_size=4, verbose=0) - found) < 1e-5
print("done")
"""


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("onednn", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_replicas_have_the_same_statistics_and_one_may_have_no_images(onednn: str) -> None:
    assert in_child(REPLICAS, TF_ENABLE_ONEDNN_OPTS=onednn).endswith("done\n")


@pytest.mark.upstream
def test_keras_learns_from_no_images() -> None:
    layer = keras.layers.BatchNormalization()
    layer(tf.zeros((0, 2, 2, 3)), training=True)
    assert np.isnan(value(layer.moving_mean)).all()


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.upstream
def test_onednn_gives_no_images_another_shape() -> None:
    code = """
import tensorflow as tf
print(tf.nn.conv2d(tf.zeros((0, 8, 8, 4)), tf.zeros((3, 3, 4, 6)), 1, "SAME").shape)
"""
    assert in_child(code, TF_ENABLE_ONEDNN_OPTS="1") == "(0, 8, 8, 4)\n"
