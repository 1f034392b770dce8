"""`--config`: options from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from resnet_layers.shell.errors import InputError


def from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Gives the options that were not typed the values of the file that `--config` names.

    Raises:
        InputError: If the file cannot be read, or is no TOML.
    """
    for argument in arguments:
        if "--config" in argument.names and argument.tokens:
            path = Path(argument.tokens[-1].value)
            options = Dict(_read(path), use_commands_as_keys=False, source=str(path))
            options(app, commands, arguments)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The file '{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"The file '{path}' must be TOML: {error}") from None
