# ruff: noqa: T201 (a command tells what it does)
"""The search from the shell: trials of `HyperResNet`, and the best one as a trained network."""

import contextlib
import dataclasses
import io
import json
import reprlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras_tuner
from rich.console import Console

from resnet_layers._support import signals
from resnet_layers._support.files import discard, replacing, save_model
from resnet_layers.shell import (
    classifier,
    data,
    errors,
    finishing,
    machines,
    progress,
    runs,
    searched,
    trial_plots,
    trials,
)
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.runs import MODEL, SETTINGS
from resnet_layers.shell.searched import LostError, Searched
from resnet_layers.shell.settings import TuneSettings
from resnet_layers.training import labelled
from resnet_layers.training.fitting import DamagedError
from resnet_layers.training.headers import headers
from resnet_layers.training.waiting import Interruptible
from resnet_layers.tuning import HyperResNet, continuing
from resnet_layers.tuning.state import OVER, DamagedSearchWarning

FILES = (MODEL, "trials.csv", "parallel_coordinates.png", "importance.png", SETTINGS)


def run(settings: TuneSettings, *, quiet: bool = False, as_json: bool = False) -> int:
    """Searches, writes the best network, and has a new process check it."""
    with runs.told(quiet=quiet, as_json=as_json):
        row = tune(settings)
        if row is not None:
            finishing.finish(settings, FILES, row)
    if as_json and row is not None:
        print(json.dumps({"model": str(settings.output / MODEL), **row}))
    return 0


def tune(settings: TuneSettings) -> dict[str, float] | None:
    """Searches, and writes the best network, a table of the trials, and two plots.

    In a worker of keras-tuner (its environment variables say so) it only searches; the chief
    writes.

    Args:
        settings: What to do.

    Returns:
        Loss and accuracy of the best network on the test images; `None` in a worker.

    Raises:
        InputError: If the images or the budget cannot be used, if the output folder cannot be
            written to or holds another search, or if no trial succeeds.
    """
    machines.check()
    every, parts = data.chosen(settings.data)
    errors.check_output(settings.output, settings.data, FILES)
    if every.several:
        raise InputError(
            f"The images of a search must have one label each. Received: several in {every.title}"
        )
    run = runs.record("tune", settings, every)
    runs.check_folder(settings.output, run, settings.overwrite)
    usual = 224 if settings.preset == "imagenet" else data.usual_size(headers(every.sources))
    size = settings.image_size or usual
    try:
        hypermodel = HyperResNet(
            len(every.class_names),
            (size, size, 3),
            preset=settings.preset,
            max_parameters=settings.max_parameters,
            max_macs=settings.max_macs,
            max_milliseconds=settings.max_milliseconds,
            seed=settings.seed,
        )
    except ValueError as error:  # of the budget, which only the space can judge
        raise InputError(str(error)) from None
    _keep_settings(settings, every)
    print(f"Reading {len(every.labels)} images of {len(every.class_names)} classes: {every.title}")
    batches = searched.read(settings, every, parts, size)
    with (
        _damage_told(),
        contextlib.redirect_stdout(io.StringIO()),  # keras-tuner says what it reads
        machines.connected(),
    ):
        tuner = make_tuner(settings, hypermodel, batches.damaged)
    for sentence in [*data.odd_classes(batches.found), _announcement(settings, batches)]:
        print(sentence, flush=True)
    known = {} if machines.is_worker() else tuner.oracle.trials  # which the chief has
    if done := sum(trial.status in OVER for trial in known.values()):
        print(f"The search goes on after {_counted(done, 'trial')}", flush=True)
    try:
        with _damage_told(), machines.connected():
            tuner.search(
                batches.training,
                epochs=settings.epochs,
                validation_data=batches.validation,
                checkpoint_every=settings.checkpoint_every,
                verbose=0,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{signals.INTERRUPTED}; the same command goes on with the search"
        ) from None
    if machines.is_worker():
        print("The search is over; the chief writes what it found")
        return None
    return _finish(settings, batches, tuner, run)


def make_tuner(
    settings: TuneSettings,
    hypermodel: keras_tuner.HyperModel,
    damaged: Callable[[], Iterator[DamagedError]] = lambda: iter(()),
) -> keras_tuner.Tuner:
    """keras-tuner's tuner, telling about each trial.

    Args:
        settings: What to do.
        hypermodel: What makes the networks.
        damaged: What is wrong with images, which is looked for where a trial fails.
    """
    limits = {"max_trials": settings.trials}
    seconds: list[float] = []  # of each trial
    kind, limits = {
        "random": (keras_tuner.RandomSearch, limits),
        # By default it starts with three random trials for each hyperparameter, some eighty.
        "bayesian": (
            keras_tuner.BayesianOptimization,
            {**limits, "num_initial_points": max(4, settings.trials // 3)},
        ),
        "hyperband": (keras_tuner.Hyperband, {"max_epochs": settings.epochs}),
        "grid": (keras_tuner.GridSearch, limits),
    }[settings.tuner]

    class Telling(kind):  # type: ignore[misc, valid-type]
        """Prints a line for each trial, and every few seconds within a long one."""

        def on_trial_begin(self, trial: Any) -> None:
            super().on_trial_begin(trial)
            self.began = time.monotonic()

        def run_trial(self, trial: Any, *args: Any, **keywords: Any) -> Any:
            name = trials.name(trial, settings.trials)
            done = continuing.done(self.get_trial_dir(trial.trial_id))
            if not any(done):
                print(f"{name} {trials.begins(*done)}", flush=True)
            keywords["callbacks"] = [
                *keywords.get("callbacks", ()),
                Interruptible(),
                *([trials.Begins(name)] if any(done) else []),
                progress.Lines(f"{name}: ", epochs=False),
            ]
            try:
                return super().run_trial(trial, *args, **keywords)
            except Exception as error:
                lost = next(damaged(), None)
                if lost is None:
                    raise
                raise LostError(
                    f"{lost}; when it can be, the same command goes on with the search"
                ) from error

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            signals.check()
            # A worker has a copy, and the chief the score.
            trial = self.oracle.get_trial(trial.trial_id)
            seconds.append(time.monotonic() - self.began)
            best = self.oracle.get_best_trials(1)[0]
            print(trials.line(trial, best, settings.trials, seconds), flush=True)

    return Telling(
        hypermodel,
        objective="val_accuracy",
        seed=settings.seed + 1,  # keras-tuner takes 0 for none
        directory=settings.output,
        project_name="search",
        **limits,
    )


def _keep_settings(settings: TuneSettings, every: labelled.Labelled) -> None:
    """Writes the settings beside the search, or compares them with those that are there."""
    path = settings.output / "settings.json"
    # A search can go on elsewhere, with the same images in another place, and for longer.
    mine = {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if name not in ("data", "output", "overwrite", "trials", "checkpoint_every")
    }
    mine |= {"classes": every.class_names, "images": every.digest()}
    try:
        begun = (settings.output / "search").exists()
        theirs = json.loads(path.read_text(encoding="utf-8")) if begun and path.is_file() else mine
    except (OSError, RecursionError, ValueError):
        theirs = None
    if not isinstance(theirs, dict):
        if not settings.overwrite:
            raise InputError(
                f"'{path}' is damaged: choose another folder with `--output`, or begin anew with "
                "`--overwrite`"
            )
        theirs = {}
    other = [name for name, value in mine.items() if theirs.get(name) != value]
    if other and not settings.overwrite:
        name = other[0]
        there = reprlib.repr(theirs.get(name))
        raise InputError(
            f"The folder '{settings.output}' holds a search with other settings, which can "
            f"only go on with its own: choose another with `--output`, or begin anew with "
            f"`--overwrite`. Received: {name}={reprlib.repr(mine[name])}, there {name}={there}"
        )
    try:
        if other:  # it begins anew
            discard(settings.output / "search")
        with replacing(path) as (new,):
            new.write_text(json.dumps(mine, indent=1), encoding="utf-8")
    except OSError as error:
        raise errors.not_writable(settings.output, error) from None


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    """Prints what a search cannot read as lines, and not as warnings."""
    out, show = sys.stdout, warnings.showwarning

    def tell(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if issubclass(category, DamagedSearchWarning):
            print(errors.printable(message), file=out, flush=True)
        else:
            show(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedSearchWarning)
        warnings.showwarning = tell
        yield


def _announcement(settings: TuneSettings, batches: Searched) -> str:
    count = [sum(part.sizes) for part in (batches.training, batches.validation, batches.test)]
    size = batches.reader.image_size
    epochs = _counted(settings.epochs, "epoch")
    hyperband = settings.tuner == "hyperband"
    how_many = "" if hyperband else f"{_counted(settings.trials, 'trial')} of "
    return (
        f"Searching ({settings.tuner}): {how_many}{epochs} on {count[0]} images "
        f"of {size}×{size} pixels; {count[1]} to choose by, {count[2]} for the test"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _finish(
    settings: TuneSettings, batches: Searched, tuner: keras_tuner.Tuner, run: dict[str, Any]
) -> dict[str, float]:
    """Writes what the search found."""
    table = trials.Table.of(tuner)
    if not table.finished:
        raise InputError(f"No trial succeeded. The last one ended so: {table.last_message()}")
    found = trials.best_network(tuner)
    classifier.compile_classifier(found)  # as `evaluate` will
    scores = found.evaluate(batches.test.dataset(), verbose=0, return_dict=True)
    names, split = batches.found.every.class_names, batches.found.split
    metadata = classifier.metadata(names, batches.reader, split)
    metadata |= {"hyperparameters": table.finished[0].values, "run": run}
    model = found.replace(metadata=metadata)  # without the optimizer
    print()
    Console(markup=False, highlight=False).print(table.best(5))
    print(
        f"Best network: {model.count_params():,} parameters, accuracy {scores['accuracy']:.2%} on "
        f"{sum(batches.test.sizes)} test images that the search did not see"
    )
    from matplotlib import style

    try:
        with replacing(*(settings.output / name for name in FILES)) as paths:
            save_model(model, paths[0])
            table.write(paths[1])
            with style.context("default"):  # the user's may need what is not installed
                trial_plots.parallel_coordinates(table, paths[2])
                trial_plots.importance(table, paths[3])
            runs.write_settings(paths[4], "tune", settings)
    except OSError as error:
        raise errors.not_writable(settings.output, error) from None
    return {"test_loss": scores["loss"], "test_accuracy": scores["accuracy"]}
