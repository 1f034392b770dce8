"""What gets a model, its callbacks and `fit` to where a checkpoint was written."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers.training import states
from resnet_layers.training.fine_tuning import Unfreeze
from resnet_layers.training.states import State


def unfreeze(callbacks: Sequence[keras.callbacks.Callback], state: State) -> None:
    """Lets train what trained when the checkpoint was written."""
    epoch = state.epoch if state.step else state.epoch - 1
    for callback in callbacks:
        if isinstance(callback, Unfreeze) and epoch >= 0:
            callback.on_epoch_begin(epoch)


def remind(callbacks: Sequence[keras.callbacks.Callback], state: State) -> None:
    """Gives callbacks what they had noted."""
    left = list(state.callbacks)
    for callback in callbacks:
        noted = next((one for one in left if one[0] == type(callback).__name__), None)
        if noted:  # others are new
            left.remove(noted)
            for name, value in noted[1].items():
                setattr(callback, name, states.decoded(value, state.tensors))


class Skipping:
    """Lets `fit` count the steps that are done without doing them again.

    A `fit` for the rest of an epoch alone would begin and end, which callbacks and averages take
    for the begin and the end of a training.

    Args:
        model: That of `fit`, at the beginning of an epoch.
        state: Where it goes on, within that epoch.

    Attributes:
        state: That, which what it was taken from does not change any more.
        left: Steps that are not counted yet.
    """

    def __init__(self, model: Any, state: State) -> None:
        self.model, self.state = model, dataclasses.replace(state)
        self.left = state.step
        self._function, self._logs = model.train_function, dict[str, Any]()
        # On TensorFlow the first step makes the metrics.
        self._is_late = keras.backend.backend() == "tensorflow"
        if not self._is_late:
            self._restore()
        model.train_function = self._skip

    def _restore(self) -> None:
        states.given("metrics", self.model.metrics_variables, self.state.tensors)
        self._logs = self.model.get_metrics_result()  # by whose names Keras knows them

    def _skip(self, *arguments: Any) -> Any:
        self.left = max(self.left - self.model.steps_per_execution, 0)
        if not self.left:
            self.model.train_function = self._function
            if self._is_late:
                states.make_metrics(self.model, arguments[0].element_spec)
                self._restore()
        told = {} if self.left else self._logs
        return told if len(arguments) == 1 else (told, arguments[0])
