"""`rematerialize`: a layer whose inside the backward pass computes again in place of keeping it."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def rematerialize(layer: Any, inputs: Any, caller: Any) -> Any:
    """The output of a layer in training, for which nothing inside of it is kept.

    Keras' `RematScope` runs a layer's `call` twice, which counts statistics twice and draws other
    random numbers. Here the layer is a function of its arguments alone, and what it changes is
    assigned after it.

    Args:
        layer: A built layer of one input.
        inputs: The input.
        caller: The layer that calls; it takes over the losses that arise inside.
    """
    trained, others = layer.trainable_variables, layer.non_trainable_variables

    def pure(x: Any, values: list[Any], states: list[Any]) -> Any:
        before = [
            ops.cast(value, variable.dtype) for variable, value in zip(others, states, strict=True)
        ]
        with keras.StatelessScope(collect_losses=True) as scope:
            for update in zip([*trained, *others], [*values, *before], strict=True):
                scope.add_update(update)
            y = layer(x, training=True)
            losses = list(scope.losses)
            layer._clear_losses()  # which would take a later loss with the same id for theirs
        after = [scope.get_current_value(variable) for variable in others]
        changes = enumerate(zip(before, after, strict=True))
        updates = {i: _passable(ops.stop_gradient(b)) for i, (a, b) in changes if b is not a}
        return y, losses, updates

    def call(x: Any) -> Any:
        values = [ops.convert_to_tensor(variable.value) for variable in trained]
        states = [_passable(ops.convert_to_tensor(variable.value)) for variable in others]
        return keras.remat(pure)(x, values, states)

    y, losses, updates = _InFullPrecision(call)(inputs)
    for i, value in updates.items():
        others[i].assign(ops.cast(value, others[i].dtype))
    if losses:
        caller.add_loss(losses)
    return y


class _InFullPrecision(keras.layers.Layer):
    """Calls a function that reads variables as they are, whatever the policy of its caller."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(autocast=False, dtype="float32", name="in_full_precision")
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)


def _passable(value: Any) -> Any:
    """Whole numbers, as those of seeds, as floats: TensorFlow takes gradients of all arguments."""
    floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    if floating or keras.backend.backend() != "tensorflow":
        return value
    return ops.cast(value, "float64")
