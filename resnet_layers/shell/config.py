"""Options from a TOML file: that of `--config`, or of the run that `--resume` goes on with."""

import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from resnet_layers._support import checks
from resnet_layers.shell.errors import InputError


def from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Gives the options that were not typed the values of the file that is named.

    Raises:
        InputError: If the file cannot be read, or is no TOML.
    """
    found = False
    for argument in arguments:
        if not argument.tokens or not {"--config", "--resume"} & set(argument.names):
            continue
        if found:
            raise InputError("`--config` must not come with `--resume`, which has its options")
        found = True
        path = Path(argument.tokens[-1].value)
        options = {}
        if "--resume" in argument.names:
            options = {"output": str(path)}  # wherever the folder is now
            if not (path / OF_THE_RUN).exists():
                raise InputError(f"There is no checkpoint in '{path}'")
            path = path / OF_THE_RUN
        options = {**_read(path), **options}
        if _written_for(path) == "train":  # before there were recipes it was like this one
            options.setdefault("recipe", "digits")
        names = {name for one in arguments for name in one.names} - {"--config"}
        known = [name.lstrip("-").replace("-", "_") for name in names]
        check(path, options, known, " ".join(commands))
        _check_kinds(path, options, arguments)
        Dict(options, use_commands_as_keys=False, source=str(path))(app, commands, arguments)


OF_THE_RUN = Path("checkpoints", "settings.toml")
UNWRITTEN = "is no UTF-8: type it"  # in the place of a name that TOML cannot hold
FREE = ("epochs", "output", "data", "devices")  # what may change where a run goes on


def check_resumed(folder: Path, mine: dict[str, Any], free: Sequence[str] = FREE) -> None:
    """Refuses options that are not those of the run that goes on.

    Raises:
        InputError: If there is one.
    """
    theirs = _read(folder / OF_THE_RUN)
    text = (folder / OF_THE_RUN).read_text(encoding="utf-8")
    for name in {**theirs, **mine}:
        unknown = f"# {name} {UNWRITTEN}" in text and not checks.is_utf8(str(mine.get(name)))
        if name not in free and not unknown and mine.get(name) != theirs.get(name):
            raise InputError(
                "`--resume` takes the options of its run; --epochs, --output, --data and "
                f"--devices alone may differ. Received: {name}={mine.get(name)!r}, in the run "
                f"{name}={theirs.get(name)!r}"
            )


def check(path: Path, options: dict[str, Any], names: Sequence[str], command: str) -> None:
    """Lets options through that the command has.

    Raises:
        InputError: If there is another one, or a table.
    """
    for name, value in options.items():
        if isinstance(value, dict):
            raise InputError(
                f"The file '{path}' must have its options outside of tables. Received: [{name}]"
            )
        if name.replace("-", "_") not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "."
            theirs = _written_for(path)
            if theirs not in ("", command):
                hint = f"; it was written for `{theirs}`."
            raise InputError(
                f"The file '{path}' must have options of `{command}` alone{hint} Received: {name}"
            )


def _written_for(path: Path) -> str:
    """The command that a run has named in the first line."""
    first = path.read_text(encoding="utf-8-sig").partition("\n")[0]
    found = re.match(r"# For `resnet-layers (\w+) ", first)
    return found[1] if found else ""


def _check_kinds(path: Path, options: dict[str, Any], arguments: ArgumentCollection) -> None:
    """Refuses values of another kind, which cyclopts would read as if they were typed."""
    for argument in arguments:
        kinds, what = _expected(argument.hint)
        for name, value in options.items():
            if f"--{name.replace('_', '-')}" in argument.names and type(value) not in kinds:
                raise InputError(
                    f"The file '{path}' must have {what} for `{name}`. Received: {name}={value!r}"
                )


def _expected(hint: Any) -> tuple[tuple[type, ...], str]:
    kinds = [kind for kind in get_args(hint) or [hint] if kind is not type(None)]
    if kinds == [bool]:
        return (bool,), "true or false"
    if kinds == [int]:
        return (int,), "an integer"
    if kinds == [float]:
        return (int, float), "a number"
    return (str,), "text in quotes"


def _read(path: Path) -> dict[str, Any]:
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may never end
        raise InputError(f"The file '{path}' cannot be read: Not a file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # as Windows writes it
    except OSError as error:
        raise InputError(f"The file '{path}' cannot be read: {error.strerror}") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"The file '{path}' must be TOML: {error}") from None
