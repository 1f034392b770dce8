"""What the runs of a study have come to: means over the seeds with their intervals."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet_layers.analysis import tables

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over seeds, and how far from it the mean of endless seeds may be.

    Args:
        mean: Of the seeds.
        margin: Half of the interval in which the mean is with a confidence of 95 %, by Student's
            t distribution; infinite for a single seed.
    """

    mean: float
    margin: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Interval":
        """Of the values that there are; what is no number is left out, and all of none is none."""
        from scipy import stats

        found = np.array([value for value in values if value is not None], float)
        if len(found) < 2:
            return cls(float(found.mean()) if len(found) else float("nan"), float("inf"))
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(found) - 1)
        return cls(float(found.mean()), float(quantile * found.std(ddof=1) / len(found) ** 0.5))

    def __str__(self) -> str:
        """In percent.

        >>> str(Interval(0.5, 0.025))
        '50.0 ± 2.5 %'
        >>> str(Interval.of([None, None]))
        'no number'
        """
        if math.isnan(self.mean):
            return "no number"
        return f"{100 * self.mean:.1f} ± {100 * self.margin:.1f} %"


def has_diverged(run: dict[str, Any]) -> bool:
    """Whether a run has ended with a network whose outputs are no numbers, which has no errors."""
    return run["train_error"] is None or run["test_error"] is None


@dataclasses.dataclass(frozen=True)
class Results:
    """The runs of a study.

    Args:
        study: What was asked for.
        runs: What each run has come to, as `running` writes it.
    """

    study: dict[str, Any]
    runs: list[dict[str, Any]]

    @property
    def networks(self) -> list[str]:
        """Names of those that have runs, in order of their depth."""
        return list(dict.fromkeys(run["network"] for run in self.runs))

    def of(self, network: str) -> list[dict[str, Any]]:
        """The runs of one network."""
        return [run for run in self.runs if run["network"] == network]

    def diverged(self, *networks: str) -> int:
        """How many runs of some networks have diverged."""
        return sum(has_diverged(run) for run in self.runs if run["network"] in networks)

    def interval(self, network: str, name: str) -> Interval:
        """Of `train_error` or `test_error`, without runs that have diverged."""
        return Interval.of([run[name] for run in self.of(network)])

    def curve(self, network: str, name: str, epoch: str | None = None) -> list[Interval]:
        """Of what is a list in each run, one for each place of it.

        Args:
            network: Which.
            name: `error`, `loss`, `residuals`, `shortcuts`, `left_out` or `gradients`.
            epoch: Before which gradients were measured.
        """
        lists = [run[name] if epoch is None else run[name][epoch] for run in self.of(network)]
        return [Interval.of(values) for values in zip(*lists, strict=True)]

    def table(self, format: str = "text") -> str:  # noqa: A002 (the name of the option)
        """Errors at the end of each network, and how many of its runs have diverged, if any.

        Args:
            format: `"text"`, `"markdown"`, `"csv"` or `"json"`.
        """
        if format == "json":
            return json.dumps({"study": self.study, "runs": self.runs}) + "\n"
        head = ("network", "training error", "test error", "runs")
        rows = [
            (
                name,
                str(self.interval(name, "train_error")),
                str(self.interval(name, "test_error")),
                str(len(self.of(name))),
            )
            for name in self.networks
        ]
        diverged = [self.diverged(name) for name in self.networks]
        if format == "csv":
            both = zip(rows, diverged, strict=True)
            return tables.as_csv(
                [{**dict(zip(head, row, strict=True)), "diverged": n} for row, n in both]
            )
        rows = [
            (*row[:-1], f"{row[-1]}, {n} diverged" if n else row[-1])
            for row, n in zip(rows, diverged, strict=True)
        ]
        if format == "markdown":
            marks = ("---", "---:", "---:", "---:")
            lines = [tables.markdown_row(row) for row in (head, marks, *rows)]
        else:
            lines = list(tables.aligned([head, *rows], left=1))
        return "".join(f"{line}\n" for line in lines)
