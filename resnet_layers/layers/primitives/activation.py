"""Activations, and the addition before one."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from resnet_layers.layers import _identifiers


def activation(identifier: Any) -> Callable[[Any], Any]:
    """An activation of Keras' or of a user's, also of the tensors of functional models."""
    return functools.partial(_activate, keras.activations.get(_identifiers.copied(identifier)))


def _activate(function: Any, x: Any) -> Any:
    if keras.utils.is_keras_tensor(x):  # some of Keras' own refuse one
        return keras.layers.Activation(function, dtype=x.dtype)(x)
    return function(x)


def addition_before(identifier: Any) -> Callable[[Any, Any], Any]:
    """The sum of two arrays, which an activation follows.

    With oneDNN, TensorFlow fuses convolution, bias, addition and mish to a kernel that it does not
    have, and finds mish in functions of users, too. It does well by the others of Keras.
    """
    function = keras.activations.get(_identifiers.copied(identifier))
    fused = function in vars(keras.activations).values() and function is not keras.activations.mish
    return ops.add if fused or keras.backend.backend() != "tensorflow" else _add_apart


@keras.saving.register_keras_serializable(package="resnet_layers")
class AddApart(keras.Operation):
    """`a + b` in a functional model, fused with no convolution before it."""

    def call(self, a: Any, b: Any) -> Any:
        return _add_apart(a, b)

    def compute_output_spec(self, a: Any, b: Any) -> Any:
        return keras.KerasTensor(a.shape, a.dtype)


def _add_apart(a: Any, b: Any) -> Any:
    if keras.utils.is_keras_tensor(a):
        return AddApart()(a, b)
    import tensorflow as tf

    return ops.add(*tf.identity_n([a, b]))  # costs nothing; one `Identity` would be taken out
