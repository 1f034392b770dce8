"""Inference: parts and networks, ours and ours folded, beside stock Keras."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import resnet_layers as rl
from benchmarks.harness import devices, execution, twins

# Network, mode, precision, batch, device.
Case = tuple[str, str, str, int, str]
NETWORKS = [name for name in twins.KINDS if name != "resnet50"]
CASES: list[Case] = [
    ("IdentityBlock", "graph", "float32", 32, "cpu:0"),
    ("ConvBlock", "XLA", "bfloat16", 8, "cpu:0"),
    ("ResNetStage", "eager", "float32", 1, "cpu:0"),
    ("cifar_resnet20", "eager", "bfloat16", 1, "cpu:0"),
    ("cifar_resnet20", "XLA", "float32", 32, "cpu:0"),
    ("resnet18", "graph", "bfloat16", 8, "cpu:0"),
    ("keras_resnet50", "XLA", "float32", 1, "cpu:0"),
    ("keras_resnet50", "graph", "bfloat16", 1, "cpu:0"),
    ("keras_resnet152", "graph", "float32", 1, "cpu:0"),
    ("resnext50_32x4d", "graph", "float32", 1, "cpu:0"),
    ("seresnet50", "XLA", "float32", 1, "cpu:0"),
    ("keras_resnet50", "XLA", "bfloat16", 32, "gpu:0"),
]
SMOKE: list[Case] = [
    ("ConvBlock", "XLA", "float32", 1, "cpu:0"),
    ("cifar_resnet20", "graph", "bfloat16", 1, "cpu:0"),
    ("ResNetStage", "eager", "float32", 1, "cpu:0"),
    ("cifar_resnet20", "XLA", "float32", 1, "gpu:0"),
]
BATCHES = {"cpu": (1, 8, 32), "gpu": (1, 8, 32, 256)}
FULL: list[Case] = [
    (name, mode, precision, batch, device)
    for device in dict.fromkeys([*devices.devices(), "gpu:0"])
    for name, mode, precision, batch in itertools.product(
        NETWORKS, execution.MODES, twins.POLICIES, BATCHES[device[:3]]
    )
]


def test_forward(compare: Callable[..., Any], case: Case, smoke: bool) -> None:
    name, mode, precision, batch, device = case
    if reason := devices.missing(device):
        pytest.skip(reason)
    pair = twins.make(name, precision, size=32 if smoke else None, device=device)
    x, _ = pair.batch(batch)
    networks = {
        pair.baseline: pair.stock,
        "ours": pair.ours,
        "ours, folded": rl.fold_batch_norm(pair.ours),
    }
    contenders: dict[str, execution.Execution] = {}
    details = {}
    for contender, network in networks.items():
        try:
            made = execution.forward(network, x, mode, device)
        except execution.UnavailableError as error:
            pytest.skip(str(error))
        expected = contenders[pair.baseline].first if contenders else made.first
        details[contender] = {
            "difference": twins.assert_same_output(made.first, expected, precision, device)
        }
        contenders[contender] = made
    compare(
        "forward",
        columns(case, pair),
        contenders,
        pair.baseline,
        goals=goals(mode, batch, device, pair.baseline),
        details=details,
    )


def columns(case: Case, pair: twins.Pair) -> dict[str, Any]:
    """The case as the tables have it."""
    name, mode, precision, batch, device = case
    return {
        "network": name,
        "mode": mode,
        "precision": precision,
        "batch": f"batch {batch}",
        "size": f"{pair.shape[0]} px",
        "device": devices.shown(device),
    }


def goals(mode: str, batch: int, device: str, baseline: str) -> dict[str, float]:
    """How many times as fast as keras.applications a network under XLA should be."""
    if mode != "XLA" or baseline != "keras.applications":
        return {}
    folded = 1.2 if device.startswith("gpu") else 1.1 if batch == 1 else None
    return {"ours": 1.0} | ({"ours, folded": folded} if folded else {})
