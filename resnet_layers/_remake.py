"""A model again with another config and the same weights."""

from collections.abc import Callable
from typing import Any

import keras

from resnet_layers._composite import children
from resnet_layers.model import ResNet

# Takes a class and the config of one of its layers; may change the config.
Change = Callable[[type, dict[str, Any]], None]
# Takes a layer and its successor; whether it has filled the successor's variables.
Fill = Callable[[Any, Any], bool]


def plain(model: Any) -> Any:
    """A `ResNet` of the same layers, for a model of a derived class that computes as it does."""
    if not isinstance(model, ResNet) or type(model).call is not ResNet.call:
        return model
    return ResNet(
        model.stem,
        model.stages,
        model.head,
        input_shape=model.input_shape,
        norm=model.norm,
        metadata=model.metadata,
        name=model.name,
    )


def remake(model: Any, change: Change, fill: Fill) -> Any:
    """A new model from the config of another one, with its weights.

    Args:
        model: A built Keras model; it stays as it is.
        change: Changes the config of each layer in it that has one.
        fill: Fills a layer whose variables are others than those of its predecessor.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or give it an input shape. "
            f"Received: model=<{type(model).__name__} '{model.name}'>"
        )
    classes: dict[str, type] = {}
    for layer in model._flatten_layers():
        classes[keras.saving.get_registered_name(type(layer))] = type(layer)
        classes[type(layer).__name__] = type(layer)

    def walk(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(walk(item) for item in value)
        if not isinstance(value, dict):
            return value
        value = {key: walk(item) for key, item in value.items()}
        made = classes.get(value.get("registered_name") or value.get("class_name", ""))
        if made is not None and isinstance(value.get("config"), dict):
            prepare(made, value["config"])
        return value

    def prepare(made: type, config: dict[str, Any]) -> None:
        config.pop("trainable_changes", None)  # `_transfer` tells which layers train
        change(made, config)

    config = walk(model.get_config())
    prepare(type(model), config)
    with keras.saving.CustomObjectScope(classes):
        successor = type(model).from_config(config)
    _transfer(model, successor, fill)
    return successor


def _transfer(layer: Any, successor: Any, fill: Fill) -> None:
    """Gives a layer and those in it the values of their predecessors, and lets as many train."""
    if type(successor).trainable is keras.Layer.trainable:
        successor.trainable = layer.trainable
    if fill(layer, successor):
        return
    for variable, value in zip(_own_variables(successor), _own_variables(layer), strict=True):
        variable.assign(value)
    for child, next_child in zip(children(layer), children(successor), strict=True):
        _transfer(child, next_child, fill)


def _own_variables(layer: Any) -> list[Any]:
    return layer._trainable_variables + layer._non_trainable_variables
