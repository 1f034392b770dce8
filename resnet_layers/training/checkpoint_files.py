"""Checkpoint files: whole and unchanged or refused, and one process at a time in their folder."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import IO

import numpy as np

from resnet_layers._support.files import replacing
from resnet_layers.training import history
from resnet_layers.training.checkpoint_names import files as files
from resnet_layers.training.checkpoint_names import place as place
from resnet_layers.training.states import (
    CheckpointError,
    NotWholeError,
    State,
    Tensors,
    check_same,
    made_by,
)

try:
    import fcntl
except ImportError:  # of Windows
    fcntl = None  # type: ignore[assignment]

_LOCKS: dict[Path, IO[str]] = {}  # of this process


def write(path: Path, state: State) -> None:
    """A file in the format of safetensors, with a digest of all that it holds.

    Raises:
        OSError: If it cannot be written.
    """
    from safetensors.numpy import save

    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    tensors: Tensors = fields.pop("tensors")
    fields["kinds"] = {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()}
    said = json.dumps(fields)
    # As bytes, since NumPy has not all types by itself.
    rows = {name: np.ascontiguousarray(t).reshape(-1).view(np.uint8) for name, t in tensors.items()}
    content = save(rows, metadata={"state": said, "digest": _digest(said, rows)})
    with replacing(path) as (beside,), beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # before the one before it goes


def read(path: Path, *, of_same_versions: bool = True) -> State:
    """What `write` has written.

    Args:
        path: The file.
        of_same_versions: Whether the versions that wrote it must be those that are here.

    Raises:
        NotWholeError: If the file is no checkpoint, or not the one that was written.
        CheckpointError: If it cannot be read, or was written with other versions.
    """
    import ml_dtypes  # noqa: F401 (names bfloat16 for NumPy)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            rows = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = metadata["state"]
        changed = metadata["digest"] != _digest(said, rows)
        fields = {} if changed else json.loads(said)
        if of_same_versions:
            check_same("versions", made_by(), fields["made_by"])
        kinds = fields.pop("kinds")
        tensors = {
            name: rows[name].view(np.dtype(kind)).reshape(shape)
            for name, (kind, shape) in kinds.items()
        }
        return State(**fields, tensors=tensors)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except (KeyError, SafetensorError, TypeError, ValueError):
        raise NotWholeError(f"'{path}' is no whole checkpoint") from None


def is_whole(path: Path) -> bool:
    """Whether it is what was written, by whatever versions."""
    try:
        read(path, of_same_versions=False)
    except CheckpointError:
        return False
    return True


def _digest(said: str, rows: Tensors) -> str:
    digest = hashlib.sha256(said.encode())
    for name in sorted(rows):
        digest.update(name.encode())
        digest.update(rows[name].data)
    return digest.hexdigest()


def lock(folder: Path) -> None:
    """Keeps other processes from training into a folder, where its file system can.

    Raises:
        CheckpointError: If one of them does.
    """
    path = Path(os.path.realpath(folder)) / "lock"
    if fcntl is None or path in _LOCKS:
        return
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CheckpointError(
            f"`folder` must not be trained into by another process. Received: folder='{folder}'"
        ) from None
    except OSError:  # not all have locks
        file.close()
        return
    _LOCKS[path] = file


def unlock(folder: Path) -> None:
    """Lets others train into it."""
    file = _LOCKS.pop(Path(os.path.realpath(folder)) / "lock", None)
    if file:
        file.close()


def keep_best(folder: Path, table: list[history.Row], number: int) -> None:
    """Removes what is neither the last checkpoint nor one of the best epochs."""
    best = sorted(range(len(table)), key=lambda i: _score(table[i]))
    epochs = {i + 1 for i in best[len(best) - number :]} if number else set()
    for other in files(folder)[:-1]:
        epoch, step = place(other)
        if step or epoch not in epochs:
            other.unlink(missing_ok=True)


def _score(row: history.Row) -> float:
    """The better the larger."""
    for name in ("val_accuracy", "val_mean_average_precision", "val_loss", "loss"):
        if name in row:
            return -row[name] if name.endswith("loss") else row[name]
    return 0.0
