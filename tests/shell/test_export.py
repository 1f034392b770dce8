"""`export` and `predict` from the shell, with artifacts of every format."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers.__main__ import main
from resnet_layers.serving import comparison, exporting, formats
from resnet_layers.shell import classifier
from resnet_layers.shell.predictor import load_exported
from tests.shell.test_convert import run
from tests.support.randomize import randomize, relative_difference

CLASSES = ["cat", "dog", "owl"]
PRETRAINED = {"tag": "resnet18.a1_in1k", "license": "apache-2.0", "classes": 1000}
PREPROCESSING = {"image_size": 24, "mean": [120.0, 110.0, 100.0], "std": [60.0, 50.0, 40.0]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_SECONDS", 0.0)


def network(**overrides: Any) -> rl.ResNet:
    metadata = {"class_names": CLASSES, "preprocessing": PREPROCESSING, "pretrained": PRETRAINED}
    head = rl.ClassifierHead(3, activation=overrides.pop("activation", None))
    stages = [rl.ResNetStage(8, 1)]
    return randomize(
        rl.ResNet(rl.Stem(8, kernel_size=3), stages, head, **{"metadata": metadata, **overrides})
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.keras"
    path.parent.mkdir()
    network().save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of two of the classes, in other sizes than the network takes."""
    rng = np.random.default_rng(0)
    for name in CLASSES[1:]:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            tint, detail = rng.integers(0, 200, 3), rng.integers(0, 56, (30, 40, 3))
            image = Image.fromarray((tint + detail).astype(np.uint8))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.share(4)
@pytest.mark.parametrize("format", formats.FORMATS)
def test_every_format_is_written_and_predicts(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, format: str
) -> None:
    row = formats.FORMATS[format]
    for package in (*row.writes, *row.reads):
        pytest.importorskip(package)
    path = model.with_suffix(row.endings[0])
    code, out, _ = run(capsys, "export", model, "--format", format, "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["path"], report["format"]) == (str(path), format)
    assert report["relative_difference"] < 1e-4
    code, out, _ = run(capsys, "export", model, "--format", format)
    assert code == 0
    assert out.startswith(f"{path}: {format}, float32\n  input           any number of images, any")
    images = sorted(photos.rglob("*.png"))
    expected = classifier.load(model).probabilities(images)
    assert relative_difference(load_exported(path).probabilities(images), expected) < 1e-4
    code, out, _ = run(capsys, "predict", path, *images[:2], "--top", 1)
    assert code == 0
    assert out == run(capsys, "predict", model, *images[:2], "--top", 1)[1]
    scores = []
    for file in (model, path):
        code, out, _ = run(capsys, "evaluate", file, "--data", photos, "--all", "--json")
        assert code == 0
        scores.append(json.loads(out))
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)
    assert rl.load_exported(path).metadata == keras.saving.load_model(model).metadata


@pytest.mark.slow
@pytest.mark.share(3)
def test_runtimes_say_nothing_of_their_own(model: Path, photos: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    how = ("export", model, "--format", "litert"), ("predict", model.with_suffix(".tflite"), photos)
    for arguments in how:
        command = [sys.executable, "-m", "resnet_layers", *map(str, arguments)]
        process = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )
        assert (process.returncode, process.stderr) == (0, "")


def test_artifacts_without_digests_are_said_to_have_none(
    capsys: pytest.CaptureFixture[str], photos: Path
) -> None:
    path = Path(__file__).parents[1] / "golden" / "artifacts" / "format_1"
    code, out, err = run(capsys, "predict", path, next(photos.rglob("*.png")))
    assert code == 0
    assert "cat" in out
    assert err == (
        f"resnet-layers: '{path}' is of a version of `export` without digests, so damage cannot "
        "be told: export it again\n"
    )


@pytest.mark.slow
@pytest.mark.share(2)
def test_softmax_is_not_applied_twice(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "model.keras"
    network(activation="softmax").save(path)
    rl.export(keras.saving.load_model(path), tmp_path / "model", format="tf_saved_model")
    images = sorted(photos.rglob("*.png"))
    expected = classifier.load(path).probabilities(images)
    found = load_exported(tmp_path / "model").probabilities(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_many_images_go_through_in_parts(
    tmp_path: Path, model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rl.export(keras.saving.load_model(model), tmp_path / "model", format="tf_saved_model")
    images = sorted(photos.rglob("*.png"))
    expected = load_exported(tmp_path / "model").probabilities(images)
    monkeypatch.setattr("resnet_layers.shell.predictor.BATCH_SIZE", 5)
    np.testing.assert_allclose(
        load_exported(tmp_path / "model").probabilities(images), expected, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.share(2)
def test_calibration_reports_accuracy_with_the_networks_own_preprocessing(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    how = ("--format", "litert", "--precision", "int8", "--image-size", 24)
    output = tmp_path / "small.tflite"
    code, out, _ = run(capsys, "export", model, *how, "--calibration", photos, "-o", output)
    assert code == 0
    assert f"{output}: litert, int8\n" in out
    assert "any number of images, 24 × 24 × 3\n" in out
    assert "of 12 images\n" in out
    found = classifier.load(model)
    images = sorted(photos.rglob("*.png"))
    right = [1] * 6 + [2] * 6
    accuracy = np.mean(found.probabilities(images).argmax(-1) == right)
    assert f", model {accuracy:.2%}\n" in out
    artifact = rl.load_exported(output)
    assert (artifact.input_shape, artifact.precision) == ((24, 24, 3), "int8")


def test_large_folders_are_read_in_part(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_layers.shell.export.MOST_IMAGES", 7)
    code, out, _ = run(
        capsys, "export", model, "--format", "tf_saved_model", "--calibration", photos
    )
    assert code == 0
    assert "100.00% of 7 images\n" in out


@pytest.mark.share(4)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--format", "openvino", "--precision", "int8"),
            "`--calibration` must name a folder of images for int8, with a subfolder for each "
            "class: some hundred images like those that the network will see",
        ),
        (
            ("--format", "onnx", "--precision", "bfloat16"),
            "`format` must be one of 'tf_saved_model', 'openvino' for precision='bfloat16'. "
            "Received: format='onnx'",
        ),
        (
            ("--format", "onnx", "-o", "model.tflite"),
            "`path` must have a name that ends in '.onnx' for ONNX. Received: path='model.tflite'",
        ),
        (
            ("--format", "onnx", "--image-size", "0"),
            "`input_shape` must be (height, width, channels), without the batch: positive "
            "integers, or None for any height or width. Received: input_shape=(0, 0, 3)",
        ),
        (
            ("--format", "onnx", "--image-size", "8", "9", "10"),
            "`--image-size` must be one number, or one for each of 2 pixel axes. Received: 8 9 10",
        ),
        (
            ("--format", "onnx", "--calibration", "nowhere"),
            "The folder 'nowhere' cannot be read: No such file or directory",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    capsys: pytest.CaptureFixture[str], model: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(model.parent.iterdir())
    code, out, err = run(capsys, "export", model, *arguments)
    assert (code, out, err) == (2, "", f"resnet-layers: {message}\n")
    assert sorted(model.parent.iterdir()) == before


def test_disagreement_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exporting._LARGEST, "float32", 0.0)
    code, out, err = run(capsys, "export", model, "--format", "tf_saved_model")
    assert (code, out) == (1, "")
    assert err.startswith("resnet-layers: SavedModel (float32) must agree with the model within ")
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.keras"]


def test_missing_runtime_is_one_sentence(
    capsys: pytest.CaptureFixture[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments in (
        ("export", model, "--format", "openvino"),
        ("predict", model.with_suffix(".xml"), "a.png"),
    ):
        model.with_suffix(".xml").touch()
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert err == (
            'resnet-layers: OpenVINO needs openvino: pip install "resnet-layers[export]"\n'
        )


def test_artifacts_without_class_names_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rl.export(network(metadata={}), tmp_path / "model", format="tf_saved_model")
    code, out, err = run(capsys, "predict", tmp_path / "model", "a.png")
    assert (code, out) == (2, "")
    assert err == (
        f"resnet-layers: The metadata of '{tmp_path / 'model'}' must have `class_names` and "
        "`preprocessing`, as `train` writes them. Received: none\n"
    )


def test_artifacts_of_another_size_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rl.export(network(), tmp_path / "model", format="tf_saved_model", input_shape=(16, 16, 3))
    code, out, err = run(capsys, "predict", tmp_path / "model", "a.png")
    assert (code, out) == (2, "")
    assert err == (
        f"resnet-layers: The model of '{tmp_path / 'model'}' must take the images that its "
        "preprocessing makes, 24×24 pixels in 3 channels. Received: input_shape=(16, 16, 3)\n"
    )


def test_unknown_formats_are_listed(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(["export", str(model), "--format", "onxx"]) == 2
    assert '"tf_saved_model", "onnx", "litert", "openvino"' in capsys.readouterr().err


def test_softmax_in_a_sequence_is_not_applied_twice(tmp_path: Path, photos: Path) -> None:
    layers = keras.layers
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3), layers.Softmax()])
    metadata = {"class_names": CLASSES, "preprocessing": PREPROCESSING, "pretrained": PRETRAINED}
    stages = [rl.ResNetStage(8, 1)]
    model = randomize(rl.ResNet(rl.Stem(8), stages, head, metadata=metadata))
    model.save(tmp_path / "model.keras")
    rl.export(model, tmp_path / "model", format="tf_saved_model")
    images = sorted(photos.rglob("*.png"))
    found = classifier.load(tmp_path / "model.keras")
    expected = model.predict(found.reader(images), verbose=0)
    np.testing.assert_allclose(found.probabilities(images), expected, atol=1e-6)
    exported = load_exported(tmp_path / "model").probabilities(images)
    np.testing.assert_allclose(exported, expected, atol=1e-5)


def test_outputs_that_cannot_be_written_are_one_sentence(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    code, out, err = run(capsys, "export", model, "--format", "onnx", "-o", "/proc/model.onnx")
    assert (code, out) == (2, "")
    assert err.startswith("resnet-layers: '/proc/model.onnx' cannot be written: ")
