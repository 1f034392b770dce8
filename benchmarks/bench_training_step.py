"""One training step as a graph, against the same network written flat."""

from collections.abc import Callable

import numpy as np

from benchmarks import graph, twins
from benchmarks.paired import stopwatch
from tests.randomize import images

# Variant, batch, height and width in pixels.
CASES = [
    ("cifar_resnet20", 32, 32),
    ("resnet18", 8, 64),
    ("resnet50", 8, 64),
    ("resnet50", 4, 128),
]
SMOKE = [("cifar_resnet20", 4, 16)]


def test_training_step(compare: Callable[..., None], case: tuple[str, int, int]) -> None:
    variant, batch, size = case
    model, twin = twins.make(variant, (size, size, 3), classes=10)
    x, y = images(batch, size, size, 3), np.arange(batch) % 10
    ours, stock = graph.training_step(model, x, y), graph.training_step(twin, x, y)
    twins.assert_same_change(model, twin, ours, stock)
    compare(
        f"training step: {variant}, {batch} × {size} × {size}",
        stopwatch(ours.run),
        stopwatch(stock.run),
        goal=1.03,
        operations=(ours.operations, stock.operations),
    )
