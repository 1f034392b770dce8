"""Keras' batch normalization, by TensorFlow's fused kernel where that gives the same numbers."""

from typing import Any

import keras
from keras import ops

_HALF = ("float16", "bfloat16")


@keras.saving.register_keras_serializable(package="resnet_layers")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalization, faster on TensorFlow.

    Keras composes it of element-wise operations. For images with channels last, this one calls
    TensorFlow's fused kernel in training, and in inference where the input has 16 bits. All else is
    Keras' own computation: inference in float32, what XLA compiles, other ranks, axes and backends.
    Arguments, variables and formulas are those of Keras' layer.

    Args:
        **kwargs: As of `keras.layers.BatchNormalization`.

    Input shape:
        `(batch, …, channels)`, or as `axis` says.

    Output shape:
        The input shape.

    Example:

    >>> BatchNormalization()(keras.ops.ones((1, 9, 9, 4)), training=True).shape
    TensorShape([1, 9, 9, 4])

    Reference:
        Ioffe and Szegedy, Batch Normalization, 2015, algorithms 1 and 2.
    """

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        trains = bool(training and self.trainable)
        if mask is not None or not self._can_fuse(inputs, trains):
            return super().call(inputs, training=training, mask=mask)
        return self._fused(inputs, trains)

    def _can_fuse(self, inputs: Any, trains: bool) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf
        from tensorflow.python.ops import control_flow_util

        # XLA has no such kernel: its variance is mean(x²) - mean(x)², which can be negative.
        if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
            return False
        return (
            isinstance(inputs, tf.Tensor)
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            # The kernel has one dtype for input and output.
            and inputs.dtype.name == self.compute_dtype
            and (self.compute_dtype in _HALF or (trains and self.compute_dtype == "float32"))
            and self.scale
            and self.center
            and not (self.renorm or self.synchronized)
        )

    def _fused(self, x: Any, trains: bool) -> Any:
        import tensorflow as tf

        gamma, beta, moving_mean, moving_variance = (
            ops.cast(v, "float32")
            for v in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        # `tf.nn`'s function of this name would raise an epsilon below 1.001e-5 to that.
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0) if trains else moving_mean,
            variance=tf.zeros(0) if trains else moving_variance,
            epsilon=self.epsilon,
            is_training=trains,
        )
        if trains:
            n = tf.cast(tf.reduce_prod(tf.shape(x, tf.int64)[:3]), "float32")
            # The kernel divides by n - 1, the formula by n.
            variance = tf.math.multiply_no_nan(variance, (n - 1) / n)
            kept = self.momentum
            self.moving_mean.assign(moving_mean * kept + mean * (1.0 - kept))
            self.moving_variance.assign(moving_variance * kept + variance * (1.0 - kept))
        return y


@keras.saving.register_keras_serializable(package="resnet_layers")
class FrozenBatchNormalization(BatchNormalization):
    """Batch normalization that never trains, whatever happens to the layers around it.

    Keras normalizes by moving statistics where a layer does not train.
    """

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Layer.trainable.fset(self, False)
