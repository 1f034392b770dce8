"""How much memory and time a call takes, in this process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_REFERENCES, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Cost(NamedTuple):
    """What a call took.

    Args:
        seconds: Until it returned.
        memory: Bytes at its peak beyond those before.
        result: What it returned, or the error that it raised.
    """

    seconds: float
    memory: int
    result: Any


def cost(call: Callable[[], Any]) -> Cost:
    """Calls once; skips the test where the system cannot tell."""
    try:
        _REFERENCES.write_text("5")  # the peak begins anew
    except OSError:
        pytest.skip("the peak of a process cannot be set anew here")
    before, start = _status("VmRSS"), time.perf_counter()
    try:
        result = call()
    except Exception as error:
        result = error
    return Cost(time.perf_counter() - start, _status("VmHWM") - before, result)


def _status(name: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
