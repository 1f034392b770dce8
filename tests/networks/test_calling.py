"""Calling is pure: without `training`, a call infers, whatever Keras layer stands before ours."""

import functools
import inspect
import os
import subprocess
import sys
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.tuning import HyperResNet
from tests.support.randomize import randomize, value

REQUIRED = {
    "height": 16,
    "width": 16,
    "factor": 1,
    "height_factor": 0.1,
    "width_factor": 0.1,
    "layers": [keras.layers.Resizing(16, 16)],
}
PAIRS = {"CutMix", "MixUp", "MaxNumBoundingBoxes"}  # take labels or boxes as well


def _image_layers() -> list[Any]:
    """The layers of Keras whose `call` has `training=True`, found by looking."""
    kinds: list[Any] = [kind for kind in vars(keras.layers).values() if inspect.isclass(kind)]
    return [
        kind
        for kind in kinds
        if issubclass(kind, keras.Layer)
        and getattr(inspect.signature(kind.call).parameters.get("training"), "default", 0) is True
        and kind.__name__ not in PAIRS
    ]


def _network() -> Any:
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    return rl.ResNet(stem, [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))


@pytest.mark.share(6)
def test_names_that_are_taken_are_scopes() -> None:
    """Whatever is accepted works in graphs, with the odd characters at each end."""
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None, name="-a")
    parts: dict[str, Any] = {
        "stages": [rl.ResNetStage(4, 1, name=">b")],
        "head": rl.ClassifierHead(3, name="_.c"),
    }
    model = rl.ResNet(stem, **parts, input_shape=(8, 8, 3), name="1.a-b>c_D")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.ones((2, 8, 8, 3), "float32")
    model.fit(x, np.array([0, 1]), verbose=0)
    assert model.predict(x, verbose=0).shape == (2, 3)
    for name in ("_a", "-a", ">a"):
        with pytest.raises(ValueError, match=r"and begin with a letter, a digit or `\.`"):
            model.replace(name=name)


@functools.cache
def _composed() -> dict[str, Any]:
    """Networks behind a resizing layer of Keras, as this package and its users compose them."""
    hyper = HyperResNet(3, (20, 24, 3), width=4, stages=1, blocks=1, image_size=16)
    images, resize = keras.Input((20, 24, 3)), keras.layers.Resizing(16, 16)
    stem, stage, head = rl.Stem(4), rl.ResNetStage(4, 1), rl.ClassifierHead(3)
    between = keras.layers.BatchNormalization()
    return {
        "search": hyper.build(keras_tuner.HyperParameters()),
        "sequential": keras.Sequential([images, resize, _network()]),
        "built later": keras.Sequential([keras.layers.Resizing(16, 16), _network()]),
        "functional": keras.Model(images, _network()(resize(images))),
        "parts": keras.Sequential([images, resize, stem, stage, between, head]),
        "convolution": keras.Sequential([images, resize, rl.ConvNorm(4, 3)]),
        "stem of Keras": rl.ResNet(keras.layers.Resizing(16, 16), [rl.ConvNorm(4, 3)]),
        "keywords": keras.Model(images, _network()(inputs=resize(images))),
        "features": keras.Model(images, _network().features(resize(images))["stage1"]),
    }


def _check(model: Any) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (3, 20, 24, 3)).astype("float32")
    model(x)
    randomize(model)
    before = [value(variable) for variable in model.variables]
    outputs = [value(model(x)), value(model(x, training=False)), model.predict(x, verbose=0)]
    np.testing.assert_array_equal(outputs[0], value(model(x)))
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-4, atol=1e-5)
    for variable, expected in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(value(variable), expected)


def check_all() -> None:
    """All of them, in one process."""
    for model in _composed().values():
        _check(model)


@pytest.mark.slow
@pytest.mark.share(2)
def test_calls_agree_with_predict() -> None:
    check_all()


@pytest.mark.slow
@pytest.mark.share(2)
def test_calls_agree_with_predict_on_jax() -> None:
    code = "from tests.networks.test_calling import check_all; check_all(); print('agreed')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout == "agreed\n", done.stderr


def test_training_is_handed_on() -> None:
    """What is refused is a default, not what somebody asks for."""
    for name, model in _composed().items():
        x = np.ones((2, 20, 24, 3), "float32")
        before = [value(variable) for variable in model.non_trainable_variables]
        model(x, training=True)
        after = [value(variable) for variable in model.non_trainable_variables]
        assert any((a != b).any() for a, b in zip(before, after, strict=True)), name


@pytest.mark.share(3)
@pytest.mark.parametrize("kind", _image_layers(), ids=lambda kind: kind.__name__)
def test_no_image_layer_of_keras_makes_ours_train(kind: Any) -> None:
    named = inspect.signature(kind.__init__).parameters
    layer = kind(**{name: REQUIRED[name] for name in named if name in REQUIRED})
    unit = rl.ConvNorm(2, 1)
    model = keras.Sequential([keras.Input((16, 16, 3)), layer, unit])
    mean = value(unit.normalization.moving_mean)
    model(np.full((2, 16, 16, 3), 100.0, "float32"))
    np.testing.assert_array_equal(value(unit.normalization.moving_mean), mean)


@pytest.mark.upstream
def test_keras_hands_the_default_of_an_image_layer_on() -> None:
    normalization = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Resizing(2, 2), normalization])
    model(np.ones((2, 4, 4, 3), "float32"))
    assert (value(normalization.moving_mean) != 0.0).any()
