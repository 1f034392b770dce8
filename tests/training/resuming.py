# ruff: noqa: T201 (a program)
"""A training that ends itself: `python -m tests.training.resuming` with JSON of what it does."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training import checkpoint_files
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import PadAndCrop
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.optimizers import AdamW

PREPARE = for_squares(8, (124.0, 116.0, 104.0), (58.0, 57.0, 57.0))


class Ends(keras.callbacks.Callback):
    """Sends this process a signal at a moment of training.

    Args:
        number: The signal.
        step: Steps that are done then, over all epochs.
        evaluates: Whether it comes at the next image batch of validation.
    """

    def __init__(self, number: int, step: int, evaluates: bool = False) -> None:
        super().__init__()
        self.number, self.step, self.evaluates, self.done = number, step, evaluates, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.done = epoch * self.params["steps"]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1
        if self.done == self.step and not self.evaluates:
            os.kill(os.getpid(), self.number)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.done >= self.step and self.evaluates:
            os.kill(os.getpid(), self.number)


def images() -> tuple[training.Batches, training.Batches]:
    """Batches to train on, augmented and mixed, and to look at."""
    _, rest = training.labelled.digits().split(seed=0, fraction=0.1)
    shown, validation = rest.split(seed=0, fraction=0.25)
    augment = (PadAndCrop(1), Flip(0.5))
    mixed = Mixing(0.2, 1.0)
    batches = training.Batches(shown, PREPARE, 32, seed=3, augment=augment, mixing=mixed)
    return batches, training.Batches(validation, PREPARE, 64)


def network(drop_path: float = 0.2, dropout: float = 0.1) -> rl.ResNet:
    """With all that draws at random."""
    keras.utils.set_random_seed(1)
    stem = rl.Stem(4, kernel_size=3, pooling=None)
    stages = [rl.ResNetStage(4, 1), rl.ResNetStage(8, 2, drop_path=drop_path)]
    return rl.ResNet(stem, stages, rl.ClassifierHead(10, dropout=dropout))


def fit(folder: Path, *ends: Ends, epochs: int = 4, every: int | None = 3) -> tuple[Any, Any]:
    """Trains from the folder's last checkpoint on, if it has one."""
    batches, validation = images()
    model = network()
    schedule = keras.optimizers.schedules.CosineDecay(0.01, epochs * len(batches))
    model.compile(
        AdamW(schedule, weight_decay=0.01, use_ema=True, ema_momentum=0.9),
        training.making.make_loss(training.RECIPES["digits"], from_logits=True),
        weighted_metrics=[training.labels.CategoricalAccuracy(name="accuracy")],
    )
    early = keras.callbacks.EarlyStopping(
        "val_loss", patience=2, min_delta=0.3, restore_best_weights=True
    )
    if checkpoint_files.files(folder):
        checkpoint = training.resume(folder, callbacks=[early])
    else:
        checkpoint = training.Checkpoint(folder, every=every, callbacks=[early])
    model.fit(
        batches.dataset(checkpoint.start),
        steps_per_epoch=len(batches),
        initial_epoch=checkpoint.epoch,
        epochs=checkpoint.epoch if checkpoint.state.stopped else epochs,
        shuffle=False,
        validation_data=validation.dataset(),
        callbacks=[early, *ends, checkpoint],
        verbose=0,
    )
    return model, checkpoint


def write(path: Path, model: Any, checkpoint: Any) -> None:
    """All that a training has come to."""
    variables = [*model.variables, *model.optimizer.variables]
    arrays = {f"{i:05}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    table = checkpoint.state.history
    np.savez(path, history=[list(row.values()) for row in table], **arrays)


if __name__ == "__main__":
    for job in map(json.loads, sys.argv[1:]):
        ends = [Ends(**{**one, "number": signal.Signals[one["number"]]}) for one in job["ends"]]
        model, checkpoint = fit(Path(job["folder"]), *ends)
        write(Path(job["result"]), model, checkpoint)
        print("done", len(checkpoint.state.history))
