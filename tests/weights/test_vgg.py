"""VGG-19 with weights of keras.applications and of torchvision."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.weights import plan


def randomize(model: Any) -> None:
    """Weights under which maps keep their size: there is no normalization."""
    rng = np.random.RandomState(0)
    for variable in model.weights:
        scale = 1.5 / math.sqrt(math.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 0.1
        variable.assign(scale * rng.standard_normal(tuple(variable.shape)))


def both(size: int, hidden: int = 4096) -> tuple[Any, Any]:
    stock = keras.applications.VGG19(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    model = rl.ResNet.from_variant(
        "vgg19",
        classes=10,
        input_shape=(size, size, 3),
        kernel_initializer="zeros",
        head={"hidden_units": (hidden, hidden)},
    )
    return stock, model


@pytest.mark.parametrize(
    "size", [64, pytest.param(224, marks=[pytest.mark.slow, pytest.mark.huge])]
)
def test_outputs_are_those_of_keras_applications(size: int) -> None:
    stock, model = both(size)
    randomize(stock)
    rl.load_weights_from(model, stock)
    images = np.random.RandomState(1).normal(size=(2, size, size, 3)).astype("float32")
    expected = stock.predict(images, verbose=0)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    # Blue first, with the means of ImageNet: as their ResNets have it.
    assert rl.preprocessing(model).mean == rl.preprocessing("keras_resnet50.imagenet").mean


def small() -> Any:
    return rl.ResNet.from_variant(
        "vgg19",
        classes=3,
        input_shape=(64, 96, 3),
        filters=(2, 3, 4, 5),
        stem={"filters": 2, "hidden_filters": (2,)},
        head={"hidden_units": (7, 6)},
    )


def test_names_are_torchvisions(tmp_path: Path) -> None:
    """torchvision 0.29 `models/vgg.py`: configuration E."""
    model = small()
    names = [row.name for row in plan.named_tensors(model, plan.torch_dialect(model))]
    features = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    expected = [f"features.{i}" for i in features] + [f"classifier.{i}" for i in (0, 3, 6)]
    assert names == [f"{name}.{of}" for name in expected for of in ("weight", "bias")]


def test_torch_reads_channels_before_pixels_of_a_flattened_map(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model, again = small(), small()
    randomize(model)
    rl.save_torch_weights(model, tmp_path / "vgg.safetensors")
    tensors = load_file(tmp_path / "vgg.safetensors")
    images = np.random.RandomState(0).normal(size=(1, 64, 96, 3)).astype("float32")
    x = keras.ops.convert_to_numpy(model.features(images)["stage4"])
    maps = x.reshape(2, 2, 3, 2, 5).max((1, 3))  # (2, 3, 5)
    flattened = maps.transpose(2, 0, 1).ravel()  # as torch flattens (C, H, W)
    for i in (0, 3, 6):
        flattened = tensors[f"classifier.{i}.weight"] @ np.maximum(flattened, 0)
        flattened = flattened + tensors[f"classifier.{i}.bias"]
    np.testing.assert_allclose(model(images)[0], flattened, rtol=1e-4, atol=1e-5)
    rl.load_weights_from(again, tmp_path / "vgg.safetensors")
    for mine, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_head_of_other_classes_is_left_out(tmp_path: Path) -> None:
    model = small()
    rl.save_torch_weights(model, tmp_path / "vgg.safetensors")
    other = model.replace(head=rl.ClassifierHead(9, name="other"))
    rl.load_weights_from(other, tmp_path / "vgg.safetensors", skip=("head",))
    np.testing.assert_array_equal(model.stages[3].weights[0], other.stages[3].weights[0])
