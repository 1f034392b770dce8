"""The layers' numbers against plain NumPy in float64."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support import numpy_reference as reference
from tests.support.randomize import images, randomize, relative_difference

# Odd and even, square or not, smaller than the kernels and down to one pixel.
SIZES = [(1, 1), (2, 2), (5, 8), (6, 7)]
STRIDES = [1, 2, 3, (2, 1)]
TORCH = rl.BlockStyle()
KERAS = rl.BlockStyle(
    padding="same", use_bias=True, epsilon=1e-3, momentum=0.99, strides_on="first"
)
DIALECTS = pytest.mark.parametrize("style", [TORCH, KERAS], ids=["torch", "keras"])
# float32 rounds each of the at most 200 terms of a sum by 6e-8, which adds up like a random walk:
# 1e-6 for a layer, some of them in a row here. Batch statistics of few pixels amplify it.
TOLERANCE = {False: 3e-6, True: 2e-5}


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def leaves(tree: reference.Weights) -> Iterator[np.ndarray]:
    for value in tree.values():
        yield from leaves(value) if isinstance(value, dict) else (value,)


def check(layer: Any, expect: Callable[..., np.ndarray], *, channels: int = 4) -> None:
    """At every size and in both modes, output and variables equal the reference's."""
    layer.build((None, None, None, channels))
    randomize(layer)
    weights = reference.weights_of(layer)
    for size, training in itertools.product(SIZES, TOLERANCE):
        x = images(3, *size, channels)
        expected = expect(x.astype("float64"), weights, training=training)
        pairs = [(layer(x, training=training), expected)]
        actual = reference.weights_of(layer)
        pairs += zip(leaves(actual), leaves(weights), strict=True)
        differences = [relative_difference(*pair) for pair in pairs]
        assert max(differences) < TOLERANCE[training], f"size={size}, training={training}"
        weights = actual


@pytest.mark.share(3)
@DIALECTS
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("kernel_size", [1, 3, (5, 3), 7], ids=str)
def test_conv_norm_equals_reference(kernel_size: Any, strides: Any, style: rl.BlockStyle) -> None:
    layer = rl.ConvNorm(6, kernel_size, strides=strides, activation="tanh", style=style)
    expect = functools.partial(
        reference.conv_norm, style=style, activation="tanh", strides=pair(strides)
    )
    check(layer, expect)


@DIALECTS
@pytest.mark.parametrize("groups", [2, 4])
def test_conv_norm_equals_reference_in_groups(groups: int, style: rl.BlockStyle) -> None:
    layer = rl.ConvNorm(8, 3, strides=2, groups=groups, activation=None, style=style)
    expect = functools.partial(reference.conv_norm, style=style, strides=(2, 2), groups=groups)
    check(layer, expect)


@pytest.mark.parametrize(
    ("kernel_size", "groups", "dilation_rate"),
    [(3, 1, 2), (3, 1, 4), (3, 1, (3, 1)), ((3, 5), 1, 2), (3, 2, 2)],
    ids=str,
)
def test_conv_norm_equals_reference_dilated(
    kernel_size: Any, groups: int, dilation_rate: Any
) -> None:
    layer = rl.ConvNorm(
        6, kernel_size, dilation_rate=dilation_rate, groups=groups, activation=None, style=TORCH
    )
    expect = functools.partial(
        reference.conv_norm, style=TORCH, dilation=pair(dilation_rate), groups=groups
    )
    check(layer, expect)


@pytest.mark.parametrize("normalization", ["frozen_batch", None])
def test_conv_norm_equals_reference_without_batch_statistics(normalization: Any) -> None:
    style = TORCH.replace(normalization=normalization)
    expect = functools.partial(reference.conv_norm, style=style, activation="relu")
    check(rl.ConvNorm(6, 3, style=style), expect)


BODIES: dict[str, dict[str, Any]] = {
    "basic": {"filters": 8},
    "basic_grouped": {"filters": 8, "groups": 2},
    "basic_group_width": {"filters": 8, "groups": 2, "group_width": 3},
    "bottleneck": {"filters": 2, "bottleneck": True},
    "bottleneck_grouped": {"filters": 4, "bottleneck": True, "groups": 4},
    "bottleneck_wide": {"filters": 2, "bottleneck": True, "group_width": 5},
    "bottleneck_group_width": {"filters": 2, "bottleneck": True, "groups": 3, "group_width": 2},
}


def block_geometry(body: str) -> dict[str, Any]:
    """What the reference does not see in the kernels."""
    return {key: BODIES[body][key] for key in ("bottleneck", "groups") if key in BODIES[body]}


@pytest.mark.share(3)
@pytest.mark.parametrize("body", BODIES)
def test_identity_block_equals_reference(body: str) -> None:
    layer = rl.IdentityBlock(**BODIES[body], style=KERAS)
    expect = functools.partial(
        reference.block, style=KERAS, projection=False, **block_geometry(body)
    )
    check(layer, expect, channels=layer.output_filters)


@pytest.mark.share(8)
@DIALECTS
@pytest.mark.parametrize(
    ("body", "strides"),
    [
        *itertools.product(BODIES, [2]),
        *itertools.product(["basic", "bottleneck"], [1, 3, (2, 1)]),
    ],
    ids=str,
)
def test_conv_block_equals_reference(body: str, strides: Any, style: rl.BlockStyle) -> None:
    expect = functools.partial(
        reference.block, style=style, projection=True, strides=pair(strides), **block_geometry(body)
    )
    check(rl.ConvBlock(**BODIES[body], strides=strides, style=style), expect)


@pytest.mark.share(4)
@pytest.mark.parametrize(
    "change",
    [
        {"shortcut": "A"},
        {"shortcut": "B"},
        {"shortcut": "C"},
        {"shortcut": "none"},
        {"normalize_shortcut": False},
        {"activation": "gelu"},
        {"strides_on": "first"},
        {"normalization": None},
    ],
    ids=str,
)
@pytest.mark.parametrize(("body", "style"), [("basic", KERAS), ("bottleneck", TORCH)])
def test_conv_block_equals_reference_in_every_style(
    body: str, style: rl.BlockStyle, change: dict[str, Any]
) -> None:
    style = style.replace(**change)
    expect = functools.partial(
        reference.block, style=style, projection=True, strides=(2, 2), **block_geometry(body)
    )
    check(rl.ConvBlock(**BODIES[body], style=style), expect)


@pytest.mark.parametrize(
    ("body", "kernels"),
    [
        ("basic", [(3, 3, 4, 8), (3, 3, 8, 8)]),
        ("basic_grouped", [(3, 3, 2, 8), (3, 3, 4, 8)]),
        ("basic_group_width", [(3, 3, 2, 6), (3, 3, 3, 8)]),
        ("bottleneck", [(1, 1, 4, 2), (3, 3, 2, 2), (1, 1, 2, 8)]),
        ("bottleneck_grouped", [(1, 1, 4, 4), (3, 3, 1, 4), (1, 1, 4, 16)]),
        ("bottleneck_wide", [(1, 1, 4, 5), (3, 3, 5, 5), (1, 1, 5, 8)]),
        ("bottleneck_group_width", [(1, 1, 4, 6), (3, 3, 2, 6), (1, 1, 6, 8)]),
    ],
)
def test_conv_block_has_kernels_of_these_shapes(body: str, kernels: list[Any]) -> None:
    layer = rl.ConvBlock(**BODIES[body])
    layer.build((None, None, None, 4))
    shapes = [tuple(v.shape) for v in layer.weights if v.name == "kernel"]
    assert shapes == [*kernels, (1, 1, 4, layer.output_filters)]


@pytest.mark.share(4)
@pytest.mark.parametrize(
    ("projection", "shortcut"),
    [*((True, shortcut) for shortcut in ("A", "B", "C", "none")), (False, "A"), (False, "B")],
)
def test_stage_equals_reference(projection: bool, shortcut: str) -> None:
    keywords: dict[str, Any] = {
        "strides": (2, 2) if projection else (1, 1),
        "bottleneck": True,
        "projection": projection,
        "style": TORCH.replace(shortcut=shortcut),
    }
    layer = rl.ResNetStage(2, 3, **keywords)
    expect = functools.partial(reference.stage, blocks=3, **keywords)
    check(layer, expect, channels=4 if projection else 8)


@pytest.mark.share(8)
@DIALECTS
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("pooling", ["max", None])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_stem_equals_reference(
    activation: str, pooling: str | None, strides: Any, style: rl.BlockStyle
) -> None:
    style = style.replace(activation=activation)
    layer = rl.Stem(5, strides=strides, pooling=pooling, style=style)
    expect = functools.partial(reference.stem, style=style, strides=pair(strides), pooling=pooling)
    check(layer, expect, channels=3)


@pytest.mark.parametrize("activation", ["gelu", "tanh", None])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_stem_never_pools_its_padding(padding: str, activation: Any) -> None:
    layer = rl.Stem(2, style=TORCH.replace(activation=activation, padding=padding))
    layer.build((None, None, None, 3))
    layer.conv.normalization.gamma.assign([0.0, 0.0])
    layer.conv.normalization.beta.assign([-0.5, -0.25])
    # One value for each channel, everywhere, below zero.
    value = reference.ACTIVATIONS[activation](np.array([-0.5, -0.25]))
    for size in SIZES:
        actual = layer(images(1, *size, 3))
        np.testing.assert_allclose(actual, np.broadcast_to(value, actual.shape), rtol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("pooling", ["avg", "max", "avg2x2"])
@pytest.mark.parametrize("hidden_units", [None, 7])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_classifier_head_equals_reference(
    activation: Any, hidden_units: int | None, pooling: str, size: tuple[int, int]
) -> None:
    layer = rl.ClassifierHead(
        5, pooling=pooling, hidden_units=hidden_units, dropout=0.5, activation=activation
    )
    x = images(3, *size, 6)
    layer.build(x.shape)
    randomize(layer)
    expected = reference.classifier_head(
        x.astype("float64"),
        reference.weights_of(layer),
        pooling=pooling,
        hidden=hidden_units is not None,
        softmax=activation is not None,
    )
    actual = layer(x, training=False)
    assert relative_difference(actual, expected) < TOLERANCE[False]


def assign_centre(kernel: Any) -> None:
    """Makes a convolution read the pixel under the kernel's centre and nothing else."""
    height, width, channels, filters = kernel.shape
    value = np.zeros(kernel.shape, "float32")
    value[height // 2, width // 2] = np.eye(channels, filters)
    kernel.assign(value)


LAW_SIZES = [(16, 17), (32, 33), (7, 6), (1, 2)]


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("size", LAW_SIZES, ids=str)
def test_centre_of_symmetric_padding_reads_every_strided_pixel(
    size: tuple[int, int], strides: int, kernel_size: int
) -> None:
    style = TORCH.replace(normalization=None)
    layer = rl.ConvNorm(2, kernel_size, strides=strides, activation=None, style=style)
    x = images(1, *size, 2)
    layer.build(x.shape)
    assign_centre(layer.convolution.kernel)
    np.testing.assert_array_equal(layer(x), x[:, ::strides, ::strides])


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_centre_of_same_padding_reads_odd_pixels_of_even_sizes(kernel_size: int) -> None:
    style = TORCH.replace(normalization=None, padding="same")
    layer = rl.ConvNorm(2, kernel_size, strides=2, activation=None, style=style)
    x = images(1, 16, 17, 2)
    layer.build(x.shape)
    assign_centre(layer.convolution.kernel)
    np.testing.assert_array_equal(layer(x), x[:, 1::2, ::2])


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("strides_on", ["first", "3x3"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("size", LAW_SIZES, ids=str)
def test_body_and_shortcut_sample_the_same_pixels(
    size: tuple[int, int], shortcut: str, strides_on: str, bottleneck: bool
) -> None:
    style = TORCH.replace(normalization=None, shortcut=shortcut, strides_on=strides_on)
    layer = rl.ConvBlock(2, bottleneck=bottleneck, strides=2, style=style)
    x = np.abs(images(1, *size, 2))  # what ReLU leaves alone
    layer.build(x.shape)
    for variable in layer.weights:
        assign_centre(variable)
    actual = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(actual[..., :2], 2 * x[:, ::2, ::2])
    np.testing.assert_array_equal(actual[..., 2:], 0.0)
