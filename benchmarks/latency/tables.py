"""Tables and the figure of `docs/latency.md` and `docs/choosing.md`, from what was timed."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.latency.fitting import Row, is_held_out, rows_of, usual_threads
from resnet_layers.analysis import subjects, tables
from resnet_layers.analysis.latency import prediction, training
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.analysis.profile import profile

# How far from the others, in proportion to its operations, a network breaks the rule.
_FAR = 1.3
# Networks, and pixels of their images, that the page about choosing compares.
CHOICES = [
    ("cifar_resnet20", 32),
    ("cifar_resnet56", 32),
    ("resnet10t", 176),
    ("resnet18", 224),
    ("resnet34", 224),
    ("resnet26d", 224),
    ("resnet50", 160),
    ("resnet50", 224),
    ("resnet50d", 224),
    ("resnext50_32x4d", 224),
    ("resnet101", 224),
    ("resnet152", 224),
]
_BATCH, _IMAGES = 32, 10_000


def errors(data: dict[str, Any]) -> Iterator[str]:
    """How far predictions are from what was measured: lines of Markdown."""
    fitted = prediction.fitted()
    headings = ["runtime", "batch", "networks", "median error", "worst error"]
    yield tables.markdown_row([*headings, "spread of the rounds"])
    yield tables.markdown_row(["---", "---:", "---", "---:", "---:", "---:"])
    for runtime, title in prediction.RUNTIMES.items():
        rows = rows_of(data, runtime)
        for batch in sorted({row.batch for row in rows}):
            kinds: dict[str, list[Row]] = {"fitted": [], "held out": []}
            for row in rows:
                if row.batch == batch:
                    kinds.setdefault(_kind(row, usual_threads(data)), []).append(row)
            for kind, some in kinds.items():
                if some:
                    yield _line(title, kind, some, fitted[runtime])


def _kind(row: Row, threads: int) -> str:
    if row.threads != threads:
        return f"with {row.threads} thread{'s' if row.threads > 1 else ''}"
    return "held out" if is_held_out(row.name) else "fitted"


def _line(title: str, kind: str, rows: list[Row], shares: Any) -> str:
    found = np.array([abs(row.error(shares)) for row in rows])
    spreads = np.array([row.spread for row in rows])
    worst = int(found.argmax())
    return tables.markdown_row(
        [
            title,
            str(rows[0].batch),
            f"{len(rows)} {kind}",
            f"{np.median(found):.1%}".replace("%", " %"),
            f"{found[worst]:.0%} ({rows[worst].name})".replace("%", " %"),
            f"{np.median(spreads):.1%}".replace("%", " %"),
        ]
    )


def points_of(data: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Name, billions of multiply-adds and milliseconds of one image in ONNX Runtime."""
    threads = usual_threads(data)
    rows = [r for r in rows_of(data, "onnx") if r.batch == 1 and r.threads == threads]
    return [(row.name, profile(row.name).macs / 1e9, 1000 * row.seconds) for row in rows]


def breakers(points: Iterable[tuple[str, float, float]]) -> list[tuple[str, float]]:
    """Those that take more or less time than their operations say, and how many times as much."""
    points = list(points)
    usual = np.median([time / macs for _, macs, time in points])
    times = [(name, float(time / macs / usual)) for name, macs, time in points]
    far = [(name, each) for name, each in times if not 1 / _FAR < each < _FAR]
    return sorted(far, key=lambda one: one[1])


def draw(figure: Any, data: dict[str, Any]) -> None:
    """Operations against milliseconds, with the names of those that break the rule."""
    points = points_of(data)
    named = dict(breakers(points))
    axes = figure.subplots()
    usual = np.median([time / macs for _, macs, time in points])
    ends = np.array([min(p[1] for p in points), max(p[1] for p in points)])
    axes.plot(ends, usual * ends, "k:", linewidth=1, label="as long as operations say")
    for name, macs, time in points:
        axes.plot(macs, time, "o", markersize=4, color="C1" if name in named else "C0")
    for i, (name, macs, time) in enumerate(p for p in points if p[0] in named):
        side = "right" if i % 2 else "left"
        axes.annotate(
            f" {name} ", (macs, time), ha=side, va="center", fontsize=6, rotation=20 if i % 2 else 0
        )
    axes.set(xscale="log", yscale="log", xlabel="billions of multiply-adds")
    axes.set_ylabel("milliseconds for one image, ONNX Runtime")
    axes.legend(frameon=False, fontsize=8)


def choices(data: dict[str, Any]) -> Iterator[str]:
    """What networks take to serve and to train, predicted: lines of Markdown."""
    machine = machine_of(data)
    yield tables.markdown_row(
        [
            "network",
            "pixels",
            "parameters",
            "multiply-adds",
            "an image",
            "a step",
            "an epoch",
            "memory",
        ]
    )
    yield tables.markdown_row(["---", *["---:"] * 7])
    for name, size in CHOICES:
        shape = (size, size, 3)
        found = profile(name, shape)
        served = prediction.predict_latency(name, shape, machine=machine)
        walk = subjects.find(name, shape, 1, None).walk
        step = training.seconds_of(walk, _BATCH, machine)
        epoch = step * _IMAGES / _BATCH / 60
        memory = training.bytes_of(walk, _BATCH)
        yield tables.markdown_row(
            [
                f"`{name}`",
                str(size),
                tables.short(found.params),
                tables.short(found.macs),
                f"{tables.two_digits(served.milliseconds)} ms",
                f"{tables.two_digits(step)} s",
                f"{tables.two_digits(epoch)} min",
                f"{tables.two_digits(memory / 1e9)} GB",
            ]
        )


def machine_of(data: dict[str, Any]) -> Machine:
    """The machine with as many threads as most networks were timed with."""
    return Machine.of_json(data["machines"][str(usual_threads(data))])
