"""What the tables of messages share: the wings, a row, and the law that a table is complete.

A wing's table is `ERRORS` in `tests/WING/test_messages.py`.
"""

import ast
import contextlib
import functools
import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import resnet_layers as rl

PACKAGE = Path(rl.__file__).parent
# A wing is a folder of the package, with the folders in it.
WINGS = (
    *("_support", "layers", "weights", "networks", "training", "serving", "analysis", "tuning"),
    "shell",
)
# Where a wing's tests are, if they are not in a folder of its name.
FOLDERS = {"_support": "package"}
# What only imports.
NAMES = ("__init__", "__main__")
ANY = "<anything>"  # for what others say or the machine decides: an address, a temporary folder

# What raises, the type of the error and its whole text.
Row = tuple[Callable[[], Any], type[BaseException], str]


class Raised(NamedTuple):
    """An error, and the lines that raised it and the errors that its text repeats."""

    kind: type[BaseException]
    text: str
    lines: frozenset[tuple[str, int]]


@functools.cache
def raised(call: Callable[[], Any]) -> Raised:
    """The error of a call, which is made once, in an empty folder of its own."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            call()
        except BaseException as error:
            said = [one for one in _chain(error) if str(one) and str(one) in str(error)]
            lines = [line for one in said for line in _raising_line(one)]
            return Raised(type(error), str(error), frozenset(lines))
    raise AssertionError("no error")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _raising_line(error: BaseException) -> list[tuple[str, int]]:
    """Module and line of the last frame in the package, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    return [(_module(Path(frame.filename)), frame.lineno or 0) for frame in own[-1:]]


def _module(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def check(row: Row) -> None:
    """The row's call raises an error of just that type and text, from within the package."""
    call, kind, text = row
    error = raised(call)
    assert error.kind is kind
    if ANY not in text:
        assert error.text == text
    assert re.fullmatch(re.escape(text).replace(re.escape(ANY), ".+"), error.text)
    assert error.lines


def ids(rows: Sequence[Row]) -> list[str]:
    """The beginnings and ends of the texts."""
    texts = [text.replace(ANY, "").replace("\n", " ") for _, _, text in rows]
    return [text if len(text) < 100 else f"{text[:50]}...{text[-46:]}" for text in texts]


def modules() -> dict[str, Path]:
    """All modules of the package, by their paths in it."""
    return {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def wing_of(module: str) -> str:
    """The folder of the package that a module is in."""
    return module.partition("/")[0]


def raises(path: Path) -> list[range]:
    """The lines of each statement that raises an error of its own.

    A bare `raise` passes one on, and `raise NotImplementedError` marks what a subclass must have.
    """
    return [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and ast.unparse(node.exc) != "NotImplementedError"
    ]


def missing(wing: str, rows: Sequence[Row]) -> list[str]:
    """The statements of a wing's modules that raise and are reached by no row."""
    seen = {line for call, _, _ in rows for line in raised(call).lines}
    return [
        f"{module}.py:{lines[0]}"
        for module, path in modules().items()
        if wing_of(module) == wing
        for lines in raises(path)
        if not any((module, line) in seen for line in lines)
    ]
