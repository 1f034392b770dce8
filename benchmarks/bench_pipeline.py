"""Photographs from disk as batches, beside Keras' and torchvision's pipelines."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.harness.paired import stopwatch
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import RandomResizedCrop
from resnet_layers.training.labelled import folder

# What is done, how many photographs of 1000×750, and their size in the end.
Case = tuple[str, int, int]
CASES: list[Case] = [("middle squares", 256, 224), ("random crops", 256, 224)]
SMOKE: list[Case] = [("middle squares", 8, 32), ("random crops", 8, 32)]
FULL: list[Case] = [*CASES, ("middle squares", 2048, 224), ("random crops", 2048, 224)]
BATCH = 32
MEAN, STD = (124.0, 116.0, 104.0), (58.0, 57.0, 57.0)


def photographs(path: Path, count: int) -> Path:
    """Parts of the two pictures that scikit-learn ships, as JPEG files of two classes."""
    pictures = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for i in range(min(count, 64)):
        left, top = 5 * (i % 40), 3 * (i % 30)
        part = pictures[i % 2].crop((left, top, left + 420, top + 315)).resize((1000, 750))
        file = path / "ab"[i % 2] / f"{i:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        part.save(file, quality=90)
    for i in range(64, count):
        source = path / "ab"[i % 2] / f"{i % 64:05}.jpg"
        source.with_name(f"{i:05}.jpg").hardlink_to(source)
    return path


def test_pipeline(compare: Callable[..., Any], tmp_path: Path, case: Case) -> None:
    what, count, size = case
    images = photographs(tmp_path / "photos", count)
    data = folder(images)
    others = {"middle squares": of_keras, "random crops": of_torchvision}[what](images, size)
    if others is None:
        pytest.skip("torchvision is not installed")
    baseline, theirs = others
    crop = RandomResizedCrop(size) if what == "random crops" else None
    ours = Batches(data, for_squares(size, MEAN, STD), BATCH, seed=0, crop=crop, augment=[Flip()])
    epochs = itertools.count()
    shape = next(iter(ours.dataset()))[0].shape
    assert tuple(shape[1:]) == (size, size, 3)

    def ours_epoch() -> Any:
        first = next(epochs) * len(ours)
        return sum(len(labels) for _, labels in ours.dataset(first).take(len(ours)))

    assert ours_epoch() == theirs() == count
    compare(
        "pipeline",
        {"what": what, "photographs": count, "size": f"{size} px"},
        {baseline: stopwatch(theirs), "ours": stopwatch(ours_epoch)},
        baseline,
        goals={"ours": 1.0},
    )


def of_keras(path: Path, size: int) -> tuple[str, Callable[[], int]]:
    """An epoch of shuffled middle squares, mirrored and normalized, by Keras."""
    flip = keras.layers.RandomFlip("horizontal", data_format="channels_last", seed=0)

    def epoch() -> int:
        dataset = keras.utils.image_dataset_from_directory(
            path,
            image_size=(size, size),
            batch_size=BATCH,
            crop_to_aspect_ratio=True,
            seed=0,
            verbose=False,
        )
        prepared = dataset.map(lambda x, y: ((flip(x, training=True) - MEAN) / STD, y))
        return sum(len(labels) for _, labels in prepared.prefetch(2))

    return "keras.utils.image_dataset_from_directory", epoch


def of_torchvision(path: Path, size: int) -> tuple[str, Callable[[], int]] | None:
    """An epoch of random resized crops, mirrored and normalized, by two processes of torch."""
    try:
        import torch
        from torchvision import datasets, transforms
    except ImportError:
        return None
    steps = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
    ]
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(path, transforms.Compose(steps)),
        BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
    )
    return "torchvision, DataLoader", lambda: sum(len(labels) for _, labels in loader)
