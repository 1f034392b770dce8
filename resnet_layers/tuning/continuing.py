"""Trials that go on where they were killed: a checkpoint in the folder of each."""

import contextlib
import dataclasses
import functools
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine import tuner_utils

from resnet_layers.training import checkpoint_files, checkpoints, states
from resnet_layers.training.augmentation import SHIFT
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import PadAndCrop
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.states import CheckpointError, UnwrittenError
from resnet_layers.training.waiting import Told
from resnet_layers.tuning import state

FOLDER = "checkpoints"
_TUNER = keras_tuner.engine.base_tuner.BaseTuner


def augmented(
    batches: Batches, kind: str, mixup: bool, class_weight: Mapping[int, float] | None
) -> Batches:
    """The same batches, changed as by `augmentation.Augmentation` and as a function of the step.

    Shifts are by whole pixels, one at least.
    """
    size: Any = batches.prepare.image_size
    steps: list[Any] = [Flip()] if "flip" in kind else []
    if "shift" in kind:
        steps.append(PadAndCrop(max(1, round(SHIFT * size)), "edge"))
    return batches.changed(
        augment=(*batches.augment, *steps),
        mixing=Mixing(0.2, mode="elem") if mixup else batches.mixing,
        class_weight=class_weight or batches.class_weight,
    )


def described(batches: Batches) -> dict[str, Any]:
    """What decides the contents of batches, images by their names."""
    weights = batches.class_weight
    return {
        "images": batches.images.digest(),
        "sizes": batches.sizes,
        "seed": None if batches.seed is None else operator.index(batches.seed),
        "prepare": batches.prepare.get_config(),
        "class_weight": weights and sorted((int(k), float(v)) for k, v in weights.items()),
        "drawn": [_told(one) for one in (batches.crop, *batches.augment, batches.mixing)],
        "repeats": batches.repeats,
    }


def _told(one: Any) -> str:
    """A value of ours as it is made; of a function of others, which has an address, its type."""
    return repr(one) if dataclasses.is_dataclass(one) or one is None else type(one).__name__


def fit(
    model: keras.Model,
    keywords: Mapping[str, Any],
    options: Mapping[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
    every: int | None,
) -> Any:
    """`fit` on `Batches`, from the trial's checkpoint on if it has one.

    Args:
        model: The network.
        keywords: As of `keras.Model.fit`.
        options: What else its numbers depend on.
        callbacks: As of `keras.Model.fit`; that of keras-tuner knows the folder of the trial.
        every: Steps between two checkpoints within an epoch, or `None`.

    Returns:
        The history of all epochs, those before the kill included.

    Raises:
        SaveError: If a checkpoint cannot be written or read.
    """
    fit = dict(keywords)
    batches = fit.pop("x")
    first, epochs = (
        operator.index(fit.pop(name, default))
        for name, default in (("initial_epoch", 0), ("epochs", 1))
    )
    steps = fit["steps_per_epoch"] = operator.index(fit.get("steps_per_epoch") or len(batches))
    asked = {**options, "epochs": epochs, "steps": steps, **described(batches)}
    with _checkpoint(model, callbacks, asked, every) as made:
        start, before = first * steps, list[Any]()
        if made is not None and made.state.tensors:
            first, start, before = made.epoch, made.start, list(made.state.history)
            epochs = first if made.state.stopped else epochs
        for one in callbacks:
            if isinstance(one, Told):
                one.begins_at(first, start - first * steps, shared=made is None)
        found = model.fit(
            batches.dataset(start),
            initial_epoch=first,
            epochs=epochs,
            callbacks=[*callbacks, made] if made else list(callbacks),
            **{"shuffle": False, **fit},
        )
    later = dict(found.history)
    found.epoch = [*range(first - len(before), first), *found.epoch]
    found.history = {}
    for row in before:
        for name, value in row.items():
            found.history.setdefault(name, []).append(value)
    for name, values in later.items():
        found.history.setdefault(name, []).extend(values)
    return found


@contextlib.contextmanager
def _checkpoint(
    model: Any, callbacks: Sequence[Any], asked: dict[str, Any], every: int | None
) -> Iterator[checkpoints.Checkpoint | None]:
    """That of a trial; `None` outside of a search, or where the trial is another process's."""
    saver = next((c for c in callbacks if isinstance(c, tuner_utils.SaveBestEpoch)), None)
    if saver is None or state.is_remote(saver.filepath):
        yield None
        return
    # One of several executions of a trial, or of the trainings in the `fit` of a subclass.
    execution = saver.execution = getattr(saver, "execution", 0) + 1
    folder = Path(saver.filepath).parent / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint_files.lock(folder)
    except CheckpointError:  # another process trains it
        yield None
        return
    except OSError as error:
        raise state.SaveError(error.errno, error.strerror, str(folder)) from error
    made = None
    try:
        for path in checkpoint_files.files(folder) if execution > 1 else ():
            path.unlink()
        made = _made(model, folder, {**asked, "execution": execution}, callbacks, every)
        yield made
    except UnwrittenError as error:
        raise state.SaveError(error.errno, error.strerror, error.filename) from error
    finally:
        if made is None:
            checkpoint_files.unlock(folder)
        else:
            made.close()


def _made(
    model: Any, folder: Path, asked: dict[str, Any], callbacks: Sequence[Any], every: int | None
) -> checkpoints.Checkpoint:
    """The checkpoint that a trial goes on from, or a new one in place of one that it cannot use."""
    if checkpoint_files.files(folder):
        try:
            made = checkpoints.resume(folder, callbacks)
            states.check_same("settings", asked, made.options)
            made.describe(model)
            states.matched("model", model.variables, made.state.tensors)
            states.matched("optimizer", model.optimizer.variables, made.state.tensors)
            made.every = every
            return made
        except CheckpointError as error:
            if isinstance(error.__context__, OSError):  # it may be readable again
                number, text = error.__context__.errno, error.__context__.strerror
                raise state.SaveError(number, text, str(folder)) from error
            said = f"{error}: its trial is trained from the beginning"
            warnings.warn(said, state.DamagedSearchWarning, stacklevel=2)
        for path in checkpoint_files.files(folder):
            path.unlink()
    return checkpoints.Checkpoint(folder, every=every, keep=0, callbacks=callbacks, options=asked)


def done(folder: str | Path) -> tuple[int, int]:
    """Epochs, and steps of the next one, that the last checkpoint of a trial holds."""
    found = checkpoint_files.files(Path(folder) / FOLDER)
    return checkpoint_files.place(found[-1]) if found else (0, 0)


def repair_ends() -> None:
    """Lets keras-tuner remove the checkpoints of a trial that is over, also of one that failed.

    A search that goes on removes those whose trial was over when it was killed.
    """
    begin, end = _TUNER.on_search_begin, _TUNER.on_trial_end
    if hasattr(end, "__wrapped__"):  # repaired already
        return

    @functools.wraps(begin)
    def begin_and_remove(self: Any) -> None:
        begin(self)
        if not state.is_remote(self.project_dir):
            for folder in Path(self.project_dir).glob(f"trial_*/{FOLDER}"):
                trial = state.read_trial(folder.parent / "trial.json")
                if trial is not None and trial.status in state.OVER:
                    _remove(folder)

    @functools.wraps(end)
    def end_and_remove(self: Any, trial: Any) -> None:
        end(self, trial)
        folder = Path(self.get_trial_dir(trial.trial_id)) / FOLDER
        if not state.is_remote(str(self.get_trial_dir(trial.trial_id))) and folder.is_dir():
            _remove(folder)

    _TUNER.on_search_begin, _TUNER.on_trial_end = begin_and_remove, end_and_remove


def _remove(folder: Path) -> None:
    """What checkpoints have left in a folder, and the folder if nothing else is in it."""
    # Another process may still train what this one was faster at, or nobody may write here.
    with contextlib.suppress(CheckpointError, OSError):
        checkpoint_files.lock(folder)
        try:
            for path in checkpoint_files.files(folder):
                path.unlink()
        finally:
            checkpoint_files.unlock(folder)
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
