"""The commands by their names, and what a command says when it fails."""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence

from resnet_layers._support import signals
from resnet_layers._support.errors import DisagreementError
from resnet_layers.shell import convert, evaluate, export, listing, options, predict, train, tune
from resnet_layers.shell.errors import InputError

COMMANDS: dict[str, Callable[..., int]] = {
    "train": train.run,
    "tune": tune.run,
    "evaluate": evaluate.run,
    "predict": predict.run,
    "convert": convert.run,
    "export": export.run,
    "list": listing.run,
}


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
    chosen = vars(options.parser(COMMANDS).parse_args(arguments))
    command: Callable[..., int] = chosen.pop("command")
    try:
        with signals.as_interrupts():
            code = command(**chosen)
            if sys.stdout is not None:  # somebody may have closed it
                sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(2, str(error))
    except DisagreementError as error:
        return _fail(1, str(error))
    except KeyboardInterrupt:
        return _fail(130, signals.INTERRUPTED)
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _fail(code: int, sentence: str) -> int:
    print(f"resnet-layers: {sentence}", file=sys.stderr)  # noqa: T201
    return code
