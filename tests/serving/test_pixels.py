"""Whether a model takes raw images is told by what stands before its first weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.serving.pixels import takes_pixels
from resnet_layers.serving.source import Source

layers, ops = keras.layers, keras.ops
SHAPE = (20, 24, 3)
CAFFE = [103.9, 116.8, 123.7]


def network() -> rl.ResNet:
    return rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))


def model_of(call: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, call(inputs))


def front(*parts: Any) -> keras.Sequential:
    return keras.Sequential([keras.Input(SHAPE), *parts])


# What prepares raw images.
PREPARING: dict[str, Callable[[Any], Any]] = {
    "operators": lambda x: (x / 255.0 - 0.45) / 0.22,
    "to -1": lambda x: x / 127.5 - 1.0,
    "divide": lambda x: ops.divide(x, 255.0),
    "subtract": lambda x: ops.subtract(x, np.array(CAFFE, "float32")),
    "reversed": lambda x: x[..., ::-1] - np.array(CAFFE, "float32"),
    "mean alone": layers.Normalization(mean=CAFFE, variance=[1.0] * 3),
    "rescaling": layers.Rescaling(1 / 255),
    "mean and variance": layers.Normalization(mean=CAFFE, variance=[3600.0] * 3),
    "lambda": layers.Lambda(lambda x: x / 255.0),
    "resized": lambda x: layers.Rescaling(1 / 255)(layers.Resizing(16, 16)(x)),
    "nested": front(layers.Resizing(16, 16), layers.Rescaling(1 / 255)),
}
# What leaves it to others, or comes from the scale of 1.
LEAVING: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda x: x,
    "flip": lambda x: ops.flip(x, 2),
    "resizing": layers.Resizing(16, 16),
    "augmented": lambda x: layers.RandomFlip(seed=0)(layers.RandomRotation(0.1, seed=0)(x)),
    "padded": layers.ZeroPadding2D(2),
    "noise": layers.GaussianNoise(0.1),
    "doubled": lambda x: 2.0 * x - 1.0,
    "mean of prepared": lambda x: x - 0.45,
    "variance of prepared": layers.Normalization(mean=[0.4] * 3, variance=[0.05] * 3),
    "inverse": layers.Normalization(mean=CAFFE, variance=[3600.0] * 3, invert=True),
}
CASES = [*((case, True) for case in PREPARING), *((case, False) for case in LEAVING)]


@pytest.mark.share(8)
@pytest.mark.parametrize(("case", "pixels"), CASES)
def test_what_reaches_the_weights_counts(case: str, pixels: bool) -> None:
    call = (PREPARING if pixels else LEAVING)[case]
    made = {
        "functional": model_of(lambda x: network()(call(x))),
        "inner": front(model_of(lambda x: network()(call(x)))),
        "before": front(model_of(call), network()),
        "stem": front(rl.ResNet(front(model_of(call), rl.Stem(4)), [rl.ResNetStage(4, 1)])),
        "temperature": model_of(lambda x: layers.Rescaling(1 / 100)(network()(call(x)))),
        "scale of maps": model_of(lambda x: network()(layers.Conv2D(3, 1)(call(x)) / 255.0)),
    }
    found = {name: takes_pixels(model, (1, *SHAPE)) for name, model in made.items()}
    assert found == dict.fromkeys(made, pixels)


def test_nothing_changes_by_asking() -> None:
    model = model_of(lambda x: network()(layers.RandomFlip(seed=0)(x / 255.0)))
    before = [np.asarray(variable) for variable in model.variables]
    assert Source.of(model).pixels
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
