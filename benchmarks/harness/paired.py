"""Contenders timed in turn within a round, so that what drifts hits all alike."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Runs once and returns its seconds.
Contender = Callable[[], float]


def stopwatch(
    function: Callable[[], Any],
    *,
    before: Callable[[], Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Contender:
    """Times each call of a function that returns when its work is done.

    Args:
        function: What is timed.
        before: Runs ahead of each call, outside the timed part.
        clock: Returns seconds.

    Returns:
        A contender.

    Example:

    >>> seconds = stopwatch(lambda: sum(range(1000)))()
    """

    def contender() -> float:
        if before is not None:
            before()
        start = clock()
        result = function()
        seconds = clock() - start
        del result  # freed outside the timed part
        return seconds

    return contender


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one contender is as another: above 1 it is faster.

    Args:
        median: Median of the paired ratios.
        quartiles: First and third quartile of the paired ratios: how far one round scatters.
        interval: Where the true median lies with at least 95 % confidence, if rounds are
            independent; whatever the distribution of the ratios is. `None` below six rounds,
            which are too few to say it.
        rounds: Number of rounds.
    """

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float] | None
    rounds: int

    @classmethod
    def of(cls, seconds: Sequence[float], baseline: Sequence[float]) -> "Ratio":
        """From the seconds of a contender and of the baseline, round by round."""
        ratios = sorted(b / s for s, b in zip(seconds, baseline, strict=True))
        first, median, third = map(float, np.percentile(ratios, [25, 50, 75]))
        rank = _interval_rank(len(ratios))
        interval = (ratios[rank - 1], ratios[-rank]) if rank else None
        return cls(median, (first, third), interval, len(ratios))


class Match:
    """Contenders that run once each in every round, backwards in every second one.

    Args:
        contenders: At least one, by name.

    Example:

    >>> match = Match({"ours": lambda: 2.0, "stock": lambda: 3.0})
    >>> match.round()
    >>> Ratio.of(match.seconds["ours"], match.seconds["stock"]).median
    1.5
    """

    def __init__(self, contenders: Mapping[str, Contender]) -> None:
        self._contenders = dict(contenders)
        self.seconds: dict[str, list[float]] = {name: [] for name in contenders}
        self.rounds = 0

    def round(self) -> None:
        """Runs each once."""
        for name in reversed(self._contenders) if self.rounds % 2 else self._contenders:
            self.seconds[name].append(self._contenders[name]())
        self.rounds += 1


def _interval_rank(count: int) -> int:
    """The largest k for which the k-th smallest and k-th largest value enclose the median.

    Each value is above the median with probability 1/2, so the interval misses the median when
    fewer than k values lie on one side: a binomial tail, at most 2.5 % on either side.
    """
    tail = 0
    for k in range(count):
        tail += math.comb(count, k)
        if 40 * tail > 2**count:
            return k
    return 0


def rounds_within(budget: float, seconds: float, *, fewest: int = 10, most: int = 1000) -> int:
    """How many rounds of so many seconds fit, as an even number: both orders equally often."""
    return 2 * round(min(max(budget / seconds, fewest), most) / 2)
