"""Times variants in their runtimes, and the machine between them."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.latency import artifacts
from resnet_layers.analysis.latency.measuring import product as product_of
from resnet_layers.networks.variants import VARIANTS
from resnet_layers.serving.job import Run
from tests.support.randomize import images

BATCHES = (1, 8, 32)
# Rounds end when there are this many, or these seconds are over, but not before the second one.
_MOST, _SECONDS = 12, 1.5

# Of each round the seconds of the network and of the product, by runtime and batch.
Seconds = dict[str, dict[str, list[tuple[float, float]]]]


def measure(
    names: Iterable[str], folder: Path, threads: int, batches: Iterable[int] = BATCHES
) -> Iterator[tuple[str, Seconds]]:
    """Seconds of each variant, as they come: `seconds[runtime][batch]`."""
    product = product_of("float32")  # which tells how fast the machine is meanwhile
    product()
    for name in names:
        artifacts.write(name, folder / name)
        found: Seconds = {}
        for runtime, run in artifacts.runs(folder / name, threads):
            found[runtime] = {}
            for batch in batches:
                found[runtime][str(batch)] = rounds_of(
                    run, product, batch, VARIANTS[name].image_size
                )
        yield name, found


def _seconds(call: Callable[[], Any]) -> float:
    time.sleep(0.02)  # idle threads of a runtime spin a while before they sleep
    start = time.perf_counter()
    call()
    return round(time.perf_counter() - start, 6)


def rounds_of(
    run: Run, product: Callable[[], Any], batch: int, size: Iterable[int]
) -> list[tuple[float, float]]:
    """Seconds of each call and of the product before it, after a call that nobody counts."""
    x = images(batch, *size, 3)
    run(x)
    rounds: list[tuple[float, float]] = []
    while len(rounds) < 2 or (sum(own for own, _ in rounds) < _SECONDS and len(rounds) < _MOST):
        before = _seconds(product)
        rounds.append((_seconds(lambda: run(x)), before))
    return rounds
