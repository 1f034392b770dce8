"""`fold_batch_norm`: equal outputs without the normalization."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers.serving.folding import fold
from tests.support.cases import CASES, TRAINABLE, Case
from tests.support.randomize import (
    assert_same_weights,
    images,
    normalizations,
    randomize,
    relative_difference,
    value,
)

# A network of each kind, and what it keeps of its batch normalizations.
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "resnet18": ({}, 0),
    "resnet10t": ({}, 0),
    "seresnext26d_32x4d": ({}, 0),
    "ecaresnet26t": ({"blocks": (1, 1, 1, 1)}, 0),
    "resnetblur18": ({}, 0),
    "resnetaa34d": ({"blocks": (1, 1, 1, 1)}, 0),
    "resnetrs50": ({"blocks": (1, 1, 1, 1)}, 0),
    "resnetv2_18": ({}, 9),
    "keras_resnet50": ({"blocks": (1, 1, 1, 1)}, 0),
    "keras_resnet50v2": ({"blocks": (1, 1, 1, 1)}, 5),
    "cifar_resnet20": ({}, 0),
    "test_resnet": ({"data_format": "channels_first"}, 0),
}


def hostile(model: Any, seed: int = 0, damping: float = 1.0) -> Any:
    """Statistics at the edge: scales that are negative and zero, tiny variances, large means.

    Tiny variances make the outputs of 20 layers as large as 1e34; more need `damping`.
    """
    rng = np.random.default_rng(seed)
    for layer in normalizations(randomize(model, seed)):
        channels = len(value(layer.gamma))
        small = rng.random(channels) < 0.3
        sign = rng.choice([-1.0, 0.0, 1.0], channels, p=[0.3, 0.1, 0.6])
        scale = np.where(small, damping, 1.0) * rng.uniform(0.5, 1.5, channels)
        layer.gamma.assign(sign * scale)
        layer.moving_variance.assign(np.where(small, 1e-6, rng.uniform(0.5, 1.5, channels)))
        layer.moving_mean.assign(rng.normal(0, 20.0, channels))
    return model


@pytest.mark.share(8)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_equal_under_hostile_statistics(name: str) -> None:
    overrides, left = NETWORKS[name]
    damping = 0.02 if "26" in name else 1.0
    model = hostile(rl.ResNet.from_variant(name, classes=5, **overrides), damping=damping)
    before = [value(variable).copy() for variable in model.weights]
    folded = rl.fold_batch_norm(model)
    shape = (2, 3, 37, 33) if "data_format" in overrides else (2, 37, 33, 3)
    x = images(*shape)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert len(normalizations(folded)) == left
    assert (type(folded), folded.name) == (rl.ResNet, name)
    for variable, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(value(variable), old)


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("name", ["r2plus1d_18", "mc3_18"])
def test_videos_fold_as_well(name: str) -> None:
    damping = 0.02 if name == "r2plus1d_18" else 1.0
    model = hostile(rl.ResNet.from_variant(name, classes=5), damping=damping)
    folded = rl.fold_batch_norm(model)
    x = images(2, 4, 17, 16, 3)
    assert np.isfinite(value(model(x))).all()
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert normalizations(folded) == []


def foldable_cases() -> list[Case]:
    """Layers with a batch normalization behind a convolution."""
    return [
        case
        for case in CASES
        if any(isinstance(layer, rl.ConvNorm) for layer in case.example._flatten_layers())
        and normalizations(case.example)
    ]


@pytest.mark.share(4)
@pytest.mark.parametrize("case", foldable_cases(), ids=lambda case: case.name)
def test_every_layer_folds_inside_a_model_of_other_layers(case: Case) -> None:
    layer = case.create()
    inputs = keras.Input(case.input_shape[1:])
    model = hostile(keras.Model(inputs, layer(inputs)))
    folded = rl.fold_batch_norm(model)
    x = images(*case.input_shape)
    assert relative_difference(folded(x), model(x)) < 1e-4
    units = [unit for unit in folded._flatten_layers() if isinstance(unit, rl.ConvNorm)]
    assert not any(normalizations(unit) for unit in units)


def test_a_file_keeps_what_is_folded(tmp_path: Path) -> None:
    model = hostile(rl.ResNet.from_variant("test_resnet", classes=5, metadata={"a": [1]}))
    folded = rl.fold_batch_norm(model)
    folded.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == folded.get_config()
    assert again.metadata == {"a": [1]}
    x = images(2, 33, 40, 3)
    np.testing.assert_array_equal(value(again(x)), value(folded(x)))


@pytest.mark.share(6)
def test_folding_twice_equals_folding_once() -> None:
    folded = rl.fold_batch_norm(hostile(rl.ResNet.from_variant("resnetv2_18", classes=5)))
    again = rl.fold_batch_norm(folded)
    assert again is not folded
    assert again.get_config() == folded.get_config()
    assert_same_weights(again.weights, folded.weights)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("resnetv2_50d_gn", "GroupNormalization"),
        ("resnetv2_50d_evos", "EvoNormS0"),
        ("resnetv2_50d_frn", "FilterResponseNormalization"),
    ],
)
def test_other_normalizations_are_left_and_reported(name: str, kept: str) -> None:
    model = randomize(rl.ResNet.from_variant(name, classes=5, blocks=(1, 1, 1, 1)))
    count = len([layer for layer in model._flatten_layers() if type(layer).__name__ == kept])
    with pytest.warns(UserWarning, match="are left as they are") as caught:
        folded = rl.fold_batch_norm(model)
    assert str(caught[0].message) == (
        f"{count} {kept} of '{name}' are left as they are: only a batch normalization "
        "that follows the convolution of a `ConvNorm` can be folded"
    )
    assert caught[0].filename == __file__
    assert_same_weights(folded.weights, model.weights)


def test_batch_normalization_that_follows_no_unit_is_reported() -> None:
    stages = [keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()])]
    model = hostile(rl.ResNet(rl.Stem(4), stages))
    with pytest.warns(UserWarning, match="^1 BatchNormalization of"):
        folded = rl.fold_batch_norm(model)
    x = images(2, 33, 32, 3)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert len(normalizations(folded)) == 1


@pytest.mark.share(2)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_folds_in_float64_into_float32(policy: str) -> None:
    model = hostile(rl.ResNet.from_variant("test_resnet", classes=5, dtype=policy))
    exact = hostile(rl.ResNet.from_variant("test_resnet", classes=5))
    folded = rl.fold_batch_norm(model)
    assert folded.dtype_policy.name == policy
    assert {variable.dtype for variable in folded.weights} == {"float32"}
    assert_same_weights(folded.weights, rl.fold_batch_norm(exact).weights)


def test_frozen_layers_stay_frozen() -> None:
    model = rl.ResNet.from_variant("test_resnet", classes=5)
    model.stem.trainable = False
    model.stages[0].trainable = False
    model.stages[1].trainable = False
    model.stages[1].block_layers[0].body[0].trainable = True
    model.stages[2].block_layers[0].body[0].normalization.trainable = False
    folded = rl.fold_batch_norm(model)
    convolutions = [v.path for v in model.trainable_weights if v.path.endswith("kernel")]
    assert [v.path for v in folded.trainable_weights if v.path.endswith("kernel")] == convolutions
    assert folded.trainable


def test_whole_model_stays_frozen() -> None:
    model = rl.ResNet.from_variant("test_resnet", classes=5)
    model.trainable = False
    assert rl.fold_batch_norm(model).trainable_weights == []


@pytest.mark.share(6)
def test_a_folded_network_can_be_trained() -> None:
    folded = rl.fold_batch_norm(randomize(rl.ResNet.from_variant("test_resnet", classes=3)))
    folded.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = images(8, 32, 32, 3), np.arange(8) % 3
    losses = folded.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


class Derived(rl.ResNet):
    """Made of numbers alone, so that its config has no styles."""

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        stages = [rl.ResNetStage(width, 1), rl.ResNetStage(2 * width, 1, strides=2)]
        super().__init__(rl.Stem(width), stages, rl.ClassifierHead(3), **kwargs)


class Doubled(Derived):
    """One that computes in its own way."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return 2.0 * super().call(inputs, training=training)


def test_derived_models_fold_into_plain_ones() -> None:
    model = hostile(Derived(6, name="mine", metadata={"a": 1}))
    folded = rl.fold_batch_norm(model)
    assert (type(folded), folded.name, folded.metadata) == (rl.ResNet, "mine", {"a": 1})
    x = images(2, 33, 40, 3)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert normalizations(folded) == []


def test_derived_models_of_their_own_call_stay_what_they_are() -> None:
    model = hostile(Doubled(6))
    with pytest.warns(UserWarning, match="BatchNormalization of"):
        folded = rl.fold_batch_norm(model)
    x = images(2, 33, 40, 3)
    assert type(folded) is Doubled
    assert relative_difference(folded(x), model(x)) < 1e-4


class Reversed(rl.ConvNorm):
    """Normalizes what it convolves."""

    def build(self, input_shape: Any) -> None:
        self.convolution.build(input_shape)
        self.normalization.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.convolution(self.normalization(inputs, training=training))


class Named(rl.ConvNorm):
    """May do anything, for all that is known."""


@pytest.mark.parametrize("unit", [Reversed, Named])
def test_units_that_normalize_otherwise_are_left(unit: type[rl.ConvNorm]) -> None:
    inputs = keras.Input((None, None, 4))
    model = randomize(keras.Model(inputs, unit(4, 3)(inputs)))
    with pytest.warns(UserWarning, match="^1 BatchNormalization of"):
        folded = rl.fold_batch_norm(model)
    x = images(2, 9, 8, 4)
    np.testing.assert_array_equal(value(folded(x)), value(model(x)))


class Halved(rl.IdentityBlock):
    """A block of somebody's own, whose config has no style."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return 0.5 * super().call(inputs, training=training)


def test_derived_blocks_fold_registered_or_not() -> None:
    model = hostile(rl.ResNet(rl.Stem(4), [Halved(4)], rl.ClassifierHead(3)))
    folded = rl.fold_batch_norm(model)
    x = images(2, 33, 40, 3)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert normalizations(folded) == []
    assert type(folded.stages[0]) is Halved


@keras.saving.register_keras_serializable("resnet_layers_tests")
class Pair(keras.layers.Layer):
    """A block of somebody's own that derives from none of ours."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.units = [rl.ConvNorm(filters, 3, style=self.unit_style()) for _ in range(2)]

    def unit_style(self) -> Any:
        return "torchvision"

    def build(self, input_shape: Any) -> None:
        for unit in self.units:
            unit.build(input_shape)
            input_shape = unit.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        for unit in self.units:
            inputs = unit(inputs, training=training)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


class StyledPair(Pair):
    """The same with a style."""

    def __init__(self, filters: int, style: Any = "torchvision", **kwargs: Any) -> None:
        self._given = style
        super().__init__(filters, **kwargs)

    def unit_style(self) -> Any:
        return self._given

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "style": self._given}


class PiecePair(StyledPair):
    """Calls the parts of its units, the second of which folding takes away."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        for unit in self.units:
            inputs = unit.normalization(unit.convolution(inputs), training=training)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class WaryPair(StyledPair):
    """Computes something else where there is no normalization."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        folded = self.units[0].normalization is None
        return super().call(inputs, training) * (0.5 if folded else 1.0)


def with_block(block: Any) -> Any:
    inputs = keras.Input((None, None, 4))
    return hostile(keras.Model(inputs, block(inputs)))


def test_plain_layers_with_a_style_fold(tmp_path: Path) -> None:
    model = with_block(StyledPair(4))
    folded = rl.fold_batch_norm(model)
    x = images(2, 9, 8, 4)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert normalizations(folded) == []


def test_plain_layers_without_a_style_are_named() -> None:
    model = with_block(Pair(4, name="pair"))
    with pytest.warns(UserWarning, match="^2 BatchNormalization of") as caught:
        folded = rl.fold_batch_norm(model)
    assert str(caught[0].message).endswith(
        ". A layer of one's own needs a `style` in its config that it hands on: 'pair' (Pair)"
    )
    x = images(2, 9, 8, 4)
    np.testing.assert_array_equal(value(folded(x)), value(model(x)))


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("made", [PiecePair, WaryPair])
def test_plain_layers_that_call_parts_of_units_are_refused(
    made: type[StyledPair], policy: str
) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with pytest.raises(rl.DisagreementError, match="must call its units as layers"):
            rl.fold_batch_norm(with_block(made(4)))
    finally:
        keras.config.set_dtype_policy(before)


# What is set on a finished layer of Keras


def inner(model: Any) -> dict[str, Any]:
    """A unit, its layers, a normalization that is not folded, and the last dense layer."""
    unit = model.stages[0].block_layers[0].body[0]
    return {
        "convolution": unit.convolution,
        "normalization": unit.normalization,
        "norm": model.norm.normalization,
        "dense": model.head.dense,
        "drop": model.head.drop,
    }


SET: list[tuple[str, str, Any]] = [
    (layer, name, other)
    for layer, names in {
        "convolution": ("use_bias", "activation", "strides", "dilation_rate", "padding", "groups"),
        "normalization": ("epsilon", "momentum", "scale", "center", "axis"),
        "norm": ("epsilon", "momentum", "scale", "center"),
        "dense": ("activation", "use_bias"),
        "drop": ("rate",),
    }.items()
    for name in names
    for other in (
        {
            "activation": keras.activations.tanh,
            "strides": (2, 2),
            "dilation_rate": (2, 2),
            "padding": "same",
            "groups": 2,
            "axis": 1,
            "epsilon": 0.5,
            "momentum": 0.5,
            "rate": 0.5,
        }.get(name, False),
    )
]


@pytest.mark.share(8)
@pytest.mark.parametrize(("layer", "name", "other"), SET)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_is_set_on_finished_layers_acts_or_is_refused(
    layer: str, name: str, other: Any, policy: str
) -> None:
    style = rl.BlockStyle(use_bias=True)
    model = rl.ResNet(
        rl.Stem(4, kernel_size=3, dtype=policy),
        [rl.ResNetStage(4, 1, style=style, dtype=policy)],
        rl.ClassifierHead(3, dropout=0.1, activation="relu", dtype=policy),
        norm=rl.NormAct("torchvision", dtype=policy),
    )
    setattr(inner(randomize(model))[layer], name, other)
    x = images(2, 16, 16, 3)
    for copy in (rl.fold_batch_norm, lambda m: rl.with_dtype(m, policy)):
        try:
            again = copy(model)
        except (ArithmeticError, AttributeError, ValueError):
            continue
        expected = model(x)
        largest = 1e-4 if policy == "float32" else 3e-2
        assert relative_difference(again(x), expected) < largest


class Widened(rl.ResNet):
    """Has a layer more, which only its call builds."""

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__(rl.Stem(width), [rl.ResNetStage(width, 1)], **kwargs)
        self.extra = keras.layers.Conv2D(5, 1)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.extra(super().call(inputs, training=training))


def test_layers_that_a_call_builds_are_copied() -> None:
    model = Widened(6)
    x = images(2, 33, 40, 3)
    model(x)
    hostile(model)
    with pytest.warns(UserWarning, match="BatchNormalization of"):
        folded = rl.fold_batch_norm(model)
    assert relative_difference(folded(x), model(x)) < 1e-4


def test_adapted_layers_stay_adapted() -> None:
    x = images(8, 9, 8, 3) * 50 + 100
    adapted = keras.layers.Normalization()
    adapted.adapt(x)
    inputs = keras.Input((None, None, 3))
    model = hostile(keras.Model(inputs, rl.ConvNorm(4, 3)(adapted(inputs))))
    adapted.adapt(x)
    for copy in (rl.fold_batch_norm(model), rl.with_dtype(model, "float32")):
        assert relative_difference(copy(x), model(x)) < 1e-4


class Conv2D(keras.layers.Conv2D):
    """Named like one of Keras'."""

    def call(self, inputs: Any) -> Any:
        return 2.0 * super().call(inputs)


def test_names_of_keras_stay_those_of_keras() -> None:
    inputs = keras.Input((None, None, 3))
    x = Conv2D(4, 3)(keras.layers.Conv2D(4, 3)(inputs))
    model = hostile(keras.Model(inputs, rl.ConvNorm(4, 3)(x)))
    folded = rl.fold_batch_norm(model)
    assert [type(layer) for layer in folded.layers] == [type(layer) for layer in model.layers]
    images_ = images(2, 9, 8, 3)
    assert relative_difference(folded(images_), model(images_)) < 1e-4


def test_standardized_kernels_are_stored_as_such() -> None:
    style = TRAINABLE.replace(standardize_kernels=True)
    model = hostile(rl.ResNet(rl.Stem(4, style=style), [rl.ResNetStage(4, 2, style=style)]))
    folded = rl.fold_batch_norm(model)
    x = images(2, 33, 40, 3)
    assert relative_difference(folded(x), model(x)) < 1e-4
    assert not folded.stages[0].style.standardize_kernels


def test_styles_of_other_parts_are_left() -> None:
    grouped = rl.BlockStyle(normalization="group")
    model = rl.ResNet(rl.Stem(32), [rl.ResNetStage(32, 1, style=grouped)], rl.ClassifierHead(3))
    with pytest.warns(UserWarning, match="^3 GroupNormalization of"):
        folded = rl.fold_batch_norm(randomize(model))
    assert (folded.stem.style.folded, folded.stages[0].style.folded) == (True, False)


@given(
    st.integers(1, 4),
    st.floats(1e-6, 1e3),
    st.floats(-1e3, 1e3),
    st.floats(-10, 10),
    st.integers(0, 2**32 - 1),
)
def test_formula(filters: int, variance: float, mean: float, gamma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal((5, 3)), rng.standard_normal((3, filters))
    bias, beta = rng.standard_normal((2, filters))
    full = [np.full(filters, number) for number in (gamma, mean, variance)]
    scale = full[0] / np.sqrt(full[2] + 1e-5)
    expected = scale * (x @ kernel + bias - full[1]) + beta
    folded, offset = fold(kernel, bias, full[0], beta, full[1], full[2], 1e-5)
    np.testing.assert_allclose(x @ folded + offset, expected, rtol=1e-9, atol=1e-6)


def test_fresh_networks_can_be_folded_from_the_start() -> None:
    folded = rl.ResNet.from_variant("test_resnet", classes=3, folded=True)
    assert normalizations(folded) == []
    made = rl.fold_batch_norm(rl.ResNet.from_variant("test_resnet", classes=3))
    assert [v.path for v in folded.weights] == [v.path for v in made.weights]
