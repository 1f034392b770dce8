"""What a run has measured, as JSON, and as the tables that it prints at its end."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.paired import Ratio


@dataclass(frozen=True)
class Comparison:
    """Contenders timed in the same rounds.

    Args:
        group: The kind of what was compared, such as `"forward"`.
        case: What was compared, by name: network, mode, precision, batch, size, device.
        baseline: The contender that the others are compared with.
        seconds: The rounds of each contender.
        goals: How many times as fast as the baseline a contender should be; nothing fails by it.
        details: For a contender what else is known: `trace_seconds`, `compile_seconds`,
            `retraces`, `nodes`, `difference`, `data_wait`.
    """

    group: str
    case: dict[str, Any]
    baseline: str
    seconds: dict[str, list[float]]
    goals: dict[str, float] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The case in a line."""
        return ", ".join(f"{value}" for value in self.case.values())

    def speed(self, contender: str) -> Ratio:
        """How many times as fast as the baseline a contender is."""
        return Ratio.of(self.seconds[contender], self.seconds[self.baseline])


@dataclass(frozen=True)
class Growth:
    """How a cost grows: seconds for each size, measured in rounds of all sizes.

    Args:
        cost: What was timed, such as `"training step"`.
        along: What grows, such as `"layers"`.
        case: What stays the same, by name.
        seconds: The rounds of each size, for each contender.
    """

    cost: str
    along: str
    case: dict[str, Any]
    seconds: dict[str, dict[int, list[float]]]


@dataclass(frozen=True)
class Memory:
    """The peak of a computation beyond what was there before it, in bytes.

    Args:
        case: What was measured, by name.
        peaks: For each way the peaks of the runs, each in a process of its own.
        seconds: For each way the seconds of one step, rounds of the same processes.
    """

    case: dict[str, Any]
    peaks: dict[str, list[int]]
    seconds: dict[str, list[float]]


@dataclass(frozen=True)
class Reached:
    """How soon trainings with other seeds reach an accuracy or their end, compilation included.

    Args:
        case: What was trained, by name.
        goal: The seconds that it should take; nothing fails by it.
        seconds: Those of each training that reached it.
        epochs: Those of the same trainings.
        missed: How many never reached it.
    """

    case: dict[str, Any]
    goal: float
    seconds: list[float]
    epochs: list[int]
    missed: int


@dataclass
class Results:
    """All of a run."""

    machine: dict[str, str] = field(default_factory=dict)
    command: str = ""
    comparisons: list[Comparison] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    roofline: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """As JSON, seconds with seven digits after the point."""
        path.write_text(json.dumps(_rounded(asdict(self)), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` has written."""
        data = json.loads(path.read_text(encoding="utf-8"))
        data["comparisons"] = [Comparison(**each) for each in data["comparisons"]]
        data["growth"] = [_growth(each) for each in data["growth"]]
        data["memory"] = [Memory(**each) for each in data["memory"]]
        data["reached"] = [Reached(**each) for each in data.get("reached", [])]
        return cls(**data)


def _growth(data: dict[str, Any]) -> Growth:
    # JSON has no integers as keys.
    seconds = {
        name: {int(size): rounds for size, rounds in sizes.items()}
        for name, sizes in data.pop("seconds").items()
    }
    return Growth(**data, seconds=seconds)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 7)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def markdown(cells: Iterable[Iterable[str]]) -> list[str]:
    """A table, its columns aligned; the first row is the head."""
    rows = [list(row) for row in cells]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    return [lines[0], f"| {' | '.join('-' * width for width in widths)} |", *lines[1:]]
