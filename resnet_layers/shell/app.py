"""Running a command: what it takes, and what is said when it fails."""

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from resnet_layers import __version__
from resnet_layers._support import checks, signals
from resnet_layers._support.errors import (
    DisagreementError,
    first_line,
    lacks_memory,
    lacks_space,
)
from resnet_layers.shell import commands, errors
from resnet_layers.shell.errors import InputError, printable

FAULT = 70  # EX_SOFTWARE of sysexits.h
BROKEN_PIPE = 141  # 128 and the number of SIGPIPE, which Windows has not
NO_SPACE = "There is no space left where the output goes"
OUT_OF_MEMORY = (
    "There was not enough memory: fewer images at a time, smaller images, or a smaller network "
    "take less"
)
NARROWEST = 20  # columns of a terminal that help is fitted into


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What stands behind the program's name; `None` takes it from the shell.

    Returns:
        The exit code: 0; 1 if a result could not be confirmed; 2 if something asked for cannot
        be done as it is asked; 70 after a fault of its own; 130 after Ctrl-C, 143 after SIGTERM,
        129 after SIGHUP.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names in any alphabet
    for name in ("COLUMNS", "LINES"):  # of which rich believes all that `isdigit` does
        value = os.environ.get(name, "")
        if value.isdigit() and not re.fullmatch("[1-9][0-9]{1,3}", value, re.ASCII):
            os.environ[name] = str(NARROWEST)
    code = _ended(sys.argv[1:] if arguments is None else list(arguments))
    others = sys.modules.get("resnet_layers.training.processes")
    if others and others.is_bound():  # for which JAX would wait, and then abort
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):  # closed, full, or none
                stream.flush()
        os._exit(code)
    return code


def _ended(tokens: list[str]) -> int:
    try:
        with signals.as_interrupts():
            code = _run(tokens)
            signals.check()
            if sys.stdout is not None:  # somebody may have closed it
                sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(2, _in_one_line(str(error), tokens))
    except DisagreementError as error:
        return _fail(1, _in_one_line(str(error), tokens))
    except KeyboardInterrupt as interrupt:
        return _fail(signals.exit_code(), str(interrupt) or signals.INTERRUPTED)
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit:  # as rich says the same of help
        return BROKEN_PIPE
    except Exception as error:
        if lacks_space(error):
            return _fail(2, NO_SPACE)
        if lacks_memory(error):
            return _fail(2, OUT_OF_MEMORY)
        if isinstance(error, OSError):
            return _fail(2, _said(error))
        return _fail(FAULT, _reported(error))


def _run(tokens: list[str]) -> int:
    if not tokens:
        print(commands.WELCOME)  # noqa: T201
        return 0
    if tokens[0] == "help":  # as git has it
        tokens = [*tokens[1:], "--help"]
    try:
        command, bound, _ = commands.app.parse_args(tokens, exit_on_error=False, print_error=False)
    except UnusedCliTokensError as error:
        unused = list(error.unused_tokens or ())
        folder = next((token for token in unused if Path(token).is_dir()), None)
        hint = f"; did you mean `--data {shlex.quote(folder)}`?" if folder else "."
        received = checks.some(unused, between=" ")
        return _fail(2, f"There is no place for what is left over{hint} Received: {received}")
    except (CycloptsError, TypeError, ValueError) as error:  # from the settings, too
        return _fail(2, " ".join(str(error).split("\n")))
    return command(*bound.args, **bound.kwargs) or 0


def _in_one_line(sentence: str, tokens: list[str]) -> str:
    """What was typed has no lines of its own in what is said."""
    for token in tokens:
        for typed in (token, token.partition("=")[2], str(Path(token))):
            if typed and printable(typed) != typed:
                sentence = sentence.replace(typed, printable(typed))
    return sentence


def _said(error: OSError) -> str:
    """What a system call was refused for."""
    where = "" if error.filename is None else f"'{error.filename}': "
    return f"The system refused: {where}{error.strerror or error}"


def _reported(error: Exception) -> str:
    """What is said of an error that nobody has thought of; its details go into a file."""
    what = f"A fault of resnet-layers itself: {type(error).__name__}: {first_line(error)}"
    details = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="resnet-layers-",
            suffix=".txt",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",  # of names that are no UTF-8
        ) as file:
            file.write(f"resnet-layers {__version__}: {shlex.join(sys.argv)}\n\n{details}")
    except OSError:  # there is no space for it
        return f"{what}. Please report it in the issues of its repository"
    return f"{what}. Please report it in the issues of its repository, with '{file.name}'"


def _fail(code: int, sentence: str) -> int:
    errors.say(sentence)
    return code
