"""What came of an attack, to count, to print, and to collect in one report."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Those of the test that runs, until they are taken into its report.
_counted: list[tuple[str, dict[str, int]]] = []


class Figures(Counter[str]):
    """How often each thing happened; what does not begin with `right` should not have."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.items()))
        return f"{self.title}: {self.total()} tried, {counts}"


@contextlib.contextmanager
def counted(title: str) -> Iterator[Figures]:
    """Figures that are printed at the end, whatever it is."""
    figures = Figures(title)
    try:
        yield figures
    finally:
        print(f"\n{figures}")  # noqa: T201
        _counted.append((title, dict(figures)))


def taken() -> list[tuple[str, dict[str, int]]]:
    """The figures since the last call."""
    found = _counted[:]
    _counted.clear()
    return found


class Report:
    """Figures of many tests, by kind, and what became of the tests."""

    def __init__(self) -> None:
        self.kinds: dict[str, Counter[str]] = {}
        self.tests: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}

    def add(self, test: str, outcome: str, figures: list[tuple[str, dict[str, int]]]) -> None:
        """Adds one test."""
        self.tests[outcome].append(test)
        for title, counts in figures:
            self.kinds.setdefault(title, Counter()).update(counts)

    @property
    def content(self) -> dict[str, Any]:
        """The report, as JSON has it."""
        kinds = {title: _summed(counts) for title, counts in sorted(self.kinds.items())}
        sums = {name: sum(one[name] for one in kinds.values()) for name in _summed(Counter())}
        failed, skipped = sorted(self.tests["failed"]), sorted(self.tests["skipped"])
        tests = {"passed": len(self.tests["passed"]), "failed": failed, "skipped": skipped}
        return {**sums, "kinds": kinds, "tests": tests}

    def write(self, path: Path) -> None:
        """Writes it as a JSON file."""
        path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """A line for each kind, those with something wrong first."""
        found = self.content
        rows = sorted(found["kinds"].items(), key=lambda row: (not row[1]["wrong"], row[0]))
        rows.append(("all", found))
        return "\n".join(
            f"{row['tried']:6} tried, {row['right']:6} right, {row['wrong']:4} wrong: {title}"
            for title, row in rows
        )


def _summed(counts: Counter[str]) -> dict[str, Any]:
    tried = counts.total()
    right = sum(count for name, count in counts.items() if name.startswith("right"))
    by = {"by": dict(sorted(counts.items()))} if counts else {}
    return {"tried": tried, "right": right, "wrong": tried - right, **by}
