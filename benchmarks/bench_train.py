"""Steps through `training.train`, beside those of a bare `fit` on the same batches in memory."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from benchmarks.bench_pipeline import MEAN, STD
from benchmarks.bench_resuming import batches_of
from benchmarks.bench_training_from_disk import taken
from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.making import make_loss, make_optimizer

# Network, size of its images in pixels, images in a batch, steps in an epoch.
Case = tuple[str, int, int, int]
CASES: list[Case] = [("resnet18", 64, 32, 16)]
SMOKE: list[Case] = [("resnet10t", 16, 4, 2)]
FULL: list[Case] = [*CASES, ("resnet50", 64, 32, 16)]
EPOCHS = 2


class AfterTheFirst(keras.callbacks.Callback):
    """Seconds from the end of the first step, which traces, to that of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self, steps: int) -> float:
        """Of as many steps as there must have been."""
        assert len(self.ends) == steps
        return self.ends[-1] - self.ends[0]


def test_training_through_train(compare: Callable[..., Any], case: Case) -> None:
    name, size, batch, steps = case
    batches = batches_of(size, batch, steps)
    recipe = dataclasses.replace(training.RECIPES["photos"], scale=None, flip=0.0)
    x, y = (np.concatenate(part) for part in zip(*taken(batches), strict=True))

    def through_train() -> float:
        clock = AfterTheFirst()
        settings = training.Settings(
            model=rl.ResNet.from_variant(name, classes=2),
            images=batches.images,
            prepare=for_squares(size, MEAN, STD),
            recipe=recipe,
            epochs=EPOCHS,
            batch_size=batch,
            learning_rate=1e-3,
            callbacks=[clock],
        )
        training.train(settings)
        return clock.seconds(EPOCHS * steps)

    def bare_fit() -> float:
        clock = AfterTheFirst()
        model: Any = rl.ResNet.from_variant(name, classes=2)
        model.compile(
            make_optimizer(recipe, 1e-3, EPOCHS * steps),
            make_loss(recipe, True),
            weighted_metrics=["accuracy"],
        )
        model.fit(
            x, y, batch_size=batch, epochs=EPOCHS, shuffle=False, callbacks=[clock], verbose=0
        )
        return clock.seconds(EPOCHS * steps)

    compare(
        "pipeline",
        {"what": f"steps of {name}", "batch": f"batch {batch}", "size": f"{size} px"},
        {"bare fit": bare_fit, "through train": through_train},
        "bare fit",
        goals={"through train": 0.97},
    )
