"""Two contenders timed in turn within a round, so that what drifts hits both alike."""

import math
import time
from collections.abc import Callable
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
    """The ratio of two contenders over all rounds.

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


class Duel:
    """Our contender and the stock one, run once each in every round, in alternating order.

    Args:
        ours: The numerator.
        stock: The denominator.

    Example:

    >>> duel = Duel(ours=lambda: 3.0, stock=lambda: 2.0)
    >>> duel.round()
    >>> duel.ratio().median
    1.5
    """

    def __init__(self, ours: Contender, stock: Contender) -> None:
        self._ours = ours
        self._stock = stock
        self.seconds: list[tuple[float, float]] = []

    def round(self) -> None:
        """Runs both once."""
        if len(self.seconds) % 2 == 0:
            ours = self._ours()
            stock = self._stock()
        else:
            stock = self._stock()
            ours = self._ours()
        self.seconds.append((ours, stock))

    def ratio(self) -> Ratio:
        """What the rounds so far say."""
        ratios = sorted(ours / stock for ours, stock in self.seconds)
        first, median, third = map(float, np.percentile(ratios, [25, 50, 75]))
        rank = _interval_rank(len(ratios))
        interval = (ratios[rank - 1], ratios[-rank]) if rank else None
        return Ratio(median, (first, third), interval, len(ratios))


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
