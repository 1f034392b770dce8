"""Saving, loading, importing and exporting, beside what Keras does with files of its own."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras

import resnet_layers as rl
from benchmarks.harness import twins
from benchmarks.harness.paired import stopwatch
from tests.support.randomize import assert_same_weights, randomize

# What is done, with which network. timm has no names for the biases of keras.applications.
Case = tuple[str, str]
SAVING = ("save .keras", "load .keras", "save .weights.h5", "load .weights.h5")
KERAS = ("import a model", "import .weights.h5")
TORCH = ("import .safetensors", "export .safetensors")
CASES: list[Case] = [
    *((operation, "keras_resnet50") for operation in (*SAVING[:3], *KERAS[:1])),
    *((operation, "resnet50") for operation in TORCH),
]
SMOKE: list[Case] = [
    (operation, "cifar_resnet20") for operation in ("save .keras", "load .keras", *TORCH)
]
FULL: list[Case] = [
    *CASES,
    ("load .weights.h5", "keras_resnet50"),
    ("import .weights.h5", "keras_resnet50"),
    *((operation, "keras_resnet152") for operation in (*SAVING, *KERAS)),
    *((operation, "cifar_resnet20") for operation in (*SAVING, *TORCH)),
]
# Keras neither reads nor writes files of others: beside them stands one of its own.
LOADS, SAVES = "Keras: load_weights, .weights.h5", "Keras: save_weights, .weights.h5"


class Operation(NamedTuple):
    """What is timed, and how to see that it was done.

    Args:
        baseline: Name of what Keras does.
        stock: What Keras does.
        ours: What we do.
        result: After ours: a network with the weights of ours.
    """

    baseline: str
    stock: Callable[[], Any]
    ours: Callable[[], Any]
    result: Callable[[], Any]


def test_files(compare: Callable[..., Any], tmp_path: Path, case: Case) -> None:
    operation, name = case
    pair, target = _networks(name)
    made = _operations(pair, target, tmp_path)[operation]
    for network, path in ((pair.ours, tmp_path / "ours"), (pair.stock, tmp_path / "stock")):
        if operation.endswith(".keras"):
            network.save(f"{path}.keras")
        else:
            network.save_weights(f"{path}.weights.h5")
    if operation in TORCH:
        rl.save_torch_weights(pair.ours, tmp_path / "ours.safetensors")
    randomize(target, seed=1)
    made.stock()
    made.ours()
    assert_same_weights(made.result().weights, pair.ours.weights)
    compare(
        "files",
        {"operation": operation, "network": name},
        {made.baseline: stopwatch(made.stock), "ours": stopwatch(made.ours)},
        made.baseline,
    )


@functools.cache
def _networks(name: str) -> tuple[twins.Pair, Any]:
    """A network and its twin, and a second one of ours."""
    kind = twins.KINDS[name]
    return twins.make(name), kind.ours(kind.shape, 1000, "float32")


def _operations(pair: twins.Pair, target: Any, folder: Path) -> dict[str, Operation]:
    ours, stock = folder / "ours.keras", folder / "stock.keras"
    ours_h5, stock_h5 = folder / "ours.weights.h5", folder / "stock.weights.h5"
    torch = folder / "ours.safetensors"

    def load(path: Path) -> Callable[[], Any]:
        return lambda: keras.saving.load_model(path)

    def load_target() -> Any:
        target.load_weights(ours_h5)
        return target

    def take(source: Any) -> Callable[[], Any]:
        def call() -> Any:
            rl.load_weights_from(target, source)
            return target

        return call

    def load_stock() -> None:
        pair.stock.load_weights(stock_h5)

    def save_stock() -> None:
        pair.stock.save_weights(stock_h5)

    def is_target() -> Any:
        return target

    return {
        "save .keras": Operation(
            pair.baseline,
            lambda: pair.stock.save(stock),
            lambda: pair.ours.save(ours),
            load(ours),
        ),
        "load .keras": Operation(pair.baseline, load(stock), load(ours), load(ours)),
        "save .weights.h5": Operation(
            pair.baseline, save_stock, lambda: pair.ours.save_weights(ours_h5), load_target
        ),
        "load .weights.h5": Operation(pair.baseline, load_stock, load_target, is_target),
        "import a model": Operation(LOADS, load_stock, take(pair.stock), is_target),
        "import .weights.h5": Operation(LOADS, load_stock, take(stock_h5), is_target),
        "import .safetensors": Operation(LOADS, load_stock, take(torch), is_target),
        "export .safetensors": Operation(
            SAVES, save_stock, lambda: rl.save_torch_weights(pair.ours, torch), take(torch)
        ),
    }
