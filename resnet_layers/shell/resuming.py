"""The checkpoints of `train`, by which a run goes on: `--resume`, or the same command again."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_layers._support.files import replacing
from resnet_layers.shell import config, runs
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import checkpoint_files, checkpoints
from resnet_layers.training.checkpoint_names import is_checkpoint
from resnet_layers.training.states import CheckpointError, State

FOLDER = config.OF_THE_RUN.parent
ENDED = "ended"  # a file in the folder of a run whose network is written
ANEW = "begin anew with `--overwrite`"


def check(settings: TrainSettings) -> None:
    """Says before the work that a run cannot go on, or that another one is in its folder.

    Raises:
        InputError: If it is so.
    """
    if settings.resume is not None:
        config.check_resumed(settings.resume, runs.chosen(settings))
        if _is_elsewhere(settings) and checkpoint_files.files(settings.output / FOLDER):
            raise InputError(
                f"The folder '{settings.output}' holds checkpoints of another run: choose another "
                "with `--output`"
            )
        return
    if is_in_its_folder(settings):
        return
    if settings.source and _is_of(settings.source, settings.output):
        raise InputError(
            "`from` must not be a checkpoint of the run whose place is taken: choose another "
            f"folder with `--output`. Received: from='{settings.source}'"
        )
    if not settings.overwrite and _unfinished(settings):
        raise InputError(
            f"The folder '{settings.output}' holds the checkpoints of another run, which was "
            f"not ended: go on with it with `--resume`, choose another with `--output`, or {ANEW}"
        )


def last_state(settings: TrainSettings) -> State | None:
    """Where a run goes on; `None` for a new one.

    Args:
        settings: What to do, for which `check` has found no obstacle.

    Raises:
        InputError: If the last checkpoint is damaged, or of other versions.
    """
    if settings.look or (
        settings.resume is None and (settings.overwrite or not _unfinished(settings))
    ):
        return None
    try:
        return checkpoints.last_state((settings.resume or settings.output) / FOLDER)
    except CheckpointError as error:
        raise InputError(f"{error}" + ("" if settings.resume else f"; {ANEW}")) from None


def checkpoint(
    settings: TrainSettings, callbacks: Sequence[Any], state: State | None
) -> checkpoints.Checkpoint:
    """Where a run is written down, or goes on.

    Args:
        settings: What to do.
        callbacks: Those that have something to remember.
        state: Where it goes on, as `last_state` says it.
    """
    folder = settings.output / FOLDER
    if state is None:
        made = checkpoints.Checkpoint(
            folder / "new", every=settings.checkpoint_every, keep=settings.keep, callbacks=callbacks
        )
    else:
        made = checkpoints.going_on(folder, state, callbacks)
    made.folder = folder  # what is there stays until `begin`
    return made


def begin(settings: TrainSettings, made: checkpoints.Checkpoint) -> None:
    """Takes the folder, and writes the options that `--resume` takes.

    Raises:
        InputError: If another process trains into it.
        OSError: If they cannot be written.
    """
    folder = settings.output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        checkpoint_files.lock(folder)
    except CheckpointError:
        where = printable(settings.output)
        raise InputError(f"Another process trains into '{where}'") from None
    (folder / ENDED).unlink(missing_ok=True)
    if not made.state.tensors:  # a new run
        for path in checkpoint_files.files(folder):
            path.unlink()
    with replacing(folder / runs.SETTINGS) as (path,):
        runs.write_settings(path, "train", settings)


def end(settings: TrainSettings) -> None:
    """Marks a run whose network is written.

    Raises:
        OSError: If that cannot be written.
    """
    (settings.output / FOLDER / ENDED).touch()


def said(made: checkpoints.Checkpoint, epochs: int) -> list[str]:
    """Where a run goes on."""
    if not made.start:
        return []
    state = made.state
    if state.stopped or state.epoch >= epochs:
        return ["The training is over; what comes after it is done again"]
    step = f", step {state.step} of {state.steps}" if state.step else ""
    return [f"The training goes on after epoch {state.epoch} of {epochs}{step}"]


def goes_on(output: Path) -> str:
    """How a run that has ended before its end goes on; nothing without a checkpoint."""
    there = checkpoint_files.files(output / FOLDER)
    return f"; `train --resume {printable(shlex.quote(str(output)))}` goes on" if there else ""


def is_in_its_folder(settings: TrainSettings) -> bool:
    """Whether a run goes on where it began, and may replace what it has written there."""
    if settings.resume is not None:
        return not _is_elsewhere(settings)
    return not settings.overwrite and _unfinished(settings) and _is_same(settings)


def _is_of(path: Path, output: Path) -> bool:
    return is_checkpoint(path) and (
        os.path.realpath(path.parent) == os.path.realpath(output / FOLDER)
    )


def _is_elsewhere(settings: TrainSettings) -> bool:
    return settings.resume is not None and (
        os.path.realpath(settings.resume) != os.path.realpath(settings.output)
    )


def _unfinished(settings: TrainSettings) -> bool:
    """Whether a run has checkpoints in the folder, and has not written what comes at its end."""
    folder = settings.output / FOLDER
    return bool(checkpoint_files.files(folder)) and not (folder / ENDED).exists()


def _is_same(settings: TrainSettings) -> bool:
    try:
        config.check_resumed(settings.output, runs.chosen(settings), free=())
    except InputError:
        return False
    return True
