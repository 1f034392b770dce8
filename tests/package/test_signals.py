"""Ctrl-C, SIGTERM and a terminal that is closed: none of them is lost."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_layers._support import signals
from resnet_layers.shell import progress


def is_importing(process: int) -> bool:
    """Whether a process has begun to load TensorFlow, which takes seconds."""
    return "tensorflow" in Path(f"/proc/{process}/maps").read_text(encoding="utf-8")


def has_taken_over(process: int) -> bool:
    """Whether a process has a handler for SIGTERM, which it gets after that for Ctrl-C."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


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
    assert process.returncode == 130


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
        functools.partial(progress.Interruptible().on_train_batch_end, 0),
        functools.partial(progress.Interruptible().on_test_batch_end, 0),
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_exit_codes_are_kept_where_nobody_can_read() -> None:
    command = [sys.executable, "-m", "resnet_layers", "list", "vgg*"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, check=False).returncode == 2
    command[-2:] = ["predict", __file__, "-"]
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
