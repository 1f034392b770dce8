"""The checkpoints of `train`, by which a run goes on: `--resume`, or the same command again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_layers._support.files import discard, replacing
from resnet_layers.shell import config, runs
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import checkpoint_files, checkpoints
from resnet_layers.training.states import CheckpointError

FOLDER = config.OF_THE_RUN.parent
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
    elif not settings.overwrite and _unfinished(settings) and not _is_same(settings):
        raise InputError(
            f"The folder '{settings.output}' holds the checkpoints of another run, which was "
            f"not ended: go on with it with `--resume`, choose another with `--output`, or {ANEW}"
        )


def checkpoint(settings: TrainSettings, callbacks: Sequence[Any]) -> checkpoints.Checkpoint:
    """Where a run is written down, or goes on.

    Args:
        settings: What to do, for which `check` has found no obstacle.
        callbacks: Those that have something to remember.

    Raises:
        InputError: If the last checkpoint is damaged, or of other versions.
        OSError: If files cannot be written.
    """
    folder = settings.output / FOLDER
    goes_on = not settings.overwrite and _unfinished(settings)
    if settings.resume is None and not goes_on:
        discard(folder)
        made = checkpoints.Checkpoint(
            folder, every=settings.checkpoint_every, keep=settings.keep, callbacks=callbacks
        )
    else:
        try:
            made = checkpoints.resume((settings.resume or settings.output) / FOLDER, callbacks)
        except CheckpointError as error:
            raise InputError(f"{error}" + ("" if settings.resume else f"; {ANEW}")) from None
        made.folder = folder
    return made


def begin(settings: TrainSettings) -> None:
    """Writes the options that `--resume` takes.

    Raises:
        OSError: If they cannot be written.
    """
    folder = settings.output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / runs.SETTINGS) as (path,):
        runs.write_settings(path, "train", settings)


def said(made: checkpoints.Checkpoint, epochs: int) -> list[str]:
    """Where a run goes on."""
    if not made.start:
        return []
    state = made.state
    step = f", step {state.step} of {state.steps}" if state.step else ""
    return [f"The training goes on after epoch {state.epoch} of {epochs}{step}"]


def goes_on(output: Path) -> str:
    """How a run that has ended before its end goes on; nothing without a checkpoint."""
    there = checkpoint_files.files(output / FOLDER)
    return f"; `train --resume {printable(output)}` goes on" if there else ""


def _is_elsewhere(settings: TrainSettings) -> bool:
    return settings.resume is not None and (
        os.path.realpath(settings.resume) != os.path.realpath(settings.output)
    )


def _unfinished(settings: TrainSettings) -> bool:
    """Whether a run has checkpoints in the folder, and has not written what comes at its end."""
    folder = settings.output / FOLDER
    begun, ended = (_read(one / runs.SETTINGS) for one in (folder, settings.output))
    return bool(checkpoint_files.files(folder)) and begun != ended


def _is_same(settings: TrainSettings) -> bool:
    try:
        config.check_resumed(settings.output, runs.chosen(settings), free=())
    except InputError:
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
