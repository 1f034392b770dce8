"""Identifiers: activations, initializers and regularizers in the form that a config can hold."""

import inspect
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


class Fixed(dict[str, Any]):
    """A config that cannot be changed, since a layer of it is made already."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "The config of an activation, an initializer or a regularizer must stay as it was "
            "given, since layers are made of it. Make another layer, and a network with it by "
            f"`model.replace`. Received: a change of {self!r}"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:  # copies and pickles would set items
        return type(self), (dict(self),)


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
        if is_function:
            own = _equal_of_keras(activation) or activation
            config = keras.activations.serialize(own)
            found = keras.activations.get(config)
            leads_back = _is_as_given(found, own)
        else:
            config = activation
            found = keras.activations.get(copied(config))
            leads_back = not _is_layer(found)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        leads_back = False
    if not leads_back:
        raise ValueError(message)
    if found is keras.activations.glu:
        raise ValueError(
            "`activation` must have an output for each channel; glu has one for two. "
            f"Received: activation={activation!r}"
        )
    if not _takes_one(found):
        raise ValueError(
            "`activation` must be a function of one tensor; a function of yours can give the other "
            f"arguments. Received: activation={activation!r}"
        )
    return _unshared(config)


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # which has no signature to be read
        return True
    return True


def _is_layer(found: Any) -> bool:
    """Whether it is what may have variables or a state, which no layer around it would keep."""
    return isinstance(found, (type, keras.Layer))


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
    """Fixed, without the mark that Keras adds to configs while it reads or writes a file."""
    if isinstance(config, dict):
        return _fixed({key: v for key, v in config.items() if key != "shared_object_id"})
    return config


def _fixed(value: Any) -> Any:
    if isinstance(value, dict):
        return Fixed({key: _fixed(item) for key, item in value.items()})
    return tuple(map(_fixed, value)) if isinstance(value, (list, tuple)) else value


def copied(identifier: Any) -> Any:
    """An identifier for a config, or for Keras: a copy that may be changed."""
    if isinstance(identifier, dict):
        return {key: copied(value) for key, value in identifier.items()}
    if isinstance(identifier, (list, tuple)):
        return [copied(value) for value in identifier]
    return identifier


def checked(name: str, value: Any, module: Any) -> Identifier:
    """A name, or the config of an object of a Keras `module`, checked to lead back to one."""
    try:
        identifier = value
        if isinstance(value, (str, dict, type(None))):
            leads_back = not _is_layer(module.get(copied(identifier)))
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
