"""Identifiers: activations, initializers and regularizers in the form that a config can hold."""

import sys
from typing import Any

import keras

# Functions of others that compute what Keras' activation of the same name does with its defaults.
# Some of that name do not, such as `jax.nn.gelu`, which is the approximate one.
_EQUAL = {
    "keras.ops": "celu elu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid "
    "log_softmax relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
    "sparse_sigmoid sparsemax squareplus tanh tanh_shrink",
    "tensorflow.nn": "elu gelu leaky_relu log_softmax relu relu6 selu sigmoid silu softmax "
    "softplus softsign tanh",
    "jax.nn": "celu elu hard_sigmoid hard_silu hard_tanh log_sigmoid log_softmax mish relu relu6 "
    "selu sigmoid silu softmax softplus sparse_plus sparse_sigmoid squareplus tanh",
}

# An initializer or a regularizer, as a config holds it.
Identifier = str | dict[str, Any] | None


def checked_activation(activation: Any) -> Any:
    """`None`, a name, or the config of a registered function: what a config can hold.

    A function is kept as what leads back to itself. Keras would keep any function by its name, and
    compute its own of that name after that.
    """
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
        if not is_function:
            keras.activations.get(activation)
            return _unshared(activation)
        own = _equal_of_keras(activation) or activation
        config = keras.activations.serialize(own)
        leads_back = _is_as_given(keras.activations.get(config), own)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        leads_back = False
    if not leads_back:
        raise ValueError(message)
    return _unshared(config)


def _is_as_given(again: Any, given: Any) -> bool:
    """Whether it is the same function, or an object of the same class, which has a config."""
    return again is given or (type(again) is type(given) and hasattr(given, "get_config"))


def _equal_of_keras(function: Any) -> Any:
    """Keras' activation that is the same as a function of another module, or `None`."""
    for place, names in _EQUAL.items():
        package, _, part = place.partition(".")
        # What is not imported has given nobody a function.
        module = getattr(sys.modules.get(package), part, None)
        for name in names.split():
            if getattr(module, name, None) is function:
                return getattr(keras.activations, name)
    return None


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
        identifier, leads_back = value, True
        if isinstance(value, (str, dict, type(None))):
            module.get(identifier)
        else:
            given = module.get(value)
            identifier = module.serialize(given)
            leads_back = _is_as_given(module.get(identifier), given)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        leads_back = False
    if not leads_back:
        raise ValueError(
            f"`{name}` must be a name, a config or an object that Keras can serialize. "
            f"Received: {name}={value!r}"
        )
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
