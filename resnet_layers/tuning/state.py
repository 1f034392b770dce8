"""The state of a search on disk: written beside its files and renamed, and what is whole of it."""

import functools
import io
import json
import warnings
from pathlib import Path
from typing import Any

import h5py
import keras_tuner
from keras.src.saving import saving_lib
from keras_tuner.src import utils
from keras_tuner.src.engine import tuner_utils

from resnet_layers._support.files import replacing

OVER = ("COMPLETED", "FAILED")  # states of a trial that keras-tuner does not begin again


class SaveError(keras_tuner.errors.FatalError, OSError):
    """The state of a search cannot be written: it ends, and goes on from what was written."""


class DamagedSearchWarning(UserWarning):
    """A file of a search cannot be read, and what becomes of it."""


def warn(path: Path, consequence: str) -> None:
    """Says of a file that it cannot be read."""
    what = "is damaged" if path.exists() else "is missing"
    warnings.warn(f"'{path}' {what}: {consequence}", DamagedSearchWarning, stacklevel=2)


def repair_writing() -> None:
    """Has keras-tuner write beside its files, and lets no error of that pass for a failed trial.

    HDF5 cannot close a file on a full disk, and ends the process with SIGSEGV: weights are
    written to memory first.
    """
    save_json, save_model = utils.save_json, tuner_utils.SaveBestEpoch._save_model
    if hasattr(save_json, "__wrapped__"):  # repaired already
        return

    @functools.wraps(save_json)
    def save_json_whole(path: str, obj: Any) -> Any:
        if is_remote(path):
            return save_json(path, obj)
        text = json.dumps(obj)
        _write(Path(path), text.encode())
        return text

    @functools.wraps(save_model)
    def save_model_whole(self: Any) -> None:
        if is_remote(self.filepath):
            save_model(self)
            return
        content = io.BytesIO()
        store = saving_lib.H5IOStore(content, mode="w")
        saving_lib._save_state(self.model, store, None, "", set())
        store.close()
        _write(Path(self.filepath), content.getbuffer())

    utils.save_json = save_json_whole
    tuner_utils.SaveBestEpoch._save_model = save_model_whole


def is_remote(path: str) -> bool:
    """Whether a path is TensorFlow's, as `gs://…`, where nothing is renamed."""
    return "://" in str(path)


def _write(path: Path, content: bytes | memoryview) -> None:
    try:
        with replacing(path) as (new,):
            new.write_bytes(content)
    except OSError as error:
        raise SaveError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file of a search says, or `None`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_oracle(oracle: Any, path: Path) -> dict[str, Any] | None:
    """The state of an oracle, or `None` unless it is whole.

    Raises:
        RuntimeError: If it is another kind of oracle's.
    """
    state, mine = read_json(path), oracle.get_state()
    if state is None or not all(_kind(state.get(name)) == _kind(mine[name]) for name in _OF_ALL):
        return None
    other = [name for name in mine if name not in state]
    if other:
        raise RuntimeError(
            f"A search goes on with the kind of tuner that it began with. Received: '{path}' "
            f"without '{other[0]}', which {type(oracle).__name__} writes"
        )
    return state if all(_kind(state[name]) == _kind(mine[name]) for name in mine) else None


# What every oracle has in its state.
_OF_ALL = (
    *("ongoing_trials", "hyperparameters", "start_order", "end_order", "run_times", "retry_queue"),
    *("seed", "seed_state", "tried_so_far", "id_to_hash", "display"),
)


def _kind(value: Any) -> str:
    kinds = {"dict": dict, "list": list, "text": str}
    return next((name for name, kind in kinds.items() if isinstance(value, kind)), "number")


def read_trial(path: Path) -> Any:
    """The trial of a file, or `None`."""
    state = read_json(path)
    try:
        trial = keras_tuner.engine.trial.Trial.from_state(state)
        trial.get_state()
        trial.hyperparameters.ensure_active_values()
        scored = trial.status != "COMPLETED" or isinstance(trial.score, float | int)
    except Exception:  # of whatever else is in it
        return None
    whole = scored and trial.status in (*OVER, "RUNNING", "INVALID")
    return trial if whole and path.parent.name == f"trial_{trial.trial_id}" else None


def damaged_result(folder: Path) -> Path | None:
    """The file of a finished trial from which its network cannot be made again, or `None`.

    A tuner that trains otherwise than keras-tuner's has neither of them.
    """
    shape, weights = folder / "build_config.json", folder / "checkpoint.weights.h5"
    if shape.exists() and read_json(shape) is None:
        return shape
    if not weights.exists():
        return weights if shape.exists() else None
    try:
        h5py.File(weights).close()
    except (OSError, RuntimeError):  # it is cut, or something else
        return weights
    return None
