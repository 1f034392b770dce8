"""The peak of memory of one step, in a process of its own.

On a GPU the backend's allocator counts: the peak within the step, less what was in use before it.
JAX cannot reset its counter; there the peak is that of all since the process began.

On a CPU it is the resident memory of the process, as the kernel counts it: the peak within the
step (`VmHWM`), less what was there before (`VmRSS`). The step is one after the compilation and the
first runs. Would the allocator keep what those have freed, the step would reuse it and the rise
would be nothing, so in these processes freed memory goes back to the kernel at once: blocks above
1 MiB are mapped one by one, and TensorFlow has no pool of its own. This makes a step slower. Its
seconds are those of a later run, for which the limit of the C library is as high as it gets.

What is there before the step does not count: variables, images, slots of the optimizer.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
LIBRARY = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}
M_MMAP_THRESHOLD = -3  # as malloc.h has it
HIGHEST_THRESHOLD = 2**25


@dataclass(frozen=True)
class Peak:
    """What one run took.

    Args:
        bytes: The peak beyond what was in use before.
        seconds: Of a later run.
    """

    bytes: int
    seconds: float


class ChildError(Exception):
    """What a child could not do, in one line."""


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process.

    Args:
        function: At the top level of a module.
        *arguments: What it takes.

    Raises:
        ChildError: If it fails there, or the process ends.
    """
    context = multiprocessing.get_context("spawn")
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_answers, args=(answer, function, arguments))
    with mock.patch.dict(os.environ, LIBRARY):
        process.start()
    answer.close()  # the child has the only end that is left
    try:
        result, error = answers.recv()
    except EOFError:
        result, error = None, ""
    finally:
        answers.close()
        process.join()
    if process.exitcode:
        raise ChildError(_ended(process.exitcode))
    if error:
        raise ChildError(error)
    return result


def measured(run: Callable[[], Any], device: str = "cpu:0") -> Peak:
    """The peak and the time of something that has run before; it runs three times.

    Raises:
        RuntimeError: If nothing counts memory here.
    """
    meter = _meter(device)
    gc.collect()
    meter.reset()
    before = meter.current()
    run()
    peak = meter.peak() - before
    meter.release()
    run()
    start = time.perf_counter()
    run()
    return Peak(max(0, peak), time.perf_counter() - start)


def _answers(answer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer.send(_caught(function, arguments))


def _ended(code: int) -> str:
    if code > 0:
        return f"the process ended with status {code}"
    name = signal.Signals(-code).name
    hint = ", as if out of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def _caught(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, str]:
    # Not each library's errors can leave a process, and colours are for terminals.
    try:
        return function(*arguments), ""
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.startswith("\x1b[1m")]
        line = lines[0] if lines else next(iter(str(error).splitlines()), "")
        text = line.replace("\x1b[1m", "").replace("\x1b[0m", "")
        return None, f"{type(error).__name__}: {text}"


@dataclass(frozen=True)
class _Meter:
    """Counts bytes: now, and at most since the reset. `release` lets steps be quick again."""

    reset: Callable[[], object]
    current: Callable[[], int]
    peak: Callable[[], int]
    release: Callable[[], object] = lambda: None


def _meter(device: str) -> _Meter:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return _of_the_process()
    import keras  # which children that need none should not wait for

    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            stats, name = tf.config.experimental, device.upper()
            return _Meter(
                lambda: stats.reset_memory_stats(name),
                lambda: stats.get_memory_info(name)["current"],
                lambda: stats.get_memory_info(name)["peak"],
            )
        case "jax":
            import jax

            gpu = jax.devices()[int(number)]
            return _Meter(
                lambda: None,
                lambda: gpu.memory_stats()["bytes_in_use"],
                lambda: gpu.memory_stats()["peak_bytes_in_use"],
            )
        case "torch":
            from torch import cuda

            return _Meter(
                lambda: cuda.reset_peak_memory_stats(int(number)),
                lambda: cuda.memory_allocated(int(number)),
                lambda: cuda.max_memory_allocated(int(number)),
            )
    raise RuntimeError(f"no counter of memory on {keras.backend.backend()}")


def missing(device: str) -> str:
    """Why memory cannot be measured there, or nothing."""
    if device.startswith("cpu") and not (CLEAR_REFS.exists() and _has_trim()):
        return "on a CPU memory is measured by Linux and glibc alone"
    return ""


def _has_trim() -> bool:
    return hasattr(ctypes.CDLL(None), "malloc_trim")


def _of_the_process() -> _Meter:
    if reason := missing("cpu:0"):
        raise RuntimeError(reason)
    library = ctypes.CDLL(None)

    def reset() -> None:
        library.malloc_trim(0)
        CLEAR_REFS.write_text(RESET_PEAK)

    return _Meter(
        reset,
        lambda: _status("VmRSS"),
        lambda: _status("VmHWM"),
        lambda: library.mallopt(M_MMAP_THRESHOLD, HIGHEST_THRESHOLD),
    )


def _status(key: str) -> int:
    lines = STATUS.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])
