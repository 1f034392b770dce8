"""Published weights by name: tags, where their files are found, what a model knows of them."""

import dataclasses
import os
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import h5py
import huggingface_hub
import keras
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.weights import pretrained, tags
from tests.support.randomize import (
    assert_same_weights,
    images,
    randomize,
    relative_difference,
    value,
)
from tests.weights.test_reading import write_legacy

TAG = "test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the hub has it, with random values."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    rl.save_torch_weights(randomize(rl.ResNet.from_variant("test_resnet")), path)
    return path


@pytest.fixture(autouse=True)
def _nothing_is_found_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, and no way to download."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def logits(model: Any) -> np.ndarray:
    return value(model(images(1, 40, 33, 3)))


def expected(weights: Path) -> np.ndarray:
    model = rl.ResNet.from_variant("test_resnet")
    rl.load_weights_from(model, weights)
    return logits(model)


# --- the table -----------------------------------------------------------------------------------


def test_table_has_every_published_tag() -> None:
    table = tags.table()
    assert len(table) == 199 + 6
    assert len(rl.list_pretrained()) == 174 + 6
    assert rl.list_pretrained() == sorted(rl.list_pretrained())
    assert {tag.variant for tag in table.values()} <= set(variants.VARIANTS)
    assert {tag.license for tag in table.values()} == {
        "apache-2.0",
        "bsd-3-clause",
        "cc-by-nc-4.0",
        "",
    }


@pytest.mark.parametrize("tag", tags.table())
def test_every_tag_has_a_preprocessing(tag: str) -> None:
    row = tags.find(tag)
    for test in (False, True):
        layer = rl.preprocessing(tag, test=test)
        assert layer.image_size == (row.test_image_size if test else row.image_size)
        assert layer.crop_pct == (row.test_crop_pct if test else row.crop_pct)
        assert layer.interpolation == row.interpolation


def test_preprocessing_is_what_timm_publishes() -> None:
    layer = rl.preprocessing("resnet10t.c3_in1k")
    assert (layer.image_size, layer.crop_pct, layer.interpolation) == (176, 0.875, "bicubic")
    assert (layer.mean, layer.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    test = rl.preprocessing("resnet10t.c3_in1k", test=True)
    assert (test.image_size, test.crop_pct) == (224, 0.95)
    bit = rl.preprocessing("resnetv2_50x1_bit.goog_in21k_ft_in1k")
    assert (bit.image_size, bit.crop_pct, bit.mean) == (448, 1.0, (0.5, 0.5, 0.5))
    assert rl.preprocessing("keras_resnet50.imagenet").channels == "bgr"
    assert rl.preprocessing("keras_resnet50v2.imagenet").mean == (0.5, 0.5, 0.5)


def test_list_takes_a_pattern_and_is_sorted() -> None:
    assert rl.list_pretrained("resnet18.a*") == [f"resnet18.a{i}_in1k" for i in (1, 2, 3)]
    assert rl.list_pretrained("nothing*") == []
    assert len(rl.list_pretrained("keras_*")) == 6
    assert "resnet50t.untrained" not in rl.list_pretrained("resnet50t*")


# --- where files are found -----------------------------------------------------------------------


@pytest.mark.share(2)
@pytest.mark.parametrize("name", [f"{TAG}.safetensors", f"{TAG}/model.safetensors"])
def test_file_in_a_folder_is_found(weights: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(weights, path)
    for make in (rl.from_pretrained, rl.ResNet.from_pretrained):
        model = make(TAG, folder=tmp_path)
        np.testing.assert_array_equal(logits(model), expected(weights))
        assert model.metadata["pretrained"] == {
            "tag": TAG,
            "source": str(path),
            "license": "apache-2.0",
            "classes": 1000,
        }


# In the order in which they are looked for.
FORMS = [
    *(f"{TAG}{ending}" for ending in (".safetensors", ".pth", ".npz", ".h5")),
    *(f"{TAG}/{name}" for name in ("model.safetensors", "pytorch_model.bin")),
]


@pytest.mark.share(3)
@pytest.mark.parametrize("first", range(len(FORMS)), ids=FORMS)
def test_forms_in_a_folder_are_looked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    read = []
    monkeypatch.setattr(pretrained, "load_weights_from", lambda _, path, skip: read.append(path))
    (tmp_path / TAG).mkdir()
    for name in FORMS[first:]:
        (tmp_path / name).touch()
    model = rl.from_pretrained(TAG, folder=str(tmp_path))
    assert read == [tmp_path / FORMS[first]]
    assert model.metadata["pretrained"]["source"] == str(tmp_path / FORMS[first])


@pytest.mark.share(6)
def test_arrays_of_numpy_in_a_folder_are_read(weights: Path, tmp_path: Path) -> None:
    arrays: dict[str, Any] = load_file(weights)
    np.savez(tmp_path / f"{TAG}.npz", **arrays)
    model = rl.from_pretrained(TAG, folder=tmp_path)
    np.testing.assert_array_equal(logits(model), expected(weights))


def test_folder_comes_before_the_cache_of_the_hub(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_hub_cache(tmp_path / "cache", monkeypatch, "model.safetensors")
    path.write_bytes(b"damaged")
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path)
    assert model.metadata["pretrained"]["source"] == str(tmp_path / f"{TAG}.safetensors")
    monkeypatch.setattr(pretrained, "load_weights_from", lambda *_, **__: None)
    again = rl.from_pretrained(TAG, folder=tmp_path / "nothing")
    assert again.metadata["pretrained"]["source"] == str(path)


def in_hub_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """The same, in the cache of huggingface_hub itself."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", huggingface_hub)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return fill_hub_cache(cache, name)


def fill_hub_cache(cache: Path, name: str) -> Path:
    """Where the hub keeps a file of the newest commit."""
    repository = cache / f"models--timm--{TAG}"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    return repository / "snapshots" / "abc" / name


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_file_in_the_cache_of_the_hub_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = in_hub_cache(tmp_path, monkeypatch, name)
    path.touch()
    monkeypatch.setattr(pretrained, "load_weights_from", lambda *_, **__: None)
    assert rl.from_pretrained(TAG).metadata["pretrained"]["source"] == str(path)


@pytest.mark.parametrize(
    ("variables", "cache"),
    [
        ({"HF_HUB_CACHE": "$HOME/a", "HF_HOME": "~/c"}, "a"),
        ({"HF_HOME": "~/c", "XDG_CACHE_HOME": "$HOME/d"}, "c/hub"),
        ({}, ".cache/huggingface/hub"),
    ],
)
@pytest.mark.slow
def test_cache_is_where_the_variables_of_the_hub_say(
    tmp_path: Path, variables: dict[str, str], cache: str
) -> None:
    """The hub reads them when it is imported."""
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    path = fill_hub_cache(tmp_path / cache, "model.safetensors")
    rl.save_torch_weights(rl.ResNet.from_variant("test_resnet"), path)
    code = f"import resnet_layers as rl; print(rl.from_pretrained('{TAG}').metadata)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,  # others keep caches there, too
        env={**environment, "HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(path) in result.stdout, result.stderr


def test_commits_that_are_not_the_newest_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    path = in_hub_cache(tmp_path, monkeypatch, "model.safetensors")
    older = path.parents[1] / "0ld" / path.name
    older.parent.mkdir()
    older.write_bytes(b"damaged")
    shutil.copy(weights, path)
    np.testing.assert_array_equal(logits(rl.from_pretrained(TAG)), expected(weights))


def hub(monkeypatch: pytest.MonkeyPatch, download: Any) -> None:
    """Stands for huggingface_hub, with an empty cache."""
    module = types.SimpleNamespace(
        hf_hub_download=download, try_to_load_from_cache=lambda repository, name: None
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_file_is_downloaded_from_the_hub(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(weights)

    hub(monkeypatch, download)
    model = rl.from_pretrained(TAG)
    np.testing.assert_array_equal(logits(model), expected(weights))
    assert asked == [(f"timm/{TAG}", "model.safetensors")]
    assert model.metadata["pretrained"]["source"] == f"timm/{TAG}"


# --- what a model knows --------------------------------------------------------------------------


def test_metadata_stay_with_the_file(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path, metadata={"note": "mine"})
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.metadata == model.metadata
    assert again.metadata["note"] == "mine"
    assert rl.preprocessing(again).get_config() == {
        **rl.preprocessing(TAG).get_config(),
        "name": "preprocessing",
    }
    photo = np.random.default_rng(0).integers(0, 256, (1, 50, 60, 3), np.uint8)
    np.testing.assert_array_equal(
        value(rl.preprocessing(again)(photo)), value(rl.preprocessing(TAG)(photo))
    )


def test_other_classes_get_a_fresh_classifier_alone(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path, classes=5)
    fresh = rl.ResNet.from_variant("test_resnet", classes=5)
    original = rl.from_pretrained(TAG, folder=tmp_path, head=None)
    assert_same_weights(model.head.weights[1:], fresh.head.weights[1:])  # type: ignore[union-attr]
    body = [variable for variable in model.weights if "/head/" not in f"/{variable.path}"]
    assert_same_weights(body, original.weights)
    assert model.metadata["pretrained"]["classes"] == 1000


def test_first_kernel_is_adapted_to_a_single_channel(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    grey = rl.from_pretrained(TAG, folder=tmp_path, input_shape=(None, None, 1))
    colour = rl.from_pretrained(TAG, folder=tmp_path)
    x = images(1, 40, 33, 1)
    # As if the three channels were equal.
    assert relative_difference(grey(x), colour(np.repeat(x, 3, axis=-1))) < 1e-5


@pytest.mark.share(4)
@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"classes": 5}, (None, 5)),
        ({"classes": 1000}, (None, 1000)),
        ({"head": None}, (None, None, None, 96)),
        ({"input_shape": (None, None, 1)}, (None, 1000)),
        ({"data_format": "channels_first"}, (None, 1000)),
    ],
)
def test_network_can_differ_from_the_published_one(
    weights: Path, tmp_path: Path, arguments: dict[str, Any], shape: tuple[int | None, ...]
) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path, **arguments)
    assert model.output_shape == shape
    original = rl.from_pretrained(TAG, folder=tmp_path)
    for a, b in zip(model.stages[3].weights, original.stages[3].weights, strict=True):
        np.testing.assert_array_equal(value(a), value(b))
    layer = rl.preprocessing(model)
    assert layer.data_format == arguments.get("data_format", "channels_last")


@pytest.mark.slow
@pytest.mark.share(2)
def test_keywords_of_the_head_keep_the_classifier(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path, head={"dropout": 0.5}, metadata=None)
    assert model.get_config()["head"]["config"]["dropout"] == 0.5
    np.testing.assert_array_equal(logits(model), expected(weights))
    model = rl.from_pretrained(TAG, folder=tmp_path, head={"dropout": 0.5}, classes=7)
    assert model.output_shape == (None, 7)
    with pytest.raises(ValueError, match="must be left out when `head` is given"):
        rl.from_pretrained(TAG, folder=tmp_path, head=rl.ClassifierHead(9), classes=7)
    own = rl.from_pretrained(TAG, folder=tmp_path, head=rl.ClassifierHead(9))
    assert own.output_shape == (None, 9)


def test_network_of_one_size_gets_images_of_that_size(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    model = rl.from_pretrained(TAG, folder=tmp_path, input_shape=(48, 64, 3))
    assert rl.preprocessing(model).image_size == (48, 64)
    photo = np.zeros((1, 50, 60, 3), "uint8")
    assert model(rl.preprocessing(model)(photo)).shape == (1, 1000)


def test_derived_class_gets_published_weights(weights: Path, tmp_path: Path) -> None:
    class Mine(rl.ResNet):
        pass

    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    assert type(Mine.from_pretrained(TAG, folder=tmp_path)) is Mine


def fake(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The tag of the small network with other properties, in place of a large one."""
    row = dataclasses.replace(tags.find(TAG), **changes)
    monkeypatch.setattr(tags, "find", lambda _: row)


@pytest.mark.parametrize("make", [rl.from_pretrained, rl.ResNet.from_pretrained])
def test_licence_against_commercial_use_is_a_warning(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    shutil.copy(weights, tmp_path / f"{TAG}.safetensors")
    fake(monkeypatch, license="cc-by-nc-4.0")
    with pytest.warns(UserWarning, match="non-commercial") as caught:
        model = make(TAG, folder=tmp_path)
    assert str(caught[0].message) == (
        f"The weights '{TAG}' are licensed for non-commercial use alone (cc-by-nc-4.0)"
    )
    assert caught[0].filename == __file__
    assert model.metadata["pretrained"]["license"] == "cc-by-nc-4.0"
    assert tags.table()["resnet18.fb_swsl_ig1b_ft_in1k"].license == "cc-by-nc-4.0"


def test_weights_without_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of resnet50.bamboo, with the small network in its place."""
    assert tags.find("resnet50.bamboo").classes == 0
    source = rl.ResNet.from_variant("test_resnet", head=None)
    rl.save_torch_weights(randomize(source), tmp_path / f"{TAG}.safetensors")
    fake(monkeypatch, classes=0, license="")
    model = rl.from_pretrained(TAG, folder=tmp_path)
    assert model.head is None
    np.testing.assert_array_equal(logits(model), logits(source))
    assert model.metadata["pretrained"]["license"] is None
    for arguments in ({"classes": 4}, {"head": {"dropout": 0.5}, "classes": 4}):
        model = rl.from_pretrained(TAG, folder=tmp_path, **arguments)
        assert model.output_shape == (None, 4)


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    "name", ["keras_resnet50.imagenet.h5", "resnet50_weights_tf_dim_ordering_tf_kernels.h5"]
)
def test_weights_of_keras_are_found_in_a_folder(tmp_path: Path, name: str) -> None:
    original = randomize(keras.applications.ResNet50(weights=None, classifier_activation=None))
    with h5py.File(tmp_path / name, "w") as file:
        write_legacy(file, original)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = rl.from_pretrained("keras_resnet50.imagenet", folder=tmp_path)
    x = images(1, 224, 224, 3)
    np.testing.assert_allclose(value(model(x)), value(original(x)), rtol=1e-4, atol=1e-4)
    assert rl.preprocessing(model).channels == "bgr"


@pytest.mark.slow
@pytest.mark.share(2)
def test_weights_of_keras_come_through_keras_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = keras.applications.ResNet50V2(weights=None)

    def create(weights: str) -> keras.Model:
        asked.append(weights)
        return original

    monkeypatch.setattr(keras.applications, "ResNet50V2", create)
    model = rl.from_pretrained("keras_resnet50v2.imagenet")
    assert asked == ["imagenet"]
    assert model.metadata["pretrained"]["source"] == "keras.applications.ResNet50V2"
    assert rl.preprocessing(model).mean == (0.5, 0.5, 0.5)
