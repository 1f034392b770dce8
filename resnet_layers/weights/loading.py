"""`load_weights_from`: the weights of other libraries in a `ResNet`."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers.layers import preprocessing, styles
from resnet_layers.layers.conv_norm import NormAct
from resnet_layers.layers.stage import ResNetStage
from resnet_layers.weights import dialects, plan
from resnet_layers.weights.dialects import Dialect
from resnet_layers.weights.plan import NamedTensor
from resnet_layers.weights.protocol import Parts
from resnet_layers.weights.sources import Source, open_source

_RGB = 3
_FLOATING = ("float16", "bfloat16", "float32", "float64")
# Fields of a style that change outputs and no tensor.
_NUMERICS = (
    "activation",
    "epsilon",
    "padding",
    "strides_on",
    "strided_block",
    "standardize_kernels",
    "anti_aliasing",
    "shortcut",
)
_NONLINEAR = ("evonorm_s0", "frn")


def load_weights_from(model: Parts, source: Any, *, skip: Iterable[str] = ()) -> None:
    """Gives a network the weights that timm, torchvision or keras.applications made.

    The source must have exactly the tensors that the network needs, of the same shapes, finite
    and in floating point; otherwise nothing is assigned. Only the first kernel may differ: one
    for RGB images is adapted to other channels (summed for one, repeated and scaled for more).

    Args:
        model: A network of the package's parts.
        source: A file that ends in `.safetensors`, `.pth`, `.pt`, `.bin`, `.npz` or `.h5`; a
            mapping from names to arrays; or a Keras model from keras.applications.
        skip: Names of parts whose weights stay as they are: `"stem"`, `"stage1"` and so on,
            `"norm"`, `"head"`.

    Raises:
        ValueError: If the file is damaged, or tensors are missing, unexpected, of another shape,
            not finite or not in floating point, or a variance is negative; or if `skip` has an
            unknown name.
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
    with open_source(source) as found:
        dialect = plan.keras_dialect(model) if found.is_keras else plan.torch_dialect(model)
        planned = plan.named_tensors(model, dialect, left_out)
        _check_tensors(found, planned, dialect, left_out)
        rows = [row for row in planned if row.variable is not None]
        _check_values(found, rows)
        _warn_of_numerics(model, dialect, left_out)
        for row in rows:
            row.variable.assign(_value(row, found.read(row.name)))
    if found.is_keras and "preprocessing" not in model.metadata:
        layer = preprocessing.for_keras_applications(plan.is_preactivated(model))
        config = keras.saving.serialize_keras_object(layer)
        model.metadata = checks.metadata({**model.metadata, "preprocessing": config})


def _check_skip(skip: Any, known: Iterable[str]) -> tuple[str, ...]:
    names = tuple(known)
    message = (
        f"`skip` must be a list of names among {', '.join(map(repr, names))}. "
        f"Received: skip={skip!r}"
    )
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
    hint = (
        "\nIf only the classes differ, give skip=('head',)."
        if {part for part, _ in problems} == {"head"}
        else ""
    )
    raise ValueError(
        f"The tensors of `source` must be those of `model`, named as in {dialect.title} "
        "(- is missing, + is not expected, ! does not fit). "
        f"Received: source={source.title} with\n" + "\n".join(text for _, text in problems) + hint
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
            f"Received: source={source.title}, where these are not: {', '.join(bad)}"
        )
    variances = [row.name for row in rows if row.is_variance]
    bad = [name for name in variances if source.read(name).min(initial=0) < 0]
    if bad:
        raise ValueError(
            "The variances of `source` must not be negative. "
            f"Received: source={source.title}, where these are: {', '.join(bad)}"
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


def _warn_of_numerics(model: Parts, dialect: Dialect, skip: tuple[str, ...]) -> None:
    """Says what no tensor can reveal."""
    differences = dict.fromkeys(_differences(model, dialect, skip))
    if differences:
        warnings.warn(
            f"The outputs of `model` will not be those of {dialect.title} with the same weights, "
            f"since it computes with {', '.join(differences)}",
            stacklevel=3,
        )


def _differences(model: Parts, dialect: Dialect, skip: tuple[str, ...]) -> Iterator[str]:
    """Fields with values that no network of the dialect with such tensors has."""
    for name, part in plan.named_parts(model).items():
        if name in skip or not hasattr(part, "style"):
            continue
        for field in _NUMERICS:
            ours = getattr(part.style, field)
            theirs = _originals(field, model, part, dialect)
            if ours not in theirs and _matters(field, part, dialect):
                yield f"{field}={ours!r} (not {' or '.join(map(repr, theirs))})"
    if dialect is dialects.TIMM_V2 and "stem" not in skip:
        expected = "zero_padded_max" if _is_bit(model, model.stem.style) else "max"
        if model.stem.pooling != expected:
            yield f"pooling={model.stem.pooling!r} (not {expected!r})"


def _originals(field: str, model: Parts, part: Any, dialect: Dialect) -> list[Any]:
    """The values that networks of the dialect have, as far as tensors can tell them apart."""
    if field == "activation" and part.style.normalization in _NONLINEAR:
        return [None]
    if dialect is dialects.TIMM_V2 and field == "standardize_kernels":
        return [_is_bit(model, part.style)]
    if dialect is dialects.TIMM_V2 and field == "shortcut":
        return ["D" if _has_deep_stem(model) else "B"]
    named = [getattr(styles.STYLES[style], field) for style in dialect.styles]
    return list(dict.fromkeys(named))


def _has_deep_stem(model: Parts) -> bool:
    return bool(getattr(model.stem, "hidden", ()))


def _is_bit(model: Parts, style: styles.BlockStyle) -> bool:
    """Whether such tensors are those of BiT: timm's other network of groups has a deep stem."""
    return style.normalization == "group" and not _has_deep_stem(model)


def _matters(field: str, part: Any, dialect: Dialect) -> bool:
    if field in ("strides_on", "strided_block", "shortcut") and not isinstance(part, ResNetStage):
        return False
    if field == "strides_on":
        return bool(part.bottleneck)
    if field == "epsilon":
        return part.style.normalization is not None
    if field == "shortcut":  # elsewhere names tell
        return dialect is dialects.TIMM_V2 and part.projection
    if field == "standardize_kernels":
        return not isinstance(part, NormAct)
    return field not in dialect.varying
