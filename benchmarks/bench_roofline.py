"""How near networks come to what the machine can do: a matrix product, and memory."""

import itertools
import time
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from benchmarks.bench_growth import MODES
from benchmarks.harness import devices, execution, roofline, twins
from benchmarks.harness.execution import Execution
from benchmarks.harness.paired import Match, rounds_within, stopwatch
from benchmarks.harness.report import Results
from tests.support.randomize import images, randomize

# Network, batch, pixels, device.
Case = tuple[str, int, int, str]
CASES: list[Case] = [("resnet50", 8, 224, "cpu:0")]
SMOKE: list[Case] = [("cifar_resnet20", 8, 32, "cpu:0")]
FULL: list[Case] = [
    (name, batch, pixels, device)
    for device in devices.devices()
    for (name, pixels), batch in itertools.product(
        {"cifar_resnet20": 32, "resnet18": 224, "resnet50": 224, "resnet152": 224}.items(),
        (8,) if device.startswith("cpu") else (8, 256),
    )
]
# Of the square matrices, and of the array that is far larger than any cache.
SIDES = {"cpu": 2048, "gpu": 8192}
ARRAY = (2**13, 2**13)
SMALL = 256


def test_roofline(
    benchmark: Any,
    results: Results,
    seconds: float,
    smoke: bool,
    pytestconfig: pytest.Config,
    case: Case,
) -> None:
    name, batch, pixels, device = case
    side = SMALL if smoke else SIDES[device[:3]]
    array = (SMALL, SMALL) if smoke else ARRAY
    # Runs as well: the device is part of what JAX has compiled for.
    with devices.scope(device):
        networks, ways = _networks(name, batch, pixels, device)
        runs = networks | _peaks(side, array, device)
        pause = partial(time.sleep, 0.02)  # idle threads spin a while before they sleep
        match = Match({way: stopwatch(each.run, before=pause) for way, each in runs.items()})
        rounds = 1
        if seconds:
            start = time.perf_counter()
            match.round()
            fewest = 10 if pytestconfig.getoption("--full") else 6
            rounds = rounds_within(seconds, time.perf_counter() - start, fewest=fewest) - 1
        benchmark.group = "roofline"
        benchmark.pedantic(match.round, rounds=rounds)
    for way, each in runs.items():
        assert each.retraces == 0, f"{way} was traced {each.traces()} times"
    run: roofline.Run = {
        "network": name,
        "batch": batch,
        "pixels": pixels,
        "device": devices.shown(device),
        "ways": ways,
        "products": dict.fromkeys(twins.POLICIES, roofline.Product.operations(side)),
        "moved": roofline.Scale.bytes(array[0] * array[1]),
        "seconds": match.seconds,
    }
    results.roofline.setdefault("runs", []).append(run)


def _networks(
    name: str, batch: int, pixels: int, device: str
) -> tuple[dict[str, Execution], dict[str, dict[str, Any]]]:
    """Each precision, plain and folded, with what it asks of the machine; outputs are equal."""
    x = images(batch, pixels, pixels, 3)
    made: dict[str, Execution] = {}
    ways: dict[str, dict[str, Any]] = {}
    for precision, policy in twins.POLICIES.items():
        plain = rl.ResNet.from_variant(name, input_shape=(pixels, pixels, 3), dtype=policy)
        randomize(plain)
        both = {precision: plain, f"{precision}, folded": rl.fold_batch_norm(plain)}
        for way, network in both.items():
            made[way] = execution.forward(network, x, MODES[0], device)
            twins.assert_same_output(made[way].first, made["float32"].first, precision, device)
            operations, moved = roofline.count(network, x.shape)
            ways[way] = {"precision": precision, "operations": operations, "bytes": moved}
    return made, ways


def _peaks(side: int, array: tuple[int, int], device: str) -> dict[str, Execution]:
    """The matrix product in each precision, and memory; results are what they should be."""
    x = np.random.default_rng(0).standard_normal((side, side), "float32")
    made = {}
    for precision in twins.POLICIES:
        factor = keras.ops.convert_to_tensor(x, precision)
        product = _ready(roofline.Product(dtype=precision), factor, device)
        assert float(product.first) == pytest.approx(
            float((x @ x).max()), rel=twins.LARGEST[twins.arithmetic(precision, device)]
        )
        made[f"product {precision}"] = product
    memory = _ready(roofline.Scale(), np.ones(array, "float32"), device)
    assert float(memory.first) == 0.5**roofline.PASSES
    return made | {roofline.MEMORY: memory}


def _ready(layer: Any, x: Any, device: str) -> Execution:
    layer.build(x.shape)
    return execution.forward(layer, x, MODES[0], device)
