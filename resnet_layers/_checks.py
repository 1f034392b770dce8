"""Argument checks: each returns the accepted value in its plain Python form."""

import json
import operator
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

import keras

# Sizes, strides and rates: one number for all spatial axes, or one for each.
IntOrPair = int | Sequence[int]


def integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """An integer of at least `minimum`; NumPy integers are accepted, booleans are not."""
    message = f"`{name}` must be {_wording(minimum)}. Received: {name}={value!r}"
    if isinstance(value, bool):
        raise TypeError(message)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if number < minimum:
        raise ValueError(message)
    return number


def _wording(minimum: int) -> str:
    return "a positive integer" if minimum == 1 else f"an integer of at least {minimum}"


def integers(name: str, values: Any) -> tuple[int, ...]:
    """A list of positive integers."""
    message = f"`{name}` must be a list of positive integers. Received: {name}={values!r}"
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(message)
    try:
        return tuple(integer(name, value) for value in values)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None


def int_or_pair(name: str, value: Any) -> int | tuple[int, int]:
    """A positive integer, or a pair of them (height, width)."""
    message = f"`{name}` must be a positive integer or a pair of them. Received: {name}={value!r}"
    try:
        if isinstance(value, (list, tuple)):
            height, width = value
            return (integer(name, height), integer(name, width))
        return integer(name, value)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """The same value for height and width."""
    return (value, value) if isinstance(value, int) else value


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    number = _number(name, value, "a number in [0, 1)")
    if not 0.0 <= number < 1.0:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    number = _number(name, value, "a positive number")
    if not 0.0 < number < float("inf"):
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")
    return number


def _number(name: str, value: Any, wording: str) -> float:
    message = f"`{name}` must be {wording}. Received: {name}={value!r}"
    if isinstance(value, (bool, str)):
        raise TypeError(message)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(message) from None


def boolean(name: str, value: Any) -> bool:
    """True or False, nothing that is merely truthy."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value


def choice(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """One of a few values, as it stands among them."""
    if not isinstance(value, (str, type(None))) or value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, allowed))}. Received: {name}={value!r}"
        )
    return allowed[allowed.index(value)]


def known_name(kind: str, value: str, names: Collection[str]) -> str:
    """A name from a table; the error lists the closest ones."""
    if not isinstance(value, str):
        raise TypeError(f"`{kind}` must be a name. Received: {kind}={value!r}")
    if value not in names:
        close = get_close_matches(value, names, n=5, cutoff=0.4) or sorted(names)
        raise ValueError(
            f"There is no {kind} of that name; close names: {', '.join(map(repr, close))}. "
            f"Received: {kind}={value!r}"
        )
    return value


def divisible(name: str, value: int, groups: int) -> None:
    """`value` channels can be divided among `groups`."""
    if value % groups:
        raise ValueError(
            f"`{name}` must be divisible by `groups`. Received: {name}={value}, groups={groups}"
        )


def image_shape(layer: Any, shape: Any) -> tuple[int | None, ...]:
    """(batch, height, width, channels) with known channels that suit a built `layer`."""
    known = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(known) != 4 or known[-1] is None or 0 in known[1:]:
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have 4 axes "
            "(batch, height, width, channels), none of them empty, and a known number of "
            f"channels. Received: input_shape={shape}"
        )
    shape = known
    expected = layer.input_spec.axes.get(-1) if layer.built and layer.input_spec else None
    if expected not in (None, shape[-1]):
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have the {expected} channels "
            f"that it was built for. Received: input_shape={shape}"
        )
    return shape


def layer(name: str, value: Any) -> Any:
    """A Keras layer, given as it is or as the config of one."""
    if isinstance(value, dict) and "class_name" in value:
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, keras.Layer):
        raise TypeError(
            f"`{name}` must be made of Keras 3 layers. "
            f"Received: {name}={value!r} (of type {type(value)})"
        )
    return value


def layers(name: str, values: Any) -> list[Any]:
    """At least one Keras layer."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise TypeError(
            f"`{name}` must be a list of at least one layer. Received: {name}={values!r}"
        )
    return [layer(name, value) for value in values]


def input_shape(value: Any) -> tuple[int | None, ...]:
    """(height, width, channels), with unknown sizes as `None`."""
    try:
        height, width, channels = value
        sizes = [None if size is None else integer("size", size) for size in (height, width)]
        return (*sizes, integer("channels", channels))
    except (TypeError, ValueError) as error:
        raise type(error)(
            "`input_shape` must be (height, width, channels), without the batch: positive "
            "integers, or None for any height or width. "
            f"Received: input_shape={value!r}"
        ) from None


def metadata(value: Any) -> dict[str, Any]:
    """A mapping as JSON would give it back."""
    try:
        plain = json.loads(json.dumps({} if value is None else value, allow_nan=False))
        return {str(key): plain[key] for key in plain.keys()}  # noqa: SIM118, refuses lists
    except (AttributeError, TypeError, ValueError):
        raise TypeError(
            f"`metadata` must be a mapping of what JSON can hold. Received: metadata={value!r}"
        ) from None
