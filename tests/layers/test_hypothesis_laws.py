"""Laws that hold for every geometry, style and size."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from tests.support.randomize import images, randomize, relative_difference, value
from tests.support.strategies import SIDES, STRIDES, block_geometries, make_stage, stages, styles


def ceil_divide(size: int, stride: int) -> int:
    return (size + stride - 1) // stride


@given(
    st.integers(1, 7),
    st.integers(1, 7),
    STRIDES,
    st.integers(1, 3),
    st.integers(1, 2),
    styles(),
    SIDES,
    SIDES,
)
def test_convolution_halves_as_ceil_in_every_padding(
    kernel_height: int,
    kernel_width: int,
    strides: Any,
    dilation_rate: int,
    groups: int,
    style: dict[str, Any],
    height: int,
    width: int,
) -> None:
    strided = max(strides if isinstance(strides, tuple) else (strides,)) > 1
    layer = rl.ConvNorm(
        2 * groups,
        (kernel_height, kernel_width),
        strides=strides,
        dilation_rate=1 if strided else dilation_rate,
        groups=groups,
        style=style,
    )
    y = layer(images(1, height, width, groups))
    down, across = strides if isinstance(strides, tuple) else (strides, strides)
    assert y.shape == (1, ceil_divide(height, down), ceil_divide(width, across), 2 * groups)
    assert y.shape == layer.compute_output_shape((1, height, width, groups))


@given(stages(), SIDES, SIDES)
def test_output_shape_equals_compute_output_shape(
    arguments: dict[str, Any], height: int, width: int
) -> None:
    stage, channels = make_stage(arguments)
    shape = (2, height, width, channels)
    expected = stage.compute_output_shape(shape)
    assert not stage.weights
    assert stage(images(*shape)).shape == expected
    unknown = stage.compute_output_shape((None, None, None, channels))
    assert unknown == (None, None, None, stage.output_filters)


@given(stages(), SIDES, SIDES)
def test_stage_equals_its_blocks_in_sequence(
    arguments: dict[str, Any], height: int, width: int
) -> None:
    stage, channels = make_stage(arguments)
    stage.build((None, None, None, channels))
    randomize(stage)
    x = images(2, height, width, channels)
    expected: Any = x
    for block in stage.block_layers:
        expected = block(expected)
    np.testing.assert_array_equal(value(stage(x)), value(expected))


@given(stages(), SIDES, SIDES)
def test_block_is_activation_of_body_plus_shortcut(
    arguments: dict[str, Any], height: int, width: int
) -> None:
    stage, channels = make_stage(arguments)
    stage.build((None, None, None, channels))
    randomize(stage)
    block = stage.block_layers[0]
    x = images(2, height, width, channels)
    preactivation = block.preactivation
    activated: Any = keras.ops.convert_to_tensor(x) if preactivation is None else preactivation(x)
    total = block.residual(activated)
    if block.style.shortcut != "none":
        total += block.shortcut(keras.ops.convert_to_tensor(x), activated)
    activation = keras.activations.get(None if preactivation else block.style.activation)
    np.testing.assert_array_equal(value(block(x)), value(activation(total)))


@given(stages(anti_aliasing=None, attention=None), SIDES)
def test_residual_is_the_body_in_sequence(arguments: dict[str, Any], side: int) -> None:
    stage, channels = make_stage(arguments)
    stage.build((None, None, None, channels))
    block = randomize(stage).block_layers[0]
    x = images(2, side, side, channels)
    expected: Any = x
    for unit in block.body:
        expected = unit(expected)
    np.testing.assert_array_equal(value(block.residual(x)), value(expected))


@given(
    stages(anti_aliasing=None, padding="symmetric", strided_block="first"),
    st.sampled_from(["A", "B", "none"]),
    SIDES,
    SIDES,
    st.integers(2, 3),
)
def test_dilated_stages_at_every_strided_pixel_equal_the_strided_ones(
    arguments: dict[str, Any], shortcut: str, height: int, width: int, strides: int
) -> None:
    """Where attention looks at all pixels there is no such law."""
    style = {**arguments["style"], "shortcut": shortcut, "attention": None}
    style |= {"normalization": "frozen_batch", "zero_init_last": False}
    arguments = {**arguments, "style": style, "projection": True}
    strided = rl.ResNetStage(**{**arguments, "strides": strides})
    rates = {"dilation_rate": strides, "first_dilation_rate": 1}
    dilated = rl.ResNetStage(**{**arguments, "strides": 1, **rates})
    channels = strided.groups
    for stage in (strided, dilated):
        stage.build((None, None, None, channels))
    dilated.set_weights(randomize(strided).get_weights())
    x = images(1, height, width, channels)
    expected = value(strided(x))
    assert relative_difference(value(dilated(x))[:, ::strides, ::strides], expected) < 1e-5


@given(stages())
def test_config_round_trip(arguments: dict[str, Any]) -> None:
    stage, channels = make_stage(arguments)
    copied = rl.ResNetStage.from_config(stage.get_config())
    assert copied.get_config() == stage.get_config()
    for layer in (stage, copied):
        layer.build((None, None, None, channels))
    assert [v.path for v in copied.weights] == [v.path for v in stage.weights]
    copied.set_weights(randomize(stage).get_weights())
    x = images(2, 5, 6, channels)
    np.testing.assert_array_equal(value(copied(x)), value(stage(x)))


@given(styles())
def test_style_is_a_value(fields: dict[str, Any]) -> None:
    style = rl.BlockStyle(**fields)
    copied = rl.BlockStyle.from_config(style.get_config())
    assert copied == style
    assert hash(copied) == hash(style)
    serialized = keras.saving.serialize_keras_object(style)
    assert keras.saving.deserialize_keras_object(serialized) == style
    assert rl.ConvNorm(1, 1, style=serialized).style == style
    assert rl.ConvNorm(1, 1, style=style.get_config()).style == style


@given(block_geometries(), styles(activation="relu"), SIDES, SIDES)
def test_identity_block_with_zero_last_scale_is_relu_of_its_input(
    geometry: dict[str, Any], fields: dict[str, Any], height: int, width: int
) -> None:
    normalization = fields["normalization"] or "batch"
    style = {**fields, "shortcut": "B", "normalization": normalization, "zero_init_last": True}
    block = rl.IdentityBlock(**geometry, style=style)
    x = images(2, height, width, block.output_filters)
    expected = x if style["preactivation"] else np.maximum(x, 0)
    np.testing.assert_array_equal(value(block(x)), expected)


@given(stages(normalization="batch"), st.permutations(range(3)))
def test_inference_is_equivariant_to_batch_order(
    arguments: dict[str, Any], order: list[int]
) -> None:
    stage, channels = make_stage(arguments)
    stage.build((None, None, None, channels))
    randomize(stage)
    x = images(3, 5, 6, channels)
    assert relative_difference(stage(x[order]), value(stage(x))[order]) < 1e-6


@given(stages(shortcut="none"), SIDES)
def test_plain_twin_has_the_weights_of_a_body_and_no_others(
    arguments: dict[str, Any], side: int
) -> None:
    stage, channels = make_stage(arguments)
    stage.build((None, None, None, channels))
    parts = [
        part
        for block in stage.block_layers
        for part in (block.preactivation, *block.body, block.attention)
    ]
    bodies = [v.path for part in parts if part is not None for v in part.weights]
    assert sorted(v.path for v in stage.weights) == sorted(bodies)
    assert stage(images(1, side, side, channels)).shape[-1] == stage.output_filters


@given(SIDES, SIDES, st.integers(1, 3), st.integers(0, 4))
def test_option_a_reads_every_stride_th_pixel_and_adds_zeros(
    height: int, width: int, strides: int, new: int
) -> None:
    block = rl.ConvBlock(2 + new, strides=strides, style="cifar")
    x = images(2, height, width, 2)
    block(x)
    tensor = keras.ops.convert_to_tensor(x)
    shortcut = value(block.shortcut(tensor, tensor))
    np.testing.assert_array_equal(shortcut[..., :2], x[:, ::strides, ::strides])
    assert not shortcut[..., 2:].any()


@pytest.fixture(scope="module")
def network() -> rl.ResNet:
    return rl.ResNet.from_variant("resnet18", filters=(2, 2, 4, 4), head=None)


@given(st.integers(1, 70), st.integers(1, 70))
def test_network_takes_any_size(network: rl.ResNet, height: int, width: int) -> None:
    x = images(1, height, width, 3)
    maps = network.features(x)
    assert network(x).shape == maps["stage4"].shape
    for tensor in maps.values():
        height, width = ceil_divide(height, 2), ceil_divide(width, 2)  # pooling before stage 1
        assert tuple(tensor.shape[1:3]) == (height, width)


@pytest.mark.share(4)
@pytest.mark.parametrize(
    ("size", "maps"),
    [
        (224, [56, 28, 14, 7]),
        (225, [57, 29, 15, 8]),
        (300, [75, 38, 19, 10]),
        (112, [28, 14, 7, 4]),
        (1, [1, 1, 1, 1]),
    ],
)
def test_sizes_of_the_stages_are_the_papers(size: int, maps: list[int]) -> None:
    model = rl.ResNet.from_variant("resnet50")
    shapes = [x.shape for x in model.features(keras.Input((size, size, 3))).values()]
    assert [shape[1] for shape in shapes] == [ceil_divide(size, 2), *maps]
    assert [shape[-1] for shape in shapes] == [64, 256, 512, 1024, 2048]
