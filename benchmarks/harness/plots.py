"""Figures of a run as SVG, from what it has measured; text stays text."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.harness import growth, roofline, tables
from benchmarks.harness.report import Comparison, Growth, Results
from benchmarks.harness.roofline import Run

# Okabe and Ito's, which those who see no red or no green can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
MARKERS = "os^Dv*PX"
ROWS = 32  # of bars in a figure
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
WIDTH = 8.0  # inches


def figures(results: Results) -> dict[str, list[Figure]]:
    """The figures of each part of the tables, by the title that it has there."""
    found: dict[str, list[Figure]] = {}
    with mpl.rc_context(STYLE):
        for group, comparisons in tables.groups(results.comparisons).items():
            title = tables.upper(group)
            found[title] = list(_bars(title, comparisons))
        if results.growth:
            found[tables.GROWTH] = list(_growths(results.growth))
        devices = roofline.by_device(results.roofline.get("runs", []))
        if devices:
            found[tables.ROOFLINE] = [_roofline(*each) for each in devices.items()]
    return {title: each for title, each in found.items() if each}


def names(machine: str, made: dict[str, list[Figure]]) -> dict[str, list[str]]:
    """The file of each figure."""
    return {
        title: [
            f"{machine}-{_slug(title)}{f'-{i}' if len(each) > 1 else ''}.svg"
            for i in range(1, len(each) + 1)
        ]
        for title, each in made.items()
    }


def write(data: Path, machine: str, folder: Path) -> list[Path]:
    """Writes the figures of what a run has written, each with the digest of it.

    Args:
        data: The JSON of the results.
        machine: Its name, with which the files begin.
        folder: Where they go.

    Returns:
        The files.
    """
    made = figures(Results.read(data))
    folder.mkdir(exist_ok=True)
    paths = []
    for title, files in names(machine, made).items():
        for figure, file in zip(made[title], files, strict=True):
            about = {"Date": None, "Description": digest(data.read_bytes()), "Creator": None}
            with mpl.rc_context(STYLE):
                figure.savefig(folder / file, format="svg", metadata=about)
            paths.append(folder / file)
    return paths


def digest(data: bytes) -> str:
    """Of the data and of this file: another digest in a figure means that it is not current."""
    return f"sha256:{hashlib.sha256(data + Path(__file__).read_bytes()).hexdigest()}"


def digest_in(path: Path) -> str:
    """The digest that a figure has been written with, or nothing."""
    found = re.search(r"sha256:[0-9a-f]{64}", path.read_text(encoding="utf-8"))
    return found[0] if found else ""


def _bars(title: str, comparisons: Sequence[Comparison]) -> Iterator[Figure]:
    """A bar for each contender of each comparison, from 1 to its ratio, on a logarithmic axis."""
    same, labels = _labels([each.case for each in comparisons])
    baselines = list(dict.fromkeys(each.baseline for each in comparisons))
    baseline = baselines[0]
    if len(baselines) > 1:
        baseline = "the one in brackets"
        labels = [
            f"{label} [{each.baseline}]".lstrip()
            for label, each in zip(labels, comparisons, strict=True)
        ]
    rows = [
        (label, name, each)
        for label, each in zip(labels, comparisons, strict=True)
        for name in tables.contenders(each)[1:]
    ]
    contenders = list(dict.fromkeys(name for _, name, _ in rows))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(contenders)}
    ends = [end for _, name, each in rows for end in each.speed(name).quartiles]
    parts = [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
    for i, part in enumerate(parts, start=1):
        figure, axes = _figure(1.2 + 0.24 * len(part))
        for y, (_, name, each) in enumerate(part):
            speed = each.speed(name)
            first, third = speed.quartiles
            axes.barh(
                y,
                speed.median - 1,
                left=1,
                height=0.7,
                color=colours[name],
                xerr=[[speed.median - first], [third - speed.median]],
                error_kw={"ecolor": "#444444", "elinewidth": 1},
                label=name,
            )
        befores = [None, *(each for _, _, each in part)]
        ticks = [
            "" if each is before else label
            for (label, _, each), before in zip(part, befores, strict=False)
        ]
        axes.set_yticks(range(len(part)), ticks)
        axes.tick_params(axis="y", length=0)
        axes.axvline(1, color="#000000", linewidth=1)
        axes.invert_yaxis()
        _ratio_axis(axes, ends)
        number = f" ({i} of {len(parts)})" if len(parts) > 1 else ""
        axes.set_xlabel(f"times as fast as {baseline}; whiskers: quartiles", loc="right")
        axes.set_title(", ".join(filter(None, [f"{title}{number}", same])), loc="left")
        if len(contenders) > 1:
            _legend(figure, axes)
        yield figure


def _labels(cases: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """What all cases have in common, and the rest of each."""
    keys = list(dict.fromkeys(key for case in cases for key in case))
    same = [k for k in keys if len({str(case.get(k)) for case in cases}) == 1 and len(cases) > 1]
    rest = [", ".join(str(case[k]) for k in case if k not in same) for case in cases]
    return ", ".join(str(cases[0][key]) for key in same), rest


def _ratio_axis(axes: Any, ends: Iterable[float]) -> None:
    low, high = min(1, *ends) / 1.05, max(1, *ends) * 1.05
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    near = MaxNLocator(8, steps=(1, 2, 5, 10))
    axes.xaxis.set_major_locator(near if high / low < 5 else LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _growths(results: Sequence[Growth]) -> Iterator[Figure]:
    """A figure for each quantity that grows on each device, a line for each cost."""
    shown: dict[tuple[str, str], list[Growth]] = {}
    for each in results:
        shown.setdefault((each.along, each.case.get("device", "")), []).append(each)
    for (along, device), those in shown.items():
        figure, axes = _figure(4.2)
        lines = [(each, name) for each in those for name in each.seconds]
        for i, (each, name) in enumerate(lines):
            sizes = each.seconds[name]
            x = list(sizes)
            fit = growth.line(sizes)
            colour = COLOURS[i % len(COLOURS)]
            mode = each.case.get("mode", "")
            said = mode in each.cost  # as in "XLA compilation"
            label = [each.cost, "" if said else mode, name if len(each.seconds) > 1 else ""]
            axes.plot(
                x,
                [1e3 * float(np.median(seconds)) for seconds in sizes.values()],
                MARKERS[i % len(MARKERS)],
                color=colour,
                label=f"{', '.join(filter(None, label))}: {along}^{fit.exponent:.2f}",
            )
            axes.plot(x, [1e3 * fit(size) for size in x], color=colour, linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = sorted({size for each, name in lines for size in each.seconds[name]})
        axes.set_xticks(ticks, [str(size) for size in ticks])
        axes.minorticks_off()
        _decimal(axes.yaxis)
        axes.set_xlabel(along)
        axes.set_ylabel("ms")
        axes.grid(alpha=0.3)
        axes.set_title(", ".join(filter(None, [f"Growth with {along}", device])), loc="left")
        _legend(figure, axes)
        yield figure


def _roofline(device: str, runs: Sequence[Run]) -> Figure:
    """The roof in each precision, and a point for each network and way."""
    products, bandwidth = roofline.machine_peaks(runs)
    figure, axes = _figure(4.6)
    places = [roofline.intensity(run, way) for run in runs for way in run["ways"]]
    rates = [float(np.median(roofline.rates(run, way))) for run in runs for way in run["ways"]]
    ridges = [product / bandwidth for product in products.values()]
    ends = np.array([min([*places, *ridges]) / 2, max([*places, *ridges]) * 2])
    colours = dict(zip(products, COLOURS, strict=False))
    for precision, product in products.items():
        x = np.unique([*ends, product / bandwidth])
        roof = np.minimum(product, x * bandwidth) / 1e9
        label = f"{precision}: {product / 1e9:.0f} GFLOP/s"
        axes.plot(x, roof, color=colours[precision], label=label)
    networks = list(dict.fromkeys((run["network"], run["batch"]) for run in runs))
    points = [(run, way) for run in runs for way in run["ways"]]
    for (run, way), place, rate in zip(points, places, rates, strict=True):
        colour = colours[run["ways"][way]["precision"]]
        marker = MARKERS[networks.index((run["network"], run["batch"])) % len(MARKERS)]
        inside = colour if "folded" in way else "none"
        axes.plot(place, rate / 1e9, marker, color=colour, markerfacecolor=inside, markersize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _decimal(axes.xaxis)
    _decimal(axes.yaxis)
    axes.set_xlabel(f"operations for each byte; memory: {bandwidth / 1e9:.1f} GB/s")
    axes.set_ylabel("GFLOP/s")
    axes.grid(alpha=0.3)
    axes.set_title(f"Networks beside the peaks, {device}", loc="left")
    shapes = [
        _key(f"{name}, batch {batch}", MARKERS[i % len(MARKERS)], "#666666")
        for i, (name, batch) in enumerate(networks)
    ]
    fills = [_key("plain", "o", "none"), _key("folded", "o", "#666666")]
    _legend(figure, axes, [*axes.get_legend_handles_labels()[0], *shapes, *fills])
    return figure


def _decimal(axis: Any) -> None:
    axis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    axis.set_minor_formatter(NullFormatter())


def _key(label: str, marker: str, inside: str) -> Line2D:
    return Line2D([], [], color="#666666", marker=marker, ls="", mfc=inside, label=label)


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _legend(figure: Figure, axes: Any, handles: Sequence[Any] | None = None) -> None:
    """To the right of the axes, each label once."""
    known = handles if handles is not None else axes.get_legend_handles_labels()[0]
    once = {handle.get_label(): handle for handle in known}
    figure.legend(handles=list(once.values()), loc="outside right upper")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
