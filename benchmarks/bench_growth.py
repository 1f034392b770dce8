"""How costs grow with depth, batch, image and width, on the article's networks for small images."""

import gc
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from benchmarks.harness import devices, execution, twins
from benchmarks.harness.execution import Execution
from benchmarks.harness.paired import Contender, Match, rounds_within, stopwatch
from benchmarks.harness.report import Growth, Results
from tests.support.randomize import images, randomize, value

# Cost, mode, device, what grows, and its sizes.
Case = tuple[Any, ...]
Setting = Mapping[str, int]
Settings = Mapping[int, Setting]
# For each cost the rounds of each size.
Found = dict[str, dict[int, list[float]]]
USUAL = {"layers": 20, "batch": 8, "pixels": 32, "width": 16}
SHOWN = {"layers": "{} layers", "batch": "batch {}", "pixels": "{} px", "width": "width {}"}
SIZES = {
    "layers": (20, 56, 110),
    "batch": (4, 16, 64),
    "pixels": (32, 64, 128),
    "width": (16, 32, 64),
}
ALL_SIZES = {
    "layers": (20, 32, 44, 56, 110, 1202),
    "batch": (1, 4, 16, 64, 256),
    "pixels": (32, 64, 96, 128, 224),
    "width": (8, 16, 32, 64, 128),
}
CLASSES = 10
# Deeper networks are left out under XLA.
XLA_LAYERS = 110
XLA_REASON = "tracing and compiling its forward took over two minutes on two busy cores"
# Of the time for the rounds of a comparison: sizes differ more than contenders do.
SHARE = 0.5
RUNNING = ("forward", "training step")
COMPILING = "tracing and compilation"


MODES = execution.compiled_modes()


def _cases(sizes: Mapping[str, tuple[int, ...]], *modes: str, device: str = "cpu:0") -> list[Case]:
    deep = sizes["layers"]
    running = [
        (cost, mode, device, along, *each)
        for cost in RUNNING
        for mode in modes
        for along, each in sizes.items()
    ]
    preparing = [("construction", "eager", device, "layers", *deep)]
    return [*running, *preparing, (COMPILING, MODES[-1], device, "layers", *deep)]


CASES = _cases(SIZES, MODES[0])[:-2]
SMOKE: list[Case] = [
    ("forward", MODES[0], "cpu:0", "layers", 20, 32),
    ("construction", "eager", "cpu:0", "layers", 20, 32),
]
FULL = [case for device in devices.devices() for case in _cases(ALL_SIZES, *MODES, device=device)]


@pytest.mark.timeout(3600)  # of 1202 layers a step takes minutes to trace
def test_growth(benchmark: Any, results: Results, seconds: float, case: Case) -> None:
    cost, mode, device, along, *sizes = case
    if mode == "XLA" and along == "layers":
        for size in filter(lambda size: size > XLA_LAYERS, sizes):
            results.skipped[f"{cost} under XLA, {size} layers"] = XLA_REASON
        sizes = [size for size in sizes if size <= XLA_LAYERS]
    settings = {size: USUAL | {along: size} for size in sizes}
    measure = {"construction": _constructing, COMPILING: _compiling}.get(cost, _running)
    # Runs as well: the device is part of what JAX has compiled for.
    with devices.scope(device):
        found = measure(benchmark, settings, cost, mode, device, seconds)
    fixed = {name: SHOWN[name].format(USUAL[name]) for name in USUAL if name != along}
    if cost == "construction":
        fixed = {"width": fixed["width"]}
    else:
        fixed = {"mode": mode, "precision": "float32", **fixed}
    for each, times in found.items():
        shown = {**fixed, "device": devices.shown(device)}
        results.growth.append(Growth(each, along, shown, {"ours": times}))


def make(layers: int, width: int) -> Any:
    """A CIFAR-ResNet for images of any size, its first stage as wide as given."""
    return rl.ResNet.from_variant(
        f"cifar_resnet{layers}",
        classes=CLASSES,
        filters=(width, 2 * width, 4 * width),
        stem={"filters": width},
    )


def network_of(setting: Setting) -> Any:
    """With random variables; scales small enough that 600 blocks in a row stay finite."""
    network = randomize(make(setting["layers"], setting["width"]))
    for weight in network.weights:
        if weight.name == "gamma":
            weight.assign(0.1 * value(weight))
    return network


def ready(cost: str, mode: str, device: str, setting: Setting, network: Any) -> Execution:
    """A network on a batch of images; its first result has the right shape and is finite."""
    batch, pixels = setting["batch"], setting["pixels"]
    x = images(batch, pixels, pixels, 3)
    if cost == "training step":
        made = execution.training_step(network, x, np.arange(batch) % CLASSES, mode, device)
    else:
        made = execution.forward(network, x, mode, device)
    assert np.shape(made.first) == (() if cost == "training step" else (batch, CLASSES))
    assert np.all(np.isfinite(made.first))
    return made


def checked(cost: str, mode: str, device: str, setting: Setting, network: Any) -> Execution:
    """The same; its first result is that of the layers run one by one."""
    before = [value(weight).copy() for weight in network.weights]
    expected = ready(cost, "eager", device, setting, network).first
    for weight, old in zip(network.weights, before, strict=True):
        weight.assign(old)
    made = ready(cost, mode, device, setting, network)
    twins.assert_same_output(made.first, expected, device=device)
    return made


def _running(
    benchmark: Any, settings: Settings, cost: str, mode: str, device: str, seconds: float
) -> Found:
    made = {}
    for size, each in settings.items():
        make_ready = checked if size == min(settings) else ready
        made[size] = make_ready(cost, mode, device, each, network_of(each))
    pause = partial(time.sleep, 0.02)  # idle threads spin a while before they sleep
    timed = {size: stopwatch(each.run, before=pause) for size, each in made.items()}
    found = _rounds(benchmark, timed, seconds)
    for run in made.values():
        assert run.retraces == 0
        assert np.all(np.isfinite(run.run()))
    return {cost: found}


def _constructing(
    benchmark: Any, settings: Settings, cost: str, mode: str, device: str, seconds: float
) -> Found:
    smallest = settings[min(settings)]
    ready("forward", mode, device, smallest, network_of(smallest))

    def before() -> None:
        keras.backend.clear_session()
        gc.collect()

    def construct(setting: Setting) -> Any:
        return make(setting["layers"], setting["width"])

    timed = {
        size: stopwatch(partial(construct, each), before=before) for size, each in settings.items()
    }
    return {cost: _rounds(benchmark, timed, seconds)}


def _compiling(
    benchmark: Any, settings: Settings, cost: str, mode: str, device: str, seconds: float
) -> Found:
    """Each round compiles all sizes anew, and runs each a few times."""
    kinds = ("tracing", f"{mode} compilation", "forward")
    found: Found = {kind: {size: [] for size in settings} for kind in kinds}
    networks = {size: network_of(each) for size, each in settings.items()}
    checked("forward", mode, device, settings[min(settings)], networks[min(settings)])

    def compile_once(size: int) -> float:
        gc.collect()
        made = ready("forward", mode, device, settings[size], networks[size])
        running = float(np.median([stopwatch(made.run)() for _ in range(5)]))
        times = (made.trace_seconds, made.compile_seconds, running)
        for kind, taken in zip(kinds, times, strict=True):
            found[kind][size].append(taken)
        return made.trace_seconds + made.compile_seconds

    match = Match({str(size): partial(compile_once, size) for size in settings})
    benchmark.group = "growth"
    benchmark.pedantic(match.round, rounds=2 if seconds else 1)
    return found


def _rounds(
    benchmark: Any, contenders: Mapping[int, Contender], seconds: float
) -> dict[int, list[float]]:
    """What is timed has run before, so the first round is as good as any."""
    match = Match({str(size): each for size, each in contenders.items()})
    rounds = 1
    if seconds:
        start = time.perf_counter()
        match.round()
        rounds = rounds_within(SHARE * seconds, time.perf_counter() - start, fewest=4) - 1
    benchmark.group = "growth"
    benchmark.pedantic(match.round, rounds=rounds)
    return {size: match.seconds[str(size)] for size in contenders}
