"""`ResNet34` against the article's network, written flat with stock Keras layers."""

import functools
import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import resnet_layers as rl
from tests.support.randomize import images, randomize, relative_difference

# Both networks do the same operations in the same order. The bound leaves room for a convolution
# that sums its terms in another order on another machine.
TOLERANCE = 1e-5
# The last map of the second is 3×4 pixels, so that the head's average has a ragged edge.
SHAPES = [(32, 32, 3), pytest.param((65, 97, 3), marks=pytest.mark.slow)]


def flat_resnet34(shape: tuple[int, ...], classes: int) -> keras.Model:
    """The article's network. A layer is named after the folder of our variables, with dots."""

    def convolve(x: Any, filters: int, kernel_size: int, strides: int, name: str) -> Any:
        convolution = layers.Conv2D(
            filters, kernel_size, strides=strides, padding="same", name=f"{name}.convolution"
        )
        return convolution(x)

    def normalize(x: Any, name: str) -> Any:
        return layers.BatchNormalization(name=f"{name}.normalization")(x)

    def body(x: Any, filters: int, strides: int, name: str) -> Any:
        x = normalize(convolve(x, filters, 3, strides, f"{name}.conv1"), f"{name}.conv1")
        x = layers.ReLU()(x)
        return normalize(convolve(x, filters, 3, 1, f"{name}.conv2"), f"{name}.conv2")

    def identity_block(x: Any, filters: int, name: str) -> Any:
        return layers.ReLU()(layers.Add()([body(x, filters, 1, name), x]))

    def convolutional_block(x: Any, filters: int, name: str) -> Any:
        shortcut = convolve(x, filters, 1, 2, f"{name}.projection")
        return layers.ReLU()(layers.Add()([body(x, filters, 2, name), shortcut]))

    image = keras.Input(shape)
    x = normalize(convolve(image, 64, 7, 2, "stem.conv"), "stem.conv")
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.ReLU()(x))
    for i in range(1, 4):
        x = identity_block(x, 64, f"stage1.block{i}")
    for stage, (filters, blocks) in enumerate([(128, 4), (256, 6), (512, 3)], start=2):
        x = convolutional_block(x, filters, f"stage{stage}.block1")
        for i in range(2, blocks + 1):
            x = identity_block(x, filters, f"stage{stage}.block{i}")
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Dense(512, activation="relu", name="head.hidden")(layers.Flatten()(x))
    x = layers.Dense(classes, activation="softmax", name="head.dense")(x)
    return keras.Model(image, x)


def variable_pairs(model: rl.ResNet, flat: keras.Model) -> list[tuple[Any, Any]]:
    """Variables of equal name: a bijection, or an error."""
    ours = {variable.path: variable for variable in model.weights}
    theirs = {variable.path.replace(".", "/"): variable for variable in flat.weights}
    assert set(ours) == set(theirs)
    return [(ours[path], theirs[path]) for path in ours]


@functools.cache
def pair(shape: tuple[int, ...]) -> tuple[rl.ResNet, keras.Model]:
    """Our network and the flat one, with the same random values in all variables, to be read."""
    model, flat = rl.ResNet34(shape=shape, classes=10), flat_resnet34(shape, 10)
    randomize(model)
    for ours, theirs in variable_pairs(model, flat):
        theirs.assign(ours)
    return model, flat


def exact_pair(shape: tuple[int, ...]) -> tuple[rl.ResNet, keras.Model]:
    """Copies in float64, to be trained: there our normalization rounds as Keras' does."""
    model, flat = pair(shape)
    return rl.with_dtype(model, "float64"), rl.with_dtype(flat, "float64")


def assert_equal_variables(model: rl.ResNet, flat: keras.Model) -> None:
    for ours, theirs in variable_pairs(model, flat):
        assert relative_difference(ours, theirs) < TOLERANCE, ours.path


def test_resnet34_is_a_model_of_this_name() -> None:
    model = rl.ResNet34()
    assert isinstance(model, keras.Model)
    assert model.name == "ResNet34"
    assert model.input_shape == (32, 32, 3)
    assert model.output_shape == (None, 10)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    ("shape", "classes", "parameters", "trainable"),
    [((32, 32, 3), 10, 21_574_410, 21_559_178), ((224, 224, 3), 1000, 26_014_440, 25_999_208)],
)
def test_resnet34_has_as_many_parameters_as_the_article(
    shape: tuple[int, ...], classes: int, parameters: int, trainable: int
) -> None:
    for model in (rl.ResNet34(shape=shape, classes=classes), flat_resnet34(shape, classes)):
        assert model.count_params() == parameters
        assert sum(math.prod(v.shape) for v in model.trainable_weights) == trainable


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_resnet34_equals_the_flat_network(shape: tuple[int, ...]) -> None:
    image = images(4, *shape)
    for training, (model, flat) in ((False, pair(shape)), (True, exact_pair(shape))):
        actual, expected = model(image, training=training), flat(image, training=training)
        assert relative_difference(actual, expected) < TOLERANCE, f"{training=}"
        np.testing.assert_allclose(np.sum(actual, axis=-1), 1.0, rtol=1e-5)
        assert_equal_variables(model, flat)  # after training: the moving statistics


@pytest.mark.slow
@pytest.mark.share(2)
def test_resnet34_learns_as_the_flat_network() -> None:
    model, flat = exact_pair((32, 32, 3))
    # A bias before a normalization has no gradient but rounding.
    learners = [v for v in model.trainable_weights if v.name != "bias"]
    before = [keras.ops.convert_to_numpy(variable) for variable in learners]
    image, labels = images(4, 32, 32, 3), np.array([1, 3, 5, 7])
    losses = []
    for network in (model, flat):
        network.compile(
            keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True
        )
        losses.append(float(network.train_on_batch(image, labels)))
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    assert_equal_variables(model, flat)
    for old, new in zip(before, learners, strict=True):
        assert np.any(old != keras.ops.convert_to_numpy(new)), new.path
