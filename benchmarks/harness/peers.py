"""The ways to run ResNet-50 with the same weights, in this process and in others."""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from benchmarks.harness import devices, execution, hub, twins
from benchmarks.harness.child import Task
from benchmarks.harness.execution import Execution
from tests.support.randomize import value

BASELINE = "keras.applications"
TIMM = "timm, torch.compile"


@dataclass(frozen=True)
class Job:
    """What all contenders do.

    Args:
        work: `"forward"` or `"training step"`.
        precision: `"float32"` or `"bfloat16"`.
        batch: Number of images.
        device: As of `keras.device`.
        size: Pixels on a side.
    """

    work: str
    precision: str
    batch: int
    device: str
    size: int = 224

    def ready(self, model: Any, x: Any, y: Any, mode: str) -> Execution:
        """A network of Keras in this process."""
        if self.work == "forward":
            return execution.forward(model, x, mode, self.device)
        return execution.training_step(model, x, y, mode, self.device)


def here(
    job: Job, pair: twins.Pair, x: Any, y: Any, *, full: bool
) -> Iterator[tuple[str, Execution | str]]:
    """The contenders in this process; in place of one that is not there stands why."""
    best, *others = execution.compiled_modes()
    with _policy(job.precision), devices.scope(job.device):
        stock = keras.applications.ResNet50(
            weights=None,
            input_shape=pair.shape,
            classes=pair.classes,
            classifier_activation=None,
        )
    yield BASELINE, job.ready(stock, x, y, best)
    if importlib.util.find_spec("keras_hub"):
        with _policy(job.precision), devices.scope(job.device):
            rival = hub.resnet50(pair.ours, pair.classes)
        yield "keras-hub", job.ready(rival, x, y, best)
    else:
        yield "keras-hub", "keras_hub not installed"
    if job.work == "forward":
        yield "ours, folded", job.ready(rl.fold_batch_norm(pair.ours), x, y, best)
    start = [value(variable).copy() for variable in pair.ours.weights]
    for mode in (best, *(others if full else [])):
        for variable, before in zip(pair.ours.weights, start, strict=True):
            variable.assign(before)  # a step of the mode before has changed them
        yield ("ours" if mode == best else f"ours, {mode}"), job.ready(pair.ours, x, y, mode)


def elsewhere(
    job: Job, pair: twins.Pair, x: Any, y: Any, folder: Path, *, full: bool
) -> Iterator[tuple[str, Task]]:
    """The contenders in processes of their own. Writes what they read."""
    model, weights, batch = (folder / name for name in ("ours.keras", "ours.safetensors", "xy.npz"))
    pair.ours.save(model)
    rl.save_torch_weights(pair.ours, weights)
    np.savez(batch, x=x, y=y)
    backend = keras.backend.backend()
    ways = [
        ("ours on JAX", "jax", model, "XLA"),
        ("ours on torch", "torch", model, "eager"),
        ("torchvision, torch.compile", "torchvision", weights, "torch.compile"),
        (TIMM, "timm", weights, "torch.compile"),
    ]
    for name, framework, file, mode in ways if full else ways[2:]:
        if framework != backend:
            yield (
                name,
                Task(
                    framework=framework,
                    weights=str(file),
                    batch=str(batch),
                    name="resnet50",
                    work=job.work,
                    mode=mode,
                    precision=job.precision,
                    device=job.device,
                ),
            )


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    keras.config.set_dtype_policy(twins.POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")
