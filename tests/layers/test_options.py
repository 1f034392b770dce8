"""Every option of a style does something, in every rank and data format, and says so."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.randomize import images, randomize, relative_difference, value

# A field, another value than the default, and what it needs beside it.
FIELDS: list[tuple[str, Any, dict[str, Any]]] = [
    ("activation", "gelu", {}),
    *[("normalization", kind, {}) for kind in ("frozen_batch", "group", "evonorm_s0", "frn", None)],
    ("epsilon", 0.1, {}),
    ("momentum", 0.5, {}),
    ("folded", True, {}),
    ("preactivation", True, {}),
    ("use_bias", True, {}),
    ("use_bias", "unnormalized", {"normalize_shortcut": False}),
    ("standardize_kernels", True, {}),
    ("padding", "same", {}),
    ("strides_on", "first", {}),
    ("strided_block", "last", {}),
    ("reduce_first", 2, {}),
    ("factorize", True, {"rank": 3}),
    *[("shortcut", option, {}) for option in ("A", "C", "D", "none")],
    ("normalize_shortcut", False, {}),
    ("shortcut_kernel_size", 3, {}),
    ("attention", "se", {}),
    ("attention", "eca", {}),
    ("attention_ratio", 0.5, {"attention": "se"}),
    ("anti_aliasing", "blur", {}),
    ("anti_aliasing", "average", {}),
    ("downsample", "max_pool", {"shortcut": "none"}),
    ("zero_init_last", True, {}),
    ("kernel_initializer", "zeros", {}),
    ("kernel_regularizer", "l2", {}),
    ("rank", 1, {}),
    ("rank", 3, {}),
    ("data_format", "channels_first", {}),
]
SIZES = {1: (12,), 2: (12, 10), 3: (6, 8, 7)}


def make_stage(**style: Any) -> tuple[rl.ResNetStage, np.ndarray]:
    """A built stage whose blocks stride, and an input for it."""
    style = rl.BlockStyle(**{"kernel_initializer": "glorot_uniform", **style}).get_config()
    stage = rl.ResNetStage(8, 2, strides=2, bottleneck=True, style=style)
    x = images(2, *SIZES[stage.style.rank], 4)
    if stage.style.data_format == "channels_first":
        x = np.moveaxis(x, -1, 1)
    stage.build(x.shape)
    return stage, x


def test_every_field_of_a_style_is_listed() -> None:
    assert {field for field, _, _ in FIELDS} == set(rl.BlockStyle.__dataclass_fields__)


@pytest.mark.share(8)
@pytest.mark.parametrize(("field", "other", "beside"), FIELDS)
def test_every_field_of_a_style_does_something(
    field: str, other: Any, beside: dict[str, Any]
) -> None:
    """Changes variables, output, statistics, loss or start: not accepted and then ignored."""

    def observe(style: dict[str, Any]) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        stage, x = make_stage(**style)
        start = [value(v) for v in stage.weights]
        randomize(stage)
        output = value(stage(x))
        stage(x, training=True)
        loss = np.asarray(float(sum(stage.losses)) if stage.losses else 0.0)
        return [*start, output, *[value(v) for v in stage.weights], loss]

    before, after = observe(beside), observe({**beside, field: other})
    shapes = [[a.shape for a in arrays] for arrays in (before, after)]
    assert shapes[0] != shapes[1] or any(
        np.abs(a - b).max() > 1e-4 for a, b in zip(before, after, strict=True)
    )


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.parametrize(("field", "other", "beside"), FIELDS)
def test_channels_first_equals_channels_last(
    field: str, other: Any, beside: dict[str, Any]
) -> None:
    style = {**beside, field: other, "data_format": "channels_last"}
    last, x = make_stage(**style)
    first, y = make_stage(**{**style, "data_format": "channels_first"})
    if field != "kernel_initializer":
        randomize(last)
    first.set_weights(last.get_weights())
    np.testing.assert_array_equal(np.moveaxis(x, -1, 1), y)
    for training in (False, True):
        expected = np.moveaxis(value(last(x, training=training)), -1, 1)
        assert relative_difference(first(y, training=training), expected) < 1e-5


@pytest.mark.share(8)
@pytest.mark.parametrize(
    "variant", ["resnet18", "resnetv2_50d_evos", "seresnetaa50d", "resnetblur18", "resnetrs50"]
)
def test_network_with_channels_first_equals_channels_last(variant: str, tmp_path: Path) -> None:
    small: dict[str, Any] = {"blocks": (1, 1), "filters": (8, 16), "classes": 5}
    last = randomize(rl.ResNet.from_variant(variant, **small))
    first = rl.ResNet.from_variant(variant, data_format="channels_first", **small)
    first.set_weights(last.get_weights())
    assert first.input_shape == (3, None, None)
    x = images(2, 33, 40, 3)
    y = np.moveaxis(x, -1, 1)
    assert relative_difference(first(y), last(x)) < 1e-5
    for name, tensor in first.features(y).items():
        expected = np.moveaxis(value(last.features(x)[name]), -1, 1)
        assert relative_difference(tensor, expected) < 1e-5
    first.save(tmp_path / "first.keras")
    reloaded = keras.saving.load_model(tmp_path / "first.keras")
    np.testing.assert_array_equal(value(reloaded(y)), value(first(y)))


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    "data_format", ["channels_last", pytest.param("channels_first", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_network_of_every_rank_trains_and_reloads(
    rank: int, data_format: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    model = rl.ResNet.from_variant(
        "resnet18",
        classes=2,
        blocks=(1, 1),
        filters=(4, 8),
        stem={"filters": 4, "kernel_size": 3},
        rank=rank,
        data_format=data_format,
    )
    sizes = SIZES[rank]
    shape = (3, *sizes) if data_format == "channels_first" else (*sizes, 3)
    labels = np.arange(16) % 2
    x = images(16, *shape) + labels.reshape(-1, *[1] * len(shape))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit(x, labels, epochs=5, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(value(reloaded(x)), value(model(x)))


def test_drop_path_grows_linearly_over_the_blocks_of_a_network() -> None:
    model = rl.ResNet.from_variant("resnet18", drop_path=0.7, filters=(2, 2, 2, 2))
    rates = [block.drop_path for stage in model.stages for block in stage.block_layers]
    np.testing.assert_allclose(rates, np.linspace(0, 0.7, 8))


def test_drop_path_drops_whole_images_and_scales_the_others() -> None:
    keras.utils.set_random_seed(0)
    block = rl.IdentityBlock(4, drop_path=0.25, style={"normalization": None, "activation": None})
    x = images(400, 3, 3, 4)
    kept = value(block(x)) - x
    dropped = value(block(x, training=True)) - x
    is_dropped = np.abs(dropped).max(axis=(1, 2, 3)) == 0
    assert 0.15 < is_dropped.mean() < 0.35
    np.testing.assert_allclose(dropped[~is_dropped], kept[~is_dropped] / 0.75, atol=1e-5)


@pytest.mark.share(2)
@pytest.mark.parametrize("variant", ["resnet50", "resnet18", "resnetv2_50", "keras_resnet50"])
@pytest.mark.parametrize("output_stride", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_dilated_network_sees_what_the_strided_one_sees(variant: str, output_stride: int) -> None:
    small: dict[str, Any] = {"filters": (4, 4, 8, 8), "blocks": (1, 2, 2, 2), "head": None}
    strided = randomize(rl.ResNet.from_variant(variant, **small))
    dilated = rl.ResNet.from_variant(variant, output_stride=output_stride, **small)
    dilated.set_weights(strided.get_weights())
    x = images(1, 97, 64, 3)
    expected = strided.features(x)
    for name, tensor in dilated.features(x).items():
        step = -(-tensor.shape[1] // expected[name].shape[1])
        assert relative_difference(tensor[:, ::step, ::step], expected[name]) < 1e-5
    assert [x.shape[1] for x in dilated.features(x).values()][-1] == -(-97 // output_stride)


@pytest.mark.share(6)
def test_dilated_stage_starts_with_the_rate_before_it() -> None:
    model = rl.ResNet.from_variant("resnet34", output_stride=8)
    rates = [
        [unit.dilation_rate for unit in block.body]
        for stage in model.stages[1:]
        for block in stage.block_layers[:2]
    ]
    assert rates == [[1, 1], [1, 1], [1, 2], [2, 2], [2, 4], [4, 4]]


@pytest.mark.share(4)
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "D", "none"])
@pytest.mark.parametrize(
    "style",
    [
        {"strides_on": "first"},
        {"strides_on": "first", "shortcut_kernel_size": 3},
        {"anti_aliasing": "blur"},
        {"anti_aliasing": "average", "shortcut_kernel_size": 3},
    ],
)
@pytest.mark.parametrize("dilation_rate", [2, (1, 3)])
def test_block_can_stride_and_dilate(
    shortcut: str, style: dict[str, Any], dilation_rate: Any
) -> None:
    block = rl.ConvBlock(
        4,
        strides=2,
        bottleneck=True,
        dilation_rate=dilation_rate,
        style={"shortcut": shortcut, **style},
    )
    x = images(1, 15, 14, 8)
    assert block(x).shape == block.compute_output_shape(x.shape) == (1, 8, 7, 16)


def test_pooled_shortcut_averages_dilated_axes_alone() -> None:
    style = {"shortcut": "D", "normalization": None}
    block = rl.ConvBlock(4, strides=1, dilation_rate=(1, 2), style=style)
    x = np.zeros((1, 5, 5, 4), "float32")
    x[0, 2, 2] = 1
    shortcut = value(block.shortcut(x, keras.ops.convert_to_tensor(block(x) * 0 + x)))
    rows, columns = np.abs(shortcut[0]).max(-1).nonzero()
    assert (set(rows), set(columns)) == ({2}, {1, 2})


@pytest.mark.share(6)
def test_anti_aliased_networks_take_odd_sizes() -> None:
    for variant in ("resnetaa50", "resnetaa34d", "resnetblur50d"):
        small: dict[str, Any] = {"filters": (4, 4, 8, 8), "blocks": (1, 1, 1, 1), "head": None}
        model = rl.ResNet.from_variant(variant, **small)
        for size in (1, 2, 3, 70, 71, 72, 80):
            x = images(1, size, size + 1, 3)
            assert model(x).shape == model.compute_output_shape(x.shape)


def test_registered_layers_of_the_options() -> None:
    names = {
        name for name in keras.saving.get_custom_objects() if name.startswith("resnet_layers>")
    }
    assert {
        f"resnet_layers>{name}"
        for name in (
            "EfficientChannelAttention",
            "EvoNormS0",
            "FilterResponseNormalization",
            "FrozenBatchNormalization",
            "GroupNormalization",
            "SqueezeExcitation",
            "StandardizedConv1D",
            "StandardizedConv2D",
            "StandardizedConv3D",
        )
    } <= names
