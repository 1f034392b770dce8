"""Constructing ResNet-50, against keras.applications."""

import gc
from collections.abc import Callable
from typing import Any

import keras

import resnet_layers as rl
from benchmarks.paired import stopwatch

# Our initializer is torchvision's: normal numbers. Stock Keras draws uniform ones.
CASES = [("own kernels",), ("uniform kernels",)]
SMOKE = CASES[:1]
OVERRIDES: dict[str, dict[str, Any]] = {
    "own kernels": {},
    "uniform kernels": {"kernel_initializer": "glorot_uniform"},
}


def test_construction(compare: Callable[..., None], case: tuple[str]) -> None:
    (kernels,) = case

    def ours() -> Any:
        return rl.ResNet.from_variant("resnet50", classes=1000, **OVERRIDES[kernels])

    def stock() -> Any:
        return keras.applications.ResNet50(weights=None, classes=1000)

    assert _kernel_shapes(ours()) == _kernel_shapes(stock())
    compare(
        f"construction: resnet50, {kernels}",
        stopwatch(ours, before=_forget),
        stopwatch(stock, before=_forget),
        goal=None if OVERRIDES[kernels] else 1.0,
    )


def _kernel_shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return sorted(tuple(v.shape) for v in model.trainable_weights if v.name == "kernel")


def _forget() -> None:
    keras.backend.clear_session()
    gc.collect()
