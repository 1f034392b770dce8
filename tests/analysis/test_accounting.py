"""What a profile counts, against timm's tables, XLA, built models and by hand."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.analysis.profile import Profile, profile
from resnet_layers.networks import variants

TIMM = Path(__file__).parents[1] / "data/analysis/timm_accounting.csv"
WRONG = "ecaresnext50t_32x4d"  # a copy of the row of the one with 26 layers


def published() -> list[dict[str, str]]:
    with TIMM.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.share(4)
@pytest.mark.parametrize("row", published(), ids=lambda row: f"{row['model']}-{row['image_size']}")
def test_counts_are_timms_to_the_last_digit(row: dict[str, str]) -> None:
    size = int(row["image_size"])
    found = profile(row["model"], (size, size, 3), convention="timm")
    numbers = {
        "params_millions": found.params / 1e6,
        "gmacs": found.macs / 1e9,
        "activations_millions": found.activations / 1e6,
    }
    wrong = [
        name
        for name, number in numbers.items()
        if abs(number - float(row[name])) > 0.5001 * 10 ** -len(row[name].partition(".")[2])
    ]
    assert wrong == (list(numbers) if row["model"] == WRONG else [])


def test_the_row_that_timm_has_wrong_is_known() -> None:
    assert round(profile(WRONG).macs / 1e9, 2) == 4.44


@pytest.mark.share(3)
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_parameters_are_those_of_the_row(name: str) -> None:
    shape = (32, 32, 3) if name == "article_resnet34" else None
    assert profile(name, shape).params == variants.row(name).parameters


@pytest.mark.parametrize(
    ("convention", "name", "billions"),
    [
        ("macs", "resnet18", 1.81),
        ("macs", "resnet34", 3.66),
        ("macs", "keras_resnet50", 3.86),
        ("macs", "resnet50", 4.09),
        ("ptflops", "resnet50", 4.12),
        ("timm", "resnet50", 4.11),
        ("flops", "resnet50", 8.18),
    ],
)
def test_published_figures_have_a_convention(convention: str, name: str, billions: float) -> None:
    assert round(profile(name, convention=convention).macs / 1e9, 2) == billions


@pytest.mark.share(16)
@pytest.mark.parametrize("name", variants.VARIANTS)
def test_a_model_counts_as_its_name_does(name: str) -> None:
    row = variants.row(name)
    blocks = tuple(min(count, 2) for count in row.blocks)
    widths: dict[str, Any] = {"widths": None} if "widths" in row.fields else {}
    image = (32, 32, 3) if row.rank == 2 else (8, 32, 32, 3)
    flattens = name in ("article_resnet34", "vgg19")
    shape = image if flattens else (None,) * row.rank + (3,)
    model = rl.ResNet.from_variant(
        name, blocks=blocks, input_shape=shape, kernel_initializer="zeros", **widths
    )
    row_of_it = variants.find(name).override(blocks=blocks, **widths)[0]
    of_model, of_row = profile(model, image), profile(row_of_it, image)
    assert_counts_variables(of_model, model)
    assert of_model.rows() == [
        {**r, "name": r["name"].replace("variant", name)} for r in of_row.rows()
    ]


def assert_counts_variables(found: Profile, model: Any) -> None:
    assert found.params + found.statistics == model.count_params()
    assert found.trainable == sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.share(6)
def test_folding_takes_normalization_away() -> None:
    model = rl.ResNet.from_variant("resnet18d", classes=10)
    before, after = profile(model, (64, 64, 3)), profile(rl.fold_batch_norm(model), (64, 64, 3))
    assert (after.macs, after.activations) == (before.macs, before.activations)
    assert after.statistics == 0
    assert_counts_variables(after, rl.fold_batch_norm(model))


@pytest.mark.share(6)
def test_folding_leaves_the_normalization_of_pre_activation() -> None:
    folded = rl.fold_batch_norm(rl.ResNet.from_variant("keras_resnet50v2", input_shape=(64, 64, 3)))
    found = profile(folded)
    assert_counts_variables(found, folded)
    assert found.part("stage2/block3/preactivation/normalization").params == 2 * 512


def test_what_does_not_train_is_counted_apart() -> None:
    model = rl.ResNet.from_variant("resnet18", classes=10)
    model.stages[0].trainable = False
    model.stages[1].block_layers[0].body[0].convolution.trainable = False
    found = profile(model, (64, 64, 3))
    assert_counts_variables(found, model)
    assert found.part("stage1").trainable == 0
    assert found.part("stage2/block1/conv1/convolution").trainable == 0
    assert profile("resnet18", dtype="float16").total.weight_bytes == 2 * (11_689_512 + 9_600)


def test_channels_first_count_as_channels_last() -> None:
    first = rl.ResNet.from_variant("seresnet18", classes=10, data_format="channels_first")
    last = rl.ResNet.from_variant("seresnet18", classes=10)
    found, expected = profile(first, (3, 64, 48)), profile(last, (64, 48, 3))
    assert found.input_shape == (3, 64, 48)
    assert found.part("stage1").output_shape == (64, 16, 12)
    shapes = ("output_shape",)
    for mine, other in zip(found.rows(), expected.rows(), strict=True):
        assert {k: v for k, v in mine.items() if k not in shapes} == {
            k: v for k, v in other.items() if k not in shapes
        }


def test_a_batch_has_as_many_operations_for_each_image() -> None:
    one, eight = profile("resnet18"), profile("resnet18", batch=8)
    assert (eight.params, eight.macs) == (one.params, 8 * one.macs)
    assert eight.total.live_bytes == 8 * one.total.live_bytes
    assert eight.total.intensity > one.total.intensity


def test_parts_add_up() -> None:
    total = profile("seresnextaa101d_32x8d").total
    for part in total.walk():
        if part.parts:
            for name in ("params", "trainable", "statistics", "macs", "activations"):
                assert sum(getattr(p, name) for p in part.parts) == getattr(part, name)
            assert part.live_bytes == max(p.live_bytes for p in part.parts)


def test_the_largest_live_set_by_hand() -> None:
    """An identity block keeps its input while the body makes two maps of the same size."""
    block = rl.IdentityBlock(8)
    block.build((None, 4, 4, 8))
    bytes_of_a_map = 4 * 4 * 4 * 8
    found = profile(block, (4, 4, 8))
    assert found.total.live_bytes == 3 * bytes_of_a_map  # input, first convolution's, second's
    assert found.part("add").live_bytes == 2 * bytes_of_a_map


def test_the_intensity_of_a_layer_by_hand() -> None:
    layer = keras.layers.Dense(5)
    layer.build((None, 3))
    found = profile(layer, (3,), batch=8)
    assert found.total.intensity == 2 * 8 * 15 / (4 * (8 * 3 + 20 + 8 * 5))


def stock() -> dict[str, Any]:
    """Stock networks, without their weights."""
    applications = keras.applications
    return {
        "ResNet50": applications.ResNet50(weights=None),
        "VGG19": applications.VGG19(weights=None),
        "MobileNetV2": applications.MobileNetV2(weights=None, alpha=0.35),
    }


@pytest.mark.share(6)
def test_stock_networks_are_followed() -> None:
    for name, model in stock().items():
        found = profile(model)
        assert_counts_variables(found, model)
        assert found.unknown == {}, name
        assert (
            round(found.macs / 1e9, 1) == {"ResNet50": 3.9, "VGG19": 19.6, "MobileNetV2": 0.1}[name]
        )


def test_our_networks_within_others_are_followed() -> None:
    inner = rl.ResNet.from_variant("resnet18", classes=10)
    images = keras.Input((64, 64, 3))
    outer = keras.Sequential([keras.layers.Rescaling(1 / 255), inner, keras.layers.Softmax()])
    outer.build((None, 64, 64, 3))
    wired = keras.Model(images, keras.layers.Softmax()(inner(images)))
    expected = profile(inner, (64, 64, 3))
    for model in (outer, wired, rl.functional_view(inner)):
        found = profile(model, (64, 64, 3))
        assert (found.params, found.macs) == (expected.params, expected.macs)
        assert found.unknown == {}


def test_a_shared_layer_is_counted_once() -> None:
    images = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", use_bias=False)
    model = keras.Model(images, shared(shared(images)))
    found = profile(model)
    assert (found.params, found.macs) == (81, 2 * 81 * 64)


def test_each_call_of_a_shared_layer_adds_its_bias() -> None:
    images = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 1)
    found = profile(keras.Model(images, shared(shared(images))), convention="ptflops")
    assert found.macs == 2 * 64 * (9 + 3)


@keras.saving.register_keras_serializable(package="tests")
class Doubled(keras.Model):
    """Somebody's model with a `call` of its own."""

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) + self.inner(inputs[:, ::-1])


def test_a_model_of_somebodys_class_is_followed() -> None:
    inner = rl.ResNet.from_variant("cifar_resnet20", classes=10)
    nodes = len(inner.stem._inbound_nodes)
    model = Doubled(inner)
    found = profile(model, (32, 32, 3))
    expected = profile(inner, (32, 32, 3))
    assert (found.params, found.macs) == (expected.params, 2 * expected.macs)
    assert found.unknown == {}
    assert len(inner.stem._inbound_nodes) == nodes


class Halves(keras.layers.Layer):
    """A layer that nobody knows."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs: Any) -> Any:
        return inputs[:, ::2] * self.scale


def test_an_unknown_layer_is_named() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), Halves(name="mine"), keras.layers.Flatten()])
    found = profile(model)
    assert found.unknown == {"mine": "Halves"}
    assert found.params == 3
    assert "unknown: mine (Halves), whose operations are not in these numbers" in str(found)
    assert "0+?" in str(found)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method")
@pytest.mark.parametrize("how", ["lora", "int8"])
def test_a_layer_with_other_variables_than_its_arguments_say_is_unknown(how: str) -> None:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="mine")])
    model.get_layer("mine").enable_lora(2) if how == "lora" else model.quantize("int8")
    found = rl.profile(model)
    assert found.unknown == {"mine": "Dense"}
    assert found.params == sum(int(np.prod(variable.shape)) for variable in model.weights)


class Thins(keras.layers.Layer):
    """Keeps a number of rows that it does not tell."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(3,))
        self.seen = self.add_weight(shape=(5,), trainable=False)

    def call(self, inputs: Any) -> Any:
        return inputs[:, ::2]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], None, *input_shape[2:])


def test_what_an_instance_computes_otherwise_than_its_class_is_not_guessed() -> None:
    images = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 3, name="mine")
    inner = keras.Model(images, keras.layers.Conv2D(2, 1)(layer(images)), name="inner")
    model = keras.Model(images, inner(images))
    assert profile(model).macs == 36 * (108 + 8)
    inner_call, layer_call = inner.call, layer.call
    inner.call = lambda x: inner_call(x) + inner_call(x)
    assert profile(model).macs == 2 * 36 * (108 + 8)
    del vars(inner)["call"]
    layer.call = lambda x: layer_call(x) + layer_call(x)
    found = profile(model)
    assert found.unknown == {"inner/mine": "Conv2D"}
    assert found.params == model.count_params()


def test_what_reads_maps_of_unknown_sizes_is_unknown() -> None:
    images = keras.Input((8, 8, 3))
    x = Thins(name="thins")(keras.layers.Conv2D(4, 3, name="first")(images))
    x = keras.layers.Conv2D(5, 3, name="second")(keras.layers.ReLU()(x))
    x = keras.layers.Dense(2, name="last")(keras.layers.GlobalAveragePooling2D()(x))
    found = rl.profile(keras.Model(images, x))
    assert found.unknown == {"thins": "Thins", "second": "Conv2D"}
    assert (found.params, found.statistics) == (112 + 3 + 185 + 12, 5)
    assert found.macs == 6 * 6 * 9 * 3 * 4 + 5 * 2  # what is known again behind the pooling


def test_a_model_of_several_inputs_and_outputs_is_followed() -> None:
    layers = keras.layers
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    x = layers.Conv2D(4, 3, use_bias=False)(a)
    inner = keras.Model(a, [x, layers.Flatten()(x)])
    first, second = inner(b)
    outer = keras.Model([a, b], [layers.Conv2D(2, 1)(first), layers.Dense(3)(second), x])
    found = profile(outer)
    assert found.params == outer.count_params() == 108 + 10 + 144 * 3 + 3
    assert found.macs == 36 * (108 + 108 + 8) + 144 * 3


L = keras.layers
NORMALIZATIONS = {
    "all axes": lambda: L.LayerNormalization(axis=[1, 2, 3]),
    "pixels": lambda: L.LayerNormalization(axis=[1, 2]),
    "root mean square": lambda: L.RMSNormalization(axis=[1, 2, 3]),
    "rows": lambda: L.BatchNormalization(axis=1),
    "groups of rows": lambda: L.GroupNormalization(groups=2, axis=1),
}


@pytest.mark.parametrize("make", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_normalization_has_variables_for_its_axes(make: Any) -> None:
    model = keras.Sequential([keras.Input((8, 6, 4)), make()])
    assert_counts_variables(profile(model), model)


def test_what_is_broadcast_has_the_shape_of_both() -> None:
    images = keras.Input((8, 6, 3))
    parts = [L.AveragePooling2D((8, 1))(images), L.AveragePooling2D((1, 6))(images)]
    found = profile(keras.Model(images, L.Add()(parts)))
    assert found.total.output_shape == (8, 6, 3)


def test_the_field_of_a_network_is_that_of_its_last_map_or_unknown() -> None:
    images = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, 2, padding="same")(images)
    weighed = L.Multiply()([x, L.Reshape((1, 1, 4))(L.GlobalAveragePooling2D()(x))])
    assert profile(keras.Model(images, L.Conv2D(2, 3)(weighed))).receptive_field == (7, 7)
    enlarged = keras.Model(images, L.Conv2D(2, 3)(L.UpSampling2D()(x)))
    assert profile(enlarged).receptive_field is None


def test_outputs_and_what_is_moved_are_alive() -> None:
    images = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 1)(images)
    both = profile(keras.Model(images, [x, L.ReLU()(x)]))
    assert both.total.live_bytes == 4 * 64 * (4 + 4)
    joined = keras.ops.concatenate([images, images * 2], -1)
    assert profile(keras.Model(images, joined)).total.live_bytes == 4 * 64 * (3 + 3 + 6)


def test_images_are_resized_before_they_are_seen() -> None:
    layers = [keras.Input((40, 60, 3)), rl.Preprocessing(image_size=32), rl.ConvNorm(4, 3)]
    found = profile(keras.Sequential(layers))
    assert found.total.output_shape == (32, 32, 4)
    assert found.receptive_field is None
    assert "  -" in found.text(1)


def test_a_layer_whose_trace_loses_variables_is_unknown() -> None:
    """Keras' wrapper calls its layer past `__call__`."""
    images = keras.Input((7, 5))
    wrapper = keras.layers.TimeDistributed(keras.layers.Dense(3), name="wrapper")
    found = profile(keras.Model(images, wrapper(images)))
    assert found.unknown == {"wrapper": "TimeDistributed"}
    assert found.params == 18


def test_nothing_is_made_of_a_network_that_is_not_built() -> None:
    model = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()])
    found = profile(model, (8, 8, 3))
    assert (found.params, found.macs) == (3 * 3 * 3 * 4 + 4 + 8, 27 * 4 * 36)
    assert not model.built
    assert model.variables == []


XLA = """
import json, sys
import jax, keras
import resnet_layers as rl
from resnet_layers.analysis.profile import profile

shares = {}
for name, size in json.loads(sys.argv[1]).items():
    video = name.endswith("_18") and not name.startswith("resnet")
    shape = (8, size, size, 3) if video else (size, size, 3)
    fixed = {"input_shape": shape} if name == "article_resnet34" else {}
    model = rl.ResNet.from_variant(name, kernel_initializer="zeros", **fixed)

    def call(trainable, others, x):
        return model.stateless_call(trainable, others, x, training=False)[0]

    variables = [[v.value for v in found] for found in
                 (model.trainable_variables, model.non_trainable_variables)]
    lowered = jax.jit(call).lower(*variables, jax.ShapeDtypeStruct((1, *shape), "float32"))
    flops = lowered.cost_analysis()["flops"]
    shares[name] = profile(model, shape, convention="xla").macs / flops
print(json.dumps(shares))
"""
FEW = {"seresnet18": 64, "cifar_resnet20": 32}
MANY = {
    "resnet18": 64,
    "resnetv2_18d": 64,
    "resnet50": 96,
    "resnet50_gn": 96,
    "resnetv2_50x1_bit": 96,
    "resnetv2_50d_evos": 96,
    "resnetv2_50d_frn": 96,
    "ecaresnet50t": 96,
    "resnetblur50": 96,
    "resnetaa50d": 96,
    "resnext50_32x4d": 96,
    "resnetrs50": 96,
    "keras_resnet50": 96,
    "keras_resnet50v2": 96,
    "article_resnet34": 32,
    "senet154": 96,
    "r2plus1d_18": 32,
    "mc3_18": 32,
}


@pytest.mark.share(3)
@pytest.mark.parametrize(
    "networks", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_operations_are_those_that_xla_counts(networks: dict[str, int]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", XLA, json.dumps(networks)],
        env={**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    shares = json.loads(ended.stdout.splitlines()[-1])
    assert {name: share for name, share in shares.items() if abs(share - 1) > 0.01} == {}
