"""Ctrl-C, SIGTERM and a terminal that is closed: none of them is lost."""

import contextlib
import functools
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnet_layers._support import signals
from resnet_layers.shell import progress
from resnet_layers.training.waiting import Interruptible


def is_importing(process: int) -> bool:
    """Whether a process has begun to load TensorFlow, which takes seconds."""
    return "tensorflow" in Path(f"/proc/{process}/maps").read_text(encoding="utf-8")


def caught(process: int, *numbers: int) -> bool:
    """Whether a process has handlers for signals."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    bits = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return all(bits >> (number - 1) & 1 for number in numbers)


def has_taken_over(process: int) -> bool:
    """Whether a process has a handler for SIGTERM, which it gets after that for Ctrl-C."""
    return caught(process, signal.SIGTERM)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [has_taken_over, is_importing], ids=lambda f: str(f.__name__))
def test_a_signal_while_keras_is_imported_ends_in_a_sentence(
    number: int, moment: Callable[[int], bool]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_layers", "evaluate", __file__],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    while not moment(process.pid):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    *_, last = said.splitlines()  # TensorFlow may have said something before
    assert last == "resnet-layers: interrupted: no unfinished file is left behind"
    assert "Traceback" not in said
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        (["python", "-m", "resnet_layers", "list"], True),
        (["python", "-W", "error", "-Xdev", "-m", "resnet_layers"], True),
        (["python", "--check-hash-based-pycs", "never", "-m", "resnet_layers"], True),
        (["python", "/bin/resnet-layers", "list"], True),
        (["python", "-mresnet_layers", "list"], True),
        (["python", "-Im", "resnet_layers"], True),
        (["python", "-uXdev", "-Wignore", "-m", "resnet_layers"], True),
        (["python", "-uc", "import resnet_layers", "-m", "resnet_layers"], False),
        (["python", "-mpytest", "-m", "resnet_layers"], False),
        (["python", "train.py", "-m", "resnet_layers"], False),
        (["python", "-c", "import resnet_layers", "-m", "resnet_layers"], False),
        (["python", "-m", "pytest", "-m", "resnet_layers"], False),
        (["python"], False),
    ],
    ids=str,
)
def test_only_the_command_takes_signals_over(
    started: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a program that imports the package has among its own arguments."""
    monkeypatch.setattr(sys, "orig_argv", started)
    monkeypatch.setattr(sys, "argv", started[1:])
    assert signals.runs_command() is expected


def test_an_interrupt_that_a_finalizer_drops_is_raised_again() -> None:
    """Python reports what reaches a finalizer and goes on: Ctrl-C would be lost."""

    class Finalized:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            signal.raise_signal(self.number)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup pytest` ignores
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with signals.as_interrupts():
                Finalized(number)
                with pytest.raises(KeyboardInterrupt):
                    time.sleep(10)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_that_is_swallowed_is_found_at_the_next_step() -> None:
    steps: list[Callable[[], Any]] = [
        signals.check,
        functools.partial(Interruptible().on_train_batch_end, 0),
        functools.partial(Interruptible().on_test_batch_end, 0),
        progress.Count(2, verbose=0).add,
    ]
    for step in steps:
        with signals.as_interrupts():
            step()
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                step()
        with signals.as_interrupts():  # another command
            step()


class Scope:
    """As TensorFlow's, which must be left in the order in which they were entered."""

    entered = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        self.entered += 1
        depth = self.entered
        try:
            yield
        finally:
            self.entered -= 1
            if depth != self.entered + 1:
                raise RuntimeError("Exiting without proper nesting.")


def test_what_a_library_says_of_being_left_half_way_is_not_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal between a scope's generator and its `with` leaves nobody to end the scope."""
    scope, said = Scope(), list[Any]()
    monkeypatch.setattr(sys, "unraisablehook", said.append)

    def step() -> None:
        with scope():
            entered = scope().gen
            next(entered)
            signal.raise_signal(signal.SIGTERM)

    with (
        pytest.raises(KeyboardInterrupt, match=f"^{signals.INTERRUPTED}$") as raised,
        signals.as_interrupts(),
    ):
        step()
    assert isinstance(raised.value.__context__, RuntimeError)
    del raised
    gc.collect()
    assert not said
    assert signals.exit_code() == 128 + signal.SIGTERM


def test_without_a_signal_an_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^Exiting$"), signals.as_interrupts():
        raise RuntimeError("Exiting")


def test_a_signal_asks_nothing_of_what_comes_after_its_command() -> None:
    with pytest.raises(KeyboardInterrupt), signals.as_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signals.exit_code() == 130
    signals.check()


# Signals from what Python ends last.
OVER = """
import os, runpy, signal, sys
class Last:
    def __del__(self, kill=os.kill, me=os.getpid()):
        for number in NUMBERS:
            kill(me, number)
sys.argv[0] = "resnet-layers"
import resnet_layers
sys.last = Last()
"""


def test_a_signal_to_a_command_that_is_over_changes_nothing() -> None:
    numbers = [int(number) for number in signals.SIGNALS]
    command = [sys.executable, "-c", OVER.replace("NUMBERS", str(numbers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Without the package, whose import takes seconds.
ALONE = """
import hashlib, importlib.util, signal, sys
spec = importlib.util.spec_from_file_location("signals", sys.argv[1])
signals = importlib.util.module_from_spec(spec)
spec.loader.exec_module(signals)
"""
TWICE = f"""{ALONE}
try:
    with signals.as_interrupts():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(int(sys.argv[2]))
except BaseException as error:
    print("went on with", repr(error), file=sys.stderr)
"""
BUSY = f"""{ALONE}
with signals.as_interrupts():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**29)  # some minutes
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(second: int) -> None:
    """By the handler or by the thread that watches, whichever comes first."""
    command = [sys.executable, "-S", "-c", TWICE, signals.__file__, str(int(second))]
    for _ in range(10):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == f"resnet-layers: {signals.ENDED_AT_ONCE}\n"
        assert done.returncode == 128 + second


@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_what_does_not_return_to_python(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", BUSY, signals.__file__],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(number)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(number)
        process.wait(timeout=30)
    finally:
        process.kill()
        _, said = process.communicate()
    assert process.returncode == 128 + number
    assert said == f"resnet-layers: {signals.ENDED_AT_ONCE}\n"


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_handlers_of_others_stay(handler: Any) -> None:
    """As `nohup` ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with signals.as_interrupts():
            assert signal.getsignal(signal.SIGHUP) is handler
            assert signal.getsignal(signal.SIGTERM) is signals._interrupt
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_silences_standard_error_gives_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    with signals.silenced():
        with signals.silenced():
            os.write(2, b"inner")
        os.write(2, b"outer")
        os.write(signals._StandardError.descriptor, b"seen\n")
    os.write(2, b"after\n")
    assert signals._StandardError.descriptor == 2
    assert capfd.readouterr().err == "seen\nafter\n"


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_exit_codes_are_kept_where_nobody_can_read() -> None:
    command = [sys.executable, "-m", "resnet_layers", "list", "no_such*"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, check=False).returncode == 2
    command[-2:] = ["predict", __file__, "-"]
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
