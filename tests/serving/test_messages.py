"""Every error of folding, precision and serving: its type and its whole text."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.serving import DisagreementError, comparison, exporting
from resnet_layers.serving.artifacts import Exported
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Job
from tests.serving.test_export import ENDINGS, network
from tests.support.messages import ANY, Row, check, ids, missing
from tests.support.randomize import images

WING = "serving"
MODEL = functools.cache(network)  # which nobody changes


def export(**changes: Any) -> None:
    """Into a folder, where nothing is written."""
    before = list(Path().iterdir())
    arguments = {"model": MODEL(), "path": "model.onnx", "format": "onnx", **changes}
    try:
        rl.export(**arguments)
    finally:
        assert list(Path().iterdir()) == before


def export_without(missing: str, format: str, **changes: Any) -> None:
    """Where all packages but one are installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else 1)
        export(path=f"model{ENDINGS[format]}", format=format, **changes)


def export_on_jax() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "jax")
        export()


def export_to_a_full_disk() -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        export()


def export_over(file: str, **changes: Any) -> None:
    """Where a file of somebody else stands."""
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).touch()
    try:
        export(**changes)
    finally:
        assert Path(file).is_file()


class Two(rl.ResNet):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return {"maps": self.stem(inputs, training=training)}


def disagree(from_model: float, between: float) -> None:
    """With such differences."""
    job = Job(
        description=Description(
            precision="float32", input_shape=(8, 8, 3), output_shape=(None, 3), metadata={}
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "on_seeded_images", lambda *_: (from_model, between))
        exporting._compare(np.asarray, np.asarray, job, "SavedModel")


def load_from_folder_of(file: str) -> None:
    Path("model").mkdir()
    Path("model", file).touch()
    rl.load_exported("model")


def load_damaged() -> None:
    """Opened by TensorFlow, which has the rest of the sentence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Description, "read", lambda *_: None)
        load_from_folder_of("saved_model.pb")


def call_with(*shape: int) -> None:
    artifact = Exported(
        path=Path("model"),
        format="tf_saved_model",
        precision="float32",
        input_shape=(40, 24, 3),
        output_shape=(None, 5),
        metadata={},
        activation=None,
        run=np.asarray,
    )
    artifact(np.zeros(shape))


ZEROS = np.zeros((2, 8, 8, 3), "float32")
LABELS = (
    "`calibration` must have one label for each image, the index of one of the model's classes."
)
KIND = "`path` must be the folder of a SavedModel, or an .onnx, .tflite or .xml file. Received: "
FREE = "`path` must be free, or hold an artifact of its kind. Received: path="
AGREE = "SavedModel (float32) must agree with"
KEPT = "within 0.0005 of the outputs, and has not been kept. Received: a difference of"
EXTRA = 'pip install "resnet-layers[export]"'
NNCF: dict[str, Any] = {"precision": "int8", "calibration": images(2, 8, 8, 3)}

ERRORS: list[Row] = [
    # Precision
    (
        lambda: rl.with_dtype(MODEL(), None),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype=None",
    ),
    (
        lambda: rl.with_dtype(MODEL(), "bf16"),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype='bf16'",
    ),
    # Exporting
    (
        lambda: export(model="resnet18"),
        TypeError,
        "`model` must be a ResNet. Received: model='resnet18'",
    ),
    (
        lambda: export(format="onxx"),
        ValueError,
        "There is no format of that name; close names: 'onnx'. Received: format='onxx'",
    ),
    (
        lambda: export(precision="float16"),
        ValueError,
        "`precision` must be one of 'float32', 'bfloat16', 'int8'. Received: precision='float16'",
    ),
    (
        lambda: export(precision="bfloat16"),
        ValueError,
        "`format` must be one of 'tf_saved_model', 'openvino' for precision='bfloat16'. "
        "Received: format='onnx'",
    ),
    (
        lambda: export(path="model.tflite"),
        ValueError,
        "`path` must have a name that ends in '.onnx' for ONNX. Received: path='model.tflite'",
    ),
    (
        lambda: export(path=".", format="tf_saved_model"),
        ValueError,
        "`path` must have a name for SavedModel. Received: path='.'",
    ),
    (
        lambda: export(path=None),
        TypeError,
        "`path` must be a path. Received: path=None",
    ),
    (
        lambda: export(path="nowhere/model.onnx"),
        ValueError,
        "The folder of `path` must exist. Received: path='nowhere/model.onnx'",
    ),
    (
        lambda: export(precision="int8", format="openvino", path="model.xml"),
        ValueError,
        "`calibration` must be given for precision='int8': some hundred images of every class as "
        "the model takes them, an array of shape (None, None, None, 3), with their labels if there "
        "are any: `(images, labels)`. Received: calibration=None",
    ),
    (
        lambda: export(calibration=np.zeros((2, 8, 8, 3), "uint8")),
        TypeError,
        "`calibration` must have the numbers that the model takes, as its preprocessing makes them "
        "from pixels. Received: dtype=uint8",
    ),
    (
        lambda: export(calibration=np.zeros((2, 8, 8, 1), "float32")),
        ValueError,
        "`calibration` must have batches of shape (None, None, None, 3). "
        "Received: shape=(2, 8, 8, 1)",
    ),
    (
        lambda: export(calibration=np.zeros((0, 8, 8, 3), "float32")),
        ValueError,
        "`calibration` must have images. Received: calibration=<ndarray>",
    ),
    (
        lambda: export(calibration=[]),
        ValueError,
        "`calibration` must have images. Received: calibration=<list>",
    ),
    (
        lambda: export(calibration=100),
        TypeError,
        "`calibration` must be an array of images, a pair of images and labels, or batches of "
        "either, such as a `tf.data.Dataset`. Received: calibration=<int>",
    ),
    (
        lambda: export(calibration=np.full((2, 8, 8, 3), np.inf, "float32")),
        ValueError,
        "`calibration` must be finite. Received: NaN or infinity",
    ),
    (
        lambda: export(calibration=(ZEROS, np.zeros(3))),
        ValueError,
        f"{LABELS} Received: 3 labels, 2 images",
    ),
    (
        lambda: export(calibration=[(ZEROS, np.zeros(2)), ZEROS]),
        ValueError,
        f"{LABELS} Received: none for 2 images",
    ),
    (
        lambda: export(calibration=[ZEROS, (ZEROS, np.zeros(2))]),
        ValueError,
        f"{LABELS} Received: 2 labels, 4 images",
    ),
    (
        lambda: export(calibration=(ZEROS, np.array([4, 5]))),
        ValueError,
        f"{LABELS} Received: the label 5 for 5 classes",
    ),
    (
        lambda: export(calibration=(ZEROS, np.array([4, 1.5]))),
        ValueError,
        f"{LABELS} Received: the label 1.5 for 5 classes",
    ),
    (
        lambda: export(calibration=(ZEROS, np.eye(2, 8))),
        ValueError,
        f"{LABELS} Received: rows of 8 for 5 classes",
    ),
    (
        lambda: export(calibration=(ZEROS, np.array(["cat", "dog"]))),
        TypeError,
        "The labels of `calibration` must be indices of classes, or one-hot rows. "
        "Received: dtype=<U3",
    ),
    (
        lambda: export(calibration="photos"),
        TypeError,
        "`calibration` must be an array of images, a pair of images and labels, or batches of "
        "either, such as a `tf.data.Dataset`. Received: calibration=<str>",
    ),
    (
        lambda: export(input_shape=(32, 32, 4)),
        ValueError,
        "`input_shape` must fit that of the model, (None, None, 3). "
        "Received: input_shape=(32, 32, 4)",
    ),
    (
        lambda: export(fold=1),
        TypeError,
        "`fold` must be True or False. Received: fold=1",
    ),
    (
        lambda: export(model=Two(rl.Stem(4), [rl.ResNetStage(4, 1)])),
        ValueError,
        "`model` must return one tensor; a part of it can be exported by a model that returns that "
        "part. Received: outputs of {'maps': (None, None, None, 4)}",
    ),
    (
        export_on_jax,
        ValueError,
        "`export` needs Keras' TensorFlow backend; a .keras file can be opened there. "
        "Received: backend='jax'",
    ),
    (
        export_to_a_full_disk,
        ValueError,
        "The folder of `path` must be writable: Permission denied. Received: path='model.onnx'",
    ),
    (
        lambda: export_over("photos/a.png", path="photos", format="tf_saved_model"),
        ValueError,
        f"{FREE}'{ANY}/photos'",
    ),
    (lambda: export_over("model.onnx/a"), ValueError, f"{FREE}'{ANY}/model.onnx'"),
    (
        lambda: export_over("torch.bin", path="torch.xml", format="openvino"),
        ValueError,
        f"{FREE}'{ANY}/torch.bin'",
    ),
    (
        lambda: export_without("tf2onnx", "onnx"),
        ImportError,
        f"ONNX needs tf2onnx: {EXTRA}",
    ),
    (
        lambda: export_without("onnxruntime", "onnx"),
        ImportError,
        f"ONNX needs onnxruntime: {EXTRA}",
    ),
    (
        lambda: export_without("ai_edge_litert", "litert"),
        ImportError,
        f"LiteRT needs ai_edge_litert: {EXTRA}",
    ),
    (
        lambda: export_without("openvino", "openvino"),
        ImportError,
        f"OpenVINO needs openvino: {EXTRA}",
    ),
    (
        lambda: export_without("nncf", "openvino", **NNCF),
        ImportError,
        f"OpenVINO needs nncf: {EXTRA}",
    ),
    (lambda: disagree(0.01, 0.0), DisagreementError, f"{AGREE} the model {KEPT} 1.0e-02"),
    (lambda: disagree(np.nan, 0.0), DisagreementError, f"{AGREE} the model {KEPT} nan"),
    (
        lambda: disagree(0.0, 0.01),
        DisagreementError,
        f"{AGREE} itself in another batch {KEPT} 1.0e-02",
    ),
    # Loading
    (lambda: rl.load_exported("model.keras"), ValueError, f"{KIND}path='model.keras'"),
    (lambda: rl.load_exported("model"), ValueError, f"{KIND}path='model'"),
    (lambda: rl.load_exported("model.h5"), ValueError, f"{KIND}path='model.h5'"),
    (lambda: rl.load_exported("model.onnx"), ValueError, "There is no file 'model.onnx'"),
    (
        lambda: load_from_folder_of("photo.png"),
        ValueError,
        "'model' cannot be opened: it must be an artifact that `export` has written",
    ),
    (load_damaged, ValueError, f"'model' cannot be opened: {ANY}"),
    (
        lambda: call_with(2, 24, 40, 3),
        ValueError,
        "`images` must have shape (None, 40, 24, 3). Received: shape=(2, 24, 40, 3)",
    ),
    (
        lambda: call_with(0, 40, 24, 3),
        ValueError,
        "`images` must have shape (None, 40, 24, 3). Received: shape=(0, 40, 24, 3)",
    ),
]


@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
