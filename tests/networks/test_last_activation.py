"""What a network is said to return is what it returns, or nothing is said."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import pytest

import resnet_layers as rl
from resnet_layers.layers.head import last_activation
from tests.support.randomize import images, randomize, value

layers = keras.layers
SHAPE = (12, 10, 3)


@keras.saving.register_keras_serializable("tests")
class Sharpened(keras.layers.Dense):
    """Probabilities, of which its activation says nothing."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.softmax(super().call(inputs, training))


class Derived(rl.ResNet):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.softmax(super().call(inputs, training))


def network(activation: str | None, made: type[rl.ResNet] = rl.ResNet) -> rl.ResNet:
    head = rl.ClassifierHead(3, activation=activation)
    return randomize(made(rl.Stem(4), [rl.ResNetStage(4, 1)], head, input_shape=SHAPE))


def functional(end: Callable[[Any], Any], activation: str | None) -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, end(network(activation)(inputs)))


def nested(end: Any) -> Any:
    inner = keras.Input((3,))
    return keras.Sequential([layers.Dropout(0.5), keras.Model(inner, end(inner))])


# What may stand behind a network and leaves it to say what it returns.
KEEPING: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda y: y,
    "linear": layers.Activation("linear", dtype="float32"),
    "identity": layers.Identity(),
    "dropout": layers.Dropout(0.5),
    "reshape": layers.Reshape((3,)),
    "flatten": layers.Flatten(),
    "cast": lambda y: keras.ops.cast(y, "float64"),
    "two": lambda y: layers.Flatten()(layers.Reshape((3, 1))(y)),
}
SOFTMAX: dict[str, Callable[[Any], Any]] = {
    "layer": layers.Softmax(),
    "activation": layers.Activation("softmax"),
    "operation": keras.ops.softmax,
    "dense": layers.Dense(3, activation="softmax"),
    "model": nested(layers.Softmax()),
    "layer, identity": lambda y: layers.Identity()(layers.Softmax()(y)),
    "layer as an activation": layers.Dense(3, activation=layers.Softmax()),
}


def changed(y: Any) -> Any:
    """By a layer whose instance has another `call` than its class."""
    last = layers.Dense(3)
    made = last(y)
    last.call = keras.ops.softmax
    return made


# Of these nobody knows.
UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "average": lambda y: layers.Average()([y, y]),
    "lambda": layers.Lambda(lambda y: y),
    "times": lambda y: y * 1.0,
    "rescaling": layers.Rescaling(1.0),
    "average, linear": lambda y: layers.Activation("linear")(layers.Average()([y, y])),
    "derived": Sharpened(3),
    "changed": changed,
    "model": nested(layers.Rescaling(1.0)),
}


@pytest.mark.share(3)
@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("end", KEEPING)
def test_what_changes_nothing_is_passed(end: str, activation: str | None) -> None:
    model = functional(KEEPING[end], activation)
    assert last_activation(model) == (activation or "linear")
    assert are_probabilities(model) == (activation == "softmax")


@pytest.mark.parametrize("end", SOFTMAX)
def test_probabilities_are_known_as_such(end: str) -> None:
    model = functional(SOFTMAX[end], None)
    assert last_activation(model) == "softmax"
    assert are_probabilities(model)


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("end", UNKNOWN)
def test_nothing_is_said_of_what_is_not_known(end: str, activation: str | None) -> None:
    assert last_activation(functional(UNKNOWN[end], activation)) is None


@pytest.mark.share(2)
@pytest.mark.parametrize("built", [False, True])
def test_sequences_say_what_their_layers_do(built: bool) -> None:
    start = [keras.Input(SHAPE)] if built else [layers.Identity()]
    for activation, last in (("softmax", "softmax"), (None, "linear")):
        for ends in ([], [layers.Identity()], [keras.Sequential([layers.Flatten()])]):
            known = None if ends and isinstance(ends[0], keras.Sequential) else last
            model = keras.Sequential([*start, network(activation), *ends])
            assert last_activation(model) == known


def test_networks_say_what_their_heads_do() -> None:
    assert last_activation(network("softmax")) == "softmax"
    assert last_activation(network("sigmoid")) == "sigmoid"
    assert last_activation(rl.functional_view(network("softmax"))) == "softmax"
    assert last_activation(network(None).replace(head=None)) is None
    assert last_activation(network(None, Derived)) is None


def are_probabilities(model: keras.Model) -> bool:
    outputs = value(model(images(2, *SHAPE), training=False))
    return bool(abs(outputs.sum(-1) - 1).max() < 1e-5)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda y: keras.ops.softmax(y, axis=-1), "<lambda>"),
        (functools.partial(keras.ops.softmax, axis=-1), "partial"),
        (layers.LeakyReLU(), "LeakyReLU"),
        (keras.ops.tanh, "tanh"),
        (keras.activations.linear, "linear"),
        (None, "linear"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_linear_is_not_called_so(function: Any, name: str) -> None:
    assert last_activation(layers.Dense(3, activation=function)) == name
