# ruff: noqa: T201 (a command tells what it does)
"""The main job: train a network on images, write it down, and have another process check it."""

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import DisagreementError
from resnet_layers._support.files import replacing
from resnet_layers.networks import variants
from resnet_layers.networks.model import ResNet
from resnet_layers.shell import classifier, errors, images, labelled, progress, runs, start
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.runs import MODEL, SETTINGS
from resnet_layers.shell.settings import Settings, TrainSettings
from resnet_layers.training.batches import Batches
from resnet_layers.training.fine_tuning import set_trainable
from resnet_layers.training.schedules import warm_up_cosine

# One row of history.csv: train_loss, train_accuracy, test_loss, test_accuracy.
Scores = dict[str, float]

HISTORY, CURVES = "history.csv", "curves.png"
FILES = (MODEL, HISTORY, CURVES, SETTINGS)
LARGE = 96  # pixels on a side, beyond which a network should halve them in its stem
FEW_STEPS = 200


def run(settings: TrainSettings, *, quiet: bool = False, as_json: bool = False) -> int:
    """Trains, writes, and has a new process check what was written."""
    with runs.told(quiet=quiet, as_json=as_json):
        last = train(settings)
        finish(settings, FILES, last)
    if as_json:
        print(json.dumps({"model": str(settings.output / MODEL), **last}))
    return 0


def finish(settings: Settings, files: Sequence[str], row: Scores) -> None:
    """Has a new process check what was written, and says what one can do with it."""
    print(f"Wrote {', '.join(files)} into '{errors.printable(settings.output)}'")
    if older := runs.exported(settings.output):
        print(f"Note: of a network that was there before, and not of this one: {', '.join(older)}")
    print("A new process opens the network and evaluates it", flush=True)
    print(check_in_new_process(settings, row))
    print(runs.next_commands(settings))


def train(settings: TrainSettings) -> Scores:
    """Trains a network and writes it, its history, its curves and the settings.

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
    run = runs.record("train", settings, data)
    runs.check_folder(settings.output, run, settings.overwrite)
    known = start.known(settings)
    reader = None if known is None else start.reader(known, settings.image_size)
    size = settings.image_size or (usual_size(data) if reader is None else reader.image_size)
    print(f"Reading {len(data.labels)} images of {len(data.class_names)} classes: {data.title}")
    verbose = images.verbosity()
    how = "bilinear" if reader is None else reader.layer.interpolation
    squares = images.read([*training.sources, *test.sources], size, how, verbose)
    train_squares, test_squares = np.split(squares, [len(training.sources)])

    keras.utils.set_random_seed(settings.seed)
    data_format = "channels_last" if known is None else known.stem.layout.data_format
    reader = reader or images.Reader.fit(train_squares, data_format)
    metadata = {**classifier.metadata(data, test, reader, settings.seed), "run": run}
    if known is None:
        model = _network(settings, size, metadata)
    else:
        model = start.network(known, size, metadata)
    unfreezing = start.freeze(settings, model)
    batches = Batches(
        train_squares, training.labels, reader.normalize, settings.batch_size, settings.seed
    )
    optimizer = _optimizer(settings, len(batches))
    classifier.compile_classifier(model, start.falling(settings, model, optimizer))
    for sentence in [] if known is None else start.said(settings, known):
        print(sentence)
    print(
        f"Training {model.name}, {model.count_params():,} parameters, on "
        f"{len(train_squares)} images of {size}×{size} pixels; {len(test_squares)} for the test"
    )
    for sentence in advice(settings, size, settings.epochs * len(batches)):
        print(sentence)
    history = model.fit(
        batches,
        epochs=settings.epochs,
        validation_data=Batches(test_squares, test.labels, reader.normalize, settings.batch_size),
        shuffle=False,  # the batches do it, from the seed
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            progress.Interruptible(),
            *unfreezing,
            *([progress.Lines()] if verbose == 2 else []),
        ],
        verbose=int(verbose == 1),
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
    _write(settings, model, rows)
    return rows[-1]


def check_in_new_process(settings: Settings, row: Scores) -> str:
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


def advice(settings: TrainSettings, size: int, steps: int) -> list[str]:
    """What may not be meant, before it takes long.

    Args:
        settings: What to do.
        size: Height and width of the images in pixels.
        steps: How many steps there will be.
    """
    found = []
    stem = {"strides": 2, **(variants.find(settings.variant).stem if settings.variant else {})}
    if stem["strides"] == 1 and size > LARGE:
        found.append(
            f"Note: {settings.variant} is made for small images and computes at each of "
            f"{size}×{size} pixels, in much time and memory. For photographs take another network, "
            "such as `--variant resnet18`, or a smaller `--image-size`"
        )
    if steps < FEW_STEPS:
        found.append(
            f"Note: the number of steps in all is {steps}; below {FEW_STEPS} or so the statistics "
            "of normalization lag behind, and the test looks worse than the network is. "
            f"`--epochs {math.ceil(FEW_STEPS * settings.epochs / steps)}` would be enough"
        )
    return found


def usual_size(data: labelled.Labelled) -> int:
    """Large enough for three stages, small enough for a processor."""
    sides = [images.shorter_side(source) for source in data.sources]
    return int(np.clip(np.median(sides), 16, 64))


def _network(settings: TrainSettings, size: int, metadata: dict[str, Any]) -> ResNet:
    variant = settings.variant or ""
    pooling = variants.find(variant).head.get("pooling")
    return ResNet.from_variant(
        variant,
        classes=len(metadata["class_names"]),
        # Any size, unless the head counts the pixels.
        input_shape=(size, size, 3) if pooling == "avg2x2" else (None, None, 3),
        metadata=metadata,
    )


def _optimizer(settings: TrainSettings, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    rate = checks.positive("learning_rate", settings.learning_rate)
    schedule = warm_up_cosine(rate, settings.epochs * steps_per_epoch)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _write(settings: TrainSettings, model: ResNet, rows: list[Scores]) -> None:
    output = settings.output
    network = model.replace()  # without the optimizer, whose rate has come down to zero
    set_trainable(network, True)  # whoever goes on from the file freezes what they want
    try:
        with replacing(*(output / name for name in FILES)) as paths:
            network.save(paths[0])
            _write_history(paths[1], rows)
            _write_curves(paths[2], rows)
            runs.write_settings(paths[3], "train", settings)
    except OSError as error:
        raise errors.not_writable(output, error) from None


def _write_history(path: Path, rows: list[Scores]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["epoch", *rows[0]])
        writer.writeheader()
        writer.writerows({"epoch": i, **row} for i, row in enumerate(rows, start=1))


def _write_curves(path: Path, rows: list[Scores]) -> None:
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context("default"):  # settings of the user may need what is not installed
        _draw(Figure(figsize=(9, 4), layout="constrained"), rows).savefig(path, dpi=120)


def _draw(figure: Any, rows: list[Scores]) -> Any:
    epochs = range(1, len(rows) + 1)
    both = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("log", "linear"), strict=True)
    for axes, quantity, scale in both:
        for part, line in (("train", "o--"), ("test", "o-")):
            curve = [row[f"{part}_{quantity}"] for row in rows]
            axes.plot(epochs, curve, line, markersize=3, label=part)
        axes.set(xlabel="epoch", ylabel=quantity, yscale=scale)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
