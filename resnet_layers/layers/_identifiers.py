"""Identifiers: activations, initializers and regularizers in the form that a config can hold."""

from typing import Any

import keras

# An initializer or a regularizer, as a config holds it.
Identifier = str | dict[str, Any] | None


def checked_activation(activation: Any) -> Any:
    """`None`, a name, or the config of a registered function: what a config can hold."""
    if activation is None:
        return None
    message = (
        "`activation` must be None, a name that Keras knows, or a function registered with "
        f"`keras.saving.register_keras_serializable`. Received: activation={activation!r}"
    )
    is_function = callable(activation) and not isinstance(activation, (type, keras.Layer))
    if not (isinstance(activation, (str, dict)) or is_function):
        raise TypeError(message)
    if getattr(activation, "__name__", "") == "<lambda>":  # Keras would store its byte code
        raise ValueError(message)
    try:
        config = activation
        if is_function:
            config = keras.activations.serialize(activation)
        keras.activations.get(config)
    except (TypeError, ValueError):
        raise ValueError(message) from None
    return _unshared(config)


def seed_of(initializer: Identifier) -> Any:
    """The seed in an initializer's config, if there is one."""
    config = initializer.get("config") if isinstance(initializer, dict) else None
    return config.get("seed") if isinstance(config, dict) else None  # a function has a name there


def _unshared(config: Any) -> Any:
    """A copy without the mark that Keras adds to configs while it reads or writes a file."""
    if isinstance(config, dict):
        return {key: untracked(value) for key, value in config.items() if key != "shared_object_id"}
    return config


def untracked(identifier: Any) -> Any:
    """An identifier for a config: Keras turns a dict in an attribute into a tracked one."""
    if isinstance(identifier, dict):
        return {key: untracked(value) for key, value in identifier.items()}
    if isinstance(identifier, list):
        return [untracked(value) for value in identifier]
    return identifier


def checked(name: str, value: Any, module: Any) -> Identifier:
    """A name, or the config of an object of a Keras `module`, checked to lead back to one."""
    try:
        identifier = value
        if not isinstance(value, (str, dict, type(None))):
            identifier = module.serialize(module.get(value))
        module.get(identifier)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"`{name}` must be a name, a config or an object that Keras can serialize. "
            f"Received: {name}={value!r}"
        ) from None
    return _unshared(identifier)


def checked_initializer(value: Any) -> Identifier:
    """An initializer whose seed, if it has one, is an integer."""
    if value is None:
        raise ValueError(
            "`kernel_initializer` must be a name, a config or an object that Keras can serialize. "
            "Received: kernel_initializer=None"
        )
    identifier = checked("kernel_initializer", value, keras.initializers)
    if not isinstance(seed_of(identifier), (int, type(None))):
        raise ValueError(
            "The seed of `kernel_initializer` must be an integer or None. "
            f"Received: kernel_initializer={value!r}"
        )
    return identifier
