# ruff: noqa: T201 (printing is how it answers)
"""Exports a network for each activation and rank that is named, in a process of its own.

Some cells abort the process: each is announced before it begins.
"""

import inspect
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from resnet_layers.serving import comparison, formats
from tests.support.randomize import images, randomize

SIZES = {1: (64,), 2: (32, 32), 3: (8, 16, 16)}
# The same functions by other names are left out.
ACTIVATIONS = sorted(
    {
        function: name
        for name, function in vars(keras.activations).items()
        if inspect.isfunction(function) and name not in ("get", "serialize", "deserialize")
    }.values()
)
CELLS = [f"{name}-{rank}" for name in ACTIVATIONS for rank in SIZES]


def network(activation: str, rank: int) -> rl.ResNet:
    style = rl.BlockStyle(rank=rank, activation=activation)
    return randomize(
        rl.ResNet(
            rl.Stem(4, kernel_size=3, style=style),
            [rl.ResNetStage(4, 1, style=style)],
            rl.ClassifierHead(3, rank=rank),
            input_shape=(*(None,) * rank, 3),
        )
    )


def outcome(activation: str, rank: int, format: str, precision: str) -> str:
    """`agrees`, `no network`, or the sentence with which it is refused."""
    x = images(4, *SIZES[rank], 3)
    try:
        model = network(activation, rank)
        if not np.isfinite(model(x)).all():
            return "no network"
    except (TypeError, ValueError):  # `glu`, `threshold`
        return "no network"
    row = formats.FORMATS[format]
    options: dict[str, Any] = {"calibration": x} if precision == "int8" else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"model{row.endings[0]}")
        try:
            rl.export(model, path, format=format, precision=precision, **options)
        except (rl.DisagreementError, ValueError) as error:
            left = [file.name for file in Path(folder).iterdir()]
            return f"left {left}" if left else f"refused: {str(error)[:200]!r}"
        largest = {"float32": 5e-4, "bfloat16": 0.25, "int8": 1.0}[precision]
        found = comparison.largest(rl.load_exported(path)(x), np.asarray(model(x)))
        return "agrees" if found <= largest else f"differs by {found}"


if __name__ == "__main__":
    comparison._SECONDS = 0.0
    way, *cells = sys.argv[1:]
    for cell in cells:
        name, rank = cell.split("-")
        print("begins", cell, flush=True)
        print("ends", cell, outcome(name, int(rank), *way.split("-")), flush=True)
