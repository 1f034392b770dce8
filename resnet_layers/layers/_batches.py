"""Batches of no images, which a data set can hold, and which one replica of several can be left."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import keras

# Whether the batch that a layer is computing stands in for none: a boolean or a tensor.
_STANDS_IN: ContextVar[Any] = ContextVar("_STANDS_IN", default=None)


def stands_in() -> Any:
    """Whether this batch is one image in place of none, or `None` where nobody asked."""
    return _STANDS_IN.get()


def in_xla() -> bool:
    """Whether XLA compiles what TensorFlow is tracing."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def _may_be_empty(x: Any, training: bool | None) -> bool:
    """Whether TensorFlow may run this for no images, as far as is known while tracing.

    That happens in training, and to a replica; elsewhere graphs stay as they are.
    """
    if keras.backend.backend() != "tensorflow" or stands_in() is not None:
        return False
    import tensorflow as tf

    if not tf.is_tensor(x) or x.shape.rank is None or in_xla():
        return False
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return x.shape[0] == 0 or (x.shape[0] is None and (bool(training) or several))


def takes_none(call: Callable[..., Any]) -> Callable[..., Any]:
    """Computes one image of zeros in place of none, from which no statistics are taken.

    With oneDNN TensorFlow 2.21 gives a convolution of no images the shape of its input, and the
    gradient of a pooling of none ends the process.
    """

    @functools.wraps(call)
    def of_any_batch(self: Any, inputs: Any, training: bool | None = None) -> Any:
        if not _may_be_empty(inputs, training):
            return call(self, inputs, training=training)
        import tensorflow as tf

        shape = tf.shape(inputs)
        missing = tf.maximum(1 - shape[0], 0)
        zeros = tf.zeros(tf.concat([[missing], shape[1:]], 0), inputs.dtype)
        token = _STANDS_IN.set(inputs.shape[0] == 0 or shape[0] == 0)
        try:
            outputs = call(self, tf.concat([inputs, zeros], 0), training=training)
        finally:
            _STANDS_IN.reset(token)
        return keras.tree.map_structure(lambda y: y[: shape[0]], outputs)

    return of_any_batch
