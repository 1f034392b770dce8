# ruff: noqa: T201 (a command tells what it does)
"""The main job: train a network on images, write it down, and have another process check it."""

import csv
import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.files import replacing
from resnet_layers.networks import variants
from resnet_layers.networks.model import ResNet
from resnet_layers.shell import classifier, errors, images, labelled
from resnet_layers.shell.batches import Batches
from resnet_layers.shell.errors import InputError, values

# One row of history.csv: train_loss, train_accuracy, test_loss, test_accuracy.
Row = dict[str, float]

MODEL, HISTORY, CURVES = FILES = "model.keras", "history.csv", "curves.png"


class DisagreementError(RuntimeError):
    """A new process does not find in the file what this one wrote."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What `train` is asked for.

    Args:
        data: Folder of images with one subfolder for each class; `None` for scikit-learn's
            digits.
        variant: A name from `list_variants()`.
        epochs: How often each training image is seen, positive, at most a million.
        batch_size: Number of images for each step, positive.
        learning_rate: The largest one, positive; it rises to it over a tenth of the steps and
            falls to zero along a cosine.
        image_size: Height and width in pixels that images are brought to, positive; `None` for
            the median of their shorter sides, but at least 16 and at most 64.
        seed: Of the split, the weights, the order and the shifts; at least 0, below 2³².
        output: Folder for what is written; it is made if need be.

    Raises:
        ValueError: If a value is out of range; for a variant it lists the closest names.
        TypeError: If a value has the wrong type.
    """

    data: Path | None = None
    variant: str = "cifar_resnet20"
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 0.1
    image_size: int | None = None
    seed: int = 0
    output: Path = Path("resnet_run")

    def __post_init__(self) -> None:
        rank = variants.find(self.variant).layout.rank
        if rank != 2:
            raise ValueError(
                f"`variant` must be a network for images. Received: variant={self.variant!r}, with "
                f"{rank} axes of pixels"
            )
        if checks.integer("epochs", self.epochs) > 10**6:
            raise ValueError(f"`epochs` must be at most 1000000. Received: epochs={self.epochs}")
        checks.integer("batch_size", self.batch_size)
        checks.positive("learning_rate", self.learning_rate)
        if self.image_size is not None:
            checks.integer("image_size", self.image_size)
        if checks.integer("seed", self.seed, minimum=0) >= 2**32:
            raise ValueError(f"`seed` must be below 2**32. Received: seed={self.seed}")


def run(**chosen: Any) -> int:
    """Trains, writes, and has a new process check what was written."""
    with values():
        settings = Settings(**chosen)
    last = train(settings)
    print(f"Wrote {', '.join(FILES)} into '{settings.output}'", flush=True)
    print(check_in_new_process(settings, last))
    return 0


def train(settings: Settings) -> Row:
    """Trains a network and writes `model.keras`, `history.csv` and `curves.png`.

    Args:
        settings: What to do.

    Returns:
        The last row of the history, which belongs to the weights that were written.

    Raises:
        InputError: If the images cannot be used, if the output folder cannot be written to, or
            if the loss is no longer a number; nothing is written then.
    """
    data = labelled.folder(settings.data) if settings.data else labelled.digits()
    training, test = data.split(settings.seed)
    errors.check_output(settings.output, settings.data, FILES)
    size = settings.image_size or usual_size(data)
    print(f"Reading {len(data.labels)} images of {len(data.class_names)} classes: {data.title}")
    verbose = images.verbosity()
    train_squares = images.read(training.sources, size, verbose=verbose)
    test_squares = images.read(test.sources, size, verbose=verbose)

    keras.utils.set_random_seed(settings.seed)
    preprocessing = images.Preprocessing.fit(train_squares)
    model = _network(settings, size, classifier.metadata(data, test, preprocessing, settings.seed))
    batches = Batches(
        train_squares, training.labels, preprocessing, settings.batch_size, settings.seed
    )
    classifier.compile_classifier(model, _optimizer(settings, len(batches)))
    print(
        f"Training {settings.variant}, {model.count_params():,} parameters, on "
        f"{len(train_squares)} images of {size}×{size} pixels; {len(test_squares)} for the test"
    )
    history = model.fit(
        batches,
        epochs=settings.epochs,
        validation_data=Batches(test_squares, test.labels, preprocessing, settings.batch_size),
        shuffle=False,  # the batches do it, from the seed
        callbacks=[keras.callbacks.TerminateOnNaN()],
        verbose=verbose,
    ).history
    rows = [
        {
            "train_loss": history["loss"][i],
            "train_accuracy": history["accuracy"][i],
            "test_loss": history["val_loss"][i],
            "test_accuracy": history["val_accuracy"][i],
        }
        for i in range(len(history["loss"]))
    ]
    if not all(map(math.isfinite, rows[-1].values())):
        raise InputError(
            f"The loss is no longer a number in epoch {len(rows)}: `learning_rate` must be "
            f"smaller. Received: learning_rate={settings.learning_rate}"
        )
    _write(settings.output, model, rows)
    return rows[-1]


def check_in_new_process(settings: Settings, row: Row) -> str:
    """Opens the written file in a new process, which chooses the test images and evaluates again.

    Args:
        settings: Those of `train`.
        row: What `train` returned.

    Returns:
        One sentence that says that both agree.

    Raises:
        DisagreementError: If they do not, with both results, or if the process failed.
    """
    path = settings.output.absolute() / MODEL
    options = ["--json", "--batch-size", str(settings.batch_size)]
    if settings.data:
        options += ["--data", str(settings.data.absolute())]
    process = subprocess.run(
        [sys.executable, "-m", "resnet_layers", "evaluate", str(path), *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
    )
    if process.returncode:
        last_line = process.stderr.strip().rpartition("\n")[2]
        raise DisagreementError(
            f"A new process could not evaluate '{path}' and ended with exit code "
            f"{process.returncode}: {last_line}"
        )
    try:
        result = json.loads(process.stdout)
    except ValueError:
        raise DisagreementError(
            f"A new process could not evaluate '{path}' and printed: {process.stdout.strip()}"
        ) from None
    here = f"loss {row['test_loss']:.6f}, accuracy {row['test_accuracy']:.2%}"
    there = f"loss {result['loss']:.6f}, accuracy {result['accuracy']:.2%}"
    same_loss = math.isclose(row["test_loss"], result["loss"], rel_tol=1e-4, abs_tol=1e-5)
    if not same_loss or abs(row["test_accuracy"] - result["accuracy"]) > 1e-6:
        raise DisagreementError(
            f"A new process does not agree about '{path}': {there} there, {here} here"
        )
    return f"A new process agrees: {there} on {result['images']} test images"


def usual_size(data: labelled.Labelled) -> int:
    """Large enough for three stages, small enough for a processor."""
    sides = [images.shorter_side(source) for source in data.sources]
    return int(np.clip(np.median(sides), 16, 64))


def _network(settings: Settings, size: int, metadata: dict[str, Any]) -> ResNet:
    pooling = variants.find(settings.variant).head.get("pooling")
    return ResNet.from_variant(
        settings.variant,
        classes=len(metadata["class_names"]),
        # Any size, unless the head counts the pixels.
        input_shape=(size, size, 3) if pooling == "avg2x2" else (None, None, 3),
        metadata=metadata,
    )


def _optimizer(settings: Settings, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    steps = settings.epochs * steps_per_epoch
    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 10,
        max(1, steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _write(output: Path, model: ResNet, rows: list[Row]) -> None:
    network = classifier.bare(model, model.metadata)
    try:
        with replacing(*(output / name for name in FILES)) as paths:
            network.save(paths[0])
            _write_history(paths[1], rows)
            _write_curves(paths[2], rows)
    except OSError as error:
        raise errors.not_writable(output, error) from None


def _write_history(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["epoch", *rows[0]])
        writer.writeheader()
        writer.writerows({"epoch": i, **row} for i, row in enumerate(rows, start=1))


def _write_curves(path: Path, rows: list[Row]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    epochs = range(1, len(rows) + 1)
    both = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("log", "linear"), strict=True)
    for axes, quantity, scale in both:
        for part, style in (("train", "o--"), ("test", "o-")):
            curve = [row[f"{part}_{quantity}"] for row in rows]
            axes.plot(epochs, curve, style, markersize=3, label=part)
        axes.set(xlabel="epoch", ylabel=quantity, yscale=scale)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
