"""Receptive fields, against the pixels that have a gradient in a random network."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.analysis.profile import profile
from tests.support.randomize import randomize

# One of each family, with the fewest blocks and channels; what sees the whole map is left out.
SMALL: dict[str, Any] = {"attention": None, "normalization": None, "activation": None}
FAMILIES: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet34d": {"blocks": (1, 2, 1)},
    "resnet50": {},
    "resnet50t": {},
    "resnet50s": {},
    "resnext50_32x4d": {"groups": 2},
    "seresnet50": {},
    "senet154": {"groups": 2, "filters": (8, 16, 24)},
    "resnetblur50": {},
    "resnetaa50d": {},
    "resnetrs50": {},
    "resnetv2_50": {},
    "resnetv2_50x1_bit": {},
    "keras_resnet50": {},
    "keras_resnet50v2": {"blocks": (2, 2, 1), "strides": (2, 2, 1)},
    "cifar_resnet20": {"blocks": (1, 2, 1), "filters": (16, 24, 32)},
}


def gradient(model: Any, image: tuple[int, ...], map_name: str) -> Any:
    """Where the middle pixel of a map has a gradient of the image, and which pixel that is."""
    x = tf.constant(np.random.RandomState(0).normal(size=(6, *image)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = model.features(x)[map_name]
        middle = [size // 2 for size in made.shape[1:-1]]
        pixel = tf.reduce_sum(made[(slice(None), *middle)])
    # A maximum has the gradient of one pixel: several images show all of them.
    return np.abs(tape.gradient(pixel, x).numpy()).max(axis=(0, -1)), middle


def assert_sees(seen: Any, middle: list[int], part: Any) -> None:
    for axis, (start, size, stride) in enumerate(
        zip(starts(part), part.receptive_field, part.stride, strict=True)
    ):
        others = tuple(i for i in range(seen.ndim) if i != axis)
        (pixels,) = np.nonzero(seen.max(axis=others))
        first = start + middle[axis] * stride
        assert (pixels.min(), pixels.max()) == (first, first + size - 1)


def starts(part: Any) -> list[int]:
    return [
        round(centre - (size - 1) / 2)
        for centre, size in zip(part.centre, part.receptive_field, strict=True)
    ]


@pytest.mark.share(8)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_pixel_sees_what_has_a_gradient(name: str) -> None:
    size: dict[str, Any] = {"blocks": (1, 1, 1), "filters": (4, 8, 12)}
    model = rl.ResNet.from_variant(name, **{**size, **SMALL, **FAMILIES[name]})
    randomize(model)
    found = profile(model, (225, 211, 3))
    seen, middle = gradient(model, (225, 211, 3), "stage3")
    assert_sees(seen, middle, found.part("stage3"))


@pytest.mark.share(2)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_a_pixel_of_a_dilated_network_sees_what_has_a_gradient(output_stride: int) -> None:
    size: dict[str, Any] = {"blocks": (1, 1, 1, 2), "filters": (4, 8, 12, 16)}
    model = rl.ResNet.from_variant("resnet18d", output_stride=output_stride, **size, **SMALL)
    randomize(model)
    found = profile(model, (401, 401, 3))
    seen, middle = gradient(model, (401, 401, 3), "stage4")
    assert_sees(seen, middle, found.part("stage4"))


@pytest.mark.share(3)
@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_a_pixel_of_a_video_sees_what_has_a_gradient(name: str) -> None:
    size: dict[str, Any] = {"blocks": (1, 1), "filters": (4, 8)}
    kernels: dict[str, Any] = {"mc3_18": {"kernel_size": (3, (1, 3, 3)), "strides": (1, (1, 2, 2))}}
    more: dict[str, Any] = {"widths": None, **kernels.get(name, {})}
    model = rl.ResNet.from_variant(name, **size, **SMALL, **more)
    randomize(model)
    found = profile(model, (25, 33, 37, 3))
    seen, middle = gradient(model, (25, 33, 37, 3), "stage2")
    assert_sees(seen, middle, found.part("stage2"))


def test_the_field_of_a_whole_network() -> None:
    assert profile("resnet50").receptive_field == (427, 427)


def test_what_sees_the_whole_map_is_named() -> None:
    found = profile("seresnet18")
    assert found.sees_all[0] == "stage1/block1/attention/means"
    assert found.receptive_field == profile("resnet18").receptive_field
    groups = profile("resnet50_gn")
    assert groups.sees_all[0] == "stem/conv/normalization"
    assert len(groups.sees_all) == 53


def test_a_stock_model_sees_what_has_a_gradient() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((61, 67, 3)),
            layers.Conv2D(4, (5, 3), 2, "same", dilation_rate=1),
            layers.AveragePooling2D(3, 2, "valid"),
            layers.ZeroPadding2D(((2, 0), (1, 3))),
            layers.DepthwiseConv2D(3, padding="valid"),
            layers.SeparableConv2D(4, 3, dilation_rate=2, padding="same"),
        ]
    )
    randomize(model)
    x = tf.constant(np.random.RandomState(0).normal(size=(1, 61, 67, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = model(x)
        middle = [size // 2 for size in made.shape[1:-1]]
        pixel = tf.reduce_sum(made[(slice(None), *middle)])
    seen = np.abs(tape.gradient(pixel, x).numpy()).max(axis=(0, -1))
    assert_sees(seen, middle, profile(model).total)
