"""Keras' optimizers, with a weight decay as published, and the same after a file."""

from typing import Any

import keras
from keras import ops


class _Sparing:
    """Excludes from weight decay what is no kernel: scales, offsets and biases are vectors.

    Keras keeps what was excluded in no config, so that a reloaded optimizer would decay all.
    """

    def exclude_from_weight_decay(self: Any, *args: Any, **kwargs: Any) -> None:
        self._excluded_by_user = True
        super().exclude_from_weight_decay(*args, **kwargs)  # type: ignore[misc]

    def build(self: Any, variables: Any) -> None:
        if not self.built and not vars(self).get("_excluded_by_user"):
            vectors = [variable for variable in variables if len(variable.shape) < 2]
            super().exclude_from_weight_decay(var_list=vectors)  # type: ignore[misc]
        super().build(variables)  # type: ignore[misc]


def _sparing(kind: Any) -> Any:
    doc = f"Keras' {kind.__name__}, whose weight decay spares normalization and biases."
    made = type(kind.__name__, (_Sparing, kind), {"__module__": __name__, "__doc__": doc})
    return keras.saving.register_keras_serializable(package="resnet_layers")(made)


SGD = _sparing(keras.optimizers.SGD)
AdamW = _sparing(keras.optimizers.AdamW)
Adam = _sparing(keras.optimizers.Adam)
Nadam = _sparing(keras.optimizers.Nadam)
RMSprop = _sparing(keras.optimizers.RMSprop)
Lion = _sparing(keras.optimizers.Lion)


@keras.saving.register_keras_serializable(package="resnet_layers")
class Lamb(_Sparing, keras.optimizers.Lamb):
    r"""LAMB, whose weight decay is a part of the step.

    \[w \leftarrow w - \eta \frac{\lVert w \rVert}{\lVert u \rVert} u, \qquad
    u = \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda w\]

    You et al., 2020, Large batch optimization for deep learning, algorithm 2. Keras' takes
    \(\eta \lambda w\) away besides, which is many times as much, since kernels are short beside
    \(u\). What has no decay takes \(\eta u\) itself as its step, as in timm, whose numbers
    these are.
    """

    def _apply_weight_decay(self, variables: Any) -> None:
        pass  # the step has it

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes the step for one variable."""
        rate, gradient, steps = (
            ops.cast(value, variable.dtype)
            for value in (learning_rate, gradient, self.iterations + 1)
        )
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        unbiased = mean / (1 - ops.power(ops.cast(self.beta_1, variable.dtype), steps))
        variance = square / (1 - ops.power(ops.cast(self.beta_2, variable.dtype), steps))
        update = unbiased / (ops.sqrt(variance) + self.epsilon)
        if self.weight_decay and self._use_weight_decay(variable):
            update += self.weight_decay * variable
            length, step = ops.norm(ops.ravel(variable)), ops.norm(ops.ravel(update))
            known = ops.logical_and(length > 0, step > 0)
            update *= ops.where(known, length / ops.where(known, step, 1), 1)
        self.assign_sub(variable, rate * update)
