"""Training that reads photographs from disk, beside the same steps on batches in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from benchmarks.bench_pipeline import BATCH, MEAN, STD, photographs
from benchmarks.harness.paired import stopwatch
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import RandomResizedCrop
from resnet_layers.training.labelled import folder
from resnet_layers.training.waiting import DataWait

# How many photographs of 1000×750, and their size in the end.
Case = tuple[int, int]
CASES: list[Case] = [(64, 224)]
SMOKE: list[Case] = [(8, 32)]
FULL: list[Case] = [*CASES, (512, 224)]


def test_training_from_disk(compare: Callable[..., Any], tmp_path: Path, case: Case) -> None:
    """Epochs of `fit` on photographs, beside epochs on batches that are in memory."""
    count, size = case
    data = folder(photographs(tmp_path / "photos", count))
    batch = min(BATCH, count // 2)
    batches = Batches(
        data,
        for_squares(size, MEAN, STD),
        batch,
        seed=0,
        crop=RandomResizedCrop(size, scale=(0.35, 1.0)),
        augment=[Flip()],
    )
    name = "cifar_resnet20" if size < 100 else "resnet18"
    model = rl.ResNet.from_variant(name, classes=2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = (np.concatenate(part) for part in zip(*taken(batches), strict=True))
    waits: list[float] = []

    def from_disk() -> None:
        history = model.fit(
            batches.dataset(),
            steps_per_epoch=len(batches),
            epochs=2,
            shuffle=False,
            callbacks=[DataWait(batches.clock)],
            verbose=0,
        )
        waits.append(history.history["data_wait"][-1])

    def in_memory() -> None:
        model.fit(images, labels, batch_size=batch, epochs=2, shuffle=False, verbose=0)

    from_disk()
    in_memory()
    waits.clear()
    found = compare(
        "pipeline",
        {"what": f"two epochs of {name}", "photographs": count, "size": f"{size} px"},
        {"in memory": stopwatch(in_memory), "ours": stopwatch(from_disk)},
        "in memory",
        goals={"ours": 0.9},
    )
    found.details["ours"]["data_wait"] = float(np.median(waits))


def taken(batches: Batches) -> list[Any]:
    """Those of an epoch."""
    return [(x.numpy(), y.numpy()) for x, y in batches.dataset().take(len(batches))]
