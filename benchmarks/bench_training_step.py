"""One training step: parts and networks, ours beside stock Keras."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.bench_forward import FULL as FULL
from benchmarks.bench_forward import Case, columns
from benchmarks.harness import devices, execution, twins

CASES: list[Case] = [
    ("IdentityBlock", "XLA", "float32", 8, "cpu:0"),
    ("ConvBlock", "graph", "bfloat16", 8, "cpu:0"),
    ("ResNetStage", "graph", "float32", 8, "cpu:0"),
    ("cifar_resnet20", "eager", "float32", 8, "cpu:0"),
    ("cifar_resnet20", "graph", "bfloat16", 32, "cpu:0"),
    ("resnet18", "graph", "float32", 8, "cpu:0"),
    ("keras_resnet50", "graph", "bfloat16", 8, "cpu:0"),
    ("keras_resnet50", "XLA", "float32", 1, "cpu:0"),
    ("keras_resnet50", "XLA", "bfloat16", 32, "gpu:0"),
]
SMOKE: list[Case] = [
    ("ConvBlock", "graph", "float32", 4, "cpu:0"),
    ("IdentityBlock", "XLA", "bfloat16", 1, "cpu:0"),
    ("cifar_resnet20", "XLA", "float32", 1, "gpu:0"),
]


def test_training_step(compare: Callable[..., Any], case: Case, smoke: bool) -> None:
    name, mode, precision, batch, device = case
    if reason := devices.missing(device):
        pytest.skip(reason)
    pair = twins.make(name, precision, size=16 if smoke else None, classes=10, device=device)
    x, y = pair.batch(batch)
    try:
        stock = execution.training_step(pair.stock, x, y, mode, device)
    except execution.UnavailableError as error:
        pytest.skip(str(error))
    ours = execution.training_step(pair.ours, x, y, mode, device)
    found = twins.assert_same_change(pair, ours, stock, precision, device)
    compare(
        "training step",
        columns(case, pair),
        {pair.baseline: stock, "ours": ours},
        pair.baseline,
        goals={"ours": 1.0},
        details={"ours": {"difference": found}},
    )
