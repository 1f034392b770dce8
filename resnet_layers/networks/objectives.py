"""Whether a loss fits what a network ends with, which no shape can tell."""

import inspect
import warnings
from typing import Any

import keras

_PROBABILITIES = ("softmax", "sigmoid")


def warn_of_logits(losses: Any, activation: str | None) -> None:
    """Warns of a loss for probabilities on logits, and of one for logits on probabilities.

    Keras' losses take probabilities unless they are told otherwise; on logits they train to
    something else without a word.

    Args:
        losses: As of `keras.Model.compile`.
        activation: As of `last_activation`.
    """
    if activation not in ("linear", *_PROBABILITIES):
        return
    gives_logits = activation not in _PROBABILITIES
    for loss in keras.tree.flatten(losses):
        takes_logits = _takes_logits(loss)
        if takes_logits is not None and takes_logits is not gives_logits:
            name = getattr(loss, "name", getattr(loss, "__name__", loss))
            given, taken = "probabilities", "logits"
            if gives_logits:
                given, taken = taken, given
            warnings.warn(
                f"The network returns {given} and the loss '{name}' takes {taken}: give a loss "
                f"with `from_logits={gives_logits}`, such as "
                f"`keras.losses.SparseCategoricalCrossentropy(from_logits={gives_logits})`",
                stacklevel=2,
            )


def _takes_logits(loss: Any) -> bool | None:
    """What a loss says about it; `None` for nothing."""
    try:
        loss = keras.losses.get(loss)
        if inspect.isfunction(loss):
            found = inspect.signature(loss).parameters["from_logits"].default
        else:
            found = loss.get_config()["from_logits"]
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError):
        return None
    return found if isinstance(found, bool) else None
