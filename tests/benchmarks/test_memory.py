"""Memory of children: known arrays are measured, failures say why."""

import os
import signal
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import memory

MIB = 2**20


def allocate(mebibytes: int) -> memory.Peak:
    return memory.measured(lambda: np.ones(mebibytes * MIB, "uint8").sum())


def allocate_after_more(mebibytes: int) -> list[int]:
    """The larger array was there before, and is freed."""
    np.ones(3 * mebibytes * MIB, "uint8").sum()
    return [allocate(mebibytes).bytes for _ in range(2)]


def allocate_beside(mebibytes: int) -> int:
    """The larger array is there before, and stays."""
    stays = np.ones(3 * mebibytes * MIB, "uint8")
    found = allocate(mebibytes).bytes
    return found if stays.all() else 0


def tensors_in_turn(mebibytes: int) -> int:
    """Of TensorFlow: ten, each freed before the next."""
    import tensorflow as tf

    def run() -> None:
        for i in range(10):
            tf.fill((mebibytes * MIB,), tf.constant(i, tf.uint8))

    run()
    return memory.measured(run).bytes


def fail(text: str) -> None:
    raise KeyError(text)


def end(status: int) -> None:
    os._exit(status)


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_known_array_is_measured() -> None:
    peak = memory.in_child(allocate, 200)
    assert peak.bytes == pytest.approx(200 * MIB, rel=0.03)
    assert 0 < peak.seconds < 5


def test_what_is_there_before_does_not_count() -> None:
    assert memory.in_child(allocate_beside, 100) == pytest.approx(100 * MIB, rel=0.05)


def test_a_peak_before_is_forgotten() -> None:
    found = memory.in_child(allocate_after_more, 100)
    assert found == pytest.approx([100 * MIB] * 2, rel=0.05)


@pytest.mark.slow
def test_tensors_that_are_freed_do_not_add_up() -> None:
    assert memory.in_child(tensors_in_turn, 100) == pytest.approx(100 * MIB, rel=0.05)


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(memory.ChildError, match=r"^KeyError: 'no such thing'$"):
        memory.in_child(fail, "no such thing")


def test_a_child_that_ends_is_reported() -> None:
    with pytest.raises(memory.ChildError, match=r"^the process ended with status 3$"):
        memory.in_child(end, 3)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGSEGV, "the process was ended by SIGSEGV"),
        (signal.SIGKILL, "the process was ended by SIGKILL, as if out of memory"),
    ],
)
def test_a_child_that_a_signal_ends_names_it(number: int, reason: str) -> None:
    with pytest.raises(memory.ChildError, match=f"^{reason}$"):
        memory.in_child(end_by, number)


def test_without_proc_memory_of_a_cpu_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    assert memory.missing("gpu:0") == ""
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "clear_refs")
    reason = "on a CPU memory is measured by Linux and glibc alone"
    assert memory.missing("cpu:0") == reason
    with pytest.raises(RuntimeError, match=f"^{reason}$"):
        memory.measured(lambda: None)
