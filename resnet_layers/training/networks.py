"""The network of a training: as it is written down, and as `load_network` reads it again."""

import json
import os
from pathlib import Path
from typing import Any

import keras

from resnet_layers._support.errors import first_line
from resnet_layers.layers.head import last_activation
from resnet_layers.networks.model import ResNet
from resnet_layers.training import states
from resnet_layers.training.checkpoint_files import read
from resnet_layers.training.fine_tuning import set_trainable
from resnet_layers.training.states import CheckpointError, State, check_same

# What a config has besides that by which a network computes; seeds are variables.
_BESIDES = ("name", "trainable", "metadata", "seed", "synchronized", "build_config")


def load_network(path: str | os.PathLike[str]) -> ResNet:
    """The network of a checkpoint as it was when that was written, not compiled.

    It may have been written with other versions, and on another backend. All its parts train. Where
    images had several classes in `train`, it ends in a sigmoid. Its weights are those that the next
    step would have begun with, not their averages.

    Args:
        path: A file that `Checkpoint` has written, of a `ResNet`.

    Raises:
        CheckpointError: If the file is no whole checkpoint, or one of another model.

    Example:

    >>> from resnet_layers import training
    >>> try:
    ...     network = training.load_network("run/epoch-00003-step-0000000.safetensors")
    ... except ValueError as error:
    ...     print(error)
    'run/epoch-00003-step-0000000.safetensors' cannot be read: No such file or directory
    """
    state = read(Path(path), of_same_versions=False)
    model = network_of(state)
    if model is None:
        raise CheckpointError(f"The checkpoint must be of a ResNet. Received: '{path}'")
    states.given("model", model.variables, state.tensors)
    set_trainable(model, True)
    several = state.options.get("training", {}).get("several", False)
    return written(model, several=several)


def network_of(state: State) -> ResNet | None:
    """The network that a checkpoint is of, with weights of its own; `None` of other models.

    Raises:
        CheckpointError: If Keras cannot make it.
    """
    if state.network is None:
        return None
    try:
        model: ResNet = keras.saving.deserialize_keras_object(state.network)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"The network of the checkpoint cannot be made: {first_line(error)}"
        ) from None
    return model


def written(model: ResNet, *, several: bool) -> ResNet:
    """A copy of the same parts, which is not compiled, as it is written and used.

    Where images have several classes it ends in a sigmoid, which tells it from the others; it is
    trained on logits, whose loss is exact where probabilities are rounded to 1.
    """
    network = model.replace()
    if not several or last_activation(network) == "sigmoid":
        return network
    head: Any = network.head
    config = {**head.get_config(), "activation": "sigmoid"}
    network = network.replace(head=type(head).from_config(config))
    logistic: Any = network.head
    logistic.set_weights(head.get_weights())
    return network


def described(model: Any) -> dict[str, Any] | None:
    """The config of a network, as JSON takes it; `None` of other models."""
    if not isinstance(model, ResNet):
        return None
    try:
        # Of a copy that is not compiled, since others' optimizers may have no config.
        found: dict[str, Any] = keras.saving.serialize_keras_object(model.replace())
        found = json.loads(json.dumps(found))  # which has no tuples
    except (NotImplementedError, TypeError, ValueError):
        return None
    return found


def check_equal(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Says in what a network computes otherwise than that of a checkpoint, by their configs.

    Raises:
        CheckpointError: If it does.
    """
    check_same("network", _computing(mine), _computing(theirs))


def _computing(config: Any) -> Any:
    if isinstance(config, list):
        config = {str(i): one for i, one in enumerate(config)}
    if not isinstance(config, dict):
        return config
    return {key: _computing(one) for key, one in config.items() if key not in _BESIDES}
