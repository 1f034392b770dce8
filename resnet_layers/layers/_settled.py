"""What a layer is made with stays: a file has the arguments of its constructor, and no others."""

import functools
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers._identifiers import Fixed

# What Keras lets be set at any time: its own files or its own checks follow.
_FREE = {"trainable", "name", "built", "input_spec", "supports_masking"}


def is_derived(cls: type) -> bool:
    """Whether somebody else's package has the class."""
    return cls.__module__.partition(".")[0] != __name__.partition(".")[0]


class Settled:
    """A layer whose public attributes cannot be set once its constructor is done.

    Its config would not have them, and part of what they once decided is decided already. The
    Keras layers that it is made of cannot refuse; what they were made with is noted, so that
    `check_inner` finds what was changed. A derived class may set what it adds.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _settles(cls, cls.__init__)  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_settled(name):
            raise self._refusal(name, f"{name}={value!r}")
        if name == "name":
            checks.scope(value)
        if isinstance(value, Fixed):  # of which Keras would keep a copy that can be changed
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_settled(name):
            raise self._refusal(name, f"del {name}")
        super().__delattr__(name)

    def _is_settled(self, name: str) -> bool:
        settled = vars(self).get("_settled")
        return settled is not None and name in settled.names

    def _refusal(self, name: str, received: str) -> AttributeError:
        return AttributeError(
            f"`{name}` of {type(self).__name__} '{self.name}' must be given when the layer is "  # type: ignore[attr-defined]
            "made, since its file and its copies have nothing else. Make another layer, and a "
            f"network with it by `model.replace`. Received: {received}"
        )


class _Names:
    """Names in an object that Keras' files do not look into."""

    def __init__(self, names: set[str]) -> None:
        self.names = names


class _Made:
    """The attributes of a Keras layer when it was made, out of sight of Keras' files."""

    def __init__(self, layer: Any) -> None:
        # With the values, so that no other object takes the identity of one.
        self.attributes = {n: (v, _contents(v)) for n, v in _attributes(layer).items()}


def _settles(cls: type, construct: Any) -> Any:
    """A constructor that settles the layer, once the outermost constructor is done."""
    ours = not is_derived(cls)  # what derived classes add is theirs
    of_class = _public(dir(cls)) if ours else set()

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        outermost = "_constructing" not in vars(self)
        if outermost:
            object.__setattr__(self, "_constructing", _Names(set()))
        construct(self, *args, **kwargs)
        if ours:
            self._constructing.names.update(_public(vars(self)), of_class)
            for layer in _inner(self):
                object.__setattr__(layer, "_made", None)
        if outermost:
            object.__setattr__(self, "_settled", _Names(self._constructing.names - _FREE))
            object.__delattr__(self, "_constructing")
            for layer in _inner(self):
                if "_made" in vars(layer):
                    object.__setattr__(layer, "_made", _Made(layer))

    __init__.__signature__ = inspect.signature(construct)  # type: ignore[attr-defined]
    return __init__


def check_inner(layer: Any) -> None:
    """Refuses a layer in which a Keras layer is not as it was made.

    Raises:
        ValueError: If an attribute was changed, or what a variable has beside its value, since a
            config of the layer does not have it.
    """
    for inner in _inner(layer):
        for name, value in itertools.islice(_changed(inner), 1):
            trains = name.endswith(".trainable")
            way = "make another layer, and a network with it by `model.replace`"
            raise ValueError(
                f"`{_path(layer, inner)}.{name}` must be what the layer was made with, since "
                f"files and copies of {type(layer).__name__} '{layer.name}' have nothing else. "
                f"Undo the change, or {'set `layer.trainable`' if trains else way}. "
                f"Received: {name}={value!r}"
            )


def _inner(layer: Any) -> Iterator[Any]:
    """The layers in it that are not settled themselves."""
    for inner in layer._flatten_layers(include_self=False):
        if not isinstance(inner, Settled):
            yield inner


def _changed(layer: Any) -> Iterator[tuple[str, Any]]:
    """The attributes that differ from those that the layer was made with, and their values."""
    made = vars(layer).get("_made")
    if made is None:  # somebody else's layer, which a config has as it is
        return
    now = _attributes(layer)
    for name, (before, contents) in made.attributes.items():
        if name not in now or not _same(before, contents, now[name]):
            yield name, getattr(layer, name, None)
    for name in now.keys() - made.attributes:
        if hasattr(type(layer), name):
            yield name, now[name]
    attributes = [id(value) for value in vars(layer).values()]
    for variable in layer._trainable_variables + layer._non_trainable_variables:
        if id(variable) not in attributes:
            yield variable.name, getattr(layer, variable.name, None)
    yield from _changed_of_variables(layer)


def _changed_of_variables(layer: Any) -> Iterator[tuple[str, Any]]:
    """What was set on variables, where the layer's own attributes say otherwise."""
    trained, others = layer._trainable_variables, layer._non_trainable_variables
    for variables, trains in ((trained, layer.trainable), (others, False)):
        for variable in variables:
            if variable.trainable != trains:
                yield f"{variable.name}.trainable", variable.trainable
            for kind in ("regularizer", "constraint"):
                now, made = getattr(variable, kind), getattr(layer, f"{variable.name}_{kind}", None)
                if not _same(made, _contents(made), now):
                    yield f"{variable.name}.{kind}", now


def _attributes(layer: Any) -> dict[str, Any]:
    names = _public(vars(layer)) - _FREE
    return {name: vars(layer)[name] for name in names} | {"dtype_policy": layer.dtype_policy}


def _same(before: Any, contents: Any, now: Any) -> bool:
    if isinstance(now, keras.Variable) and before is None:  # which building made
        return True
    return type(before) is type(now) and contents == _contents(now)


def _contents(value: Any) -> Any:
    """What differs once a value is another one, or was changed in place."""
    # The contents of the first two are no setting; those of a map change when it is asked.
    if isinstance(value, (keras.Variable, keras.Layer, keras.dtype_policies.DTypePolicyMap)):
        return id(value)
    try:
        # `HeUniform` and its like have numbers that their configs lack.
        numbers = [(name, n) for name, n in vars(value).items() if isinstance(n, float)]
        return repr((value.get_config(), numbers))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return repr(value)


def _public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def _path(layer: Any, inner: Any) -> str:
    """The names of the layers on the way."""
    for child in layer._flatten_layers(include_self=False, recursive=False):
        if child is inner:
            return f"{layer.name}/{inner.name}"
        if inner in child._flatten_layers(include_self=False):
            return f"{layer.name}/{_path(child, inner)}"
    return str(inner.name)
