"""What a training is between two of its steps: tensors, and what else there is to know."""

import dataclasses
import importlib
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers._support.errors import InputError
from resnet_layers._support.version import __version__

FORMAT = 1
Tensors = dict[str, NDArray[Any]]


class UnwrittenError(OSError):
    """A checkpoint that could not be written; the one before it is there."""


class CheckpointError(InputError):
    """A checkpoint that cannot be gone on from."""


class NotWholeError(CheckpointError):
    """A file that is damaged, or no checkpoint at all."""


def made_by() -> dict[str, Any]:
    """What equal numbers depend on beside the options."""
    backend = keras.backend.backend()
    found = {
        "format": FORMAT,
        "resnet_layers": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
    }
    if backend == "tensorflow":
        from tensorflow.python.framework.config import is_op_determinism_enabled

        found["deterministic"] = is_op_determinism_enabled()
    return found


@dataclasses.dataclass(kw_only=True)
class State:
    """A training between two of its steps.

    Args:
        epoch: Epochs that are over.
        step: Steps of the next one that are done.
        steps: Steps of an epoch.
        stopped: Whether a callback has ended it.
        history: Logs of the epochs that are over.
        tensors: Variables of the model, the optimizer and the metrics, and arrays of callbacks.
        callbacks: Class and attributes of each callback.
        options: What the training was asked for.
        network: Config of a `ResNet`; `None` of other models.
        made_by: Versions and backend, and whether operations were deterministic.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    stopped: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    tensors: Tensors = dataclasses.field(default_factory=dict)
    callbacks: list[Any] = dataclasses.field(default_factory=list)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    network: dict[str, Any] | None = None
    made_by: dict[str, Any] = dataclasses.field(default_factory=made_by)

    @property
    def done(self) -> int:
        """Steps in all epochs."""
        return self.epoch * self.steps + self.step


def check_same(what: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Names the first value that differs, by the way to it.

    Raises:
        CheckpointError: If there is one.
    """
    if found := difference(mine, theirs):
        name, *values = found
        given, kept = map(reprlib.repr, values)
        raise CheckpointError(
            f"The checkpoint must be of the same {what}. Received: {name}={given}, in the "
            f"checkpoint {name}={kept}"
        )


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first value that differs by its name, dots between those on the way to it, and both."""
    here, there = (json.loads(json.dumps(one)) for one in (mine, theirs))  # which has no tuples
    return _difference("", here, there)


def _difference(name: str, here: Any, there: Any) -> tuple[str, Any, Any] | None:
    if not isinstance(here, dict) or not isinstance(there, dict):
        return None if here == there else (name, here, there)
    ways = ((f"{name}.{key}" if name else key, key) for key in {**here, **there})
    found = (_difference(way, here.get(key), there.get(key)) for way, key in ways)
    return next(filter(None, found), None)


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a `Checkpoint`, of which a file can hold all.

    Raises:
        TypeError: If JSON does not take them.
        ValueError: If one has the name of what it holds besides.
    """
    for name in ("every", "keep"):
        if name in options:
            raise ValueError(
                f"`options` must not have `{name}`, which is an argument. Received: "
                f"options={reprlib.repr(dict(options))}"
            )
    try:
        json.dumps(dict(options))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`options` must be what JSON takes: {error}. Received: "
            f"options={reprlib.repr(dict(options))}"
        ) from None
    return dict(options)


def taken(name: str, variables: list[Any]) -> Tensors:
    """Copies of variables, by name and place."""
    # `np.array` copies, where the backend would share memory that the next step writes to.
    return {
        f"{name}/{i:05}": np.array(keras.ops.convert_to_numpy(variable))
        for i, variable in enumerate(variables)
    }


def given(name: str, variables: list[Any], tensors: Tensors) -> None:
    """Gives variables the values that `taken` has taken.

    Raises:
        CheckpointError: If they have other shapes or types, before the first one changes.
    """
    theirs = matched(name, variables, tensors)
    for variable, tensor in zip(variables, theirs, strict=True):
        variable.assign(tensor)


def matched(name: str, variables: list[Any], tensors: Tensors) -> list[NDArray[Any]]:
    """The values that `taken` has taken of variables like these.

    Raises:
        CheckpointError: If they have other shapes or types.
    """
    theirs = [tensors[one] for one in sorted(tensors) if one.startswith(f"{name}/")]
    found = [(tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables]
    wanted = [(tensor.shape, str(tensor.dtype)) for tensor in theirs]
    if found != wanted:
        i = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), None)
        other = (
            f"{len(found)} variables of the {name}, in the checkpoint {len(wanted)}"
            if i is None
            else f"{variables[i].path} with {_kind(found[i])}, in the checkpoint {_kind(wanted[i])}"
        )
        what = "network" if name == "model" else name
        raise CheckpointError(f"The checkpoint must be of the same {what}. Received: {other}")
    return theirs


def _kind(found: tuple[Any, str]) -> str:
    return f"shape={found[0]}, dtype={found[1]}"


def attributes(callback: Any, name: str, tensors: Tensors) -> dict[str, Any]:
    """The attributes of a callback that are numbers, names, arrays, or made of these."""
    found = {}
    for key, value in vars(callback).items():
        if key not in ("params", "_model", "model"):
            found[key] = _encoded(value, f"{name}/{key}", tensors)
    # A function, a file: the callback has made it, and makes it again.
    return {key: value for key, value in found.items() if value is not _NOT_KEPT}


_NOT_KEPT = object()


def _encoded(value: Any, name: str, tensors: Tensors) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    operation = getattr(value, "__name__", "")
    if operation and getattr(keras.ops, operation, None) is value:  # which some compare with
        return {"operation": operation}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        tensors[name] = np.array(value)
        return {"tensor": name}
    if type(value) not in (list, tuple, dict):
        return _NOT_KEPT
    inside = value if isinstance(value, dict) else dict(enumerate(value))
    inner = {key: _encoded(one, f"{name}/{key}", tensors) for key, one in inside.items()}
    if any(one is _NOT_KEPT for one in inner.values()):
        return _NOT_KEPT
    if isinstance(value, dict):
        return {"dict": inner} if all(isinstance(key, str) for key in inner) else _NOT_KEPT
    return {type(value).__name__: list(inner.values())}


def decoded(value: Any, tensors: Tensors) -> Any:
    """What `attributes` has made of a value, as it was."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "operation":
        return getattr(keras.ops, inner)
    if kind == "tensor":
        array = tensors[inner]
        return array if array.ndim else array[()]
    if kind == "dict":
        return {key: decoded(one, tensors) for key, one in inner.items()}
    made = [decoded(one, tensors) for one in inner]
    return tuple(made) if kind == "tuple" else made


def make_metrics(model: Any, spec: Any) -> None:
    """Makes the variables of metrics, which Keras makes from its first batch on TensorFlow."""

    def zeros(shape: Any, dtype: str = "float32") -> Any:
        return keras.ops.zeros([1 if size is None else size for size in shape], dtype)

    # Of several devices, the spec of one; their parts differ in size, which metrics do not ask for.
    spec = keras.tree.map_structure(lambda one: getattr(one, "_value_specs", (one,))[0], spec)
    x, *_ = keras.utils.unpack_x_y_sample_weight(
        keras.tree.map_structure(lambda one: keras.KerasTensor(one.shape, one.dtype.name), spec)
    )
    outputs = model.compute_output_spec(x)
    _, y, weights = keras.utils.unpack_x_y_sample_weight(
        keras.tree.map_structure(lambda one: zeros(one.shape, one.dtype.name), spec)
    )
    outputs = keras.tree.map_structure(lambda one: zeros(one.shape, one.dtype), outputs)
    model.compute_metrics(None, y, outputs, weights)
