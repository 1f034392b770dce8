"""Values that hide nothing: every variable random, statistics included."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def randomize(layer: Any, seed: int = 0) -> Any:
    """Gives every variable of a built layer distinct random values, and returns the layer.

    Kernels keep the size that their initializer gave them, so that deep networks stay in range.
    """
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        elif variable.name == "kernel":
            value = rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
        else:
            value = 0.1 * rng.standard_normal(shape)
        variable.assign(value.astype("float32"))
    return layer


def images(*shape: int, seed: int = 0) -> np.ndarray:
    """Images whose rows differ in colour as well as in detail."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform(-2, 2, (shape[0], *(1,) * (len(shape) - 2), shape[-1]))
    return (tint + rng.uniform(-1, 1, shape)).astype("float32")


def statistics(layer: Any) -> list[np.ndarray]:
    """All moving statistics of a layer."""
    return [value(v) for v in layer.weights if v.name.startswith("moving")]


def normalizations(layer: Any) -> list[Any]:
    """All batch normalizations of a layer."""
    return [
        child
        for child in layer._flatten_layers()
        if isinstance(child, keras.layers.BatchNormalization)
    ]


def value(tensor: Any) -> np.ndarray:
    """A tensor or variable as a NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def assert_same_weights(a: Iterable[Any], b: Iterable[Any]) -> None:
    """Equal bit for bit, one by one."""
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(value(left), value(right), err_msg=left.path)


def relative_difference(a: Any, b: Any) -> float:
    """The largest difference over the largest value."""
    a, b = value(a).astype("float64"), value(b).astype("float64")
    if a.shape != b.shape:
        raise ValueError(f"Shapes differ: {a.shape} and {b.shape}")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
