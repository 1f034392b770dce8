"""The peak of memory of a step: plain, computed again in the backward pass, and in stock Keras."""

import contextlib
import itertools
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from benchmarks.harness import devices, execution, memory, twins
from benchmarks.harness.report import Memory, Results

# How the network is made.
PLAIN, OWN, SCOPE, STOCK = "plain", "rematerialize=True", "RematScope", "stock Keras"
CLASSES = 1000

# Network, forward or training step, mode, batch, pixels, device, processes for each way.
Case = tuple[str, str, str, int, int, str, int]
CASES: list[Case] = [
    ("resnet18", "forward", "graph", 8, 128, "cpu:0", 1),
    ("resnet18", "training step", "graph", 8, 128, "cpu:0", 1),
    ("keras_resnet50", "training step", "XLA", 32, 224, "gpu:0", 2),
]
SMOKE: list[Case] = [("cifar_resnet20", "training step", "graph", 8, 32, "cpu:0", 1)]
FULL: list[Case] = [
    (name, work, mode, batch, size, device, 3)
    for device in dict.fromkeys([*devices.devices(), "gpu:0"])
    for name, batch, size in (("keras_resnet50", 32, 224), ("cifar_resnet110", 128, 32))
    for work, mode in itertools.product(("forward", "training step"), ("graph", "XLA"))
]


def test_memory(results: Results, smoke: bool, case: Case, pytestconfig: pytest.Config) -> None:
    name, work, mode, batch, size, device, processes = case
    if reason := devices.missing(device) or memory.missing(device) or _lacking(mode):
        pytest.skip(reason)
    found: dict[str, list[memory.Peak]] = {}
    failed: dict[str, str] = {}
    full = bool(pytestconfig.getoption("--full"))
    ways = _ways(name, work, smoke=smoke, full=full)
    for i in range(processes):
        for way in reversed(ways) if i % 2 else ways:
            if way in failed:
                continue
            try:
                peak = memory.in_child(step, name, way, work, mode, batch, size, device)
            except memory.ChildError as error:
                failed[way] = str(error)
            else:
                found.setdefault(way, []).append(peak)
    title = f"memory: {name}, {work}, {mode}, batch {batch}, {size} px, {devices.shown(device)}"
    results.skipped.update({f"{title}, {way}": reason for way, reason in failed.items()})
    assert PLAIN in found, failed
    results.memory.append(
        Memory(
            {
                "network": name,
                "work": work,
                "mode": mode,
                "precision": "float32",
                "batch": f"batch {batch}",
                "size": f"{size} px",
                "device": devices.shown(device),
            },
            {way: [peak.bytes for peak in found[way]] for way in ways if way in found},
            {way: [peak.seconds for peak in found[way]] for way in ways if way in found},
        )
    )


def _ways(name: str, work: str, *, smoke: bool, full: bool) -> list[str]:
    """Inference keeps nothing that could be computed again."""
    ways = [PLAIN] if work == "forward" or smoke else [PLAIN, OWN]
    if full:
        ways += [SCOPE] if work != "forward" else []
        ways += [STOCK] if name in twins.KINDS else []
    return ways


def _lacking(mode: str) -> str:
    return execution.LACKS.get((keras.backend.backend(), mode), "")


def step(
    name: str, way: str, work: str, mode: str, batch: int, size: int, device: str = "cpu:0"
) -> memory.Peak:
    """The peak of one step of a network, in this process.

    Args:
        name: A variant; of `twins.KINDS` where the way is `STOCK`.
        way: `PLAIN`, `OWN`, `SCOPE` or `STOCK`.
        work: `"forward"` or `"training step"`.
        mode: Of `execution.MODES`.
        batch: Number of images.
        size: Of an image in pixels.
        device: As of `keras.device`.
    """
    images = np.random.default_rng(0).standard_normal((batch, size, size, 3), "float32")
    labels = np.arange(batch) % CLASSES
    # Variables and the runs alike: the device is part of what JAX has compiled for.
    with devices.scope(device):
        network = _network(name, way, (size, size, 3))
        if work == "forward":
            made = execution.forward(network, images, mode, device)
        else:
            made = execution.training_step(network, images, labels, mode, device)
        return memory.measured(made.run, device)


def _network(name: str, way: str, shape: tuple[int, ...]) -> Any:
    if way == STOCK:
        return twins.KINDS[name].stock(shape, CLASSES)
    scope = keras.RematScope(mode="full") if way == SCOPE else contextlib.nullcontext()
    keywords = {"rematerialize": True} if way == OWN else {}
    with scope:
        return rl.ResNet.from_variant(name, classes=CLASSES, input_shape=shape, **keywords)
