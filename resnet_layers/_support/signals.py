"""Signals of a command: Ctrl-C and SIGTERM end it with one sentence and no unfinished file."""

import _thread
import contextlib
import functools
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

INTERRUPTED = "interrupted: no unfinished file is left behind"
ENDED_AT_ONCE = "interrupted again: ended at once; the next run removes what is unfinished"
# SIGHUP is a terminal that was closed; Windows has none.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
SHELL = 128  # which shells add the number of a signal to
AGAIN = 0.05  # seconds after which an exception that was swallowed is raised again
WRITING = 1.0  # seconds that the last sentence may take


class _StandardError:
    """Where `_end` writes its sentence."""

    descriptor = 2


class _Received:
    """The signal that asks this command to end, or 0, and what raises it again."""

    number = 0
    last = 0  # of the command before, whose exit code it decides
    timer: threading.Timer | None = None
    repeated = False  # whether the next one is ours
    ours = 0  # how many were
    ending = threading.Lock()  # of who says so


def runs_command() -> bool:
    """Whether this process was started as `python -m resnet_layers` or as `resnet-layers`."""
    options = iter(sys.orig_argv[1:])
    for option in options:
        if option == "--check-hash-based-pycs":
            next(options, "")  # its value
        elif found := re.fullmatch(r"-[^-mcWX]*([mcWX])(.*)", option):
            letter, value = found.groups()
            value = value or next(options, "")
            if letter == "m":
                return value == "resnet_layers"
            if letter == "c":
                break
        elif not option.startswith("-"):
            break  # what comes now is the program's
    return Path(sys.argv[0] if sys.argv else "").stem == "resnet-layers"


def end_while_importing() -> None:
    """Lets Ctrl-C and SIGTERM end the process at once, until `as_interrupts` takes over.

    Importing Keras takes seconds, in which nothing is open that would have to be closed.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def ignore_when_over() -> None:
    """Lets a command that is over end by itself.

    Python gives signals back to the system while it ends, which would end the process without a
    word and with another exit code, though everything is done.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """The same around an import within a command: what is half imported cannot be left in order."""
    if threading.current_thread() is not threading.main_thread() or not runs_command():
        yield
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
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
    before = _StandardError.descriptor
    try:
        _StandardError.descriptor = kept
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        _StandardError.descriptor = before
        os.close(kept)


def _end(number: int, frame: Any, sentence: str = INTERRUPTED) -> None:
    # Nobody gives it back: while another thread says it and ends the process, this one waits.
    if _Received.ending.acquire(timeout=WRITING):
        with contextlib.suppress(OSError):  # nobody can read it
            os.write(_StandardError.descriptor, f"resnet-layers: {sentence}\n".encode())
    os._exit(SHELL + number)


def exit_code() -> int:
    """What a shell says of a program that the signal has ended: 130 after Ctrl-C."""
    return SHELL + (_Received.last or signal.SIGINT)


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Lets them raise KeyboardInterrupt, so that unfinished files are removed on the way out.

    A second one ends the process at once.

    Python drops an exception that reaches it inside of a finalizer or a weak reference's callback,
    as TensorFlow and JAX have many: it is raised again then, a moment later. Where other code has
    swallowed it, `check` finds it. What a library says of being left half-way, since `with` is not
    over at once, is neither the command's error nor worth a line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    ours = (_end, signal.default_int_handler, signal.SIG_DFL)
    previous = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) in ours}
    _Received.repeated, _Received.ours = False, 0
    _Received.ending = threading.Lock()
    for number in previous:
        signal.signal(number, _interrupt)
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_raise_again, hook)
    try:
        with _watched():
            yield
    except BaseException as error:
        if not _Received.number:
            raise
        _close(error)
        said = str(error) if isinstance(error, KeyboardInterrupt) else ""
        raise KeyboardInterrupt(said or INTERRUPTED) from None
    finally:
        if _Received.timer:
            _Received.timer.cancel()
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)
        # A program that goes on after the command is not asked to end.
        _Received.last, _Received.number = _Received.number, 0


def check() -> None:
    """Raises KeyboardInterrupt if a signal has asked for it and the process still goes on."""
    if _Received.number:
        raise KeyboardInterrupt(INTERRUPTED)


def _interrupt(number: int, frame: Any) -> None:
    if _Received.number and not _Received.repeated:
        _end(number, frame, ENDED_AT_ONCE)
    _Received.number, _Received.repeated = number, False
    raise KeyboardInterrupt(INTERRUPTED)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Ends the process at the second signal also while a library does not return to Python.

    Python's handlers wait for that, and two signals of a kind are one for them.
    """
    if os.name != "posix":  # where only sockets can be told of signals
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(read, _Received.ending), daemon=True)
    try:
        thread.start()
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)
        thread.join(AGAIN)  # it has nothing left to read


def _watch(read: int, command: threading.Lock) -> None:
    seen = 0
    while number := os.read(read, 1):
        if number[0] in SIGNALS and _raises(number[0]):
            seen += 1
            if seen - _Received.ours > 1 and _Received.ending is command:
                _end(number[0], None, ENDED_AT_ONCE)
    os.close(read)


class Deferred:
    """Holds the first signal that would end the process back until `act`.

    A second one acts at once, and so does one that comes when nobody would call `act`.

    Args:
        asks: Whether somebody will, in a frame of Python.
    """

    def __init__(self, asks: Callable[[Any], bool]) -> None:
        self.asks, self.number, self.holds = asks, 0, False
        self.previous: dict[int, Any] = {}

    def begin(self, without: Collection[int] = ()) -> None:
        """Takes over those signals that are not ignored, in the main thread.

        Args:
            without: Those that somebody else holds back.
        """
        if self.holds or threading.current_thread() is not threading.main_thread():
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self.previous = {
            number: handler
            for number, handler in handlers.items()
            if handler not in (signal.SIG_IGN, None) and number not in without
        }
        self.holds = True
        for number in self.previous:
            signal.signal(number, self._hold)

    def end(self) -> None:
        """Gives them back."""
        if self.holds:
            for number, handler in self.previous.items():
                signal.signal(number, handler)
        self.holds = False

    def act(self) -> None:
        """Lets the signal that came do what it does, if one came."""
        number, self.number = self.number, 0
        self.end()
        if number:
            handler = self.previous.get(number, signal.getsignal(number))
            signal.signal(number, handler)  # in the place of somebody else's
            # Not by sending it again, which would be a second one.
            handler(number, None) if callable(handler) else signal.raise_signal(number)

    def is_over(self, handler: Any) -> bool:
        """Whether it is this that holds back what a handler would do."""
        return handler in self.previous.values()

    def _hold(self, number: int, frame: Any) -> None:
        at_once = bool(self.number) or not self.asks(frame)
        self.number = number
        if at_once:
            self.act()


def _raises(number: int) -> bool:
    """Whether the handler of a signal is ours, at once or later."""
    handler = signal.getsignal(number)
    deferred = getattr(handler, "__self__", None)
    return handler is _interrupt or (
        isinstance(deferred, Deferred) and deferred.is_over(_interrupt)
    )


def _close(error: BaseException | None) -> None:
    """Ends the generators that an error holds, which complain while ours is the hook."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _raise_again(hook: Any, dropped: Any) -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        if not _Received.number:
            hook(dropped)
        return
    _Received.timer = threading.Timer(AGAIN, _send, [_Received.number or signal.SIGINT])
    _Received.timer.daemon = True
    _Received.timer.start()


def _send(number: int) -> None:
    _Received.repeated, _Received.ours = True, _Received.ours + 1
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):  # which wakes a thread that waits
        signal.pthread_kill(main, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
