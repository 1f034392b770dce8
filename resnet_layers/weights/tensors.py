"""`Tensor`: an array that is not read yet, from whatever library it comes."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from resnet_layers.weights.dialects import looks_like_keras


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An array that is not read yet.

    Args:
        shape: Its shape.
        dtype: Name of its dtype.
        read: Reads it.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


def of_mapping(mapping: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The arrays of a mapping.

    Raises:
        TypeError: If it does not map names to arrays.
    """
    tensors = {}
    for name, value in mapping.items():
        if not isinstance(name, str) or not hasattr(value, "shape") or not hasattr(value, "dtype"):
            raise TypeError(
                f"`source` must map names to arrays. Received: {name!r} for a {type(value)}"
            )
        tensors[name] = value if isinstance(value, Tensor) else _of_array(value)
    return tensors


def of_keras_model(model: keras.Model) -> dict[str, Tensor]:
    """The variables of a ResNet or VGG of keras.applications, or of a model around one.

    Raises:
        ValueError: If the model holds no such network, or if two names are the same.
    """
    named = [
        (f"{layer.name}/{variable.name}", _of_array(variable))
        for layer in _layers(model)
        for variable in layer.weights
    ]
    if not looks_like_keras(name for name, _ in named):
        raise ValueError(
            "`source` must hold a ResNet, ResNetV2 or VGG of keras.applications where it is a "
            f"Keras model. Received: source={model!r}"
        )
    return unique(named)


def unique(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by their names.

    Raises:
        ValueError: If two of them have the same name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"`source` must not have two tensors of one name. Received: {name!r}")
        found[name] = tensor
    return found


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _of_array(value: Any) -> Tensor:
    # NumPy's, TensorFlow's and ml_dtypes' dtypes have a name; torch's are `torch.float32`.
    dtype = str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")
    return Tensor(tuple(value.shape), dtype, lambda: _read(value, dtype))


def _read(value: Any, dtype: str) -> np.ndarray:
    if hasattr(value, "detach"):  # of torch, whose NumPy knows no bfloat16
        value = value.detach().cpu()
        return (value.float() if dtype == "bfloat16" else value).numpy()
    if isinstance(value, keras.Variable):
        return keras.ops.convert_to_numpy(value)
    return np.asarray(value)
