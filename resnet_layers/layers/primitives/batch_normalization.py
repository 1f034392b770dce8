"""Keras' batch normalization, by TensorFlow's fused kernel where that gives the same numbers."""

from contextlib import nullcontext
from typing import Any

import keras
from keras import ops

from resnet_layers.layers._batches import in_xla, stands_in

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

    def add_weight(self, *args: Any, trainable: bool = True, **kwargs: Any) -> Any:
        if not trainable:  # statistics, which are one for all replicas
            kwargs["aggregation"] = "mean"
        return super().add_weight(*args, trainable=trainable, **kwargs)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        # Nothing can be learned from no pixels at all.
        trains = bool(training and self.trainable)
        trains = trains and 0 not in inputs.shape and stands_in() is not True
        if self._can_fuse(inputs, trains) and mask is None:
            return self._fused(inputs, trains)
        unknown = None in inputs.shape or stands_in() is not None
        if trains and unknown and self._is_plain() and mask is None:
            return self._composed(inputs)
        return super().call(inputs, training=trains, mask=mask)

    def _is_plain(self) -> bool:
        return self.scale and self.center and not (self.renorm or self.synchronized)

    def _can_fuse(self, inputs: Any, trains: bool) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        # XLA has no such kernel: its variance is mean(x²) - mean(x)², which can be negative.
        if in_xla():
            return False
        return (
            isinstance(inputs, tf.Tensor)
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            # The kernel has one dtype for input and output.
            and inputs.dtype.name == self.compute_dtype
            and (self.compute_dtype in _HALF or (trains and self.compute_dtype == "float32"))
            and self._is_plain()
        )

    def _composed(self, inputs: Any) -> Any:
        """A step of training as Keras computes it, for batches that may turn out to be empty."""
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        axes = [i for i in range(len(x.shape)) if i != self.axis % len(x.shape)]
        moments = self._learned(x, *ops.moments(x, axes, synchronized=False))
        gamma, beta = (ops.cast(v, x.dtype) for v in (self.gamma, self.beta))
        y = ops.batch_normalization(x, *moments, self.axis, beta, gamma, self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def _learned(self, x: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Moves the statistics towards those of a batch; an empty one has those that there are."""
        empty = stands_in()
        if empty is None and None in x.shape:
            empty = ops.equal(ops.prod(ops.stack(ops.shape(x))), 0)
        learned = []
        for variable, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept = ops.cast(variable, new.dtype)
            moved = kept * self.momentum + new * (1.0 - self.momentum)
            variable.assign(moved if empty is None else ops.where(empty, kept, moved))
            learned.append(new if empty is None else ops.where(empty, kept, new))
        return learned[0], learned[1]

    def _fused(self, x: Any, trains: bool) -> Any:
        import tensorflow as tf

        gamma, beta, moving_mean, moving_variance = (
            ops.cast(v, "float32")
            for v in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        # Nor may XLA take it into a cluster.
        with nullcontext() if tf.executing_eagerly() else tf.xla.experimental.jit_scope(False):
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
            self._learned(x, mean, tf.math.multiply_no_nan(variance, (n - 1) / n))
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
