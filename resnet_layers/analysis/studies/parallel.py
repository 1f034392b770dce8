"""A study in several processes, each of which takes the networks that no other one has."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError
from resnet_layers.analysis.studies.degradation import degradation, gather
from resnet_layers.analysis.studies.results import Results
from resnet_layers.analysis.studies.settings import Degradation, begin


def in_processes(settings: Degradation, workers: int) -> Results:
    """Trains what is not trained yet in several processes, and gathers all.

    On a machine with GPUs each process has one of them; otherwise they share its cores. Each prints
    a line for each of its runs.

    Args:
        settings: As of `degradation`.
        workers: How many processes, positive.

    Raises:
        InputError: If the folder holds another study, or if a process fails.
        OSError: If files cannot be written.
    """
    checks.integer("workers", workers)
    begin(settings)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(settings,)) for _ in range(workers)]
    try:
        for i, process in enumerate(processes):
            with _environment(i, workers):
                process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()  # which writes a checkpoint first
        for process in processes:
            if process.pid is not None:
                process.join()
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        raise InputError(
            f"A process of the study ended with {failed[0]}; the same command goes on with what "
            "is left"
        )
    return gather(settings)


def _work(settings: Degradation) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that has started it tells it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        degradation(settings, _tell)
    except (InputError, OSError) as error:
        sys.exit(str(error))


def _end_with_parent() -> None:
    """Ends this process, with a checkpoint, when the one that has started it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _environment(i: int, workers: int) -> Iterator[None]:
    """What the i-th process finds: a GPU of its own, or its share of the cores."""
    gpus = _gpus()
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    mine = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    if gpus:
        mine = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _gpus() -> list[str]:
    """Those that CUDA may use, found without beginning to use them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip() not in ("", "-1")]
    found: Any = None
    with contextlib.suppress(OSError):
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = found.stdout.splitlines() if found is not None and not found.returncode else []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in lines))]
