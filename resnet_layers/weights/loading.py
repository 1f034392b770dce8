"""`load_weights_from`: the weights of other libraries in a `ResNet`."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers.layers import preprocessing
from resnet_layers.weights import counterparts, numerics, plan
from resnet_layers.weights.dialects import Dialect
from resnet_layers.weights.plan import NamedTensor
from resnet_layers.weights.protocol import Parts
from resnet_layers.weights.sources import Source, open_source

_RGB = 3
_FLOATING = ("float16", "bfloat16", "float32", "float64")


def load_weights_from(
    model: Parts, source: Any, *, skip: Iterable[str] = (), averaged: bool | None = None
) -> None:
    """Gives a network the weights that timm, torchvision or keras.applications made.

    The source must have exactly the tensors that the network needs, of the same shapes, finite
    and in floating point; otherwise nothing is assigned. Only the first kernel may differ: one
    for RGB images is adapted to other channels (summed for one, repeated and scaled for more).

    Args:
        model: A network of the package's parts.
        source: A file that ends in `.safetensors`, `.pth`, `.pt`, `.bin`, `.pth.tar`, `.ckpt`,
            `.npz` or `.h5`; a mapping from names to arrays; or a Keras model from
            keras.applications. Checkpoints of training scripts are looked into.
        skip: Names of parts whose weights stay as they are: `"stem"`, `"stage1"` and so on,
            `"norm"`, `"head"`.
        averaged: Whether the averaged weights of a checkpoint are loaded, such as
            `state_dict_ema`, or the others; `None` for the averaged ones where there are some, as
            timm does it, with a warning.

    Raises:
        ValueError: If the file is damaged, or tensors are missing, unexpected, of another shape,
            not finite or not in floating point, or a variance is negative; if `skip` has an
            unknown name; or if there are no weights such as `averaged` asks for.
        TypeError: If `model` is no `ResNet` of the package's parts, or `source` or `skip` of the
            wrong type.
        ImportError: If a file of torch is given and torch is not installed.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=10)
    >>> folder = getfixture("tmp_path")
    >>> save_torch_weights(model, folder / "weights.safetensors")
    >>> load_weights_from(model, folder / "weights.safetensors")
    >>> other = ResNet.from_variant("resnet18", classes=2)
    >>> load_weights_from(other, folder / "weights.safetensors", skip=["head"])
    """
    if not isinstance(model, Parts):
        raise TypeError(f"`model` must be a ResNet. Received: model={model!r}")
    left_out = _check_skip(skip, plan.named_parts(model))
    if averaged is not None:
        checks.boolean("averaged", averaged)
    with open_source(source, averaged) as found:
        dialect = plan.keras_dialect(model) if found.is_keras else plan.torch_dialect(model)
        planned = plan.named_tensors(model, dialect, left_out)
        _check_tensors(found, planned, dialect, left_out)
        rows = [row for row in planned if row.variable is not None]
        _check_values(found, rows)
        numerics.warn(model, dialect, left_out)
        for row in rows:
            row.variable.assign(_value(row, found.read(row.name)))
    if averaged is None and found.averages is not None:
        warnings.warn(
            f"The weights are the averaged ones of source={found.title}, as timm takes them; "
            "averaged=True asks for these, averaged=False for the others",
            stacklevel=2,
        )
    if found.is_keras and "preprocessing" not in model.metadata:
        layer = preprocessing.for_keras_applications(plan.is_preactivated(model))
        config = keras.saving.serialize_keras_object(layer)
        model.metadata = checks.metadata({**model.metadata, "preprocessing": config})


def _check_skip(skip: Any, known: Iterable[str]) -> tuple[str, ...]:
    names = tuple(known)
    message = f"`skip` must be a list of names among {checks.some(names)}. Received: skip={skip!r}"
    if isinstance(skip, str) or not isinstance(skip, Iterable):
        raise TypeError(message)
    skip = tuple(skip)
    if not all(part in names for part in skip):  # what is no name may not even have a hash
        raise ValueError(message)
    return skip


def _check_tensors(
    source: Source, rows: list[NamedTensor], dialect: Dialect, skip: tuple[str, ...]
) -> None:
    """Names, shapes and dtypes, all of them before any array is read."""
    problems = list(_problems(source, rows, dialect, skip))
    if not problems:
        return
    hint = counterparts.missing(source.tensors, rows)
    if not hint and {part for part, _ in problems} == {"head"}:
        hint = "\nIf only the classes differ, give skip=('head',)."
    raise ValueError(
        f"The tensors of `source` must be those of `model`, named as in {dialect.title} "
        "(- is missing, + is not expected, ! does not fit). "
        f"Received: source={source.title} with\n"
        + checks.some([text for _, text in problems], str, "\n")
        + hint
        + source.hint
    )


def _problems(
    source: Source, rows: list[NamedTensor], dialect: Dialect, skip: tuple[str, ...]
) -> Iterator[tuple[str | None, str]]:
    """What does not fit, and to which part it belongs."""
    for row in rows:
        if row.variable is None:  # a counter, which may be missing
            continue
        tensor = source.tensors.get(row.name)
        if tensor is None:
            yield row.part, f" - {row.name} {row.shape}"
        elif tensor.shape not in _shapes(row):
            yield row.part, f" ! {row.name}: has {tensor.shape}, needs {row.shape}"
        elif tensor.dtype not in _FLOATING:
            yield row.part, f" ! {row.name}: has {tensor.dtype}, needs floating point"
    planned = {row.name for row in rows}
    for name in source.tensors:
        part = dialect.part_of(name)
        if name not in planned and part not in skip:
            yield part, f" + {name}"


def _shapes(row: NamedTensor) -> tuple[tuple[int, ...], ...]:
    return (row.shape, row.shape_for(_RGB)) if row.reads_input else (row.shape,)


def _check_values(source: Source, rows: list[NamedTensor]) -> None:
    """A pass over all values before the one that assigns them."""
    bad = [row.name for row in rows if not _is_finite(source.read(row.name), row.variable.dtype)]
    if bad:
        raise ValueError(
            "The tensors of `source` must be finite in the dtypes of the variables of `model`. "
            f"Received: source={source.title}, where these are not: {checks.some(bad, str)}"
        )
    variances = [row.name for row in rows if row.is_variance]
    bad = [name for name in variances if source.read(name).min(initial=0) < 0]
    if bad:
        raise ValueError(
            "The variances of `source` must not be negative. "
            f"Received: source={source.title}, where these are: {checks.some(bad, str)}"
        )


def _is_finite(value: np.ndarray, dtype: str) -> bool:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return bool(np.isfinite(value.astype(dtype, copy=False)).all())


def _value(row: NamedTensor, value: np.ndarray) -> Any:
    """What the variable gets: in Keras' layout, and in memory of its own.

    A tensor of the backend can share the memory of an array, which might be that of a file.
    """
    order = [axis for axis in row.axes if value.shape[axis] > 1]
    dtype = "float64" if row.variable.dtype == "float64" else "float32"
    value = np.array(value, dtype, copy=True if order == sorted(order) else None)
    if value.shape != row.shape:
        value = _for_channels(value, row.shape[row.channel_axis], row.channel_axis)
    if row.pixels:
        value = row.from_vector(value)
    # The backend transposes on all cores.
    value = keras.ops.transpose(value, row.axes) if row.transposes else value
    shape = row.variable.shape
    return value if value.shape == shape else keras.ops.reshape(value, shape)


def _for_channels(kernel: np.ndarray, channels: int, axis: int) -> np.ndarray:
    """A kernel for RGB images, for images of other channels, as timm adapts it."""
    if channels == 1:
        return kernel.sum(axis, keepdims=True)
    repeated = np.take(kernel, np.arange(channels) % _RGB, axis)
    return repeated * repeated.dtype.type(_RGB / channels)
