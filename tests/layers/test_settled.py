"""What is in memory is what is kept: a public attribute is the constructor's, or it is refused."""

import copy
import dataclasses
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest

import resnet_layers as rl
from resnet_layers.layers._settled import _FREE, Settled
from tests.support.cases import CASES, CASES_BY_NAME, TRAINABLE, Case

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _attributes(layer: Any) -> set[str]:
    """All that somebody who looks at it can set, found by looking."""
    properties = {
        name
        for name in dir(type(layer))
        if isinstance(getattr(type(layer), name, None), property)
        and getattr(type(layer), name).fset is not None
    }
    return {name for name in {*vars(layer), *properties} if not name.startswith("_")} - _FREE


def _settled(case: Case) -> Iterator[Any]:
    """The layers of this package in a case that is built, itself included."""
    layer = case.create()
    if not layer.built:
        layer.build(case.input_shape)
    yield from (inner for inner in layer._flatten_layers() if isinstance(inner, Settled))


def _of_keras(layer: Any) -> list[Any]:
    return [
        inner
        for inner in layer._flatten_layers(include_self=False, recursive=False)
        if not isinstance(inner, Settled)
    ]


@pytest.mark.share(3)
@every_case
def test_no_public_attribute_can_be_set(case: Case) -> None:
    for layer in _settled(case):
        for name in _attributes(layer) | {"call", "compute_output_shape"}:
            with pytest.raises(AttributeError, match=rf"`{name}` of .*`model\.replace`"):
                setattr(layer, name, 3)
            if name in vars(layer):
                with pytest.raises(AttributeError, match=rf"`{name}` of .*Received: del {name}"):
                    delattr(layer, name)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """All dicts in a value, the innermost last."""
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _dicts(item)


SEEDED = keras.initializers.VarianceScaling(seed=1)
CONFIGS = rl.BlockStyle(
    activation=keras.saving.serialize_keras_object(keras.activations.relu),
    kernel_initializer=keras.saving.serialize_keras_object(SEEDED),
    kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.5}},
)


def _with_configs() -> list[Any]:
    """Layers that are given configs wherever they take them."""
    configs = {"kernel_regularizer": CONFIGS.kernel_regularizer}
    model = rl.ResNet.from_variant("resnet18", classes=3, **CONFIGS.get_config())
    head = rl.ClassifierHead(3, activation=CONFIGS.activation, hidden_units=2, **configs)
    unit = rl.ConvNorm(4, 3, activation=CONFIGS.activation, style=CONFIGS)
    weighted = rl.ConvBlock(16, style=CONFIGS.replace(attention="se"))
    return [model, head, unit, weighted]


CHANGES: tuple[Callable[[dict[str, Any]], Any], ...] = (
    lambda config: config.update(config=3),
    lambda config: config.setdefault("new", 3),
    lambda config: config.clear(),
    lambda config: config.popitem(),
    lambda config: config.pop("config", None),
    lambda config: config.__setitem__("config", 3),
    lambda config: config.__ior__({"config": 3}),
)


def test_configs_in_attributes_cannot_be_changed() -> None:
    found = set()
    for layer in _with_configs():
        config = layer.get_config()
        for inner in (one for one in layer._flatten_layers() if isinstance(one, Settled)):
            for name in _attributes(inner) - {"metadata"}:
                for one in _dicts(getattr(inner, name)):
                    found.add(f"{type(inner).__name__}.{name}")
                    for change in CHANGES:
                        with pytest.raises(TypeError, match=r"must stay .*`model\.replace`"):
                            change(one)
        assert layer.get_config() == config
    heads = {"ClassifierHead.activation", "ClassifierHead.kernel_regularizer"}
    units = {"ConvNorm.activation", "ConvNorm.style", "SqueezeExcitation.kernel_regularizer"}
    assert heads | units <= found


def test_configs_that_cannot_be_changed_are_copied_and_kept() -> None:
    for again in (copy.deepcopy(CONFIGS), pickle.loads(pickle.dumps(CONFIGS)), CONFIGS.replace()):
        assert again == CONFIGS
        assert hash(again) == hash(CONFIGS)
    config = CONFIGS.get_config()
    config["kernel_regularizer"]["config"]["l2"] = 3.0  # of the caller's own
    assert CONFIGS.get_config() != config


@pytest.mark.share(8)
@every_case
def test_no_config_lacks_what_was_changed_inside(case: Case) -> None:
    """Every attribute of every Keras layer, and every variable of it."""
    for layer in _settled(case):
        config = layer.get_config()
        for inner in _of_keras(layer):
            for name in _attributes(inner):
                before = getattr(inner, name)
                if name == "bias" and before is None:  # there is none: no call looks at it
                    continue
                changed: Any = (
                    None if isinstance(before, keras.Variable) else 3 if before != 3 else 4
                )
                if name == "dtype_policy":
                    changed = "float64" if before.name != "float64" else "float32"
                object.__setattr__(inner, name, changed)
                message = rf"`{layer.name}.*{inner.name}\.\w+` must be .*`model\.replace`"
                with pytest.raises(ValueError, match=message):
                    layer.get_config()
                object.__setattr__(inner, name, before)
        assert layer.get_config() == config


def _in_place(value: Any) -> Iterator[tuple[str, Any]]:
    """Each number of a regularizer or the like, and another one."""
    for name, number in vars(value).items() if hasattr(value, "get_config") else ():
        if isinstance(number, float):
            yield name, number + 0.25


@pytest.mark.share(3)
@every_case
def test_no_config_lacks_what_was_changed_in_place(case: Case) -> None:
    """Every number of every regularizer and initializer of every Keras layer."""
    for layer in _settled(case):
        config = layer.get_config()
        for inner in _of_keras(layer):
            values = {name: getattr(inner, name) for name in _attributes(inner)}
            for attribute, value in values.items():
                if isinstance(value, (keras.Variable, keras.Layer)):
                    continue
                for name, number in _in_place(value):
                    before = getattr(value, name)
                    setattr(value, name, number)
                    with pytest.raises(ValueError, match=rf"{inner.name}\.{attribute}` must be"):
                        layer.get_config()
                    setattr(value, name, before)
        assert layer.get_config() == config


# What can be set on a variable and acts; `None` where there was something.
OF_VARIABLES: dict[str, Callable[[Any], Any]] = {
    "trainable": lambda variable: not variable.trainable,
    "regularizer": lambda variable: None if variable.regularizer else keras.regularizers.L2(0.5),
    "constraint": lambda variable: keras.constraints.NonNeg(),
}


@pytest.mark.share(8)
@every_case
@pytest.mark.parametrize("trainable", [True, False])
def test_no_config_lacks_what_was_set_on_a_variable(case: Case, trainable: bool) -> None:
    for layer in _settled(case):
        layer.trainable = trainable
        config = layer.get_config()
        for inner in _of_keras(layer):
            for variable in inner.weights:
                for name, other in OF_VARIABLES.items():
                    before = getattr(variable, name)
                    setattr(variable, name, other(variable))
                    way = r"`layer\.trainable`" if name == "trainable" else r"`model\.replace`"
                    path = rf"{inner.name}\.{variable.name}\.{name}"
                    with pytest.raises(ValueError, match=f"{path}` must be .*{way}"):
                        layer.get_config()
                    setattr(variable, name, before)
        assert layer.get_config() == config


def test_a_frozen_view_is_not_what_a_network_is_saved_as() -> None:
    """Views share the variables, of which Keras freezes each."""
    model = CASES_BY_NAME["model"].create()
    view = rl.functional_view(model)
    view.trainable = False
    with pytest.raises(ValueError, match=r"\.trainable` must be .*`layer\.trainable`"):
        keras.models.clone_model(model)
    model.trainable = False
    assert not keras.models.clone_model(model).trainable_variables


def test_keras_settings_that_stay_free_are_kept() -> None:
    layer = rl.ConvNorm(4, 3, name="a", activity_regularizer=keras.regularizers.L2(0.5))
    layer.name, layer.trainable = "b", False
    again = rl.ConvNorm.from_config(layer.get_config())
    assert (again.name, again.trainable, float(again.activity_regularizer.l2)) == ("b", False, 0.5)


def test_ways_out_of_a_network_refuse_what_they_would_lose(tmp_path: Any) -> None:
    model = CASES_BY_NAME["model"].create()
    momentum = model.stem.conv.normalization.momentum
    model.stem.conv.normalization.momentum = 0.5
    ways: tuple[Callable[[], Any], ...] = (
        lambda: model.save(tmp_path / "model.keras"),
        lambda: rl.with_dtype(model, "float64"),
        lambda: keras.models.clone_model(model),
        lambda: rl.fold_batch_norm(model),
    )
    for way in ways:
        with pytest.raises(ValueError, match=r"`stem\w*/conv/normalization\.momentum` must be"):
            way()
    model.stem.conv.normalization.momentum = momentum
    model.save(tmp_path / "model.keras")


@keras.saving.register_keras_serializable("resnet_layers_tests")
class _Scaled(rl.ConvNorm):
    """A derived class with an attribute of its own, and another setting of an inner layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scale = 1.0
        self.normalization.momentum = 0.25
        self.extra = keras.layers.Dropout(0.5)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.scale * super().call(inputs, training=training)


def test_derived_classes_may_set_what_is_theirs() -> None:
    layer = _Scaled(4, 3, style=TRAINABLE)
    layer.scale = 2.0
    layer.extra.rate = 0.25
    again = _Scaled.from_config(layer.get_config())
    assert again.normalization.momentum == 0.25
    with pytest.raises(AttributeError, match="`filters` of _Scaled"):
        layer.filters = 5
