"""Grouped convolutions: the same numbers and gradients by every way of computing them."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.layers.primitives import convolution
from resnet_layers.layers.primitives.convolution import GroupedConv1D, GroupedConv2D, GroupedConv3D
from tests.support.randomize import images, randomize, relative_difference

ROOT = Path(__file__).parents[2]
CLASSES: dict[int, Any] = {1: GroupedConv1D, 2: GroupedConv2D, 3: GroupedConv3D}
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 0.02, "mixed_float16": 0.005, "float64": 1e-12}


def made(rank: int, policy: str, **keywords: Any) -> Any:
    keywords = {"groups": 4, "padding": "same", "use_bias": False, "dtype": policy} | keywords
    layer = CLASSES[rank](16, 3, **keywords)
    layer.build((None, *(None,) * rank, 8))
    return randomize(layer)


def split(layer: Any, x: Any) -> Any:
    """One convolution for each group."""
    kernel = tf.cast(layer.kernel.value, x.dtype)
    parts = zip(tf.split(x, 4, -1), tf.split(kernel, 4, -1), strict=True)
    how = {"strides": layer.strides, "dilations": layer.dilation_rate, "padding": "SAME"}
    return tf.concat([tf.nn.convolution(part, k, **how) for part, k in parts], -1)


def gradients(function: Any, layer: Any, x: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        total = tf.reduce_sum(tf.square(tf.cast(y, "float64")))
    return [y, *tape.gradient(total, [x, layer.kernel.value])]


@pytest.mark.share(8)
@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize(
    "keywords", [{}, {"strides": 2}, {"dilation_rate": 2}], ids=["plain", "strided", "dilated"]
)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_groups_are_convolutions_side_by_side(
    policy: str, keywords: dict[str, Any], rank: int, graph: bool
) -> None:
    layer = made(rank, policy, **keywords)
    x = tf.cast(images(2, *(9, 7)[:rank], 8), layer.compute_dtype)
    call = tf.function(layer) if graph else layer
    found = gradients(call, layer, x)
    expected = gradients(lambda x: split(layer, x), layer, x)
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_difference(ours, theirs) < TOLERANCE[policy]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_keras_computes_where_tensorflow_has_no_gradients(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its way has the same numbers, and that of all ranks is tried."""
    layer = made(rank, "float32")
    x = tf.constant(images(2, *(6, 5, 4)[:rank], 8))
    found = gradients(layer, layer, x)
    monkeypatch.setattr(convolution, "has_gradients", lambda dtype: False)
    for ours, theirs in zip(found, gradients(layer, layer, x), strict=True):
        assert relative_difference(ours, theirs) < 1e-5


def test_an_eager_convolution_is_compiled_once_for_its_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keras would compile at every call."""
    monkeypatch.setattr(convolution, "has_gradients", lambda dtype: False)
    convolution._compiled.cache_clear()
    x = tf.constant(images(2, 6, 5, 8))
    for strides, compiled in ((1, 1), (1, 1), (2, 2)):
        layer = made(2, "float32", strides=strides)
        expected = keras.ops.conv(x, layer.kernel, strides, "same")  # Keras' own
        for _ in range(2):
            assert relative_difference(layer(x), expected) < 1e-6
        assert convolution._compiled.cache_info().misses == compiled
    layer(x[:1])
    assert convolution._compiled.cache_info().misses == 3


def test_threads_compile_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a tape, and all of them before anything is compiled."""
    monkeypatch.setattr(convolution, "has_gradients", lambda dtype: False)
    convolution._compiled.cache_clear()
    layer, x = made(2, "float32"), tf.constant(images(2, 6, 5, 8))
    together = threading.Barrier(4)

    def step(_: int) -> list[Any]:
        together.wait()
        return gradients(layer, layer, x)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(step, range(4)))
    for ours in found:
        for a, b in zip(ours, found[0], strict=True):
            assert relative_difference(a, b) < 1e-6


def test_a_variable_is_convolved_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "has_gradients", lambda dtype: False)
    layer, x = made(2, "float32"), images(2, 6, 5, 8)
    np.testing.assert_array_equal(layer(keras.Variable(x)), layer(x))


def operators(policy: str) -> list[str]:
    layer = made(2, policy)
    spec = tf.TensorSpec((None, 8, 8, 8), layer.compute_dtype)
    graph = tf.function(layer).get_concrete_function(spec).graph
    return [node.type for node in graph.get_operations()]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_convolution_is_tensorflows_operator(policy: str) -> None:
    if not convolution.has_gradients(made(2, policy).compute_dtype):
        pytest.skip("this TensorFlow has no such gradients, on this processor")
    found = operators(policy)
    assert "Conv2D" in found
    assert "StatefulPartitionedCall" not in found
    assert "PartitionedCall" not in found


def test_gradients_are_looked_for_once_and_outside_of_what_is_traced() -> None:
    convolution.has_gradients.cache_clear()
    answers = []

    @tf.function
    def traced(x: Any) -> Any:
        answers.append(convolution.has_gradients("float32"))
        return x

    graph = traced.get_concrete_function(tf.constant(1.0)).graph
    assert "Conv2D" not in {node.type for node in graph.get_operations()}
    assert answers == [convolution.has_gradients("float32")]
    assert convolution.has_gradients.cache_info().misses == 1


def test_a_grouped_network_trains_in_half_precision() -> None:
    """TensorFlow on a CPU lacks the gradients of float16."""
    layer = made(2, "mixed_float16")
    model = keras.Sequential([keras.Input((8, 8, 8)), layer, keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse")
    before = np.array(layer.kernel)
    model.fit(images(4, 8, 8, 8), np.ones((4, 16), "float32"), verbose=0)
    assert np.any(np.array(layer.kernel) != before)


def test_native_groups_are_those_of_a_scope_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "has_gradients", lambda dtype: False)
    layer, x = made(2, "float32"), tf.constant(images(2, 6, 5, 8))
    with convolution.native_groups():
        assert layer._is_native(x)
        with pytest.raises(ArithmeticError), convolution.native_groups():
            raise ArithmeticError
        assert layer._is_native(x)
    assert not layer._is_native(x)


# 3,000 convolutions, a hundred in each process; some for every run, and more for the gate.
SEEDS = [
    pytest.param(30, 30),
    *(pytest.param(seed, 100, marks=pytest.mark.slow) for seed in range(3)),
    *(pytest.param(seed, 100, marks=[pytest.mark.slow, pytest.mark.huge]) for seed in range(3, 30)),
]


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(("seed", "count"), SEEDS)
def test_convolutions_and_their_gradients_are_right_with_onednn(seed: int, count: int) -> None:
    command = [sys.executable, "-m", "tests.support.convolution_fuzz", str(seed), str(count)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.upstream
def test_onednn_has_wrong_gradients_of_kernels_of_one_pixel() -> None:
    """Or it ends the process: it reads what lies beyond the input."""
    code = """
import numpy as np, tensorflow as tf
rng = np.random.default_rng(0)
for size, channels, filters in rng.integers(2, 33, (300, 3)):
    x = rng.standard_normal((1, size, size, channels)).astype("float32")
    kernel = tf.zeros((1, 1, channels, filters))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        total = tf.reduce_sum(tf.nn.conv2d(x, kernel, 2, "SAME"))
    right = x[:, ::2, ::2].sum((0, 1, 2))[:, None] + np.zeros(filters)
    assert np.abs(tape.gradient(total, kernel)[0, 0] - right).max() < 1e-2
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_kernels_are_standardized_in_the_precision_of_the_variables(rank: int, policy: str) -> None:
    """timm does, and small kernels have deviations that 16 bits round away."""
    kind: Any = convolution.convolution_class(rank, groups=1, standardized=True)
    layer = kind(4, 1, use_bias=False, dtype=policy)
    layer.build((None,) * (rank + 1) + (16,))
    kernel = 1e-6 * np.random.default_rng(0).standard_normal(layer.kernel.shape)
    layer.kernel.assign(kernel)
    x = images(2, *(4, 3, 2)[:rank], 16)
    stored = np.array(layer.kernel.numpy(), "float64")
    expected = x @ convolution.standardized_kernel(stored).reshape(16, 4)
    bound = {"float32": 1e-5, "float64": 1e-12, "mixed_float16": 2e-3}.get(policy, 2e-2)
    outer = keras.Sequential([layer], name="outer")  # whose autocasting reaches the layer
    outer.dtype_policy = policy
    assert relative_difference(tf.cast(outer(x), "float64"), expected) < bound
