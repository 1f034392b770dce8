"""Networks as compiled graphs: the only file that knows the backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import pytest

LEARNING_RATE = 0.01
MOMENTUM = 0.9


@dataclass(frozen=True)
class Graph:
    """A compiled computation.

    Args:
        run: Computes once; what it started is finished when it returns.
        operations: Number of nodes of the graph, before the backend optimizes it.
    """

    run: Callable[[], Any]
    operations: int


def forward(model: keras.Model, images: Any) -> Graph:
    """Inference: from images to the output."""

    def call(x: Any) -> Any:
        return model(x, training=False)

    return _compile(call, images)


def training_step(model: keras.Model, images: Any, labels: Any) -> Graph:
    """One step: forward, loss, gradient, SGD with momentum, statistics of normalization."""
    tf = _tensorflow()
    optimizer = keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    return _compile(step, images, labels)


def _compile(function: Callable[..., Any], *arrays: Any) -> Graph:
    """A graph without XLA. Tracing happens here, optimization in the first run."""
    tf = _tensorflow()
    tensors = [tf.constant(array) for array in arrays]
    graph = tf.function(function, jit_compile=False, autograph=False)
    concrete = graph.get_concrete_function(*tensors)  # never traced again

    def run() -> Any:
        result = concrete(*tensors)
        tf.test.experimental.sync_devices()  # returns when all devices are idle
        return result.numpy()

    return Graph(run, len(concrete.graph.get_operations()))


def _tensorflow() -> Any:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Graphs are compared on the TensorFlow backend only.")
    import tensorflow as tf

    return tf
