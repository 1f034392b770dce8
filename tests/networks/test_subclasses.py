"""Classes that users derive from ours: they reload equal, or are refused in words."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.randomize import (
    assert_same_weights,
    images,
    randomize,
    relative_difference,
    value,
)
from tests.support.uncompiled import uncompiled


@keras.saving.register_keras_serializable("users")
class WithConfig(rl.ResNet):
    """Makes its parts itself and says what it needs."""

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__(rl.Stem(width), [rl.ResNetStage(width, 1)], rl.ClassifierHead(3), **kwargs)
        self.width = width

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("users")
class WithoutConfig(rl.ResNet):
    """Makes its parts itself and keeps its argument in an attribute of that name."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(rl.Stem(width), [rl.ResNetStage(width, 1)], rl.ClassifierHead(3))
        self.width = width


@keras.saving.register_keras_serializable("users")
class WithLayer(rl.ResNet):
    """Has a layer of its own that only a call builds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = keras.layers.Dense(5)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.extra(super().call(inputs, training=training))


@keras.saving.register_keras_serializable("users")
class WithLayerAndBuild(WithLayer):
    """Builds its layer itself, and has a variable of its own."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.extra.build((None, 3))
        self.scale = self.add_weight(shape=(5,), name="scale")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs, training=training) * self.scale


@keras.saving.register_keras_serializable("users")
class WithForgetfulBuild(WithLayer):
    """Overrides build and leaves its layer out."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)


@keras.saving.register_keras_serializable("users")
class WithArgumentAndParts(rl.ResNet):
    """Takes the parts and one argument more."""

    def __init__(self, stem: Any, stages: Any, head: Any = None, *, gain: float, **kw: Any) -> None:
        super().__init__(stem, stages, head, **kw)
        self.gain = gain

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.gain * super().call(inputs, training=training)


def user_parts() -> tuple[Any, ...]:
    return rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3)


@keras.saving.register_keras_serializable("users")
class Derived(WithConfig):
    """Derived twice, with an argument that only this class knows."""

    def __init__(self, width: int = 4, depth: int = 1, **kwargs: Any) -> None:
        super().__init__(width, **kwargs)
        self.more = [rl.IdentityBlock(3) for _ in range(depth)]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = super().call(inputs, training=training)[:, None, None]
        for layer in self.more:
            x = layer(x, training=training)
        return x


@keras.saving.register_keras_serializable("users")
class WithFixedInput(rl.ResNet):
    """Fixes arguments of ours and takes layers."""

    def __init__(self, size: int = 32, layers: Any = (), **kwargs: Any) -> None:
        super().__init__(*user_parts(), input_shape=(size, None, 3), name="fixed", **kwargs)
        self.after = list(layers)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = super().call(inputs, training=training)
        for layer in self.after:
            x = layer(x)
        return x


SUBCLASSES: dict[str, Callable[[], Any]] = {
    "with_config": lambda: WithConfig(6, name="mine"),
    "without_config": lambda: WithoutConfig(6),
    "with_layer": lambda: WithLayer(*user_parts()),
    "with_layer_and_build": lambda: WithLayerAndBuild(*user_parts()),
    "with_forgetful_build": lambda: WithForgetfulBuild(*user_parts()),
    "with_argument_and_parts": lambda: WithArgumentAndParts(*user_parts(), gain=2.5),
    "derived": lambda: Derived(6, depth=2),
    "with_fixed_input": lambda: WithFixedInput(16, [keras.layers.Dense(7), keras.layers.ReLU()]),
}


@pytest.mark.share(8)
@pytest.mark.parametrize("name", SUBCLASSES)
@pytest.mark.parametrize("fitted", [False, True])
@uncompiled()
def test_subclass_reloads_equal(name: str, fitted: bool, tmp_path: Path) -> None:
    model = SUBCLASSES[name]()
    x = images(4, 16, 17, 3)
    y = model(x)
    if fitted:
        model.compile("adam", "mse")
        model.fit(x, np.zeros(y.shape), verbose=0)
    randomize(model)
    expected = value(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert_same_weights(loaded.weights, model.weights)
    np.testing.assert_array_equal(value(loaded(x)), expected)
    if fitted:
        assert_same_weights(loaded.optimizer.variables, model.optimizer.variables)
    loaded.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(value(again(x)), expected)


@pytest.mark.parametrize("name", SUBCLASSES)
def test_subclass_has_the_shape_of_its_call(name: str) -> None:
    model = SUBCLASSES[name]()
    expected = tuple(model(images(2, 16, 17, 3)).shape)
    assert model.compute_output_shape((2, 16, 17, 3)) == expected
    assert tuple(model(keras.Input(batch_shape=(2, 16, 17, 3))).shape) == expected


@pytest.mark.parametrize("name", ["with_layer", "with_layer_and_build"])
def test_weights_file_into_a_subclass_that_is_not_built_is_refused_or_exact(
    name: str, tmp_path: Path
) -> None:
    model = SUBCLASSES[name]()
    x = images(2, 16, 16, 3)
    model(x)
    randomize(model)
    model.save_weights(tmp_path / "m.weights.h5")
    other = SUBCLASSES[name]()
    with pytest.raises(ValueError, match="has not yet been built"):
        other.load_weights(tmp_path / "m.weights.h5")
    other(x)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(value(other(x)), value(model(x)))


@pytest.mark.share(4)
@pytest.mark.parametrize("name", SUBCLASSES)
def test_what_a_subclass_froze_stays_frozen(name: str, tmp_path: Path) -> None:
    model = SUBCLASSES[name]()
    model(images(2, 16, 17, 3))
    model.stages[0].block_layers[0].body[1].trainable = False
    model.stem.conv.normalization.trainable = False
    if name == "with_layer":
        model.extra.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.trainable for v in loaded.weights] == [v.trainable for v in model.weights]
    model.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not any(layer.trainable for layer in loaded._flatten_layers())


@pytest.mark.share(4)
@pytest.mark.parametrize("name", SUBCLASSES)
def test_metadata_that_a_subclass_got_later_is_kept(name: str, tmp_path: Path) -> None:
    model = SUBCLASSES[name]()
    model(images(2, 16, 17, 3))
    model.metadata = {"class_names": ["a"]}
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").metadata == {"class_names": ["a"]}


def test_policy_of_a_subclass_comes_from_the_file(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = WithConfig(6)
    keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.dtype_policy.name for layer in loaded._flatten_layers()] == [
        layer.dtype_policy.name for layer in model._flatten_layers()
    ]
    assert keras.config.dtype_policy().name == "float32"


@keras.saving.register_keras_serializable("users")
class GatedBlock(rl.IdentityBlock):
    """A block with an argument, a layer and a formula of its own."""

    def __init__(self, filters: int, ratio: int = 4, **kwargs: Any) -> None:
        super().__init__(filters, bottleneck=True, **kwargs)
        self.ratio = ratio
        self.gate = keras.layers.Dense(4 * filters, activation="sigmoid")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.ratio * super().call(inputs, training=training) * self.gate(inputs)


@keras.saving.register_keras_serializable("users")
class Upsampling(rl.ResNetStage):
    """A stage that makes another shape than ours."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.repeat(super().call(inputs, training=training), 2, axis=1)


@keras.saving.register_keras_serializable("users")
class LoudStem(rl.Stem):
    """A stem with a call of its own."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return 2 * super().call(inputs, training=training)


@pytest.fixture
def derived_parts() -> Any:
    return rl.ResNet(
        LoudStem(4), [Upsampling(8, 1), GatedBlock(2, ratio=7, name="gated")], rl.ClassifierHead(3)
    )


def test_features_take_a_derived_part_as_it_is(derived_parts: Any) -> None:
    assert derived_parts.built
    x = images(2, 16, 16, 3)
    maps = derived_parts.features(x)
    np.testing.assert_array_equal(
        value(derived_parts.head(maps["stage2"])), value(derived_parts(x))
    )
    symbolic = derived_parts.features(keras.Input((16, 16, 3)))
    assert [y.shape[1:] for y in symbolic.values()] == [tuple(y.shape[1:]) for y in maps.values()]


@pytest.mark.slow
@pytest.mark.share(2)
@uncompiled()
def test_derived_parts_reload_equal(derived_parts: Any, tmp_path: Path) -> None:
    model = derived_parts
    model.stages[1].gate.trainable = False
    x = images(2, 16, 16, 3)
    model.compile("adam", "mse")
    model.fit(x, np.zeros((2, 3)), verbose=0)
    randomize(model)
    expected = value(model(x))
    path = tmp_path / "model.keras"
    model.save(path)
    for copied in (keras.saving.load_model(path), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(value(copied(x)), expected)
        assert (copied.stages[1].ratio, copied.stages[1].name) == (7, "gated")
        assert [v.trainable for v in copied.weights] == [v.trainable for v in model.weights]
    inputs = keras.Input((16, 16, 3))
    functional = keras.Model(inputs, model.stages[1](model.stages[0](model.stem(inputs))))
    functional.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(value(loaded(x)), value(functional(x)))


def test_thawed_parts_of_a_frozen_model_stay_thawed(tmp_path: Path) -> None:
    model = randomize(rl.ResNet.from_variant("resnet18", blocks=(1, 1), filters=(4, 8)))
    model.trainable = False
    model.stages[1].trainable = True
    model.stages[1].block_layers[0].body[1].trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layers = model._flatten_layers()
    assert [layer.trainable for layer in loaded._flatten_layers()] == [
        layer.trainable for layer in layers
    ]
    x = images(4, 16, 16, 3)
    assert relative_difference(loaded(x, training=True), model(x, training=True)) < 1e-6


def test_frozen_batch_normalization_outlives_freezing_and_thawing(tmp_path: Path) -> None:
    model = randomize(
        rl.ResNet.from_variant(
            "resnet18", blocks=(1, 1), filters=(4, 8), normalization="frozen_batch"
        )
    )
    trainable = [v.path for v in model.trainable_weights]
    assert not any("normalization" in path for path in trainable)
    model.trainable = False
    model.save(tmp_path / "model.keras")
    for copied in (model, keras.saving.load_model(tmp_path / "model.keras")):
        copied.trainable = True
        assert [v.path for v in copied.trainable_weights] == trainable
        x = images(4, 16, 16, 3)
        np.testing.assert_array_equal(value(copied(x, training=True)), value(copied(x)))


def test_parts_in_lists_cannot_be_replaced() -> None:
    model = rl.ResNet(*user_parts())
    for parts in (model.stages, model.stages[0].block_layers, model.stages[0].block_layers[0].body):
        assert isinstance(parts, tuple)
    with pytest.raises(AttributeError, match="`head` of a ResNet cannot be replaced"):
        del model.head


def test_custom_objects_need_no_registration(tmp_path: Path) -> None:
    class Unregistered(rl.Stem):
        pass

    model = rl.ResNet(Unregistered(4), [rl.ResNetStage(4, 1)])
    copied = rl.ResNet.from_config(
        model.get_config(), custom_objects={"Unregistered": Unregistered}
    )
    assert type(copied.stem) is Unregistered
    model.save(tmp_path / "model.keras")
    objects = {"Unregistered": Unregistered}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=objects)
    assert type(loaded.stem) is Unregistered
    with keras.saving.CustomObjectScope(objects):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.stem) is Unregistered


def test_user_functions_and_objects_in_a_style_reload(tmp_path: Path) -> None:
    style = rl.BlockStyle(kernel_initializer=start, activation=Scaled(3.0))
    model = rl.ResNet(
        rl.Stem(4, style=style), [rl.ResNetStage(4, 1, style=style)], rl.ClassifierHead(2)
    )
    config = model.stages[0].get_config()
    config["style"]["activation"]["config"]["scale"] = 5.0  # a copy
    assert model.stages[0].style == style
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, 16, 16, 3)
    np.testing.assert_array_equal(value(loaded(x)), value(model(x)))


@keras.saving.register_keras_serializable("users")
def start(shape: Any, dtype: Any = None) -> Any:
    return keras.ops.full(shape, 0.01, dtype)


@keras.saving.register_keras_serializable("users")
class Scaled:
    """A callable object as activation."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, x: Any) -> Any:
        return self.scale * keras.ops.relu(x)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Scaled":
        return cls(**config)


@keras.saving.register_keras_serializable("users")
class WithGeometry(rl.ConvBlock):
    """Has an attribute of a name that the package uses inside."""

    def __init__(self, filters: int, geometry: str = "square", **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.geometry = geometry

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "geometry": self.geometry}


def test_geometry_is_a_name_for_users() -> None:
    block = WithGeometry(8, "round")
    x = images(1, 9, 9, 8)
    copied = WithGeometry.from_config(block.get_config())
    assert (block(x).shape, copied.geometry) == (copied(x).shape, "round")
