"""Profiles and drawings of networks by name and built, beside constructing these networks."""

import gc
import tempfile
from collections.abc import Callable
from typing import Any

import keras

import resnet_layers as rl
from benchmarks.harness.paired import stopwatch

Case = tuple[str]
CASES: list[Case] = [("resnet152",), ("ResNet50",)]
SMOKE: list[Case] = [("cifar_resnet20",)]
FULL: list[Case] = [*CASES, ("resnet50",), ("VGG19",)]


def save(model: Any) -> None:
    """Draws a network, and writes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        rl.draw(model, detail="layers").save(f"{folder}/a.png")


def test_analysis(compare: Callable[..., Any], case: Case) -> None:
    (name,) = case
    stock = getattr(keras.applications, name, None)

    def construct() -> Any:
        return rl.ResNet.from_variant(name) if stock is None else stock(weights=None)

    model = construct()
    ways = {
        "construction": stopwatch(construct, before=gc.collect),
        "profile, built": stopwatch(lambda: rl.profile(model), before=gc.collect),
    }
    if stock is None:
        assert rl.profile(model).macs == rl.profile(name).macs
        ways["profile, by name"] = stopwatch(lambda: rl.profile(name), before=gc.collect)
    ways["drawing"] = stopwatch(lambda: save(model), before=gc.collect)
    compare("analysis", {"network": name}, ways, "construction")
