"""The noise of the harness: a network against itself, where only 1 is right."""

from collections.abc import Callable

from benchmarks import flat, graph, twins
from benchmarks.paired import stopwatch
from tests.randomize import images

# Batch, height and width in pixels.
CASES = [(1, 224)]
SMOKE = [(1, 32)]


def test_same_network(compare: Callable[..., None], case: tuple[int, int]) -> None:
    batch, size = case
    networks = [flat.resnet18((size, size, 3), classes=1000) for _ in range(2)]
    twins.copy_weights(*networks)
    x = images(batch, size, size, 3)
    a, b = (graph.forward(network, x) for network in networks)
    twins.assert_same_output(a, b)
    compare(
        f"flat / flat: forward, resnet18, {batch} × {size} × {size}",
        stopwatch(a.run),
        stopwatch(b.run),
        operations=(a.operations, b.operations),
    )
