"""One file, one answer: a photograph has the same probabilities in every way that they are had."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers.serving import comparison
from resnet_layers.shell import classifier, images, predictor
from resnet_layers.training import labelled
from resnet_layers.training.batches import Batches
from resnet_layers.weights import pretrained, tags
from tests.support.randomize import randomize, value

CLASSES = ["cat", "dog", "owl"]
LABEL = 1
# Where one runtime has another's numbers, the order of sums is another.
ROUNDING = 1e-5
# Whole pixels by TensorFlow are Pillow's but for one level in 1 % of them.
PIXELS = 3e-4
# A file in 16 bits computes in them; what is exported of it, in 32.
SIXTEEN_BITS = 3e-2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_SECONDS", 0.0)


def pixels(seed: int = 0) -> np.ndarray:
    """A picture with shades, edges and noise, neither square nor as small as a network's."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:61, :90]
    shades = 120 + 70 * np.sin(rows / 9 + seed)[..., None] * np.cos(columns[..., None] / [7, 11, 5])
    shades[20:40, 30:70] += 40
    return np.clip(shades + rng.normal(0, 12, shades.shape), 0, 255).astype(np.uint8)


def photos(folder: Path, count: int = 1) -> Path:
    """A folder of photographs of each class."""
    for i, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for j in range(count):
            picture = Image.fromarray(pixels(3 * j + i))
            picture.save(folder / "photos" / name / f"{j}.png")
    return folder / "photos"


def network(**overrides: Any) -> rl.ResNet:
    overrides = {"classes": 3, "stem": {"filters": 8}, **overrides}
    return randomize(rl.ResNet.from_variant("test_resnet", **overrides))


def trained(**overrides: Any) -> rl.ResNet:
    """As `train` and `tune` make them, in either data format."""
    layer = images.Reader.fit(images.read([pixels(seed) for seed in range(4)], 24)).layer
    data_format = overrides.get("data_format", "channels_last")
    layer = rl.Preprocessing(**{**layer.get_config(), "data_format": data_format})
    described = keras.saving.serialize_keras_object(layer)
    return network(metadata={"class_names": CLASSES, "preprocessing": described}, **overrides)


def old() -> rl.ResNet:
    """As `train` made them before it wrote configs."""
    described = {"image_size": 24, "mean": [120.0, 110.0, 100.0], "std": [60.0, 50.0, 40.0]}
    return network(metadata={"class_names": CLASSES, "preprocessing": described})


def published(tag: str, **overrides: Any) -> rl.ResNet:
    """As `from_pretrained` makes them, but for the weights."""
    model = network(**overrides)
    if tags.find(tag).mean == "caffe":  # whose inputs are a hundred times as large
        kernel = model.get_layer("head").dense.kernel
        kernel.assign(kernel / 100)
    described = pretrained.describe(tags.find(tag), model, "here")
    return model.replace(metadata={**described, "class_names": CLASSES})


FIRST = {"data_format": "channels_first"}
BICUBIC, HALF = "resnet18.a1_in1k", "resnet50d.ra4_e3600_r224_in1k"
NETWORKS: dict[str, Callable[[], rl.ResNet]] = {
    "trained": trained,
    "published_channels_first": lambda: published("resnet50.a1_in1k", **FIRST),
    "old": old,
    "softmax": lambda: trained(head={"activation": "softmax"}),
    "trained_channels_first": lambda: trained(**FIRST),
    "published": lambda: published(BICUBIC),
    "published_half": lambda: published(HALF),
    "published_keras": lambda: published("keras_resnet50.imagenet"),
    "published_keras_v2": lambda: published("keras_resnet50v2.imagenet"),
    "published_one_size": lambda: published(BICUBIC, input_shape=(40, 56, 3)),
    "folded": lambda: rl.fold_batch_norm(trained()),
    "published_folded": lambda: rl.fold_batch_norm(published(BICUBIC)),
    "float64": lambda: rl.with_dtype(trained(), "float64"),
    "mixed_float16": lambda: rl.with_dtype(trained(), "mixed_float16"),
    "mixed_bfloat16": lambda: rl.with_dtype(trained(), "mixed_bfloat16"),
    "published_bfloat16": lambda: rl.with_dtype(published(BICUBIC), "bfloat16"),
}
QUICK = ("trained", "published_channels_first")


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NETWORKS]
)
def test_every_way_to_an_answer_gives_the_same(tmp_path: Path, name: str) -> None:
    file = tmp_path / "model.keras"
    NETWORKS[name]().save(file)
    answers_agree(file, tmp_path, SIXTEEN_BITS if "16" in name else ROUNDING)


def answers_agree(file: Path, folder: Path, rounding: float) -> None:
    """Asks a file for the probabilities of one photograph, in every way."""
    photo = photos(folder) / CLASSES[LABEL] / "0.png"
    raw = np.asarray(Image.open(photo))
    found = classifier.load(file)
    expected = found.probabilities([photo])
    assert expected.max() < 0.999  # not so sure that all would agree
    one = labelled.folder(photo.parent.parent).select(np.array([LABEL]))
    evaluated = found.evaluate(one).loss
    answers = {
        "read one by one": [row for _, row in found.each([photo])],
        "evaluated": np.exp(-evaluated),
        "exported": predictor_of(found.model, folder).probabilities([photo]),
    }
    if found.reader.takes_squares:
        squares = found.reader.squares([photo])
        classifier.compile_classifier(found.model)
        whole_pixels = dataclasses.replace(one, sources=list(squares))
        batches = Batches(whole_pixels, found.reader.layer, 8)
        answers["fit's evaluation"] = np.exp(-found.model.evaluate(batches.dataset(), verbose=0)[0])
    for way, answer in answers.items():
        wanted = expected if np.ndim(answer) else expected[0, LABEL]
        np.testing.assert_allclose(answer, wanted, atol=rounding, rtol=0, err_msg=way)
    with_pixels = rounding + PIXELS * found.reader.takes_squares
    layer = rl.preprocessing(found.model)
    whole = keras.Sequential([keras.Input((None, None, 3), dtype="uint8"), layer, found.model])
    path = folder / "whole"
    rl.export(whole, path, format="tf_saved_model")
    artifact = rl.load_exported(path)
    assert artifact.pixels
    for way, outputs in {
        "called": whole(raw[None]),
        "predicted": whole.predict(raw[None], verbose=0),
        "raw exported": artifact(raw[None].astype("float32")),
    }.items():
        answer = value(keras.ops.softmax(outputs) if found.activation == "linear" else outputs)
        np.testing.assert_allclose(answer, expected, atol=with_pixels, rtol=0, err_msg=way)


def predictor_of(model: rl.ResNet, folder: Path) -> predictor.Predictor:
    rl.export(model, folder / "exported", format="tf_saved_model")
    return predictor.load_exported(folder / "exported")
