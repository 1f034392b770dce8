"""One training step: parts and networks, ours beside stock Keras."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import devices, execution, twins
from benchmarks.bench_forward import BATCHES, NETWORKS, Case

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
FULL: list[Case] = [
    (name, mode, precision, batch, device)
    for device in dict.fromkeys([*devices.devices(), "gpu:0"])
    for name, mode, precision, batch in itertools.product(
        NETWORKS, execution.MODES, twins.POLICIES, BATCHES[device[:3]]
    )
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
    found = twins.assert_same_change(pair, ours, stock, precision)
    compare(
        "training step",
        {
            "network": name,
            "mode": mode,
            "precision": precision,
            "batch": f"batch {batch}",
            "size": f"{pair.shape[0]} px",
            "device": devices.shown(device),
        },
        {pair.baseline: stock, "ours": ours},
        pair.baseline,
        goals={"ours": 1.0},
        details={"ours": {"difference": found}},
    )
