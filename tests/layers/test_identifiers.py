"""What is given is what is stored: functions and objects by themselves, not by their names."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax  # noqa: F401 (whose functions are tried)
import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.layers._identifiers import _EQUAL
from tests.support.randomize import value

TAKERS: dict[str, Callable[[Any], Any]] = {
    "ConvNorm": lambda activation: rl.ConvNorm(2, 1, activation=activation).activation,
    "ClassifierHead": lambda activation: rl.ClassifierHead(2, activation=activation).activation,
    "BlockStyle": lambda activation: rl.BlockStyle(activation=activation).activation,
}
takers = pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
NAMES = sorted(
    name
    for name in dir(keras.activations)
    if not name.startswith("_")
    and name not in ("get", "serialize", "deserialize", "glu", "threshold")
)
X = np.linspace(-8, 8, 98, dtype="float32").reshape(2, 49)


def other(name: str) -> Callable[[Any], Any]:
    """A function that is no activation of Keras', but has the name of one."""

    def function(x: Any) -> Any:
        return 0.5 * x

    function.__name__ = function.__qualname__ = name
    return function


@takers
@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_not_another_one_of_its_name(name: str, take: Callable[[Any], Any]) -> None:
    own = getattr(keras.activations, name)
    assert keras.activations.get(take(own)) is own
    with pytest.raises(ValueError, match="`activation` must be None, a name that Keras knows, or"):
        take(other(name))


@takers
def test_registered_functions_are_kept(take: Callable[[Any], Any]) -> None:
    function = keras.saving.register_keras_serializable("identifiers", "relu")(other("relu"))
    assert keras.activations.get(take(function)) is function
    # Another one takes its registered name, as when a cell of a notebook runs again.
    again = keras.saving.register_keras_serializable("identifiers", "relu")(other("relu"))
    assert keras.activations.get(take(again)) is again
    with pytest.raises(ValueError, match="`activation` must be"):
        take(function)


LAYERS: dict[str, dict[str, Any]] = {
    "PReLU": {},
    "LeakyReLU": {},
    "ReLU": {"max_value": 6.0},
    "Softmax": {},
    "Activation": {"activation": "relu"},
    "Dropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 1.0},
    "Dense": {"units": 4},
    "BatchNormalization": {},
}


@takers
@pytest.mark.parametrize("name", LAYERS)
def test_no_layer_is_an_activation(name: str, take: Callable[[Any], Any]) -> None:
    """Neither a layer nor its config: its variables would be in no file, and never trained."""
    layer = getattr(keras.layers, name)(**LAYERS[name])
    shared = {"class_name": name, "config": LAYERS[name]}
    whole = keras.saving.serialize_keras_object(layer)
    for given in (layer, whole, {"module": "keras.layers", "registered_name": None, **shared}):
        with pytest.raises((TypeError, ValueError), match="`activation` must be None, a name"):
            take(given)


@pytest.mark.parametrize("place", [*_EQUAL, "jax.numpy", "numpy"])
def test_functions_of_frameworks_are_those_of_keras_or_refused(place: str) -> None:
    """No function that a framework has under the name of an activation is silently another one."""
    known = _EQUAL.get(place, "").split()
    assert set(known) <= set(NAMES)
    module = import_module(place) if "numpy" in place else frameworks(place)
    for name in NAMES:
        function = getattr(module, name, None)
        if function is None:
            assert name not in known
            continue
        try:
            stored = rl.BlockStyle(activation=function).activation
        except (TypeError, ValueError):
            stored = None
        assert stored == name or name not in known
        if stored is not None:
            expected = getattr(keras.activations, name)(X)
            np.testing.assert_allclose(value(function(X)), value(expected), rtol=1e-5, atol=1e-6)


def frameworks(place: str) -> Any:
    package, _, part = place.partition(".")
    return getattr(import_module(package), part)


def test_objects_lead_back_to_their_class() -> None:
    class GlorotUniform(keras.initializers.Initializer):  # not registered
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.ones(shape, dtype)

    class L2(keras.regularizers.Regularizer):
        def __call__(self, x: Any) -> Any:
            return 0.0 * keras.ops.sum(x)

        def get_config(self) -> dict[str, Any]:
            return {}

    class Unfinished(keras.regularizers.Regularizer):  # without `get_config`
        pass

    for given in (
        {"kernel_initializer": GlorotUniform()},
        {"kernel_regularizer": L2()},
        {"kernel_regularizer": Unfinished()},
        {"kernel_regularizer": other("l2")},
        {"kernel_initializer": other("zeros")},
    ):
        with pytest.raises(ValueError, match="that Keras can serialize"):
            rl.BlockStyle(**given)
    style = rl.BlockStyle(kernel_regularizer=keras.regularizers.L2(0.25), kernel_initializer="ones")
    assert style.kernel_regularizer["config"] == {"l2": 0.25}
    assert style.kernel_initializer == "ones"


def test_networks_are_saved_with_the_function_that_they_had(tmp_path: Any) -> None:
    import tensorflow as tf

    model = rl.ResNet(
        rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(2, activation=tf.nn.relu)
    )
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(value(model(x)), value(again(x)))
