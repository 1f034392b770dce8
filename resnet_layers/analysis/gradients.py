"""Gradients of a function of tensors, on TensorFlow and on JAX."""

from collections.abc import Callable
from typing import Any

import keras


def gradient(function: Callable[[Any], tuple[Any, Any]], at: Any) -> tuple[Any, Any]:
    """The gradient of a function's first result, and the second result.

    Args:
        function: From tensors to a number and anything else.
        at: A tensor, or a list of them, where the gradient is taken.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            number, more = function(at)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(number, at, unconnected_gradients=zero), more
    import jax

    return jax.grad(function, has_aux=True)(at)
