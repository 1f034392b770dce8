# ruff: noqa: T201 (a trial tells where it begins)
"""Trials of a search as a table: for people, as CSV, and for plots."""

import csv
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import rich.table

from resnet_layers.networks.model import ResNet
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.progress import remaining
from resnet_layers.training.waiting import Told


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        trial: Its name in keras-tuner.
        status: `"COMPLETED"`, or what else it came to.
        score: Accuracy on the validation images, or `None`.
        values: Its active hyperparameters by name.
        message: Why it failed, or `None`.
    """

    trial: str
    status: str
    score: float | None
    values: dict[str, Any]
    message: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """All trials of a search.

    Args:
        rows: The finished ones first, the best before the others.
        columns: The hyperparameters that are not fixed, in the order of the space.
        logarithmic: Those whose logarithm is what is drawn evenly.
    """

    rows: list[Trial]
    columns: list[str]
    logarithmic: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tuner: keras_tuner.Tuner) -> "Table":
        """The trials of a tuner."""
        space = tuner.oracle.get_space().space
        free = [hp for hp in space if not isinstance(hp, keras_tuner.engine.hyperparameters.Fixed)]
        rows = [
            Trial(trial.trial_id, trial.status, trial.score, _own(trial), trial.message)
            for trial in tuner.oracle.trials.values()
        ]
        rows.sort(key=lambda row: (row.score is None, -(row.score or 0.0), row.trial))
        logarithmic = (hp.name for hp in free if getattr(hp, "sampling", None) == "log")
        return cls(rows, [hp.name for hp in free], frozenset(logarithmic))

    @property
    def finished(self) -> list[Trial]:
        """Those with a score, the best first."""
        return [row for row in self.rows if row.status == "COMPLETED" and row.score is not None]

    def last_message(self) -> str:
        """The last line of what the last failed trial said."""
        messages = [row.message for row in self.rows if row.message]
        return messages[-1].strip().rpartition("\n")[2] if messages else "no trial was made"

    def best(self, count: int) -> rich.table.Table:
        """The best trials side by side, a hyperparameter in each line."""
        rows = self.finished[:count]
        names = (rich.table.Column(str(int(row.trial) + 1), justify="right") for row in rows)
        table = rich.table.Table("trial", *names, box=None, pad_edge=False, header_style="bold")
        table.add_row("accuracy", *(f"{row.score:.2%}" for row in rows))
        for name in self.columns:
            cells = [shown(row.values.get(name)) for row in rows]
            if any(cells):
                table.add_row(name, *cells)
        return table

    def write(self, path: Path) -> None:
        """As CSV, the best first; what is not active in a trial is empty."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["trial", "status", "val_accuracy", *self.columns])
            for row in self.rows:
                values = (row.values.get(name, "") for name in self.columns)
                writer.writerow([row.trial, row.status, row.score, *values])


def best_network(tuner: keras_tuner.Tuner) -> ResNet:
    """The best network of a search.

    Raises:
        InputError: If its weights are not there, or another network's.
    """
    try:
        found: ResNet = tuner.get_best_models(1)[0]
    except (OSError, KeyError, RuntimeError, ValueError):
        folder = tuner.get_trial_dir(tuner.oracle.get_best_trials(1)[0].trial_id)
        raise InputError(
            f"The weights of the best trial in '{folder}' cannot be read: without that folder the "
            "same command trains another in its place"
        ) from None
    return found


def name(trial: Any, total: int) -> str:
    """Which one it is of how many; Hyperband decides how many by itself."""
    return f"Trial {_number(trial)}" + ("" if _of_hyperband(trial) else f" of {total}")


class Begins(Told):
    """Says where a trial of which something is done begins, which its checkpoints decide.

    Args:
        name: Of the trial.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def begins_at(self, epochs: int, steps: int, *, shared: bool = False) -> None:
        said = "begins anew: another process goes on with it" if shared else begins(epochs, steps)
        print(f"{self.name} {said}", flush=True)


def begins(epochs: int, steps: int) -> str:
    """What is said of a trial of which so much is done."""
    if not epochs + steps:
        return "begins"
    return f"goes on after epoch {epochs}" + (f", step {steps} of the next" if steps else "")


def line(trial: Any, best: Any, total: int, seconds: Sequence[float]) -> str:
    """What is said when a trial is over.

    Args:
        trial: The trial.
        best: The best one so far.
        total: How many are wanted.
        seconds: How long each took in this process, the trial last.
    """
    if trial.score is None:
        reason = (trial.message or "").strip().rpartition("\n")[2]
        return f"{name(trial, total)} failed after {seconds[-1]:.0f} s: {_plain(reason)}"
    values = trial.hyperparameters.values
    network = f"{values['block']}, {values['stages']} stages, width {values['width']}"
    number = _number(trial)
    left = ""
    if number < total and not _of_hyperband(trial):
        left = f"; {remaining(sum(seconds), len(seconds), len(seconds) + total - number)}"
    return (
        f"{name(trial, total)}: accuracy {trial.score:.2%} (best {best.score:.2%}) in "
        f"{seconds[-1]:.0f} s; {network}, {values['optimizer']}{left}"
    )


def shown(value: Any) -> str:
    """A value as people read it; nothing for what is not active."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(trial: Any) -> int:
    return int(trial.trial_id) + 1


def _of_hyperband(trial: Any) -> bool:
    return "tuner/epochs" in trial.hyperparameters.values


def _own(trial: Any) -> dict[str, Any]:
    """Without what Hyperband notes for itself."""
    values: Iterable[tuple[str, Any]] = trial.hyperparameters.values.items()
    return {name: value for name, value in values if not name.startswith("tuner/")}


def _plain(reason: str) -> str:
    """Without the path of the exception's class."""
    return re.sub(r"^[\w.]+: ", "", reason)
