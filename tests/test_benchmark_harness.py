"""The harness of the benchmarks, on clocks that tell what they are told."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks import flat, graph, report, twins
from benchmarks.paired import Duel, Ratio, rounds_within, stopwatch
from tests.randomize import images


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


def duel_of(ours: Callable[[], float], stock: Callable[[], float], rounds: int) -> Duel:
    duel = Duel(ours, stock)
    for _ in range(rounds):
        duel.round()
    return duel


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


def test_duel_alternates_the_order() -> None:
    calls: list[str] = []
    duel_of(
        stopwatch(lambda: calls.append("ours"), clock=itertools.count().__next__),
        stopwatch(lambda: calls.append("stock"), clock=itertools.count().__next__),
        rounds=3,
    )
    assert calls == ["ours", "stock", "stock", "ours", "ours", "stock"]


def test_duel_of_identical_contenders_is_one() -> None:
    ratio = duel_of(times(0.3), times(0.3), rounds=6).ratio()
    assert ratio == Ratio(1.0, (1.0, 1.0), (1.0, 1.0), 6)


def test_duel_sees_a_factor_through_drift() -> None:
    """Each call of either contender is 1 % slower than the call before."""
    clock = Clock()
    pace = (1.01**i for i in itertools.count())
    duel = duel_of(
        stopwatch(lambda: clock.sleep(1.2 * next(pace)), clock=clock),
        stopwatch(lambda: clock.sleep(1.0 * next(pace)), clock=clock),
        rounds=40,
    )
    assert duel.seconds[-1][0] > 2 * duel.seconds[0][0]
    assert duel.ratio().median == pytest.approx(1.2, rel=1e-4)


def test_ratio_is_the_median_of_paired_ratios() -> None:
    """Not the ratio of the medians, which is 2 here; and one lost second moves nothing."""
    duel = duel_of(times(1.0, 2.0, 8.0), times(1.0, 4.0, 2.0), rounds=3)
    assert duel.ratio().median == 1.0
    slow = duel_of(times(*[1.0] * 9, 100.0), times(1.0), rounds=10)
    assert slow.ratio() == Ratio(1.0, (1.0, 1.0), (1.0, 1.0), 10)


def test_ratio_has_quartiles_and_an_interval_of_the_median() -> None:
    """Of 10 values the second smallest and second largest miss the median with 22 / 1024."""
    ratio = duel_of(times(*range(1, 11)), times(1.0), rounds=10).ratio()
    assert ratio == Ratio(5.5, (3.25, 7.75), (2.0, 9.0), 10)


@pytest.mark.parametrize(("rounds", "interval"), [(1, None), (5, None), (6, (1.0, 6.0))])
def test_ratio_has_no_interval_below_six_rounds(
    rounds: int, interval: tuple[float, float] | None
) -> None:
    assert duel_of(times(*range(1, 7)), times(1.0), rounds).ratio().interval == interval


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(100.0, 10), (1.0, 16), (0.9, 16), (0.5, 30), (1e-6, 1000)]
)
def test_rounds_fill_the_budget_and_are_even(seconds: float, rounds: int) -> None:
    assert rounds_within(15.0, seconds) == rounds


def test_table_shows_goals_beside_ratios() -> None:
    rows = [
        report.Row("one", Ratio(1.0104, (0.9, 1.1), (0.99, 1.02), 40), 1.03, (433, 427)),
        report.Row("other", Ratio(2.0, (2.0, 2.0), None, 1)),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.table(rows)]
    assert len({len(line) for line in report.table(rows)}) == 1
    assert lines == [
        ["comparison", "goal", "ours / stock", "quartiles", "95 % interval", "rounds", "nodes"],
        lines[1],
        ["one", "≤ 1.03", "1.010", "0.900 – 1.100", "0.990 – 1.020", "40", "433 / 427"],
        ["other", "", "2.000", "2.000 – 2.000", "", "1", ""],
    ]
    assert {cell.strip("-") for cell in lines[1]} == {""}


class Traced(keras.layers.Layer):
    """Twice its input; counts how often Python runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = 0

    def call(self, x: Any, training: bool | None = None) -> Any:
        self.traces += 1
        return 2.0 * x


def test_graph_is_traced_once_and_its_result_has_arrived() -> None:
    layer = Traced()
    compiled = graph.forward(layer, np.ones((2, 3), "float32"))
    results = [compiled.run() for _ in range(3)]
    assert layer.traces == 1
    for result in results:
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, np.full((2, 3), 2.0))


def test_twins_that_differ_are_refused() -> None:
    model, twin = twins.make("cifar_resnet20", (8, 8, 3), classes=3)
    x = images(3, 8, 8, 3)
    ours, stock = graph.forward(model, x), graph.forward(twin, x)
    twins.assert_same_output(ours, stock)
    statistics = twin.get_layer("stage3_block3_conv2_normalization").moving_mean
    statistics.assign(statistics + 0.01)
    with pytest.raises(AssertionError):
        twins.assert_same_output(ours, stock)


def test_twins_that_learn_differently_are_refused() -> None:
    model, twin = twins.make("cifar_resnet20", (8, 8, 3), classes=3)
    x, y = images(3, 8, 8, 3), np.arange(3)
    twin.get_layer("stem_conv_normalization").momentum = 0.99
    ours, stock = graph.training_step(model, x, y), graph.training_step(twin, x, y)
    with pytest.raises(AssertionError, match="stem_conv_normalization_moving_mean"):
        twins.assert_same_change(model, twin, ours, stock)


def test_twins_must_have_the_same_variables() -> None:
    model, _ = twins.make("cifar_resnet20", (8, 8, 3), classes=3)
    with pytest.raises(AssertionError):
        twins.copy_weights(model, flat.resnet18((8, 8, 3), 3))


def test_flat_networks_hold_nothing_but_what_keras_has() -> None:
    for network in twins.FLAT.values():
        for layer in network((32, 32, 3), 3).layers:
            assert type(layer).__module__.startswith("keras.src."), layer
