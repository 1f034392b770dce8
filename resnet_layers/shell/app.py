"""Running a command: what it takes, and what is said when it fails."""

import errno
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from resnet_layers._support import signals
from resnet_layers._support.errors import DisagreementError
from resnet_layers.shell import commands, errors
from resnet_layers.shell.errors import InputError

BROKEN_PIPE = 141  # 128 and the number of SIGPIPE, which Windows has not
NARROWEST = 20  # columns of a terminal that help is fitted into


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What stands behind the program's name; `None` takes it from the shell.

    Returns:
        The exit code: 0; 1 if a result could not be confirmed; 2 if something asked for cannot
        be done as it is asked; 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names in any alphabet
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)  # rich never ends where there are none
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with signals.as_interrupts():
            code = _run(tokens)
            signals.check()
            if sys.stdout is not None:  # somebody may have closed it
                sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(2, str(error))
    except DisagreementError as error:
        return _fail(1, str(error))
    except KeyboardInterrupt as interrupt:
        return _fail(130, str(interrupt) or signals.INTERRUPTED)
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit:  # as rich says the same of help
        return BROKEN_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _fail(2, "There is no space left where the output goes")


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
        received = " ".join(map(repr, unused))
        return _fail(2, f"There is no place for what is left over{hint} Received: {received}")
    except (CycloptsError, TypeError, ValueError) as error:  # from the settings, too
        return _fail(2, " ".join(str(error).split("\n")))
    return command(*bound.args, **bound.kwargs) or 0


def _fail(code: int, sentence: str) -> int:
    errors.say(sentence)
    return code
