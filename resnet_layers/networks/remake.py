"""A model again with another config and the same weights."""

from collections.abc import Callable
from typing import Any

import keras

from resnet_layers.layers._composite import children
from resnet_layers.networks.model import ResNet, computes_as_parts

# Takes a class and the config of one of its layers; may change the config.
Change = Callable[[type, dict[str, Any]], None]
# Takes a layer and its successor; whether it has filled the successor's variables.
Fill = Callable[[Any, Any], bool]


def as_resnet(model: Any) -> Any:
    """A `ResNet` of the same layers, for a model of a derived class that computes as it does."""
    derived = isinstance(model, ResNet) and type(model) is not ResNet
    return model.replace() if derived and computes_as_parts(model) else model


def checked(model: Any) -> Any:
    """The model, if it is one that has been built."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or give it an input shape. "
            f"Received: model=<{type(model).__name__} '{model.name}'>"
        )
    return model


def remake(model: Any, change: Change, fill: Fill) -> Any:
    """A new model from the config of another one, with its weights.

    Args:
        model: A built Keras model; it stays as it is.
        change: Changes the config of each layer in it that has one.
        fill: Fills a layer whose variables are others than those of its predecessor.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, or if its config does not make its layers again.
    """
    checked(model)
    classes = {type(layer) for layer in model._flatten_layers()}
    by_name = {_name(made): made for made in classes}

    def walk(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(walk(item) for item in value)
        if not isinstance(value, dict):
            return value
        # Metadata may hold the configs of layers that are none of the model's.
        value = {key: item if key == "metadata" else walk(item) for key, item in value.items()}
        made = by_name.get(_name_in(value))
        if made is not None and _name(made)[0] not in ("", "keras"):
            value["registered_name"] = _scoped(made)
        if made is not None and isinstance(value.get("config"), dict):
            prepare(made, value["config"])
        return value

    def prepare(made: type, config: dict[str, Any]) -> None:
        config.pop("trainable_changes", None)  # `_transfer` tells which layers train
        change(made, config)

    config = walk(model.get_config())
    prepare(type(model), config)
    # Classes that are not registered get a name that is none of Keras' own.
    scope = {_scoped(made): made for made in classes if _name(made)[0] not in ("", "keras")}
    with keras.saving.CustomObjectScope(scope):
        successor = type(model).from_config(config)
    build_config = model.get_build_config()
    if build_config and not all(layer.built for layer in successor._flatten_layers()):
        successor.build_from_config(build_config)
    _transfer(model, successor, fill)
    return successor


def _name(made: type) -> tuple[str, str]:
    """What configs call a class: its registered name, or its module and its own."""
    registered = keras.saving.get_registered_name(made)
    return ("", registered) if ">" in registered else (_module(made.__module__), made.__name__)


def _name_in(value: dict[str, Any]) -> tuple[str, str]:
    registered = value.get("registered_name") or ""
    if ">" in registered:
        return ("", registered)
    return (_module(str(value.get("module"))), str(value.get("class_name")))


def _module(name: str) -> str:
    """The module; that of Keras' own classes has several names, and that of a script none."""
    if name == "__main__":
        return "None"
    return "keras" if name.partition(".")[0] == "keras" else name


def _scoped(made: type) -> str:
    return f"{made.__module__}>{made.__qualname__}"


def _transfer(layer: Any, successor: Any, fill: Fill) -> None:
    """Gives a layer and those in it the values of their predecessors, and lets as many train."""
    if type(successor).trainable is keras.Layer.trainable:
        successor.trainable = layer.trainable
    if fill(layer, successor):
        return
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    successor.load_own_variables(store)
    if len(children(layer)) != len(children(successor)):
        raise ValueError(
            "`model` must have configs that make its layers again. Received: "
            f"{type(layer).__name__} '{layer.name}' with {len(children(layer))} layers, "
            f"whose config makes {len(children(successor))}"
        )
    for child, next_child in zip(children(layer), children(successor), strict=True):
        _transfer(child, next_child, fill)
