"""What a training leaves to look at: its history as a table and as curves, and its test."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Of an epoch: Keras' `loss`, `accuracy` or `mean_average_precision`, `val_loss` and so on, and
# `data_wait`.
Row = dict[str, float]


def score(names: Iterable[str]) -> str:
    """What is called better the larger it is."""
    return next(name for name in names if name not in ("images", "loss"))


def row(logs: dict[str, float]) -> Row:
    """The logs of an epoch, in the order of a table."""
    return {name: float(logs[name]) for name in sorted(logs, key=_order)}


def write(path: Path, table: list[Row]) -> None:
    """As CSV, epochs counted from 1."""
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = table[0] if table else ("loss", "accuracy")
        writer = csv.DictWriter(file, ["epoch", *columns])
        writer.writeheader()
        writer.writerows({"epoch": i, **row} for i, row in enumerate(table, start=1))


def write_test(path: Path, result: dict[str, Any]) -> None:
    """As JSON."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_curves(path: Path, table: list[Row]) -> None:
    """As a picture."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context("default"):  # settings of the user may need what is not installed
        draw(Figure(figsize=(9, 4), layout="constrained"), table).savefig(path, dpi=120)


def draw(figure: Any, table: list[Row]) -> Any:
    """Loss and score over the epochs."""
    epochs = range(1, len(table) + 1)
    names = ("loss", score(table[0]) if table else "accuracy")
    both = zip(figure.subplots(1, 2), names, ("log", "linear"), strict=True)
    for axes, quantity, scale in both:
        for prefix, part, line in (("", "training", "o--"), ("val_", "validation", "o-")):
            if table and prefix + quantity in table[0]:
                curve = [row[prefix + quantity] for row in table]
                axes.plot(epochs, curve, line, markersize=3, label=part)
        axes.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
        axes.grid(alpha=0.3)
        if table:
            axes.set_yscale(scale)
            axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _order(name: str) -> tuple[bool, bool, bool]:
    return name == "data_wait", name.startswith("val_"), not name.endswith("loss")
