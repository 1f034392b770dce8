"""Fits what each kind of step takes of a machine, and tells how far predictions are off."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.latency import artifacts
from resnet_layers.analysis.latency import prediction, training
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.analysis.latency.measuring import SIDE
from resnet_layers.analysis.latency.steps import steps_of
from resnet_layers.networks import variants, walks

FITTED = Path(prediction.__file__).with_name("fitted.json")
# How much a share is held to 1, which decides where networks say little of it.
_PULL = 0.01
_GIGABYTE = 1e9
# Least shares, for networks of which the variants say little: no arithmetic is twice as fast as the
# product of matrices, and the kernel of a dense layer is read once.
_LEAST, _LEAST_OF_DENSE = (0.5, 0.0, 0.0, 0.0), (0.5, 1.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Row:
    """A network that was timed.

    Args:
        name: Of the variant.
        runtime: Where it ran.
        threads: How many it had.
        batch: Number of images.
        asked: Seconds by kind of step that its four terms would take at a share of 1.
        call: Seconds of a call by itself.
        rounds: Of each round the seconds of the network and of a matrix product just before it.
        product: Seconds of that product when the machine was measured.
    """

    name: str
    runtime: str
    threads: int
    batch: int
    asked: dict[str, Any]
    call: float
    rounds: tuple[tuple[float, float], ...]
    product: float

    @property
    def _each(self) -> Any:
        """Seconds of each round, had the machine been as fast as when it was measured."""
        return np.array([own / product for own, product in self.rounds]) * self.product

    @property
    def seconds(self) -> float:
        """The median round's."""
        return float(np.median(self._each))

    @property
    def spread(self) -> float:
        """Half of what the middle half of its rounds differ by, as a share of the median."""
        first, third = np.percentile(self._each, (25, 75))
        return float((third - first) / 2 / self.seconds)

    def error(self, shares: dict[str, Any]) -> float:
        """What a prediction is too long by, as a share."""
        found = sum(float(np.dot(shares[kind], asked)) for kind, asked in self.asked.items())
        return (self.call + found) / self.seconds - 1


def is_held_out(name: str) -> bool:
    """Every third variant, in the order of their names, is left out of every fit."""
    return sorted(artifacts.names()).index(name) % 3 == 2


def usual_threads(data: dict[str, Any]) -> int:
    """As many as most variants were timed with, which are those that fits are made of."""
    return int(max(data["seconds"], key=lambda threads: len(data["seconds"][threads])))


def rows_of(data: dict[str, Any], runtime: str) -> list[Row]:
    """All that was timed in a runtime."""
    found = []
    for threads, networks in data["seconds"].items():
        machine = Machine.of_json(data["machines"][threads])
        rates = prediction.rates_of(machine, runtime)
        product = 2 * SIDE**3 / machine.runtimes["tf_saved_model"].products["float32"]
        for name, seconds in networks.items():
            walk = walks.of_row(variants.find(name), 1000, (*variants.VARIANTS[name].image_size, 3))
            for batch, rounds in seconds[runtime].items():
                asked: dict[str, Any] = {}
                for step in steps_of(walk):
                    terms = np.multiply(prediction.amounts_of(step, int(batch)), rates)
                    asked[step.kind] = asked.get(step.kind, 0.0) + terms
                call = machine.runtimes[runtime].call
                row = (name, runtime, int(threads), int(batch), asked, call)
                found.append(Row(*row, tuple(map(tuple, rounds)), product))
    return found


def fit(data: dict[str, Any]) -> dict[str, Any]:
    """What the package has, from what was timed."""
    fitted: dict[str, Any] = {}
    for runtime in prediction.RUNTIMES:
        rows = [r for r in rows_of(data, runtime) if r.threads == usual_threads(data)]
        kinds = sorted({kind for row in rows for kind in row.asked})
        fitted[runtime] = _shares([row for row in rows if not is_held_out(row.name)], kinds)
    if data.get("training"):
        fitted |= _of_training(data)
    return fitted


def _shares(rows: Iterable[Row], kinds: list[str]) -> dict[str, list[float]]:
    """Those with the least squares of relative errors, none of them less than it can be."""
    lines, goals = [], []
    for row in rows:
        terms = [np.broadcast_to(row.asked.get(kind, 0.0), 4) for kind in kinds]
        lines.append(np.concatenate(terms) / row.seconds)
        goals.append(1 - row.call / row.seconds)
    least = [_LEAST_OF_DENSE if kind == "dense" else _LEAST for kind in kinds]
    solved = _solved(np.array(lines), np.array(goals), np.concatenate(least))
    return {kind: solved[4 * i : 4 * i + 4] for i, kind in enumerate(kinds)}


def _of_training(data: dict[str, Any]) -> dict[str, list[float]]:
    """Shares of a step of training, and of its memory."""
    steps, goals, memory, peaks = [], [], [], []
    for row in data["training"]:
        machine = Machine.of_json(data["machines"][str(row["threads"])])
        size = (row["size"], row["size"], 3)
        walk = walks.of_row(variants.find(row["variant"]), 2, size)
        asked = training.asked_of(walk, row["batch"])
        terms = np.multiply(asked[:5], training.rates_of(machine))
        call = machine.runtimes[training.RUNTIME].call
        steps.append(terms / row["step"])
        goals.append(1 - call / row["step"])
        memory.append(np.array([_GIGABYTE, asked.weights, asked.kept]) / row["bytes"])
        peaks.append(1.0)
    itself, *others = _solved(np.array(memory), np.array(peaks))
    return {
        "training": _solved(np.array(steps), np.array(goals)),
        "memory": [_GIGABYTE * itself, *others],
    }


def _solved(lines: Any, goals: Any, least: Any = 0.0) -> list[float]:
    count = lines.shape[1]
    matrix = np.concatenate([lines, _PULL * np.eye(count)])
    goals = np.concatenate([goals, np.full(count, _PULL)])
    more, _ = nnls(matrix, goals - matrix @ np.broadcast_to(least, count), maxiter=100 * count)
    return [float(f"{share:.4g}") for share in least + more]


def write(data: dict[str, Any]) -> None:
    """Writes what the package has."""
    FITTED.write_text(json.dumps(fit(data), indent=1) + "\n", encoding="utf-8")
