"""Figures of a study: a line for each network, and a band for its interval over the seeds.

Runs that have diverged are in none of them, and counted in their legends.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_layers.analysis.studies.results import Interval, Results

_PLAIN, _RESIDUAL = ("plain", "none"), ("residual", "A")
_KINDS = (_PLAIN, _RESIDUAL)


def training(figure: Any, results: Results) -> None:
    """Training error, augmentation included, against the step."""
    for axes, (kind, shortcut) in zip(figure.subplots(1, 2, sharey=True), _KINDS, strict=True):
        for name, colour in _lines(results, shortcut):
            curve = results.curve(name, "error")
            steps = results.of(name)[0]["steps"] * np.arange(1, len(curve) + 1)
            _band(axes, steps, curve, _label(results, name), colour, 100)
        axes.set(title=kind, xlabel="step", ylim=(0, 100))
        _legend(axes)
    figure.axes[0].set_ylabel("training error in %")


def final(figure: Any, results: Results) -> None:
    """Error at the end against depth."""
    parts = (("train_error", "training images"), ("test_error", "test images"))
    for axes, (measure, title) in zip(figure.subplots(1, 2, sharey=True), parts, strict=True):
        for (kind, shortcut), mark in zip(_KINDS, ("o--", "o-"), strict=True):
            rows = _networks(results, shortcut)
            found = [results.interval(name, measure) for _, name, _ in rows]
            depths = [depth for depth, _, _ in rows]
            means, margins = (100 * np.array(v) for v in _parts(found))
            label = kind + _diverged(results, *(name for _, name, _ in rows))
            axes.errorbar(depths, means, margins, fmt=mark, capsize=3, label=label)
        axes.set(title=title, xlabel="layers with weights", ylim=(0, None))
        _legend(axes)
    figure.axes[0].set_ylabel("error in %")


def gradients(figure: Any, results: Results) -> None:
    """Norm of the gradient by the weights of each block, from initialization to the end."""
    first, *between, last = results.runs[0]["gradients"]
    shown = {
        first: "at initialization",
        **{epoch: f"after {epoch} epoch{'s' * (epoch != '1')}" for epoch in between},
        last: "at the end",
    }
    grid = figure.subplots(2, len(shown), sharey=True, squeeze=False)
    for row, (kind, shortcut) in zip(grid, _KINDS, strict=True):
        for axes, (epoch, when) in zip(row, shown.items(), strict=True):
            for name, colour in _lines(results, shortcut):
                means, _ = _parts(results.curve(name, "gradients", epoch))
                places = np.linspace(0, 1, len(means))
                # A norm of 0 has no place on this scale: the network is dead there.
                label = _label(results, name)
                axes.plot(places, np.maximum(means, 1e-20), color=colour, label=label)
            axes.set(title=f"{kind}, {when}", yscale="log", ylim=(1e-10, None))
            axes.grid(alpha=0.3)
        row[0].set_ylabel("norm of the gradient")
        _legend(row[-1])
    figure.supxlabel("place of the block, from the stem to the head", fontsize="medium")


def branches(figure: Any, results: Results) -> None:
    """Root mean square of the body and of the shortcut of each residual block."""
    parts = (("residuals", "body"), ("shortcuts", "shortcut"))
    for axes, (measure, title) in zip(figure.subplots(1, 2, sharey=True), parts, strict=True):
        for name, colour in _lines(results, "A"):
            curve = results.curve(name, measure)
            _band(axes, np.linspace(0, 1, len(curve)), curve, _label(results, name), colour)
        axes.set(title=title, xlabel="place of the block, from the stem to the head")
        _legend(axes)
    figure.axes[0].set_ylabel("root mean square")


def left_out(figure: Any, results: Results) -> None:
    """Test error with single blocks left out."""
    for axes, (kind, shortcut) in zip(figure.subplots(1, 2, sharey=True), _KINDS, strict=True):
        for name, colour in _lines(results, shortcut):
            curve = results.curve(name, "left_out")
            places = np.linspace(0, 1, len(curve))
            there = np.array([not np.isnan(one.mean) for one in curve])
            some = [one for one, is_there in zip(curve, there, strict=True) if is_there]
            _band(axes, places[there], some, _label(results, name), colour, 100)
        axes.set(title=kind, xlabel="place of the block that is left out", ylim=(0, 100))
        _legend(axes)
    figure.axes[0].set_ylabel("test error in %")


def shortcuts(figure: Any, results: Results) -> None:
    """Error at the end with shortcuts A, B and C."""
    depths = [run["depth"] for run in results.runs if run["shortcut"] == "C"]
    axes = figure.subplots()
    kinds = ("A", "B", "C")
    for i, kind in enumerate(kinds):
        rows = [row for row in _networks(results, kind) if row[0] in depths]
        found = [results.interval(name, "test_error") for _, name, _ in rows]
        means, margins = (100 * np.array(v) for v in _parts(found))
        places = np.arange(len(rows)) + (i - 1) * 0.15
        label = kind + _diverged(results, *(name for _, name, _ in rows))
        axes.errorbar(places, means, margins, fmt="o", capsize=3, label=label)
    axes.set_xticks(range(len(set(depths))), [str(depth) for depth in sorted(set(depths))])
    axes.set(xlabel="layers with weights", ylabel="test error in %", ylim=(0, None))
    _legend(axes, "shortcut")


FIGURES: dict[str, Callable[[Any, Results], None]] = {
    "training": training,
    "final": final,
    "gradients": gradients,
    "branches": branches,
    "left_out": left_out,
    "shortcuts": shortcuts,
}


def write(name: str, results: Results, path: Path) -> None:
    """A figure as a file, in the format of its ending."""
    from matplotlib import rc_context, style
    from matplotlib.figure import Figure

    size = (11, 6) if name == "gradients" else (9, 4)
    # Settings of the user may need what is not installed; equal figures have equal bytes.
    with style.context("default"), rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        FIGURES[name](figure, results)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=120, metadata=metadata)


def drawn(results: Results) -> list[str]:
    """The figures for which there are runs."""
    has = any(run["shortcut"] == "C" for run in results.runs)
    return [name for name in FIGURES if has or name != "shortcuts"]


def _networks(results: Results, shortcut: str) -> list[tuple[int, str, Any]]:
    """Depth, name and colour of each network with such shortcuts."""
    from matplotlib import colormaps

    every = sorted({run["depth"] for run in results.runs})
    there = {run["depth"]: run["network"] for run in results.runs if run["shortcut"] == shortcut}
    colours = colormaps["viridis"](np.linspace(0.9, 0.0, len(every)))
    return [(d, there[d], c) for d, c in zip(every, colours, strict=True) if d in there]


def _lines(results: Results, shortcut: str) -> list[tuple[str, Any]]:
    return [(name, colour) for _, name, colour in _networks(results, shortcut)]


def _label(results: Results, name: str) -> str:
    """The depth of a network, and how many of its runs have diverged."""
    return f"{results.of(name)[0]['depth']}{_diverged(results, name)}"


def _diverged(results: Results, *names: str) -> str:
    count = results.diverged(*names)
    runs = sum(len(results.of(name)) for name in names)
    return f", {count} of {runs} diverged" if count else ""


def _parts(found: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [one.mean for one in found], [one.margin for one in found]


def _band(
    axes: Any, at: Any, found: Sequence[Interval], label: str, colour: Any, times: float = 1.0
) -> None:
    means, margins = (times * np.array(part) for part in _parts(found))
    axes.plot(at, means, color=colour, label=label)
    axes.fill_between(at, means - margins, means + margins, color=colour, alpha=0.2, linewidth=0)


def _legend(axes: Any, title: str = "layers") -> None:
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:  # matplotlib warns of an empty one
        axes.legend(title=title, fontsize="small")
