# ruff: noqa: T201 (a command tells what it does)
"""`study`: whether a claim holds, tried with several seeds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from resnet_layers._support import signals
from resnet_layers._support.files import replacing
from resnet_layers.analysis.studies import figures
from resnet_layers.analysis.studies.degradation import degradation
from resnet_layers.analysis.studies.parallel import in_processes
from resnet_layers.analysis.studies.results import Results
from resnet_layers.analysis.studies.settings import RECIPE, SETTINGS, Degradation
from resnet_layers.shell import data, errors, images
from resnet_layers.shell.errors import InputError
from resnet_layers.training.headers import headers

RESULTS, TABLE = "results.json", "errors.csv"
FILES = (RESULTS, TABLE, *(f"{name}.png" for name in figures.FIGURES))
_TEST = 0.2  # of the images
_MEMORY = 2**30  # bytes of images that are decoded once; more are read from disk in each epoch


def run(
    folder: Path | None,
    image_size: int | None,
    depths: Sequence[int],
    shortcut_depths: Sequence[int],
    seeds: int,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    workers: int,
    output: Path,
) -> int:
    """Trains plain and residual networks, and writes what came of it.

    Args:
        folder: Images with a subfolder for each class, or a table; `None` for the digits.
        image_size: Height and width in pixels; `None` for the usual one.
        depths: As of `Degradation`.
        shortcut_depths: As of `Degradation`.
        seeds: As of `Degradation`.
        epochs: As of `Degradation`.
        batch_size: As of `Degradation`.
        learning_rate: As of `Degradation`.
        workers: Number of processes.
        output: Folder to write into.
    """
    every, parts = data.chosen(folder)
    errors.check_output(output, folder, (*FILES, SETTINGS))
    if every.several:
        raise InputError(
            f"The images of a study must have one label each. Received: several in {every.title}"
        )
    usual = data.usual_size(headers(every.sources)) if folder else 8  # as the digits are
    found = data.split(every, parts, 0, _TEST, 0.0)
    size = image_size or usual
    print(f"Reading {len(every.labels)} images of {len(every.class_names)} classes: {every.title}")
    if len(every.labels) * size**2 * 3 <= _MEMORY:
        found = found.in_memory(size, "bilinear", images.verbosity())
    else:
        found = data.look(found, skip_damaged=False, check=True)
    with errors.values():
        settings = Degradation(
            images=found.training,
            test=found.test,
            prepare=found.measured(size, "bilinear", "channels_last", skip_damaged=False).layer,
            output=output,
            depths=tuple(depths),
            shortcut_depths=tuple(shortcut_depths),
            seeds=seeds,
            # A digit's mirror image is none.
            recipe=RECIPE if folder else dataclasses.replace(RECIPE, flip=0.0),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
        )
    print(
        f"Training {len(settings.contenders)} networks, {seeds} times each, for {epochs} epochs on "
        f"{len(found.training.labels)} images of {size}×{size} pixels; {len(found.test.labels)} "
        "for the test",
        flush=True,
    )
    try:
        results = (
            in_processes(settings, workers)
            if workers > 1
            else degradation(settings, lambda line: print(line, flush=True))
        )
        if results.runs:
            _write(results, output)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{signals.INTERRUPTED}; the same command goes on with the study"
        ) from None
    except OSError as error:
        raise errors.not_writable(output, error) from None
    whole = len(settings.contenders) * seeds
    if len(results.runs) < whole:
        print(f"Another process still trains: {len(results.runs)} of {whole} runs are there")
    if not results.runs:
        return 0
    print(f"\n{results.table()}")
    print(f"Wrote {RESULTS}, {TABLE} and figures into '{errors.printable(output)}'")
    return 0


def _write(results: Results, output: Path) -> None:
    names = figures.drawn(results)
    targets = [output / RESULTS, output / TABLE, *(output / f"{name}.png" for name in names)]
    with replacing(*targets) as (first, second, *pictures):
        first.write_text(results.table("json"), encoding="utf-8")
        second.write_text(results.table("csv"), encoding="utf-8")
        for name, path in zip(names, pictures, strict=True):
            figures.write(name, results, path)
