"""Plain twins and twins in the manner of VGG."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.analysis.twins import plain_twin, vgg_twin
from resnet_layers.networks import variants
from resnet_layers.serving.formats import FORMATS
from tests.support.randomize import randomize


def noise(shape: Any) -> Any:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@pytest.mark.share(24)
@pytest.mark.parametrize("name", [n for n, row in variants.VARIANTS.items() if row.style != "vgg"])
def test_every_variant_has_a_plain_twin(name: str) -> None:
    row = variants.row(name)
    blocks = tuple(min(count, 2) for count in row.blocks)
    narrow: dict[str, Any] = {"kernel_initializer": "zeros", "blocks": blocks}
    shape: Any = (32, 32, 3) if name == "article_resnet34" else (None,) * row.rank + (3,)
    if "widths" in row.fields:
        narrow["widths"] = None
    image = (32, 32, 3) if row.rank == 2 else (8, 32, 32, 3)
    model = rl.ResNet.from_variant(name, classes=5, input_shape=shape, **narrow)
    twin = plain_twin(model)
    by_name = plain_twin(name, classes=5, input_shape=shape, **narrow)
    found, expected = rl.profile(twin, image), rl.profile(model, image)
    assert [v.shape for v in by_name.weights] == [v.shape for v in twin.weights]
    assert (twin.name, by_name.name) == (f"plain_{name}",) * 2
    assert found.layers == expected.layers
    assert not [part for part in found.total.walk() if part.kind == "addition"]
    assert found.total.output_shape == expected.total.output_shape
    assert twin.count_params() <= model.count_params()


def test_a_plain_twin_computes_its_bodies_alone() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=10, blocks=(1, 1, 1))
    twin: Any = plain_twin(model)
    randomize(twin)
    images = noise((2, 16, 16, 3))
    x: Any = twin.stem(images)
    for stage in twin.stages:
        for block in stage.block_layers:
            x = keras.ops.relu(block.residual(x))
    np.testing.assert_array_equal(twin(images), twin.head(x))


def test_a_twin_of_a_model_keeps_what_is_not_a_shortcut() -> None:
    model: Any = rl.ResNet.from_variant(
        "resnet18",
        classes=3,
        input_shape=(64, 64, 1),
        classifier_activation="softmax",
        zero_init_last=True,
        dtype="mixed_bfloat16",
        metadata={"style": {"shortcut": "B"}},
    )
    twin: Any = plain_twin(model)
    assert twin.input_shape == (64, 64, 1)
    assert twin.dtype_policy.name == "mixed_bfloat16"
    assert twin.metadata == model.metadata
    assert twin.head.get_config() == model.head.get_config()


@pytest.mark.share(3)
@pytest.mark.parametrize("match", ["parameters", "macs"])
@pytest.mark.parametrize(
    ("name", "within"), [("resnet50", 0.06), ("cifar_resnet56", 0.1), ("resnet152", 0.04)]
)
def test_a_twin_of_vgg_is_as_large_or_as_costly(name: str, match: str, within: float) -> None:
    """As near as whole channels come: a step of one is 4 to 8 % here."""
    twin = vgg_twin(name, match=match)
    field = {"parameters": "params", "macs": "macs"}[match]
    found, expected = rl.profile(twin), rl.profile(name)
    assert abs(getattr(found, field) / getattr(expected, field) - 1) < within
    assert found.layers == min(expected.layers, 19)


@pytest.mark.share(4)
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "cifar_resnet20", "resnet50t"])
def test_a_twin_of_vgg_is_as_deep(name: str) -> None:
    model = rl.ResNet.from_variant(name, classes=10, input_shape=(32, 32, 3))
    twin = vgg_twin(model)
    found, expected = rl.profile(twin), rl.profile(model)
    assert found.layers == expected.layers
    # The last map, which VGG pools and flattens, takes the last step.
    assert found.total.stride == expected.total.stride
    assert twin.output_shape == (None, 10)


@pytest.mark.share(6)
def test_the_twin_of_vgg_19_is_vgg_19() -> None:
    found, expected = vgg_twin("vgg19"), rl.profile("vgg19")
    assert rl.profile(found).total == expected.total


def test_twins_of_other_libraries_models() -> None:
    images = keras.Input((32, 32, 3))
    x = images
    for filters in (8, 16, 8, 16, 8, 8, 8):
        x = keras.layers.Conv2D(filters, 3, 2 if filters == 16 else 1, "same")(x)
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(x)), name="mine")
    twin = vgg_twin(model)
    assert (twin.name, twin.stem.filters) == ("vgg_mine", 8)
    assert rl.profile(twin).layers == rl.profile(model).layers == 8


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "litert", "openvino"])
def test_twins_are_exported_for_every_runtime(tmp_path: Path, format_: Any) -> None:
    original = rl.ResNet.from_variant("cifar_resnet20", classes=3, input_shape=(32, 32, 3))
    for model in (plain_twin(original), vgg_twin(original, "macs")):
        randomize(model)
        path = tmp_path / f"{model.name}{FORMATS[format_].endings[0]}"
        report = rl.export(model, path, format=format_)
        assert report.path.exists()


@pytest.mark.share(6)
def test_twins_train_save_fold_and_export(tmp_path: Path) -> None:
    original = rl.ResNet.from_variant("cifar_resnet20", classes=3, input_shape=(16, 16, 3))
    photographs = rl.ResNet.from_variant(
        "resnet10t", classes=3, input_shape=(32, 32, 3), filters=(4, 8, 8, 8), stem={"filters": 4}
    )
    for model in (plain_twin(original), vgg_twin(original), vgg_twin(photographs, "parameters")):
        randomize(model)
        images = noise((4, *model.input_shape))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(images, np.arange(4) % 3, verbose=0, batch_size=4)
        assert np.isfinite(history.history["loss"]).all()
        expected = model.predict(images, verbose=0)
        model.save(tmp_path / "twin.keras")
        reloaded = keras.saving.load_model(tmp_path / "twin.keras")
        np.testing.assert_array_equal(reloaded.predict(images, verbose=0), expected)
        folded = rl.fold_batch_norm(model)
        np.testing.assert_allclose(folded.predict(images, verbose=0), expected, 1e-4, 1e-4)
        report = rl.export(model, tmp_path / model.name, format="tf_saved_model")
        assert report.path.exists()


def test_a_twin_learns_where_its_network_was_frozen() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    model.stages[0].trainable = False
    model.stages[1].block_layers[0].body[0].trainable = False
    twin = plain_twin(model)
    assert rl.profile(twin).trainable == rl.profile(twin).params


def test_a_twin_of_vgg_has_the_precision_and_the_last_activation() -> None:
    model = rl.ResNet.from_variant(
        "cifar_resnet20", classes=3, classifier_activation="softmax", dtype="mixed_bfloat16"
    )
    twin = vgg_twin(model)
    assert twin.dtype_policy.name == "mixed_bfloat16"
    assert twin.head is not None
    assert twin.head.activation == "softmax"


def test_a_twin_of_vgg_has_the_axes_of_the_network() -> None:
    model: Any = rl.ResNet.from_variant(
        "cifar_resnet20", classes=3, input_shape=(3, 16, 24), data_format="channels_first"
    )
    twin = vgg_twin(model, match="macs")
    assert (twin.input_shape, twin.stem.style.data_format) == ((3, 16, 24), "channels_first")
