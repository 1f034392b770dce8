"""The config of a user's subclass of `ResNet`: the arguments of its own constructor."""

import inspect
from typing import Any

import keras

_PARTS = {"stem", "stages", "head"}


def constructor_config(
    model: Any, config: dict[str, Any], has_own_get_config: bool
) -> dict[str, Any]:
    """What the constructor of `model` takes, out of `config` and of its attributes.

    A subclass that makes its parts itself does not take them. Its own arguments are found in
    attributes of their names, unless it has a `get_config` that adds them.
    """
    parameters = inspect.signature(type(model).__init__).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    named = {
        parameter.name
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    } - {"self"}
    taken = named | {"frozen", "trainable"}  # these two are for `from_config`
    if inspect.Parameter.VAR_KEYWORD in kinds:
        positional = inspect.Parameter.VAR_POSITIONAL in kinds
        taken |= set(config) - (set() if positional else _PARTS)
    config = {key: value for key, value in config.items() if key in taken}
    if not has_own_get_config:
        config |= {name: _attribute(model, name) for name in named - set(config)}
    return config


def _attribute(model: Any, name: str) -> Any:
    value = getattr(model, name, model)  # the model stands for an attribute that is not there
    plain = None if value is model else keras.saving.serialize_keras_object(value)
    if value is model or (isinstance(plain, dict) and "class_name" in plain):
        raise NotImplementedError(
            f"`{type(model).__name__}` must keep its argument `{name}` in an attribute of that "
            "name, as a plain value, or return it from a `get_config` of its own"
        )
    return value
