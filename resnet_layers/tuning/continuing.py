"""Trials that go on where they were killed: a checkpoint in the folder of each."""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine import tuner_utils

from resnet_layers._support.files import discard
from resnet_layers.training import checkpoint_files, checkpoints
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import PadAndCrop
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.states import CheckpointError, UnwrittenError, check_same
from resnet_layers.tuning import state

FOLDER = "checkpoints"
_TUNER = keras_tuner.engine.base_tuner.BaseTuner


def augmented(
    batches: Batches, kind: str, mixup: bool, class_weight: Mapping[int, float] | None
) -> Batches:
    """The same batches with what `augmentation.Augmentation` does, by their numbers alone."""
    size: Any = batches.prepare.image_size
    steps: list[Any] = [Flip()] if "flip" in kind else []
    if "shift" in kind:
        steps.append(PadAndCrop(max(1, round(0.1 * size)), "edge"))
    return batches.changed(
        augment=(*batches.augment, *steps),
        mixing=Mixing(0.2, mode="elem") if mixup else batches.mixing,
        class_weight=class_weight or batches.class_weight,
    )


def fit(
    model: keras.Model,
    keywords: Mapping[str, Any],
    options: Mapping[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
    every: int | None,
) -> Any:
    """`fit` on `Batches`, from the checkpoint on that a trial has.

    Args:
        model: The network.
        keywords: As of `keras.Model.fit`.
        options: What else its numbers depend on.
        callbacks: As of `keras.Model.fit`; that of keras-tuner knows the folder of the trial.
        every: Steps between two checkpoints within an epoch, or `None`.

    Returns:
        The history, with the epochs that were over.

    Raises:
        SaveError: If a checkpoint cannot be written.
    """
    fit = dict(keywords)
    batches = fit.pop("x")
    first, epochs = fit.pop("initial_epoch", 0), fit.pop("epochs", 1)
    steps = fit.setdefault("steps_per_epoch", len(batches))
    asked = {"epochs": epochs, "steps": steps, "sizes": batches.sizes, "seed": batches.seed}
    asked |= {**options, "images": batches.images.digest()}
    with _checkpoint(callbacks, asked, every) as made:
        start = first * steps
        if made is not None and made.state.tensors:
            first, start = made.epoch, made.start
            epochs = first if made.state.stopped else epochs
        found = model.fit(
            batches.dataset(start),
            initial_epoch=first,
            epochs=epochs,
            callbacks=[*callbacks, made] if made else list(callbacks),
            **{"shuffle": False, **fit},
        )
        if made is not None:
            rows = made.state.history
            found.history = {name: [row[name] for row in rows] for name in rows[-1]}
            discard(made.folder)  # another execution of this trial begins anew
    return found


@contextlib.contextmanager
def _checkpoint(
    callbacks: Sequence[Any], asked: dict[str, Any], every: int | None
) -> Iterator[checkpoints.Checkpoint | None]:
    """That of a trial; `None` outside of a search, or where the trial is another process's."""
    made = _made(callbacks, asked, every)
    try:
        yield made
    except UnwrittenError as error:
        raise state.SaveError(error.errno, error.strerror, error.filename) from error
    finally:
        if made is not None:
            made.close()


def _made(
    callbacks: Sequence[Any], asked: dict[str, Any], every: int | None
) -> checkpoints.Checkpoint | None:
    saver = next((c for c in callbacks if isinstance(c, tuner_utils.SaveBestEpoch)), None)
    if saver is None or state.is_remote(saver.filepath):
        return None
    folder = Path(saver.filepath).parent / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint_files.lock(folder)
    except CheckpointError:
        return None
    except OSError as error:
        raise state.SaveError(error.errno, error.strerror, str(folder)) from error
    if checkpoint_files.files(folder):
        try:
            made = checkpoints.resume(folder, callbacks)
            check_same("settings", asked, made.options)
            made.every = every
            return made
        except CheckpointError as error:
            said = f"{error}: its trial is trained from the beginning"
            warnings.warn(said, state.DamagedSearchWarning, stacklevel=2)
            for path in checkpoint_files.files(folder):
                path.unlink()
    return checkpoints.Checkpoint(folder, every=every, keep=0, callbacks=callbacks, options=asked)


def done(folder: str | Path) -> tuple[int, int]:
    """Epochs of a trial, and steps of the next one, that its folder has a checkpoint of."""
    found = checkpoint_files.files(Path(folder) / FOLDER)
    return checkpoint_files.place(found[-1]) if found else (0, 0)


def repair_ends() -> None:
    """Lets keras-tuner remove the checkpoints of a trial that is over, also of one that failed."""
    end = _TUNER.on_trial_end
    if hasattr(end, "__wrapped__"):  # repaired already
        return

    @functools.wraps(end)
    def end_and_remove(self: Any, trial: Any) -> None:
        end(self, trial)
        folder = self.get_trial_dir(trial.trial_id)
        if not state.is_remote(folder):
            discard(Path(folder) / FOLDER)

    _TUNER.on_trial_end = end_and_remove
