"""The tables of a run in Markdown, from what it has measured; nothing is timed here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import roofline
from benchmarks.harness.growth import exponent
from benchmarks.harness.report import Comparison, Growth, Memory, Reached, Results, markdown
from benchmarks.harness.roofline import Run

HEADS = ("contender", "goal", "× as fast", "quartiles", "95 % interval", "rounds", "ms")
# Columns that a group has where one of its contenders has the detail.
DETAILS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "trace_seconds": ("trace s", "{:.2f}".format),
    "compile_seconds": ("compile s", "{:.2f}".format),
    "nodes": ("nodes", str),
    "difference": ("difference", "{:.0e}".format),
    "data_wait": ("data wait", "{:.1%}".format),
}
MIB = 2**20
GROWTH = "Growth"
ROOFLINE = "Networks beside the peaks"


def lines(results: Results) -> list[str]:
    """Markdown, from the machine to what was left out; nothing where nothing was measured."""
    found = [line for each in parts(results) for line in ("", f"### {each[0]}", "", *each[1])]
    return [*about(results), *found] if found else []


def about(results: Results) -> list[str]:
    """The machine and the command."""
    command = ["", f"Measured by `{results.command}`."] if results.command else []
    return [*markdown([["", ""], *results.machine.items()]), *command]


def parts(results: Results) -> Iterator[tuple[str, list[str]]]:
    """The title and the table of each part that has one."""
    yield from ((title, table) for title, table in _parts(results) if table)


def _parts(results: Results) -> Iterator[tuple[str, list[str]]]:
    for group, comparisons in groups(results.comparisons).items():
        yield upper(group), comparison_table(comparisons)
    yield GROWTH, growth_table(results.growth)
    yield "Memory", memory_table(results.memory)
    yield "Seconds to a goal", reached_table(results.reached)
    runs = results.roofline.get("runs", [])
    yield "Peaks of the machine", peak_table(runs)
    yield ROOFLINE, roofline_table(runs)
    yield (
        "Left out",
        [f"- {name}: {' '.join(why.split())}" for name, why in results.skipped.items()],
    )


def upper(group: str) -> str:
    """A group as a title."""
    return group[:1].upper() + group[1:]


def groups(comparisons: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons of each group, in the order of the first of each."""
    found: dict[str, list[Comparison]] = {}
    for each in comparisons:
        found.setdefault(each.group, []).append(each)
    return found


def comparison_table(comparisons: Sequence[Comparison]) -> list[str]:
    """One line for each contender of each comparison; the baseline first."""
    if not comparisons:
        return []
    details = [key for key in DETAILS if any(_has(each, key) for each in comparisons)]
    rows = [["case", *HEADS, *(DETAILS[key][0] for key in details)]]
    for each in comparisons:
        for i, name in enumerate(contenders(each)):
            known = each.details.get(name, {})
            more = [_shown(known.get(key), DETAILS[key][1]) for key in details]
            rows.append([each.title if i == 0 else "", *_cells(each, name), *more])
    return markdown(rows)


def contenders(comparison: Comparison) -> list[str]:
    """Their names, the baseline first."""
    return sorted(comparison.seconds, key=lambda name: name != comparison.baseline)


def _has(comparison: Comparison, key: str) -> bool:
    return any(known.get(key) is not None for known in comparison.details.values())


def _shown(value: Any, show: Callable[[Any], str]) -> str:
    return "" if value is None else show(value)


def _cells(comparison: Comparison, name: str) -> list[str]:
    ratio = comparison.speed(name)
    times = _milliseconds(comparison.seconds[name])
    if name == comparison.baseline:
        return [name, "", "1", "", "", str(ratio.rounds), times]
    return [
        name,
        _shown(comparison.goals.get(name), "≥ {:.2f}".format),
        f"{ratio.median:.3f}",
        _range(ratio.quartiles),
        _shown(ratio.interval, _range),
        str(ratio.rounds),
        times,
    ]


def growth_table(growth: Sequence[Growth]) -> list[str]:
    """One line for each cost and contender: its exponent, and the time of each size."""
    if not growth:
        return []
    rows = [["cost", "along", "case", "contender", "exponent", "quartiles", "rounds", "ms"]]
    for each in growth:
        for name, sizes in each.seconds.items():
            first, median, third = exponent(sizes)
            rounds = len(next(iter(sizes.values())))
            times = ", ".join(f"{n}: {_milliseconds(seconds)}" for n, seconds in sizes.items())
            case = ", ".join(map(str, each.case.values()))
            spread = _range((first, third))
            row = [each.cost, each.along, case, name, f"{median:.3f}", spread, str(rounds), times]
            rows.append(row)
    return markdown(rows)


def memory_table(memory: Sequence[Memory]) -> list[str]:
    """One line for each way; ratios are those to the first way."""
    if not memory:
        return []
    rows = [["case", "way", "runs", "peak MiB", "× the first's peak", "× its time"]]
    for each in memory:
        case = ", ".join(map(str, each.case.values()))
        first = next(iter(each.peaks))
        for i, (way, peaks) in enumerate(each.peaks.items()):
            peak = float(np.median(peaks))
            ratio = "1" if i == 0 else _quotient(peak, float(np.median(each.peaks[first])))
            seconds = (each.seconds.get(name) or [0.0] for name in (way, first))
            time = "1" if i == 0 else _quotient(*(float(np.median(each)) for each in seconds))
            row = [way, str(len(peaks)), f"{peak / MIB:.1f}", ratio, time]
            rows.append([case if i == 0 else "", *row])
    return markdown(rows)


def reached_table(reached: Sequence[Reached]) -> list[str]:
    """One line for each training: seconds of the seeds that came there, and how many never did."""
    if not reached:
        return []
    rows = [["case", "goal", "median s", "quartiles", "epochs", "seeds", "never"]]
    for each in reached:
        case = ", ".join(map(str, each.case.values()))
        count = str(len(each.seconds) + each.missed)
        cells = ["", "", ""]
        if each.seconds:
            first, median, third = np.percentile(each.seconds, (25, 50, 75))
            epochs = f"{min(each.epochs)} – {max(each.epochs)}"
            cells = [f"{median:.1f}", f"{first:.1f} – {third:.1f}", epochs]
        rows.append([case, f"≤ {each.goal:g} s", *cells, count, str(each.missed)])
    return markdown(rows)


def peak_table(runs: Sequence[Run]) -> list[str]:
    """One line for each device: its medians over all runs."""
    rows = [["device", *(f"GFLOP/s {p}" for p in ("float32", "bfloat16")), "GB/s of memory"]]
    for device, those in roofline.by_device(runs).items():
        products, bandwidth = roofline.machine_peaks(those)
        shown = [_shown(products.get(p), _giga) for p in ("float32", "bfloat16")]
        rows.append([device, *shown, f"{bandwidth / 1e9:.1f}"])
    return markdown(rows) if runs else []


def roofline_table(runs: Sequence[Run]) -> list[str]:
    """One line for each network and way: what it asks, what it reaches, and what it could."""
    heads = ["network", "way", "GFLOP", "MiB", "FLOP / byte", "ms", "GFLOP/s", "roof GFLOP/s"]
    rows = [[*heads, "share", "quartiles"]]
    for run in runs:
        title = roofline.title(run)
        for i, (way, asked) in enumerate(run["ways"].items()):
            first, median, third = roofline.share(run, way)
            cells = [
                title if i == 0 else "",
                way,
                f"{asked['operations'] / 1e9:.2f}",
                f"{asked['bytes'] / MIB:.1f}",
                f"{roofline.intensity(run, way):.1f}",
                _milliseconds(run["seconds"][way]),
                _giga(float(np.median(roofline.rates(run, way)))),
                _giga(float(np.median(roofline.roofs(run, way)))),
                f"{median:.0%}",
                f"{first:.0%} – {third:.0%}",
            ]
            rows.append(cells)
    return markdown(rows) if runs else []


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{1e3 * float(np.median(seconds)):.4g}"


def _giga(rate: float) -> str:
    return f"{rate / 1e9:.4g}"


def _quotient(a: float, b: float) -> str:
    return f"{a / b:.3f}" if a and b else ""


def _range(ends: tuple[float, float]) -> str:
    return "{:.3f} – {:.3f}".format(*ends)
