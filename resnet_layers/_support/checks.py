"""Argument checks: each returns the accepted value in its plain Python form."""

import itertools
import json
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

# Sizes, strides and rates: one number for all pixel axes, or one for each.
IntOrInts = int | Sequence[int]


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


def seed(value: Any, bits: int = 32) -> int:
    """A whole number that seeds take, below two to the power of `bits`."""
    if integer("seed", value, minimum=0) >= 2**bits:
        raise ValueError(f"`seed` must be below 2**{bits}. Received: seed={value}")
    return operator.index(value)


def epochs(value: Any) -> int:
    """A number of epochs, at most a million."""
    if integer("epochs", value) > 10**6:
        raise ValueError(f"`epochs` must be at most 1000000. Received: epochs={value}")
    return operator.index(value)


def fits(shape: Sequence[int | None], known: Sequence[int | None]) -> bool:
    """Whether a shape is one of those that a known one allows, where `None` is any size."""
    return len(shape) == len(known) and all(
        allowed in (None, size) for size, allowed in zip(shape, known, strict=True)
    )


def integers(name: str, values: Any) -> tuple[int, ...]:
    """A list of positive integers."""
    message = f"`{name}` must be a list of positive integers. Received: {name}={values!r}"
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(message)
    try:
        return tuple(integer(name, value) for value in values)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None


def _one_each(name: str, values: Any, count: int) -> None:
    message = (
        f"`{name}` must have one value for each of {count} blocks. Received: {name}={values!r}"
    )
    if not isinstance(values, (list, tuple)):
        raise TypeError(message)
    if len(values) != count:
        raise ValueError(message)


def widths(name: str, values: Any, count: int) -> tuple[tuple[int, ...] | None, ...] | None:
    """For each block a list of positive integers or `None`; or `None` for all."""
    if values is None:
        return None
    _one_each(name, values, count)
    return tuple(None if value is None else integers(name, value) for value in values)


def fractions(name: str, values: Any, count: int) -> float | tuple[float, ...]:
    """A number in [0, 1), or one for each block."""
    if not isinstance(values, (list, tuple)):
        return fraction(name, values)
    _one_each(name, values, count)
    return tuple(fraction(name, value) for value in values)


def sizes(name: str, value: Any, rank: int) -> int | tuple[int, ...]:
    """A positive integer, or one for each of `rank` pixel axes."""
    wording = {1: "a list of one", 2: "a pair of them", 3: "three of them"}[rank]
    message = f"`{name}` must be a positive integer or {wording}. Received: {name}={value!r}"
    try:
        if not isinstance(value, (list, tuple)):
            return integer(name, value)
        numbers = tuple(integer(name, number) for number in value)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None
    if len(numbers) != rank:
        raise ValueError(message)
    return numbers


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    number = _number(name, value, "a number in [0, 1)")
    if not 0.0 <= number < 1.0:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {name}={value!r}")
    return number


def inside(name: str, value: Any) -> float:
    """A number in (0, 1)."""
    number = _number(name, value, "a number in (0, 1)")
    if not 0.0 < number < 1.0:
        raise ValueError(f"`{name}` must be a number in (0, 1). Received: {name}={value!r}")
    return number


def share(name: str, value: Any) -> float:
    """A number in (0, 1]."""
    number = _number(name, value, "a number in (0, 1]")
    if not 0.0 < number <= 1.0:
        raise ValueError(f"`{name}` must be a number in (0, 1]. Received: {name}={value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    number = _number(name, value, "a positive number")
    if not 0.0 < number < float("inf"):
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")
    return number


def not_negative(name: str, value: Any) -> float:
    """A finite number of at least zero."""
    number = _number(name, value, "a number of at least 0")
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"`{name}` must be a number of at least 0. Received: {name}={value!r}")
    return number


def finite(name: str, value: Any) -> float:
    """A finite number."""
    number = _number(name, value, "a finite number")
    if not abs(number) < float("inf"):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return number


def three(name: str, values: Any, check: Callable[[str, Any], float]) -> tuple[float, float, float]:
    """A number for each of red, green and blue."""
    message = f"`{name}` must be three numbers"
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{message}. Received: {name}={values!r}")
    if len(values) != 3:
        raise ValueError(f"{message}. Received: {name}={values!r}")
    red, green, blue = (check(name, value) for value in values)
    return (red, green, blue)


def _number(name: str, value: Any, wording: str) -> float:
    message = f"`{name}` must be {wording}. Received: {name}={value!r}"
    if isinstance(value, (bool, str)):
        raise TypeError(message)
    try:
        return float(value)
    except OverflowError:  # of an integer
        raise ValueError(message) from None
    except (TypeError, ValueError):
        raise TypeError(message) from None


def boolean(name: str, value: Any) -> bool:
    """True or False, nothing that is merely truthy."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value


def choice(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """One of a few values, as it stands among them."""
    # Neither 1 for True nor an array, whose comparison is no answer.
    if not isinstance(value, (str, bool, int, type(None))) or not any(
        value == other and type(value) is type(other) for other in allowed
    ):
        raise ValueError(f"`{name}` must be one of {some(allowed)}. Received: {name}={value!r}")
    return allowed[allowed.index(value)]


FEW = 12  # names that a sentence can list


def known_name(kind: str, value: str, names: Collection[str]) -> str:
    """A name from a table; the error lists the closest ones, or all of a few."""
    if not isinstance(value, str):
        raise TypeError(f"`{kind}` must be a name. Received: {kind}={value!r}")
    if value not in names:
        close = get_close_matches(value, names, n=5, cutoff=0.4)
        if not close and len(names) <= FEW:
            close = sorted(names)
        hint = f"close names: {some(close)}"
        if not close:
            hint = f"no name of all {len(names)} is close, which `resnet-layers list` prints"
        raise ValueError(f"There is no {kind} of that name; {hint}. Received: {kind}={value!r}")
    return value


# What torchvision, timm and keras.applications call arguments that have another name here.
_ELSEWHERE = {
    **dict.fromkeys(("num_classes", "n_classes"), "`classes`"),
    **dict.fromkeys(("weights", "pretrained"), "a tag of `ResNet.from_pretrained`"),
    **dict.fromkeys(("in_channels", "in_chans"), "the last number of `input_shape`"),
    **dict.fromkeys(("out_channels", "planes"), "`filters`"),
    **dict.fromkeys(("base_width", "width_per_group"), "`group_width`"),
    "include_top": "`head=None`, for a network without its classifier",
    "stride": "`strides`",
    "dilation": "`dilation_rate`",
    "bias": "`use_bias`",
    "layers": "`blocks`",
    "cardinality": "`groups`",
    "drop_path_rate": "`drop_path`",
    "drop_rate": "`dropout` of the head",
    "global_pool": "`pooling` of the head",
    "act_layer": "`activation`",
    "norm_layer": "`normalization`",
    **dict.fromkeys(("norm_groups", "num_groups"), "`normalization='group'`, which has 32 groups"),
    **dict.fromkeys(("rd_ratio", "rd_channels"), "`attention_ratio`, a share of the channels"),
    "zero_init_residual": "`zero_init_last`",
    "replace_stride_with_dilation": "`output_stride`",
}


def own_names(given: Mapping[str, Any]) -> None:
    """Refuses arguments by the names that other libraries have for them."""
    for name in given:
        if name in _ELSEWHERE:
            raise TypeError(
                f"`{name}` must be given as {_ELSEWHERE[name]}. Received: {name}={given[name]!r}"
            )


def scope(name: Any, *, outermost: bool = False) -> None:
    """Refuses a layer's name that is none of TensorFlow's scopes: `fit` and `predict` would fail.

    Args:
        name: Of a layer.
        outermost: Whether nothing is around the layer.
    """
    known = "([A-Za-z0-9.][A-Za-z0-9_.>-]*)?" if outermost else "[A-Za-z0-9_.>-]*"
    if not re.fullmatch(known, str(name)):
        first = ", and begin with a letter, a digit or `.`" if outermost else ""
        raise ValueError(
            "`name` must be made of letters from a to z, digits, and `_`, `.`, `-` and `>`"
            f"{first}, since TensorFlow names scopes after it. Received: name={name!r}"
        )


def are_distinct_names(value: Any) -> bool:
    """Whether something is a list of texts, one at least, no two of them equal and none empty."""
    texts = (
        isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)
    )
    return bool(texts) and len(set(value)) == len(value)


def is_utf8(text: str) -> bool:
    """Whether a text can be written: names of files may hold other bytes."""
    return text == text.encode(errors="ignore").decode()


MOST_NAMED = 10  # things of a kind in one message


def some(names: Collection[Any], shown: Callable[[Any], str] = repr, between: str = ", ") -> str:
    """Names for a sentence or its lines, and how many more there are."""
    first = map(shown, itertools.islice(names, MOST_NAMED))
    more = len(names) - MOST_NAMED
    last = f"{between if between.isspace() else ' '}and {more} more" if more > 0 else ""
    return between.join(first) + last


def divisible(name: str, value: int, divisor: int, by: str = "groups") -> None:
    """`value` channels can be divided by an argument called `by`."""
    if value % divisor:
        raise ValueError(
            f"`{name}` must be divisible by `{by}`. Received: {name}={value}, {by}={divisor}"
        )


def metadata(value: Any) -> dict[str, Any]:
    """A mapping as JSON would give it back."""
    try:
        plain = json.loads(json.dumps({} if value is None else value, allow_nan=False))
        return {str(key): plain[key] for key in plain.keys()}  # noqa: SIM118, refuses lists
    except (AttributeError, TypeError, ValueError):
        raise TypeError(
            f"`metadata` must be a mapping of what JSON can hold. Received: metadata={value!r}"
        ) from None
