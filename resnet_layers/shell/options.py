"""How options are read from a command line, and under which head its help has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import CoercionError, Group, Parameter, Token

IMAGES = Parameter(group=Group("Images", sort_key=1))
NETWORK = Parameter(group=Group("Network", sort_key=2))
TRAINING = Parameter(group=Group("Training", sort_key=3))
OUTPUT = Parameter(group=Group("Output", sort_key=4))


def _integer(kind: Any, tokens: Sequence[Token]) -> int:
    """An integer as it is written; cyclopts would round."""
    return _integers(kind, tokens)[0]


def _integers(kind: Any, tokens: Sequence[Token]) -> list[int]:
    for token in tokens:
        try:
            int(token.value)
        except ValueError:
            raise CoercionError(msg=f"{token.value!r} is no integer", token=token) from None
    return [int(token.value) for token in tokens]


def _path(kind: Any, tokens: Sequence[Token]) -> Path:
    """A path that has a name: an empty one would be the folder that one is in."""
    if not tokens[0].value or "\0" in tokens[0].value:
        raise CoercionError(msg=f"{tokens[0].value!r} is no path", token=tokens[0])
    return Path(tokens[0].value)


INTEGER = Parameter(converter=_integer)
INTEGERS = Parameter(converter=_integers, consume_multiple=True)
PATH = Parameter(converter=_path)
FLAG = Parameter(show_default=False)
EITHER = Parameter(negative=None, negative_bool="no-", show_default=False)
THE_RECIPES: Any = None  # filled in with what the recipe says
