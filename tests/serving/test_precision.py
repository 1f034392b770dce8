"""`with_dtype`: the same weights under another policy."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.serving.precision import in_float32
from tests.support.randomize import (
    assert_same_weights,
    images,
    randomize,
    relative_difference,
    value,
)

POLICIES = {"mixed_bfloat16": 2e-2, "mixed_float16": 3e-3}


@pytest.mark.share(6)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["test_resnet", "resnetv2_18", "seresnet18"])
def test_logits_are_close_and_float32(policy: str, name: str) -> None:
    model = randomize(rl.ResNet.from_variant(name, classes=5))
    half = rl.with_dtype(model, policy)
    x = images(2, 33, 40, 3)
    assert keras.backend.standardize_dtype(half(x).dtype) == "float32"
    assert 0 < relative_difference(half(x), model(x)) < POLICIES[policy]
    assert_same_weights(half.weights, model.weights)
    units = [unit for unit in half._flatten_layers() if isinstance(unit, rl.ConvNorm)]
    assert {unit.convolution.compute_dtype for unit in units} == {policy.removeprefix("mixed_")}
    assert (half.name, half.dtype_policy.name, type(half)) == (name, policy, rl.ResNet)


@pytest.mark.share(2)
@pytest.mark.parametrize("policy", POLICIES)
def test_float32_comes_back(policy: str) -> None:
    model = randomize(rl.ResNet.from_variant("test_resnet", classes=5))
    again = rl.with_dtype(rl.with_dtype(model, policy), "float32")
    assert again.get_config() == model.get_config()
    x = images(2, 33, 40, 3)
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


@pytest.mark.share(6)
def test_a_file_keeps_the_policy(tmp_path: Path) -> None:
    model = rl.with_dtype(randomize(rl.ResNet.from_variant("test_resnet")), "mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == "mixed_bfloat16"
    x = images(2, 33, 40, 3)
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


def test_layers_with_a_policy_of_their_own_keep_it() -> None:
    inputs = keras.Input((None, None, 3))
    x = rl.Stem(4)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Softmax(dtype="float64")(x))
    half = rl.with_dtype(model, "mixed_bfloat16")
    assert [layer.dtype_policy.name for layer in half.layers[1:]] == [
        "mixed_bfloat16",
        "mixed_bfloat16",
        "float64",
    ]


class Derived(rl.ResNet):
    """Its config has no policy but its own."""

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__(rl.Stem(width), [rl.ResNetStage(width, 1)], **kwargs)


def test_derived_models_follow() -> None:
    model = randomize(Derived(6))
    half = rl.with_dtype(model, "mixed_bfloat16")
    assert (type(half), half.stages[0].compute_dtype) == (Derived, "bfloat16")
    assert_same_weights(half.weights, model.weights)


def test_frozen_layers_stay_frozen() -> None:
    model = rl.ResNet.from_variant("test_resnet", classes=5)
    model.stem.trainable = False
    model.stages[2].block_layers[0].body[0].normalization.trainable = False
    half = rl.with_dtype(model, "mixed_bfloat16")
    paths = [variable.path for variable in model.trainable_weights]
    assert [variable.path for variable in half.trainable_weights] == paths


def functional() -> Any:
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(2.0, dtype="float32")(inputs)
    return keras.Model(inputs, rl.ResNetStage(4, 1)(rl.Stem(4)(x)))


def sequential() -> Any:
    return keras.Sequential([keras.Input((None, None, 3)), rl.Stem(4), rl.ResNetStage(4, 1)])


def around_a_sequence() -> Any:
    stem = keras.Sequential([keras.layers.Conv2D(4, 3), rl.ConvNorm(4, 3)])
    return rl.ResNet(stem, [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))


@pytest.mark.parametrize("make", [functional, sequential])
def test_models_of_keras_follow_and_come_back(make: Any) -> None:
    model = randomize(make())
    half = rl.with_dtype(model, "mixed_bfloat16")
    units = [unit for unit in half._flatten_layers() if isinstance(unit, rl.ConvNorm)]
    assert {unit.compute_dtype for unit in units} == {"bfloat16"}
    again = rl.with_dtype(half, "float32")
    assert again.get_config() == model.get_config()
    x = images(2, 33, 40, 3)
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


def test_metadata_stay_as_they_are() -> None:
    prepare = rl.Preprocessing(image_size=16)
    metadata = {"preprocessing": keras.saving.serialize_keras_object(prepare)}
    model = randomize(rl.ResNet.from_variant("test_resnet", classes=5, metadata=metadata))
    inputs = keras.Input((None, None, 3))
    whole = keras.Model(inputs, model(rl.Preprocessing(image_size=16)(inputs)))
    for half in (rl.with_dtype(whole, "mixed_bfloat16"), rl.with_dtype(model, "mixed_bfloat16")):
        networks = [layer for layer in half._flatten_layers() if isinstance(layer, rl.ResNet)]
        assert [network.compute_dtype for network in networks] == ["bfloat16"]
        assert [network.metadata for network in networks] == [model.metadata]


def test_a_sequence_as_stem_is_remade(tmp_path: Path) -> None:
    model = randomize(around_a_sequence())
    x = images(2, 33, 40, 3)
    half = rl.with_dtype(model, "mixed_bfloat16")
    assert half.stages[0].compute_dtype == "bfloat16"
    half.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(value(again(x)), value(half(x)))
    folded = rl.fold_batch_norm(model)
    assert relative_difference(folded(x), model(x)) < 1e-4


def test_all_of_a_model_can_be_brought_to_float32() -> None:
    stages = [rl.ResNetStage(4, 1, dtype="mixed_bfloat16")]
    model = randomize(rl.ResNet(rl.Stem(4), stages, rl.ClassifierHead(3)))
    exact = in_float32(model)
    assert {layer.compute_dtype for layer in exact._flatten_layers()} == {"float32"}
    assert_same_weights(exact.weights, model.weights)
    assert in_float32(exact) is exact
