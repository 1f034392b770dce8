"""Plots of a search: every trial as a line, and which hyperparameters mattered."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers.shell.trials import Table, Trial, shown

# Fewer trials than this say nothing about what mattered.
_FEWEST = 4
_LONG = 24  # letters of a name that would push the lines aside if it were slanted
_LETTER = 0.07  # inches that one takes
_BELOW = -0.15  # where a line passes a hyperparameter that is not active


def parallel_coordinates(table: Table, path: Path) -> None:
    """Each finished trial as a line across its hyperparameters, to its accuracy on the right.

    Where a hyperparameter is not active, the line passes below its values. Hyperparameters that
    have one value in all of several trials are left out.

    Args:
        table: The trials.
        path: PNG file to write.
    """
    from matplotlib import colormaps, colors
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    rows = table.finished[::-1]  # the best are drawn last, above the others
    axes_of = [_Axis.of(table, name) for name in _varied(table)]
    scores = np.array([row.score for row in rows], float)
    axes_of.append(_Axis("accuracy", scores, [(s, f"{s:.1%}") for s in _ends(scores)]))
    longest = max(len(axis.name) for axis in axes_of)
    widest = max(len(label) for axis in axes_of for _, label in axis.ticks)
    upright = longest > _LONG
    apart = max(1.1, 0.4 + _LETTER * widest)
    size = (max(5, 2 + apart * len(axes_of)), 5 + upright * _LETTER * longest)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    around = 0.0 if np.ptp(scores) else 0.05  # one score has no range of its own
    scale = colors.Normalize(scores.min() - around, scores.max() + around)
    colour = colormaps["viridis"]
    heights = np.array([axis.heights() for axis in axes_of])  # (axes, trials)
    inactive = np.isnan(heights)
    heights[inactive] = _BELOW
    for i in range(len(rows)):
        axes.plot(
            heights[:, i], color=colour(scale(scores[i])), marker="o", markersize=3, alpha=0.8
        )
    for x, axis in enumerate(axes_of):
        axes.axvline(x, color="0.6", linewidth=0.8, zorder=0)
        places = [(axis.height(value), label) for value, label in axis.ticks]
        places += [(_BELOW, "not used")] if inactive[x].any() else []
        for y, label in places:
            ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
            axes.text(
                *(x + 0.06, y, label), fontsize=7, va="center", color="0.2", bbox=ground, zorder=3
            )
    lowest = _BELOW if inactive.any() else 0.0
    axes.set(ylim=(lowest - 0.05, 1.05), yticks=[], xlim=(-0.3, len(axes_of) - 0.4))
    turned = {"rotation": 90} if upright else {"rotation": 40, "ha": "right"}
    axes.set_xticks(range(len(axes_of)), [axis.name for axis in axes_of], **turned)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(
        ScalarMappable(scale, colour),
        ax=axes,
        label="validation accuracy",
        format=PercentFormatter(1.0),
    )
    figure.savefig(path, dpi=120)


def importance(table: Table, path: Path) -> None:
    """How much of the differences between trials each hyperparameter explains.

    A random forest learns to predict the accuracy; the bars are its importances, the whiskers
    their standard deviation over the trees.

    Args:
        table: The trials.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    names, found = _varied(table), importances(table)
    height = 2.0 if found is None else max(2.0, 1 + 0.28 * len(names))
    longest = max(map(len, names), default=0)
    figure = Figure(figsize=(max(7, 5 + _LETTER * longest), height), layout="constrained")
    axes = figure.subplots()
    if found is None:
        words = (
            f"Which hyperparameters mattered\nis said after {_FEWEST} finished trials of different "
            f"accuracy.\nSo far: {len(table.finished)}."
        )
        axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
    else:
        means, deviations = found
        order = np.argsort(means)
        axes.barh(
            [names[i] for i in order],
            means[order],
            xerr=np.minimum(deviations[order], means[order]),
            color="#4477aa",
            ecolor="0.4",
        )
        axes.set(xlabel="importance (share of the explained variance)", xlim=(0, None))
        axes.set_title(
            f"{len(table.finished)} trials: with few of them, chance decides", fontsize=9
        )
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)


def importances(table: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean and standard deviation over the trees, for each hyperparameter that varies."""
    from sklearn.ensemble import RandomForestRegressor

    rows, names = table.finished[::-1], _varied(table)
    scores = np.array([row.score for row in rows], float)
    if len(rows) < _FEWEST or not names or np.ptp(scores) == 0:
        return None
    numbers = np.array([_Axis.of(table, name).heights() for name in names]).T
    # A value of its own for what is not active, outside of those that are.
    forest = RandomForestRegressor(200, random_state=0).fit(np.nan_to_num(numbers, nan=-1), scores)
    each = np.array([tree.feature_importances_ for tree in forest.estimators_])
    return each.mean(0), each.std(0)


class _Axis:
    """One hyperparameter as numbers, with labels for some of them."""

    def __init__(
        self, name: str, numbers: NDArray[np.float64], ticks: list[tuple[float, str]]
    ) -> None:
        self.name, self.numbers, self.ticks = name, numbers, ticks

    @classmethod
    def of(cls, table: Table, name: str) -> "_Axis":
        """The values of all finished trials, the worst first."""
        rows: list[Trial] = table.finished[::-1]
        values = [row.values.get(name) for row in rows]
        known = [value for value in values if value is not None]
        if all(isinstance(value, float) for value in known):
            number = math.log10 if name in table.logarithmic and min(known) > 0 else float
            numbers = [math.nan if value is None else number(value) for value in values]
            ticks = [(number(value), shown(value)) for value in _ends(np.array(known))]
        else:
            kinds: list[Any] = sorted(set(known))
            numbers = [math.nan if v is None else float(kinds.index(v)) for v in values]
            ticks = [(float(i), shown(value)) for i, value in enumerate(kinds)]
        return cls(name, np.array(numbers), ticks)

    def height(self, number: float) -> float:
        """From 0 at the least to 1 at the most."""
        low, high = np.nanmin(self.numbers), np.nanmax(self.numbers)
        return float((number - low) / (high - low)) if high > low else 0.5

    def heights(self) -> list[float]:
        """Of all trials."""
        return [self.height(number) for number in self.numbers]


def _varied(table: Table) -> list[str]:
    """The hyperparameters with more than one value among the finished trials; all of one trial."""
    least = 1 if len(table.finished) == 1 else 2
    return [
        name
        for name in table.columns
        if len({row.values[name] for row in table.finished if name in row.values}) >= least
    ]


def _ends(values: NDArray[Any]) -> list[float]:
    return sorted({float(values.min()), float(values.max())})
