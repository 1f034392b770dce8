"""Tracing a network and compiling it, beside the same one in stock Keras.

Models stay; each round makes new graphs of them. Images are small, since the times hardly depend on
their size.
"""

import gc
import itertools
from collections.abc import Callable
from typing import Any

import keras
import pytest

from benchmarks.harness import execution, twins
from benchmarks.harness.paired import Contender
from benchmarks.harness.report import Comparison, Results

# Network, forward or training step, mode: graphs are traced; under XLA they are compiled as well.
Case = tuple[str, str, str]
CASES: list[Case] = [
    ("keras_resnet50", "forward", "XLA"),
]
SMOKE: list[Case] = [("cifar_resnet20", "forward", "XLA")]
FULL: list[Case] = list(
    itertools.product(
        ("cifar_resnet20", "resnet18", "keras_resnet50", "keras_resnet152"),
        ("forward", "training step"),
        ("graph", "XLA"),
    )
)
CLASSES = 10
PIXELS = 32
BATCH = 4


def test_compilation(
    compare: Callable[..., Comparison], results: Results, seconds: float, case: Case
) -> None:
    name, work, mode = case
    backend = keras.backend.backend()
    if reason := execution.LACKS.get((backend, mode)):
        pytest.skip(reason)
    if backend == "torch":
        pytest.skip("torch traces while it compiles")
    pair = twins.make(name, size=PIXELS, classes=CLASSES)
    fresh = {pair.baseline: _Fresh(pair.stock, work, mode), "ours": _Fresh(pair.ours, work, mode)}
    about = {"network": name, "work": work, "mode": mode}
    main = "compilation" if mode == "XLA" else "tracing"
    contenders = {which: each.contender(main) for which, each in fresh.items()}
    found = compare(main, about, contenders, pair.baseline)
    if mode == "XLA":
        rounds = len(found.seconds["ours"])
        traced = {which: each.seconds["tracing"][-rounds:] for which, each in fresh.items()}
        results.comparisons.append(Comparison("tracing", about, pair.baseline, traced))
        for each in fresh.values():
            each.assert_compiled_every_time()


class _Fresh:
    """Makes a new graph of a network, again and again."""

    def __init__(self, network: Any, work: str, mode: str) -> None:
        self._network, self._work, self._mode = network, work, mode
        self.seconds: dict[str, list[float]] = {"tracing": [], "compilation": []}

    def contender(self, which: str) -> Contender:
        """Returns the seconds of `"tracing"` or `"compilation"`; both are kept."""

        def contender() -> float:
            made = self._make()
            assert made.traces() == 1
            self.seconds["tracing"].append(made.trace_seconds)
            self.seconds["compilation"].append(made.compile_seconds)
            return self.seconds[which][-1]

        return contender

    def assert_compiled_every_time(self) -> None:
        """What was in a cache would take next to nothing."""
        times = self.seconds["compilation"]
        assert min(times) > max(times) / 10, times

    def _make(self) -> execution.Execution:
        if keras.backend.backend() == "jax":
            import jax

            clear: Callable[[], object] = jax.clear_caches
            clear()
        gc.collect()
        x, y = _batch()
        if self._work == "forward":
            return execution.forward(self._network, x, self._mode)
        return execution.training_step(self._network, x, y, self._mode)


def _batch() -> tuple[Any, Any]:
    x = keras.random.normal((BATCH, PIXELS, PIXELS, 3), seed=0)
    return x, keras.ops.arange(BATCH)
