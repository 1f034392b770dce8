"""Commands in processes that are forked from one that has imported what they need.

    python -m tests.attack.forks PICKLED

reads a job as a line of JSON and prints what came of it, until its input ends. TensorFlow starts
its threads at its first operation, which a fork would lose: none is computed before it.
"""

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

# What Python is about to do to a file or a folder, as its audit hooks tell it.
_CALLS = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "open"),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
LONGEST = 120.0  # seconds of a job
_MODULES = (
    *(f"resnet_layers.shell.{name}" for name in ("train", "tune", "convert", "export", "predict")),
    *("sklearn.datasets", "sklearn.ensemble", "matplotlib.figure", "tensorflow", "tf2onnx"),
    *("matplotlib.backends.backend_agg", "onnxruntime", "ai_edge_litert.interpreter"),
)


class _Stop:
    """Counts the calls that change a folder, and ends the process at one of them."""

    def __init__(self, folder: str, at: int) -> None:
        self.folder, self.at = os.path.realpath(folder), at
        self.calls: list[str] = []

    def __call__(self, event: str, arguments: Any) -> None:
        # The exchange of two names is the only one that goes past Python.
        if event == "ctypes.dlsym" and arguments[1] == "renameat2":
            self._count("exchange")
        elif event in _CALLS and self._changes(event, arguments):
            self._count(f"{event} {arguments[0]}")

    def _count(self, call: str) -> None:
        self.calls.append(call)
        if len(self.calls) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _changes(self, event: str, arguments: Any) -> bool:
        path = arguments[0]
        if event == "open" and not (isinstance(path, (str, bytes)) and arguments[2] & _WRITES):
            return False
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        at = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
        if isinstance(at, int) and at >= 0:  # relative to an open folder
            path = os.path.join(os.readlink(f"/proc/self/fd/{at}"), os.fsdecode(path))
        folder, _ = os.path.split(os.path.abspath(os.fsdecode(path)))
        return os.path.realpath(folder).startswith(self.folder)


def _run(job: dict[str, Any]) -> int:
    """In the new process."""
    import tensorflow as tf

    from resnet_layers.shell import app

    os.chdir(job["folder"])
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    tf.config.run_functions_eagerly(job["arguments"][0] in ("train", "tune"))
    if job["waits"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    stop = _Stop(job["folder"], job["stop"])
    sys.addaudithook(stop)
    code = app.main(job["arguments"])
    calls = list(stop.calls)
    sys.stdout.flush()
    Path(job["log"]).with_suffix(".calls").write_text("\n".join(calls), encoding="utf-8")
    return code


def _answer(job: dict[str, Any]) -> None:
    """Runs one job and prints its process, and then how it ended."""
    process = os.fork()
    if not process:
        code = 99
        with contextlib.suppress(BaseException):
            code = _run(job)
        os._exit(code)
    if job["waits"]:
        os.waitpid(process, os.WUNTRACED)
        print(process, flush=True)  # noqa: T201
    end = time.monotonic() + LONGEST
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            print("hangs", flush=True)  # noqa: T201
            return
        time.sleep(0.005)
    print(os.waitstatus_to_exitcode(ended[1]), flush=True)  # noqa: T201


def main() -> None:
    """Answers until nobody asks any more."""
    import keras  # noqa: F401

    from resnet_layers.analysis.latency import measuring
    from resnet_layers.networks import variants
    from resnet_layers.shell import finishing
    from resnet_layers.tuning.parts import PRESETS
    from tests.support.measured import MACHINE

    for name in _MODULES:
        with contextlib.suppress(ImportError):  # a runtime that is not installed
            importlib.import_module(name)
    row, space = pickle.loads(bytes.fromhex(sys.argv[1]))
    measuring._said_elsewhere = lambda threads: json.dumps(
        dataclasses.asdict(dataclasses.replace(MACHINE, threads=threads))
    )
    variants.VARIANTS["tiny"], PRESETS["small-images"] = row, space
    finishing.check_in_new_process = lambda *_: "checked"
    gc.freeze()  # or each fork would look through all that was imported
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        _answer(json.loads(line))


if __name__ == "__main__":
    main()
