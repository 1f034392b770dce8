"""A network of the package and its flat twin, with the same variables and checked to agree."""

from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from benchmarks import flat, graph
from tests.randomize import randomize, relative_difference, value

FLAT = {
    "resnet18": flat.resnet18,
    "resnet50": flat.resnet50,
    "cifar_resnet20": flat.cifar_resnet20,
}


def make(variant: str, image_shape: tuple[int, ...], classes: int) -> tuple[Any, Any]:
    """Our network and its twin, with equal random variables, statistics included."""
    model = rl.ResNet.from_variant(variant, classes=classes, input_shape=image_shape)
    twin = FLAT[variant](image_shape, classes)
    copy_weights(randomize(model), twin)
    return model, twin


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Every variable of the source, by its path."""
    sources = {_key(variable): variable for variable in source.weights}
    targets = {_key(variable): variable for variable in target.weights}
    assert set(sources) == set(targets)
    for key, variable in targets.items():
        variable.assign(sources[key])


def assert_same_output(ours: graph.Graph, stock: graph.Graph) -> None:
    """Equal results of both graphs."""
    assert relative_difference(ours.run(), stock.run()) < 1e-4


def assert_same_change(
    model: keras.Model, twin: keras.Model, ours: graph.Graph, stock: graph.Graph
) -> None:
    """Equal losses, and equal changes of all variables by one step of each graph."""
    before = _values(model)
    assert relative_difference(ours.run(), stock.run()) < 1e-4
    after, twins_after = _values(model), _values(twin)
    for key, start in before.items():
        change = after[key] - start
        assert np.any(change), f"{key} did not change"
        assert relative_difference(change, twins_after[key] - start) < 1e-3, key


def _values(model: keras.Model) -> dict[str, np.ndarray]:
    return {_key(variable): value(variable).copy() for variable in model.weights}


def _key(variable: Any) -> str:
    # Names of layers in the functional API cannot hold a slash.
    return str(variable.path).replace("/", "_")
