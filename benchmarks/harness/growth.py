"""The power of size with which a cost grows, and its line for plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The rounds of each size; rounds of all sizes are paired.
Sizes = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Line:
    """`seconds = factor * size ** exponent`.

    Args:
        factor: Seconds at size 1.
        exponent: Straight on logarithmic axes, this is the slope.
    """

    factor: float
    exponent: float

    def __call__(self, size: float) -> float:
        return self.factor * size**self.exponent


def exponent(sizes: Sizes) -> tuple[float, float, float]:
    """The quartiles of the exponents of all rounds, the median in the middle.

    Each round has a least-squares line of its own through logarithms, so that what slows a whole
    round down does not count.

    Args:
        sizes: Seconds of at least two sizes, in the same number of rounds.

    Raises:
        ValueError: If there are fewer sizes.

    Example:

    >>> exponent({1: [0.5], 2: [2.0], 4: [8.0]})
    (2.0, 2.0, 2.0)
    """
    slopes, _ = _fits(sizes)
    first, median, third = np.percentile(slopes, (25, 50, 75)).round(12).tolist()
    return first, median, third


def line(sizes: Sizes) -> Line:
    """The line of the median exponent, through the middle of what was measured."""
    slopes, centres = _fits(sizes)
    slope = float(np.median(slopes))
    middle = float(np.mean(np.log(list(sizes))))
    return Line(float(np.exp(np.median(centres) - slope * middle)), slope)


def _fits(sizes: Sizes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and mean logarithm of each round."""
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must be at least two. Received: sizes={list(sizes)}")
    x = np.log(list(sizes))
    y = np.log(np.array(list(sizes.values())))  # (sizes, rounds)
    x = x - x.mean()
    return x @ y / (x @ x), y.mean(0)
