"""What it costs to be ready for a kill: checkpoints while a network trains, and going on."""

import functools
import itertools
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from benchmarks.bench_pipeline import MEAN, STD
from benchmarks.harness.paired import Contender, stopwatch
from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.labelled import Labelled

# Network, size of its images in pixels, images in a batch, steps in an epoch.
Case = tuple[str, int, int, int]
CASES: list[Case] = [("resnet18", 64, 16, 12)]
SMOKE: list[Case] = [("cifar_resnet20", 16, 4, 2)]
FULL: list[Case] = [*CASES, ("resnet50", 224, 16, 16)]
EPOCHS = 2


def batches_of(size: int, batch: int, steps: int) -> training.Batches:
    rng = np.random.default_rng(0)
    number = batch * steps
    images = Labelled(
        kind="digits",
        title="noise",
        sources=list(rng.integers(0, 256, (number, size, size, 3), dtype=np.uint8)),
        labels=np.arange(number) % 2,
        class_names=["a", "b"],
        names=[str(i) for i in range(number)],
    )
    return training.Batches(images, for_squares(size, MEAN, STD), batch, seed=0)


def compiled(name: str) -> rl.ResNet:
    model: rl.ResNet = rl.ResNet.from_variant(name, classes=2)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def fit(model: Any, batches: training.Batches, *callbacks: Any, begin: Any = None) -> None:
    model.fit(
        batches.dataset(begin.start if begin else 0),
        steps_per_epoch=len(batches),
        initial_epoch=begin.epoch if begin else 0,
        epochs=EPOCHS,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )


def test_checkpoints(compare: Callable[..., Any], case: Case) -> None:
    """Epochs without, with a checkpoint after each, and with one every few steps besides."""
    name, size, batch, steps = case
    batches, model = batches_of(size, batch, steps), compiled(name)

    def epochs(every: int | None = None) -> Contender:
        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                fit(model, batches, training.Checkpoint(folder, every=every))

        return stopwatch(run)

    few = max(steps // 4, 1)
    epochs(few)()  # traces
    compare(
        "resuming",
        {"what": f"{EPOCHS} epochs of {name}", "steps": EPOCHS * steps, "size": f"{size} px"},
        {
            "no checkpoints": stopwatch(lambda: fit(model, batches)),
            "one an epoch": epochs(),
            f"one every {few} steps": epochs(few),
        },
        "no checkpoints",
        goals={"one an epoch": 0.98, f"one every {few} steps": 0.98},
    )


class Ends(keras.callbacks.Callback):
    """Ends as Ctrl-C does after a step of an epoch, counted from 1, and notes when it was over."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.ended = step, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 == self.step:
            self.ended = time.perf_counter()
            signal.raise_signal(signal.SIGINT)  # after which `Checkpoint` writes


def test_going_on(compare: Callable[..., Any], tmp_path: Path, case: Case) -> None:
    """From nothing to the end of the first step: of a new run, and of one that goes on."""
    name, size, batch, steps = case
    batches = batches_of(size, batch, steps)
    folders = (tmp_path / str(i) for i in itertools.count())

    def until(step: int, killed: Path | None = None) -> float:
        folder = next(folders)
        if killed is not None:
            shutil.copytree(killed, folder)
        keras.backend.clear_session()
        began, ends = time.perf_counter(), Ends(step)
        checkpoint = training.resume(folder) if killed else training.Checkpoint(folder)
        with pytest.raises(KeyboardInterrupt):
            fit(compiled(name), batches, ends, checkpoint, begin=checkpoint)
        return ends.ended - began

    killed = tmp_path / "0"
    until(steps - 1)
    compare(
        "resuming",
        {"what": f"until the first step of {name}", "steps": steps, "size": f"{size} px"},
        {
            "a new run": functools.partial(until, 1),
            "one that goes on": functools.partial(until, steps, killed),
        },
        "a new run",
        goals={"one that goes on": 1 / 1.2},
    )
