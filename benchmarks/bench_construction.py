"""Constructing a network, beside the same one in stock Keras."""

import gc
from collections.abc import Callable
from typing import Any

import keras

from benchmarks.harness import twins
from benchmarks.harness.paired import stopwatch

Case = tuple[str]
CASES: list[Case] = [("keras_resnet50",), ("cifar_resnet20",)]
SMOKE: list[Case] = [("cifar_resnet20",)]
FULL: list[Case] = [*CASES, ("resnet18",), ("keras_resnet152",)]
CLASSES = 1000


def test_construction(compare: Callable[..., Any], case: Case) -> None:
    (name,) = case
    kind = twins.KINDS[name]

    def ours() -> Any:
        return kind.ours(kind.shape, CLASSES, "float32")

    def stock() -> Any:
        return kind.stock(kind.shape, CLASSES)

    assert _shapes(ours()) == _shapes(stock())
    compare(
        "construction",
        {"network": name},
        {kind.baseline: stopwatch(stock, before=_forget), "ours": stopwatch(ours, before=_forget)},
        kind.baseline,
        goals={"ours": 1.0} if kind.baseline == "keras.applications" else {},
    )


def _shapes(model: keras.Model) -> list[tuple[str, tuple[int, ...]]]:
    return sorted((variable.name, tuple(variable.shape)) for variable in model.weights)


def _forget() -> None:
    keras.backend.clear_session()
    gc.collect()
