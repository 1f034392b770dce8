"""Signals of a command: Ctrl-C and SIGTERM end it with one sentence and no unfinished file."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INTERRUPTED = "interrupted: no unfinished file is left behind"


class _StandardError:
    """Where `_end` writes its sentence."""

    descriptor = 2


def runs_command() -> bool:
    """Whether this process was started as `python -m resnet_layers` or as `resnet-layers`."""
    options = iter(sys.orig_argv[1:])
    for option in options:
        if option == "-m":
            return next(options, "") == "resnet_layers"
        if option in ("-W", "-X", "--check-hash-based-pycs"):
            next(options, "")  # its value
        elif not option.startswith("-") or option == "-c":
            break  # what comes now is the program's
    return Path(sys.argv[0] if sys.argv else "").stem == "resnet-layers"


def end_while_importing() -> None:
    """Lets Ctrl-C and SIGTERM end the process at once, until `as_interrupts` takes over.

    Importing Keras takes seconds, in which nothing is open that would have to be closed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """The same around an import within a command: what is half imported cannot be left in order."""
    if threading.current_thread() is not threading.main_thread() or not runs_command():
        yield
        return
    previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    end_while_importing()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Without what C++ writes to standard error; the sentence of `_end` is still seen."""
    try:
        kept = os.dup(2)
    except OSError:  # somebody has closed it
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    _StandardError.descriptor = kept
    try:
        yield
    finally:
        _StandardError.descriptor = 2
        os.dup2(kept, 2)
        os.close(kept)


def _end(number: int, frame: Any) -> None:
    os.write(_StandardError.descriptor, f"resnet-layers: {INTERRUPTED}\n".encode())
    os._exit(130)


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Lets both raise KeyboardInterrupt, so that unfinished files are removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    if previous[signal.SIGINT] is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
