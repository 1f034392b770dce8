"""A contender in a process of its own: another backend of Keras, or another framework.

A child gets its task as JSON, runs it twice, writes the result of the first run to a file, and then
answers each line on its standard input with the seconds of one more run.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.harness.paired import stopwatch


@dataclasses.dataclass(frozen=True)
class Task:
    """What a child runs.

    Args:
        framework: `"tensorflow"`, `"jax"` or `"torch"` for Keras on that backend; `"torchvision"`
            or `"timm"`.
        weights: A `.keras` file; for torchvision and timm a `.safetensors` file.
        batch: A `.npz` file with the arrays `x`, channels last, and `y`.
        name: Of the network in torchvision or timm.
        work: `"forward"` or `"training step"`.
        mode: As `execution.MODES`; for torchvision and timm `"eager"` or `"torch.compile"`.
        precision: `"float32"` or `"bfloat16"`; a `.keras` file has its own.
        device: As of `keras.device`.
    """

    framework: str
    weights: str
    batch: str
    name: str
    work: str
    mode: str
    precision: str
    device: str

    @property
    def is_keras(self) -> bool:
        """Whether Keras runs it, on that backend."""
        return self.framework in ("tensorflow", "jax", "torch")

    @property
    def missing(self) -> str:
        """The packages that are not installed, or nothing."""
        needs = (self.framework,) if self.is_keras else ("torch", self.framework)
        names = [name for name in needs if importlib.util.find_spec(name) is None]
        return f"{' and '.join(names)} not installed" if names else ""

    @property
    def start(self) -> str:
        """The code of a process that runs it."""
        # TensorFlow that is loaded before torch's compiler ends the process: docs/upstream.md.
        first = "" if self.framework in ("tensorflow", "jax") else "import torch._dynamo; "
        return f"{first}from benchmarks.harness import child; child.main()"


class Child:
    """A running child.

    Args:
        task: What it runs.

    Raises:
        ChildError: If it ends before it is ready.
    """

    def __init__(self, task: Task) -> None:
        if task.missing:
            raise ChildError(task.missing)
        backend = task.framework if task.is_keras else keras.backend.backend()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", task.start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        ready = self._ask(json.dumps(dataclasses.asdict(task)))
        self.first = np.load(ready["result"])
        self.compile_seconds: float = ready["compile_seconds"]

    def run(self) -> float:
        """One more run; a contender."""
        return float(self._ask("run")["seconds"])

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: str) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        with contextlib.suppress(BrokenPipeError):
            stdin.write(f"{line}\n")
            stdin.flush()
        answer = stdout.readline()
        if not answer:
            _, errors = self._process.communicate()
            if self._process.returncode < 0:
                name = signal.Signals(-self._process.returncode).name
                raise ChildError(f"the process was ended by {name}")
            raise ChildError((errors.strip().splitlines() or ["ended without a word"])[-1])
        return json.loads(answer)


class ChildError(Exception):
    """What a child could not do: its signal, or the last line of its standard error."""


@contextlib.contextmanager
def children(tasks: dict[str, Task]) -> Iterator[dict[str, "Child | str"]]:
    """Starts all, one after the other; in place of one that fails stands why."""
    running: dict[str, Child | str] = {}
    try:
        for name, task in tasks.items():
            try:
                running[name] = Child(task)
            except ChildError as error:
                running[name] = str(error)
        yield running
    finally:
        for child in running.values():
            if isinstance(child, Child):
                child.close()


def main() -> None:
    """The child's side. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    task = Task(**json.loads(sys.stdin.readline()))
    with np.load(task.batch) as arrays:
        x, y = arrays["x"], arrays["y"]
    if task.is_keras:
        made = _keras(task, x, y)
    else:
        from benchmarks.harness import torch_networks

        made = torch_networks.execution(task, x, y)
    path = f"{task.batch}.{os.getpid()}.npy"
    np.save(path, made.first)
    timed = stopwatch(made.run)
    _answer(answers, result=path, compile_seconds=made.compile_seconds)
    for _ in sys.stdin:
        _answer(answers, seconds=timed())


def _answer(answers: Any, **values: Any) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def _keras(task: Task, x: Any, y: Any) -> Any:
    import keras

    import resnet_layers  # noqa: F401  the file names its classes
    from benchmarks.harness import devices, execution

    with devices.scope(task.device):
        model = keras.saving.load_model(task.weights, compile=False)
    if task.work == "forward":
        return execution.forward(model, x, task.mode, task.device)
    return execution.training_step(model, x, y, task.mode, task.device)
