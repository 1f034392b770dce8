"""`ResNet`: variants, counts, features, heads, summary, composition."""

import io
import json
import random
import re
from contextlib import redirect_stdout
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.networks.variants import VARIANTS
from tests.support.randomize import (
    images,
    normalizations,
    randomize,
    relative_difference,
    statistics,
    value,
)
from tests.support.reference import FILES


def tiny(**keywords: Any) -> rl.ResNet:
    return rl.ResNet.from_variant(
        "resnet18",
        **{"blocks": (2, 1), "filters": (4, 8), "stem": {"filters": 4}, "classes": 3, **keywords},
    )


def trainable_parameters(model: Any) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


# He et al. 2015 and torchvision: trainable parameters at 1000 classes, moving statistics.
PUBLISHED = {
    "resnet18": (11_689_512, 9_600),
    "resnet34": (21_797_672, 17_024),
    "resnet50": (25_557_032, 53_120),
    "resnet101": (44_549_160, None),
    "resnet152": (60_192_808, None),
}


@pytest.mark.share(5)
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    model = rl.ResNet.from_variant(name, kernel_initializer="zeros")
    trainable, moving = PUBLISHED[name]
    assert trainable_parameters(model) == trainable
    if moving is not None:
        assert model.count_params() - trainable == moving


def test_resnet50_has_161_trainable_tensors() -> None:
    assert len(rl.ResNet.from_variant("resnet50").trainable_weights) == 161


# Those of timm and torchvision are counted in test_reference_outputs.
OTHERS = [
    pytest.param(n, marks=pytest.mark.slow if "101" in n or "152" in n else ())
    for n in VARIANTS
    if n not in FILES and n != "cifar_resnet1202"
]


@pytest.mark.share(4)
@pytest.mark.parametrize("name", OTHERS)
def test_variant_builds_with_the_parameters_of_its_row(name: str) -> None:
    model = rl.ResNet.from_variant(name, kernel_initializer="zeros")
    assert model.built
    fixed = {"article_resnet34": (32, 32, 3), "vgg19": (224, 224, 3)}
    assert model.input_shape == fixed.get(name, (None, None, 3))
    assert model.name == name
    assert model.output_shape == (None, 1000)
    assert trainable_parameters(model) == VARIANTS[name].parameters


@pytest.mark.slow
@pytest.mark.share(3)
def test_deepest_variant_builds_with_the_parameters_of_its_row() -> None:
    model = rl.ResNet.from_variant("cifar_resnet1202")
    assert trainable_parameters(model) == VARIANTS["cifar_resnet1202"].parameters


@pytest.mark.parametrize(
    ("depth", "millions"),
    [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"), (1202, "19.4")],
)
def test_cifar_networks_have_the_papers_size(depth: int, millions: str) -> None:
    # He et al. 2015, table 6, at 10 classes. The row has 990 classes more, of 64 + 1 each.
    parameters = VARIANTS[f"cifar_resnet{depth}"].parameters - 990 * 65
    assert f"{parameters / 1e6:.{len(millions.split('.')[1])}f}" == millions


def test_looking_a_network_up_draws_nothing() -> None:
    """Otherwise equal seeds would train otherwise after a look at the table."""
    before = random.getstate()
    for name in VARIANTS:
        variants.find(name)
    assert random.getstate() == before


def test_cifar_network_keeps_resolution_in_its_stem_and_ends_at_8x8() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=10)
    shapes = {name: x.shape[1:] for name, x in model.features(keras.Input((32, 32, 3))).items()}
    assert shapes == {
        "stem": (32, 32, 16),
        "stage1": (32, 32, 16),
        "stage2": (16, 16, 32),
        "stage3": (8, 8, 64),
    }


def test_list_variants_is_sorted_and_matches_patterns() -> None:
    assert rl.list_variants() == sorted(VARIANTS)
    assert rl.list_variants("wide_*") == ["wide_resnet101_2", "wide_resnet50_2"]
    assert rl.list_variants("nothing") == []


@pytest.mark.parametrize(
    ("name", "projections"), [("resnet18", [0, 1, 1, 1]), ("resnet50", [1, 1, 1, 1])]
)
def test_only_shape_changes_have_a_projection(name: str, projections: list[int]) -> None:
    model = rl.ResNet.from_variant(name)
    assert [
        sum(type(block) is rl.ConvBlock for block in stage.block_layers) for stage in model.stages
    ] == projections


@pytest.mark.parametrize(("strides_on", "strides"), [("3x3", [1, 2, 1]), ("first", [2, 1, 1])])
def test_stride_of_a_bottleneck_sits_where_the_style_says(
    strides_on: str, strides: list[int]
) -> None:
    model = rl.ResNet.from_variant("resnet50", strides_on=strides_on)
    for stage in model.stages[1:]:
        assert [layer.strides for layer in stage.block_layers[0].body] == strides
        assert [layer.strides for layer in stage.block_layers[1].body] == [1, 1, 1]


def test_styles_have_the_numbers_of_their_sources() -> None:
    torchvision = rl.ResNet.from_variant("resnet18")
    assert {(n.epsilon, n.momentum) for n in normalizations(torchvision)} == {(1e-5, 0.9)}
    article = normalizations(rl.ResNet34())
    stock = keras.layers.BatchNormalization()
    assert {(n.epsilon, n.momentum) for n in article} == {(stock.epsilon, stock.momentum)}


# Composition


def test_model_is_built_as_soon_as_it_is_made() -> None:
    model = tiny()
    assert model.built
    assert all(layer.built for layer in model._flatten_layers())
    before = [id(v) for v in model.variables]
    model(images(1, 16, 16, 3))
    model.build((None, 16, 16, 3))
    assert [id(v) for v in model.variables] == before


def test_stock_layers_can_be_stem_stage_and_head() -> None:
    model = rl.ResNet(
        keras.layers.Conv2D(4, 3, padding="same"),
        [keras.Sequential([keras.layers.SeparableConv2D(6, 3)]), rl.ResNetStage(8, 1)],
        keras.Sequential([keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)]),
        input_shape=(None, None, 1),
    )
    assert model.built
    assert model(images(2, 9, 8, 1)).shape == (2, 2)
    assert model.output_shape == (None, 2)
    assert list(model.features(images(2, 9, 8, 1))) == ["stem", "stage1", "stage2"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_sequential_takes_the_input_shape_of_its_first_layer(rank: int, data_format: str) -> None:
    style = rl.BlockStyle(rank=rank, data_format=data_format)
    sizes = (9, 8, 7)[:rank]
    shape = (*sizes, 2) if data_format == "channels_last" else (2, *sizes)
    model = rl.ResNet(
        rl.Stem(4, pooling=None, style=style), [rl.ResNetStage(4, 1, style=style)],
        rl.ClassifierHead(3, rank=rank, data_format=data_format), input_shape=shape,
    )  # fmt: skip
    sequential = keras.Sequential([model, keras.layers.Softmax()])
    assert (sequential.input_shape, sequential.output_shape) == ((None, *shape), (None, 3))
    x = images(2, *shape)
    assert relative_difference(sequential(x), keras.ops.softmax(model(x))) < 1e-6


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (None, (2, 3, 5, 8)),
        (keras.layers.GlobalAveragePooling2D, (2, 8)),
        (keras.layers.GlobalMaxPooling2D, (2, 8)),
    ],
)
def test_model_without_classes_returns_its_last_map_or_pools_it(
    head: Any, shape: tuple[int, ...]
) -> None:
    model = tiny(classes=1000, head=head and head())
    assert model(images(2, 17, 33, 3)).shape == shape


def test_new_head_on_the_same_layers() -> None:
    model = randomize(tiny())
    x = images(2, 16, 16, 3)
    other = model.replace(head=rl.ClassifierHead(7))
    assert other(x).shape == (2, 7)
    for a, b in zip(other.features(x).values(), model.features(x).values(), strict=True):
        np.testing.assert_array_equal(value(a), value(b))
    assert len(other.trainable_weights) == len(model.trainable_weights)


def test_replace_keeps_all_that_is_not_given() -> None:
    model = randomize(rl.ResNet.from_variant("resnetv2_18", classes=3, input_shape=(16, 16, 3)))
    other = model.replace(metadata={"note": "mine"})
    x = images(2, 16, 16, 3)
    np.testing.assert_array_equal(value(other(x)), value(model(x)))
    assert (other.metadata, model.metadata) == ({"note": "mine"}, {})
    for name in ("stem", "norm", "head"):
        assert getattr(other, name) is getattr(model, name)
    assert all(a is b for a, b in zip(other.stages, model.stages, strict=True))
    assert (other.input_shape, other.name) == (model.input_shape, model.name)


class Derived(rl.ResNet):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def test_replace_of_a_derived_class_makes_a_plain_network() -> None:
    model = Derived(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))
    other = model.replace(head=None)
    assert type(other) is rl.ResNet
    assert other.stages == model.stages


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_input_channels(channels: int) -> None:
    model = tiny(input_shape=(None, None, channels))
    assert model(images(2, 16, 17, channels)).shape == (2, 3)


@pytest.mark.share(4)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool", "float16", "float64"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_images_of_any_dtype(dtype: str, policy: str) -> None:
    model = randomize(tiny(dtype=policy))
    image = np.arange(2 * 16 * 16 * 3).reshape(2, 16, 16, 3).astype(dtype)
    expected = value(model(image.astype("float32")))
    np.testing.assert_array_equal(value(model(image)), expected)
    assert relative_difference(model.predict(image, verbose=0), expected) < 1e-2


def test_wrong_channels_are_refused_with_both_numbers() -> None:
    message = (
        r"expected axis -1 of input shape to have value 3, but received input with shape .*5\)"
    )
    with pytest.raises(ValueError, match=message):
        tiny()(images(2, 16, 16, 5))


def test_overrides_reach_every_layer() -> None:
    model = tiny(
        activation="gelu",
        style="article",
        epsilon=1e-4,
        dtype="mixed_bfloat16",
        trainable=False,
        name="mine",
        metadata={"a": [1]},
        classifier_activation="softmax",
        head={"dropout": 0.5},
    )
    assert (model.name, model.metadata) == ("mine", {"a": [1]})
    assert {n.epsilon for n in normalizations(model)} == {1e-4}
    assert {n.momentum for n in normalizations(model)} == {0.99}
    assert model.get_config()["head"]["config"]["dropout"] == 0.5
    assert not any(layer.trainable for layer in model._flatten_layers())
    y = model(images(2, 16, 16, 3))
    assert y.dtype == "float32"
    np.testing.assert_allclose(value(y).sum(-1), 1, atol=1e-5)


def test_overrides_stem_as_keywords_or_layer() -> None:
    small = {"kernel_size": 3, "strides": 1, "pooling": None}
    for stem in (small, rl.Stem(64, **small)):
        model = rl.ResNet.from_variant("resnet18", stem=stem)
        assert model.features(keras.Input((32, 32, 3)))["stage1"].shape == (None, 32, 32, 64)
        assert not model.stages[0].projection
    assert rl.ResNet.from_variant("resnet18", stem=rl.Stem(32)).stages[0].projection


def test_plain_twin_differs_by_its_shortcuts_alone() -> None:
    model, twin = tiny(), tiny(shortcut="none")
    projections = {v.path for v in model.weights if "projection" in v.path}
    assert [v.path for v in model.weights if v.path not in projections] == [
        v.path for v in twin.weights
    ]


@pytest.mark.parametrize("seeded", [True, False])
def test_kernels_differ_and_a_seed_reproduces_them(seeded: bool) -> None:
    initializer = keras.initializers.HeNormal(seed=7 if seeded else None)

    def kernels() -> list[np.ndarray]:
        model = rl.ResNet.from_variant("cifar_resnet20", kernel_initializer=initializer)
        return [value(v) for v in model.weights if v.name == "kernel" and v.shape[0] == 3]

    first, again = kernels(), kernels()
    for i, a in enumerate(first):
        assert all(a.shape != b.shape or (a != b).any() for b in first[:i])
    equal = [bool((a == b).all()) for a, b in zip(first, again, strict=True)]
    assert all(equal) if seeded else not any(equal)


def test_unrelated_model_first_changes_nothing_after_the_seed() -> None:
    def weights(unrelated: bool) -> list[np.ndarray]:
        if unrelated:
            tiny()
        keras.utils.set_random_seed(5)
        return tiny().get_weights()

    for a, b in zip(weights(False), weights(True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_kernels_start_with_the_variance_of_their_sources() -> None:
    # He et al. 2015 (rectifiers): 2 / fan-out as torchvision has it, 2 / fan-in for CIFAR.
    for name, axis in (("resnet18", 3), ("cifar_resnet56", 2)):
        kernel = rl.ResNet.from_variant(name).stages[2].block_layers[0].body[0].convolution.kernel
        fan = 9 * kernel.shape[axis]
        assert float(np.var(value(kernel))) == pytest.approx(2 / fan, rel=0.05)


@pytest.mark.parametrize("seed", [-1, 0, 2**31 - 1])
def test_any_seed_that_keras_takes_is_taken(seed: int) -> None:
    style = rl.BlockStyle(kernel_initializer=keras.initializers.HeNormal(seed=seed))
    stage = rl.ResNetStage(4, 2, style=style)
    stage.build((None, 8, 8, 4))
    kernels = [value(v) for v in stage.weights if v.name == "kernel" and v.shape[0] == 3]
    assert all((a != b).any() for i, a in enumerate(kernels) for b in kernels[:i])


def test_numpy_integers_are_plain_in_the_config() -> None:
    plain = tiny(input_shape=(None, 9, 3), name="same")
    numpy = tiny(
        blocks=[np.int64(2), np.int32(1)],
        filters=[np.int64(4), np.int32(8)],
        stem={"filters": np.int64(4)},
        classes=np.int32(3),
        input_shape=(None, np.int64(9), np.int64(3)),
        name="same",
    )
    assert numpy.get_config() == plain.get_config()
    json.dumps(numpy.get_config())


def test_policy_map_is_followed(tmp_path: Any) -> None:
    policies = keras.dtype_policies.DTypePolicyMap(default_policy="mixed_bfloat16")
    policies["stage/block1/conv1/convolution"] = keras.DTypePolicy("float32")
    model = rl.ResNet(
        rl.Stem(4, dtype=policies),
        [rl.ResNetStage(4, 1, name="stage", dtype=policies)],
        rl.ClassifierHead(2, dtype=policies),
    )
    first, second = (layer.convolution for layer in model.stages[0].block_layers[0].body)
    assert (first.compute_dtype, second.compute_dtype) == ("float32", "bfloat16")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.stages[0].block_layers[0].body[0].convolution.compute_dtype == "float32"


def test_layer_inside_two_parts_is_refused() -> None:
    stage = rl.ResNetStage(4, 1)
    with pytest.raises(ValueError, match="The parts of a ResNet must be different layers"):
        rl.ResNet(rl.Stem(4), [keras.Sequential([stage]), stage])


def test_head_that_counts_pixels_keeps_to_its_size() -> None:
    model = rl.ResNet34()
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 1"):
        model(images(1, 96, 96, 3))


# Looking inside


def test_features_equal_the_stages_in_sequence() -> None:
    model = randomize(tiny())
    x = images(2, 33, 17, 3)
    maps = model.features(x)
    assert list(maps) == ["stem", "stage1", "stage2"]
    y = model.stem(x)
    for i, stage in enumerate(model.stages, start=1):
        y = stage(y)
        np.testing.assert_array_equal(value(maps[f"stage{i}"]), value(y))
        assert (value(y) >= 0).all()  # after the activation
    np.testing.assert_array_equal(value(model.head(y)), value(model(x)))


def test_features_in_training_count_the_statistics_of_every_normalization() -> None:
    model = randomize(tiny(stem={"filters": 4, "hidden_filters": (2, 3)}))
    before = statistics(model)
    model.features(images(2, 33, 17, 3), training=True)
    for a, b in zip(before, statistics(model), strict=True):
        assert (a != b).all()


@pytest.mark.slow
@pytest.mark.share(2)
def test_features_make_an_extractor_that_trains_saves_and_exports(tmp_path: Any) -> None:
    model = randomize(tiny())
    inputs = keras.Input((32, 32, 3))
    extractor = keras.Model(inputs, model.features(inputs))
    x = images(2, 32, 32, 3)
    for name, tensor in model.features(x).items():
        np.testing.assert_array_equal(value(extractor(x)[name]), value(tensor))
    extractor.compile("sgd", dict.fromkeys(("stem", "stage1", "stage2"), "mse"))
    before = extractor.get_weights()
    extractor.fit(x, {k: np.zeros(v.shape) for k, v in extractor(x).items()}, verbose=0)
    assert all((a != b).any() for a, b in zip(before, extractor.get_weights(), strict=True))
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    for name, tensor in extractor(x).items():
        np.testing.assert_array_equal(value(loaded(x)[name]), value(tensor))
    extractor.export(tmp_path / "exported", verbose=False)
    artifact = tf.saved_model.load(str(tmp_path / "exported"))
    served = artifact.serve(x)
    assert set(served) == {"stem", "stage1", "stage2"}
    for name, tensor in extractor(x).items():
        assert relative_difference(served[name], tensor) < 1e-5


def test_pyramid_levels_have_strides_2_to_32() -> None:
    model = rl.ResNet.from_variant("resnet18")
    sides = [x.shape[1] for x in model.features(keras.Input((64, 64, 3))).values()]
    assert sides == [32, 16, 8, 4, 2]


def test_functional_view_has_one_node_for_each_block() -> None:
    model = randomize(tiny())
    inputs = keras.Input((16, 16, 3))
    x = model.stem(inputs)
    for stage in model.stages:  # a model each, since its blocks are named like the next one's
        stage_inputs = y = keras.Input(x.shape[1:])
        for block in stage.block_layers:
            y = block(y)
        x = keras.Model(stage_inputs, y, name=stage.name)(x)
    view = keras.Model(inputs, model.head(x))
    nodes = [node for name in ("stage1", "stage2") for node in view.get_layer(name).operations]
    assert sum(isinstance(node, (rl.ConvBlock, rl.IdentityBlock)) for node in nodes) == 3
    image = images(2, 16, 16, 3)
    np.testing.assert_array_equal(value(view(image)), value(model(image)))


@pytest.mark.parametrize("called", [False, True])
def test_summary_shows_shapes_and_totals(called: bool) -> None:
    model = tiny(input_shape=(32, 32, 3))
    if called:
        model(images(2, 32, 32, 3))
    output = io.StringIO()
    with redirect_stdout(output):
        model.summary(expand_nested=True, line_length=120)
    text = output.getvalue()
    assert "?" not in text
    assert "unbuilt" not in text
    assert "multiple" not in text
    for shape in ("(None, 8, 8, 4)", "(None, 4, 4, 8)", "(None, 3)"):
        assert shape in text
    assert re.search(rf"Total params: {model.count_params():,}", text)
    assert re.search(rf"Trainable params: {trainable_parameters(model):,}", text)


@pytest.mark.share(4)
@pytest.mark.parametrize("how", ["constructed", "reloaded", "cloned", "functional"])
def test_graph_and_xla_equal_eager_however_the_model_was_made(how: str, tmp_path: Any) -> None:
    model: Any = tiny(input_shape=(16, 16, 3))
    if how == "reloaded":
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    elif how == "cloned":
        model = keras.models.clone_model(model)
    elif how == "functional":
        inputs = keras.Input((16, 16, 3))
        model = keras.Model(inputs, model(inputs))
    x = images(2, 16, 16, 3)
    # The first call of all is the compiled one.
    compiled = tf.function(lambda z: model(z, training=False), jit_compile=True)
    first = value(compiled(x))
    eager = model(x, training=False)
    assert relative_difference(first, eager) < 1e-4
    randomize(model)
    eager = model(x, training=False)
    graph = tf.function(lambda z: model(z, training=False))
    for y in (compiled(x), graph(x), model.predict_on_batch(x), model.predict(x, verbose=0)):
        assert relative_difference(y, eager) < 1e-4


def test_model_is_collected_when_nobody_holds_it() -> None:
    import gc
    import weakref

    model = tiny()
    model(images(1, 16, 16, 3))
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
