"""The harness of the benchmarks, on clocks that tell what they are told."""

import dataclasses
import functools
import importlib.util
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from benchmarks import bench_forward, bench_peers, bench_training_step
from benchmarks.harness import devices, execution, flat, hub, twins
from benchmarks.harness.child import Child, Task, children
from benchmarks.harness.paired import Match, Ratio, rounds_within, stopwatch

MODULES = (bench_forward, bench_training_step, bench_peers)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network for small images with one block a stage in place of three, and its twin."""

    def ours(shape: tuple[int, ...], classes: int, policy: str) -> Any:
        of_images: Any = {"classes": classes, "input_shape": shape, "dtype": policy}
        return rl.ResNet.from_variant("cifar_resnet20", blocks=(1, 1, 1), **of_images)

    stock = functools.partial(flat.cifar_resnet20, blocks=1)
    monkeypatch.setitem(twins.KINDS, "small", twins.Kind((8, 8, 3), ours, stock))


class Clock:
    """Stands still but for `sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def times(*seconds: float) -> Callable[[], float]:
    """A contender that takes so many seconds in turn."""
    return itertools.cycle(seconds).__next__


def match_of(rounds: int, **contenders: Callable[[], float]) -> Match:
    match = Match(contenders)
    for _ in range(rounds):
        match.round()
    return match


def ratio_of(baseline: list[float], seconds: list[float]) -> Ratio:
    return Ratio.of(seconds, baseline)


def test_stopwatch_measures_a_known_delay_and_nothing_around_it() -> None:
    clock = Clock()
    contender = stopwatch(lambda: clock.sleep(0.25), before=lambda: clock.sleep(60.0), clock=clock)
    assert [contender(), contender()] == [0.25, 0.25]


def test_stopwatch_frees_the_result_outside_the_timed_part() -> None:
    clock = Clock()

    class Slow:
        def __del__(self) -> None:
            clock.sleep(60.0)

    assert stopwatch(Slow, clock=clock)() == 0.0
    assert clock.now == 1060.0


def test_every_second_round_runs_backwards() -> None:
    calls: list[str] = []

    def contender(name: str) -> Callable[[], float]:
        return stopwatch(lambda: calls.append(name), clock=itertools.count().__next__)

    match = match_of(3, a=contender("a"), b=contender("b"), c=contender("c"))
    assert "".join(calls) == "abccbaabc"
    assert match.seconds == {"a": [1] * 3, "b": [1] * 3, "c": [1] * 3}


def test_ratio_of_identical_contenders_is_one() -> None:
    match = match_of(6, one=times(0.3), other=times(0.3))
    assert ratio_of(match.seconds["one"], match.seconds["other"]) == Ratio(
        1.0, (1.0, 1.0), (1.0, 1.0), 6
    )


def test_ratio_sees_a_factor_through_drift() -> None:
    """Each call of any contender is 1 % slower than the call before."""
    clock = Clock()
    pace = (1.01**i for i in itertools.count())

    def contender(seconds: float) -> Callable[[], float]:
        return stopwatch(lambda: clock.sleep(seconds * next(pace)), clock=clock)

    seconds = match_of(40, slow=contender(1.2), fast=contender(1.0)).seconds
    assert seconds["slow"][-1] > 2 * seconds["slow"][0]
    assert Ratio.of(seconds["fast"], seconds["slow"]).median == pytest.approx(1.2, rel=1e-4)


def test_ratio_is_the_median_of_paired_ratios() -> None:
    """Not the ratio of the medians, which is 2 here; and one lost second moves nothing."""
    assert ratio_of([1.0, 2.0, 8.0], [1.0, 4.0, 2.0]).median == 1.0
    slow = ratio_of([1.0] * 10, [1.0] * 9 + [100.0])
    assert slow == Ratio(1.0, (1.0, 1.0), (1.0, 1.0), 10)


def test_ratio_is_above_one_for_the_faster_contender() -> None:
    assert ratio_of([3.0], [1.5]).median == 2.0


def test_ratio_has_quartiles_and_an_interval_of_the_median() -> None:
    """Of 10 values the second smallest and second largest miss the median with 22 / 1024."""
    ratio = ratio_of([float(i) for i in range(1, 11)], [1.0] * 10)
    assert ratio == Ratio(5.5, (3.25, 7.75), (2.0, 9.0), 10)


@pytest.mark.parametrize(("rounds", "interval"), [(1, None), (5, None), (6, (1.0, 6.0))])
def test_ratio_has_no_interval_below_six_rounds(
    rounds: int, interval: tuple[float, float] | None
) -> None:
    baseline = [float(i) for i in range(1, rounds + 1)]
    assert ratio_of(baseline, [1.0] * rounds).interval == interval


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(100.0, 10), (1.0, 16), (0.9, 16), (0.5, 30), (1e-6, 1000)]
)
def test_rounds_fill_the_budget_and_are_even(seconds: float, rounds: int) -> None:
    assert rounds_within(15.0, seconds) == rounds


class Traced(keras.layers.Layer):
    """Twice its input; counts how often Python runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def call(self, x: Any, training: bool | None = None) -> Any:
        self.runs += 1
        return 2.0 * x


@pytest.mark.parametrize("mode", ["graph", "XLA"])
def test_compiled_network_is_traced_once_and_its_result_has_arrived(mode: str) -> None:
    layer = Traced()
    made = execution.forward(layer, np.ones((2, 3), "float32"), mode)
    results = [made.first, *(made.run() for _ in range(3))]
    assert (layer.runs, made.traces(), made.retraces) == (1, 1, 0)
    assert made.operations
    for result in results:
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, np.full((2, 3), 2.0))


def test_eager_network_runs_its_python_code_each_time() -> None:
    layer = Traced()
    made = execution.forward(layer, np.ones((2, 3), "float32"), "eager")
    made.run()
    assert (layer.runs, made.traces(), made.retraces, made.operations) == (3, 0, 0, None)


def test_tracing_and_compiling_are_timed_apart_from_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python code that takes 10 s, a first run of 5 s and a second one of 2 s."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    delays = iter([5.0, 2.0])

    def run(x: Any) -> Any:
        clock.sleep(next(delays))
        return x

    def compile_slowly(*_: Any) -> Any:
        clock.sleep(10.0)
        return run, (lambda: 1), 7

    monkeypatch.setitem(execution._COMPILE, "tensorflow", compile_slowly)
    made = execution.forward(Traced(), np.ones(2, "float32"), "XLA")
    assert (made.trace_seconds, made.compile_seconds, made.operations) == (10.0, 3.0, 7)


@pytest.mark.parametrize(
    ("backend", "mode", "reason"),
    [
        ("jax", "graph", "JAX has no graphs without XLA"),
        ("torch", "XLA", "torch compiles without XLA"),
    ],
)
def test_modes_that_a_backend_lacks_are_said(
    backend: str, mode: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(execution.UnavailableError, match=f"^{reason}$"):
        execution._execution(lambda x: x, lambda: (1,), mode, "cpu:0")


def test_devices_that_are_not_there_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: 0)
    assert devices.devices() == ["cpu:0"]
    assert devices.missing("cpu:0") == ""
    assert devices.missing("gpu:0") == "Keras on tensorflow sees no GPU"
    monkeypatch.setattr(devices, "_gpus", lambda: 2)
    assert devices.devices() == ["cpu:0", "gpu:0", "gpu:1"]
    assert devices.missing("gpu:1") == ""
    assert devices.missing("gpu:2") == "no gpu:2"
    assert [devices.shown(d) for d in devices.devices()] == ["CPU", "GPU", "GPU 1"]


@pytest.mark.parametrize("name", ["IdentityBlock", "ConvBlock", "ResNetStage"])
def test_parts_equal_stock_layers(name: str) -> None:
    pair = twins.make(name, size=6)
    x, _ = pair.batch(2)
    ours, stock = (execution.forward(network, x) for network in (pair.ours, pair.stock))
    assert ours.first.shape == (2, pair.classes)
    twins.assert_same_output(ours.first, stock.first)


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.huge if name == "keras_resnet152" else ())
        for name, kind in twins.KINDS.items()
        if kind.shape[-1] == 3
    ],
)
def test_networks_equal_stock_ones(name: str) -> None:
    pair = twins.make(name, size=40, classes=7)
    x, _ = pair.batch(2)
    ours, stock = (execution.forward(network, x) for network in (pair.ours, pair.stock))
    twins.assert_same_output(ours.first, stock.first)
    assert pair.ours.count_params() == pair.stock.count_params()


def test_keras_hub_has_the_variables_of_ours_elsewhere() -> None:
    paths = {
        "conv1_bn/gamma": "stem/conv/normalization/gamma",
        "stack0_block0_0_conv/kernel": "stage1/block1/projection/convolution/kernel",
        "stack3_block2_3_bn/moving_mean": "stage4/block3/conv3/normalization/moving_mean",
        "predictions/bias": "head/dense/bias",
    }
    assert {path: hub.path_of_ours(path) for path in paths} == paths


def test_twins_that_differ_are_refused() -> None:
    pair = twins.make("small", classes=3)
    x, _ = pair.batch(3)
    ours = execution.forward(pair.ours, x)
    twins.assert_same_output(ours.first, execution.forward(pair.stock, x).first)
    statistics = pair.stock.get_layer("stage3_block1_conv2_normalization").moving_mean
    statistics.assign(statistics + 0.01)
    with pytest.raises(AssertionError):
        twins.assert_same_output(ours.first, execution.forward(pair.stock, x).first)


def test_float32_on_a_gpu_is_compared_as_tensorfloat32() -> None:
    """Ten bits of each factor are what tensor cores of NVIDIA read."""
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 64, 64), "float32")
    rounded = [((a.view("uint32") + 0x1000) & 0xFFFFE000).view("float32") for a in (x, kernel)]
    expected, found = x @ kernel, rounded[0] @ rounded[1]
    assert twins.assert_same_output(found, expected, "float32", "gpu:0") < 1e-3
    with pytest.raises(AssertionError, match="results differ by"):
        twins.assert_same_output(found, expected, "float32", "cpu:0")
    with pytest.raises(AssertionError, match="results differ by"):
        twins.assert_same_output(1.02 * expected, expected, "float32", "gpu:0")


@pytest.mark.share(6)
def test_twins_that_learn_differently_are_refused() -> None:
    pair = twins.make("small", classes=3)
    x, y = pair.batch(3)
    pair.stock.get_layer("stem_conv_normalization").momentum = 0.5
    ours, stock = (execution.training_step(model, x, y) for model in (pair.ours, pair.stock))
    with pytest.raises(AssertionError, match="stem/conv/normalization/moving_mean changed"):
        twins.assert_same_change(pair, ours, stock)


@pytest.mark.share(3)
@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
def test_a_step_learns_what_a_tape_says(mode: str) -> None:
    """Momentum after two steps from nearly the same place: 1.9 times the first."""
    pair = twins.make("small", classes=3)
    x, y = pair.batch(3)
    stock = execution.training_step(pair.stock, x, y)
    kernel = pair.ours.head.dense.kernel
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    keras.utils.set_random_seed(0)
    twin = twins.make("small", classes=3).ours
    with tf.GradientTape() as tape:
        value = loss(y, twin(x, training=True))
    gradient = tape.gradient(value, twin.head.dense.kernel.value)
    made = execution.training_step(pair.ours, x, y, mode)
    assert twins.assert_same_change(pair, made, stock) < 1e-4
    assert made.first == pytest.approx(float(value), rel=1e-5)
    found = made.learned()[id(kernel)] / (-1.9 * execution.LEARNING_RATE)
    np.testing.assert_allclose(found, gradient, rtol=0.01, atol=0.01 * np.abs(gradient).max())


def test_twins_must_have_the_same_variables() -> None:
    pair = twins.make("small", classes=3)
    with pytest.raises(AssertionError):
        twins.pairs_by_path(pair.ours, flat.resnet18((8, 8, 3), 3))


def test_twins_compute_in_the_same_precision() -> None:
    pair = twins.make("small", "bfloat16")
    assert {layer.compute_dtype for layer in pair.stock.layers} == {"bfloat16"}
    assert pair.ours.stages[0].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.share(2)
def test_flat_networks_hold_nothing_but_what_keras_has() -> None:
    for make in (flat.resnet18, flat.resnext50, flat.seresnet50, flat.cifar_resnet20):
        for layer in make((32, 32, 3), 3).layers:
            assert type(layer).__module__.startswith("keras.src."), layer


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A small network that this backend runs in a child."""
    pair = twins.make("small", classes=3)
    x, y = pair.batch(2)
    pair.ours.save(tmp_path / "ours.keras")
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    np.save(tmp_path / "expected.npy", execution.forward(pair.ours, x).first)
    return Task(
        framework="tensorflow",
        weights=str(tmp_path / "ours.keras"),
        batch=str(tmp_path / "xy.npz"),
        name="",
        work="forward",
        mode="graph",
        precision="float32",
        device="cpu:0",
    )


@pytest.mark.share(4)
@pytest.mark.parametrize("framework", ["tensorflow", "jax", "torch", "torchvision", "timm"])
def test_what_compiles_with_torch_loads_it_before_all_else(framework: str, task: Task) -> None:
    start = dataclasses.replace(task, framework=framework).start
    assert start.startswith("import torch._dynamo; ") == (framework not in ("tensorflow", "jax"))


def test_a_child_that_a_signal_ends_names_it(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(Task, "start", crash)
    with children({"ours": task}) as running:
        assert running == {"ours": "the process was ended by SIGSEGV"}


@pytest.mark.upstream
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton")
def test_tensorflow_before_triton_ends_the_process() -> None:
    ended = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        for code in ("import triton, tensorflow", "import tensorflow, triton")
    ]
    assert ended == [0, -signal.SIGSEGV]


@pytest.mark.slow
@pytest.mark.share(2)
def test_a_child_runs_the_same_network(task: Task, tmp_path: Path) -> None:
    broken = dataclasses.replace(task, weights=str(tmp_path / "none.keras"))
    absent = dataclasses.replace(task, framework="no_such_framework")
    with children({"ours": task, "broken": broken, "absent": absent}) as running:
        child = running["ours"]
        assert isinstance(child, Child)
        twins.assert_same_output(child.first, np.load(tmp_path / "expected.npy"))
        assert child.run() > 0.0
        assert "none.keras" in str(running["broken"])
        assert "no_such_framework not installed" in str(running["absent"])
    assert child._process.poll() is not None


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_full_runs_have_all_that_default_runs_have(module: Any) -> None:
    assert set(module.CASES) <= set(module.FULL)
    assert any(case[-1] == "gpu:0" for case in module.CASES)


def test_default_runs_have_every_kind() -> None:
    """Every network, mode, precision and batch of the CPU, in inference or in training."""
    modules = (bench_forward, bench_training_step)
    default = [case for module in modules for case in module.CASES]
    full = [case for module in modules for case in module.FULL if case[-1] == "cpu:0"]
    assert {case[:1] for case in full} == {case[:1] for case in default}
    for module in modules:
        for column in (1, 2):
            values = {case[column] for case in module.FULL}
            assert values == {case[column] for case in module.CASES}
    assert {case[3] for case in full} <= {case[3] for case in default}
