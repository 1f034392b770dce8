"""Inference as a graph, against the same network written flat."""

from collections.abc import Callable

from benchmarks import graph, twins
from benchmarks.paired import stopwatch
from tests.randomize import images

# Variant, batch, height and width in pixels.
CASES = [
    ("cifar_resnet20", 1, 32),
    ("cifar_resnet20", 32, 32),
    ("resnet18", 1, 224),
    ("resnet18", 8, 64),
    ("resnet50", 1, 224),
    ("resnet50", 4, 128),
]
SMOKE = [("cifar_resnet20", 1, 16), ("resnet50", 1, 32)]


def test_forward(compare: Callable[..., None], case: tuple[str, int, int]) -> None:
    variant, batch, size = case
    model, twin = twins.make(variant, (size, size, 3), classes=1000)
    x = images(batch, size, size, 3)
    ours, stock = graph.forward(model, x), graph.forward(twin, x)
    twins.assert_same_output(ours, stock)
    compare(
        f"forward: {variant}, {batch} × {size} × {size}",
        stopwatch(ours.run),
        stopwatch(stock.run),
        goal=1.03,
        operations=(ours.operations, stock.operations),
    )
