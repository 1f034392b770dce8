"""What a run prints at its end: the machine, and one line for each comparison."""

import importlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import keras

from benchmarks.paired import Ratio


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        title: What was compared.
        ratio: What was measured.
        goal: What the median should be at most, if anything; nothing fails by it.
        operations: Nodes of our graph and of the stock one, where there are graphs.
    """

    title: str
    ratio: Ratio
    goal: float | None = None
    operations: tuple[int, int] | None = None


def table(rows: list[Row]) -> list[str]:
    """A Markdown table."""
    heads = ["comparison", "goal", "ours / stock", "quartiles", "95 % interval", "rounds", "nodes"]
    cells = [heads, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(map(str.ljust, line, widths)) for line in cells]
    rule = " | ".join("-" * width for width in widths)
    return [f"| {line} |" for line in (lines[0], rule, *lines[1:])]


def _cells(row: Row) -> list[str]:
    ratio = row.ratio
    return [
        row.title,
        "" if row.goal is None else f"≤ {row.goal:.2f}",
        f"{ratio.median:.3f}",
        _range(ratio.quartiles),
        "" if ratio.interval is None else _range(ratio.interval),
        str(ratio.rounds),
        "{} / {}".format(*row.operations) if row.operations else "",
    ]


def _range(ends: tuple[float, float]) -> str:
    return "{:.3f} – {:.3f}".format(*ends)


def machine() -> dict[str, str]:
    """Where a run took place, and with what."""
    backend = keras.backend.backend()
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": "{:.1f} {:.1f} {:.1f} (1, 5, 15 minutes)".format(*os.getloadavg()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "keras": f"{keras.__version__} on {backend} {importlib.import_module(backend).__version__}",
        "threads": _threads(backend),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _threads(backend: str) -> str:
    if backend != "tensorflow":
        return "as the backend has them"
    from tensorflow.config import threading

    within, between = (
        count or "one for each core"
        for count in (
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        )
    )
    return f"{within} within an operation, {between} between operations"
