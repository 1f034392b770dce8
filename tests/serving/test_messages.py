"""Every error of folding, precision and serving: its type and its whole text."""

import dataclasses
import functools
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

import resnet_layers as rl
from resnet_layers.serving import DisagreementError, comparison, exporting, seal
from resnet_layers.serving.artifacts import Exported
from resnet_layers.serving.description import Description
from resnet_layers.serving.formats import FORMATS
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


def load_by_another_name() -> None:
    path = Path(os.fsdecode(b"\xff.onnx"))
    path.touch()
    rl.load_exported(path)


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


class Forgets(keras.layers.Layer):
    """Keeps a number that its config does not have."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factor = factor

    def call(self, inputs: Any) -> Any:
        return self._factor * inputs

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def forgetful(**options: Any) -> keras.Model:
    inputs = keras.Input((None, None, 3), **options)
    return keras.Model(inputs, rl.ConvNorm(4, 3)(Forgets(2.0)(inputs)))


@keras.saving.register_keras_serializable("resnet_layers_tests")
class Normalizes(keras.layers.Layer):
    """Has a layer of Keras inside, of which its config tells nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalization = keras.layers.BatchNormalization(epsilon=1e-5)

    def build(self, input_shape: Any) -> None:
        self.normalization.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.normalization(inputs, training=training)


def with_another_epsilon() -> keras.Model:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Normalizes()(rl.ConvNorm(4, 3)(inputs)))
    model.layers[-1].normalization.epsilon = 0.5
    return model


def export_in_bfloat16() -> None:
    """Of a model whose config makes another one, which is not seen by its attributes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "in_float32", lambda model: rl.with_dtype(model, "float32"))
        export(model=forgetful())


def fail_to_convert(error: str) -> None:
    def write(*_: Any) -> None:
        raise RuntimeError(error)

    with pytest.MonkeyPatch.context() as patch:
        row = dataclasses.replace(FORMATS["onnx"], write=write, writes=(), reads=())
        patch.setitem(FORMATS, "onnx", row)
        export()


def two_inputs() -> keras.Model:
    inputs = [keras.Input((8, 8, 3)) for _ in range(2)]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def disagree(from_model: float, between: float, channels: int = 3) -> None:
    """With such differences, and so many channels where there should be 3."""
    job = Job(
        description=Description(
            precision="float32", input_shape=(8, 8, 3), output_shape=(None, 3), metadata={}
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "on_seeded_images", lambda *_: (from_model, between))
        run: Any = lambda images: np.zeros((len(images), channels))  # noqa: E731
        exporting._compare(run, run, job, "SavedModel")


def load_from_folder_of(file: str) -> None:
    Path("model").mkdir()
    Path("model", file).touch()
    rl.load_exported("model")


def load_damaged() -> None:
    """Opened by TensorFlow, which has the rest of the sentence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Description, "read", lambda *_, **__: None)
        load_from_folder_of("saved_model.pb")


def load_with_digests(digests: str, **files: bytes) -> None:
    """Of a folder with files; those of no bytes are pipes."""
    Path("model", seal.EXTRA).mkdir(parents=True)
    Path("model", seal.MANIFEST).write_text(digests)
    for name, content in files.items():
        Path("model", name).write_bytes(content) if content else os.mkfifo(Path("model", name))
    rl.load_exported("model")


def load_without_its_weights() -> None:
    Path("model.xml").touch()
    rl.load_exported("model.xml")


def load_described(said: Any, graph: Any = None, file: str = "saved_model.pb") -> None:
    """Of the first format, which has no digests."""
    Path("model", seal.EXTRA).mkdir(parents=True)
    Path("model", seal.DESCRIPTION).write_text(json.dumps(said))
    Path("model", file).write_bytes(graph.SerializeToString() if graph else b"")
    rl.load_exported("model")


def load_program(*operators: str) -> None:
    program = saved_model_pb2.SavedModel()
    nodes = program.meta_graphs.add().graph_def.node
    for name in operators:
        nodes.add(name=name, op=name)
    load_described(FIRST, program)


def load_with_weights_elsewhere() -> None:
    Path("model.onnx").write_bytes(b"\n\x08location\x12\x08/etc/abc")
    rl.load_exported("model.onnx")


def call_with(*shape: int, fill: float = 0.0, run: Any = np.asarray) -> None:
    artifact = Exported(
        path=Path("model"),
        format="tf_saved_model",
        precision="float32",
        input_shape=(40, 24, 3),
        output_shape=(None, 5),
        metadata={},
        activation=None,
        run=run,
    )
    artifact(np.full(shape, fill))


# A description of the first format, and what is said of others.
FIRST: dict[str, Any] = {
    "precision": "float32",
    "input_shape": [None, None, 3],
    "output_shape": [None, 2],
    "metadata": {},
    "activation": None,
    "pixels": False,
}
DIGEST = "0" * 64
OPENED = "'model' cannot be opened:"
FIELDS = (
    f"{OPENED} its description must have the fields that this version of `export` writes. "
    "Received: format="
)
SIZES = "positive sizes, with None for any. Received: "
IN, OUT = (
    f"{OPENED} `input_shape` must be {SIZES}input_shape=",
    f"{OPENED} `output_shape` must be None for the number of images, and {SIZES}output_shape=",
)
NAMES = f"{OPENED} `class_names` must be a list of distinct names. Received: class_names="
PREPARED = f"{OPENED} `preprocessing` must be None, or the config of a Preprocessing. Received: "
WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"precision": "int4"},
        f"{OPENED} `precision` must be one of 'float32', 'bfloat16', 'int8'. "
        "Received: precision='int4'",
    ),
    ({"input_shape": 5}, f"{IN}5"),
    ({"input_shape": []}, f"{IN}()"),
    ({"input_shape": [8, True, 3]}, f"{IN}(8, True, 3)"),
    ({"input_shape": [8, -1, 3]}, f"{IN}(8, -1, 3)"),
    ({"input_shape": [8, 2**31, 3]}, f"{IN}(8, 2147483648, 3)"),
    ({"input_shape": [None] * 9}, f"{IN}(None, None, None, None, None, None, ...)"),
    ({"output_shape": None}, f"{OUT}None"),
    ({"output_shape": [2, 2]}, f"{OUT}(2, 2)"),
    ({"metadata": None}, f"{OPENED} `metadata` must be a mapping. Received: metadata=None"),
    ({"activation": 3}, f"{OPENED} `activation` must be a name, or None. Received: activation=3"),
    ({"pixels": 0}, f"{OPENED} `pixels` must be True or False. Received: pixels=0"),
    ({"metadata": {"class_names": "ab"}}, f"{NAMES}'ab'"),
    ({"metadata": {"class_names": {"a": 1}}}, f"{NAMES}{{'a': 1}}"),
    ({"metadata": {"class_names": ["a", "a"]}}, f"{NAMES}['a', 'a']"),
    ({"metadata": {"class_names": ["a", ""]}}, f"{NAMES}['a', '']"),
    ({"metadata": {"class_names": ["a", 1]}}, f"{NAMES}['a', 1]"),
    (
        {"metadata": {"preprocessing": {"class_name": "Lambda", "config": {}}}},
        f"{PREPARED}preprocessing={{'class_name': 'Lambda', 'config': {{}}}}",
    ),
    (
        {"metadata": {"preprocessing": {"class_name": "x", "config": None}}},
        f"{PREPARED}preprocessing={{'class_name': 'x', 'config': None}}",
    ),
    ({"metadata": {"preprocessing": "x"}}, f"{PREPARED}preprocessing='x'"),
]

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
    # Folding
    (
        lambda: rl.fold_batch_norm(with_another_epsilon()),
        ValueError,
        "`model` must have configs that make its layers as they are. What is set on a finished "
        "layer belongs into the arguments or the style that it is made of. Received: "
        f"model.{ANY}.normalization.epsilon=0.5, where the config makes 1e-05",
    ),
    (
        lambda: rl.fold_batch_norm(forgetful(name="in")),
        DisagreementError,
        f"'{ANY}' must compute the same when it is made again with other layers. A layer of one's "
        "own must call its units as layers, and tell all it has in its config. Received: a "
        f"difference of {ANY}",
    ),
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
        "`model` must be a Keras model. Received: model='resnet18'",
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
        lambda: export(path="\udcff.onnx"),
        ValueError,
        f"`path` must be UTF-8, as runtimes need it. Received: path='{ANY}\\udcff.onnx'",
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
        lambda: export(model=two_inputs()),
        ValueError,
        "`model` must take one tensor, with a known number of axes and of channels; a part of it "
        f"can be exported by a model that takes that. Received: <Functional '{ANY}'> of the input "
        "[(None, 8, 8, 3), (None, 8, 8, 3)]",
    ),
    (
        export_in_bfloat16,
        DisagreementError,
        "`model` must have a config that makes the same model, which its export in float32 is made "
        f"of. Received: a difference of {ANY} in float32",
    ),
    (
        lambda: fail_to_convert("\nno Erfc\nand a graph"),
        ValueError,
        "`model` must be made of operations that ONNX has in float32; nothing has been kept. "
        "Received: no Erfc",
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
    (
        lambda: disagree(0.0, 0.0, channels=4),
        DisagreementError,
        "SavedModel (float32) must return outputs of the shape that the model tells, (None, 3), "
        "and has not been kept. Received: (1, 4)",
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
    # Digests
    (
        lambda: load_with_digests("", a=b"a"),
        ValueError,
        f"{OPENED} 'a' in it is none of its parts",
    ),
    (
        lambda: load_with_digests(f"{DIGEST}  a"),
        ValueError,
        f"{OPENED} its part 'assets.extra/resnet_layers.sha256' is damaged",
    ),
    (
        lambda: load_with_digests(f"{DIGEST}  a\n"),
        ValueError,
        f"{OPENED} its part 'a' is missing",
    ),
    (
        lambda: load_with_digests(f"{DIGEST}  a\n", a=b""),
        ValueError,
        f"{OPENED} its part 'a' is no file",
    ),
    (
        lambda: load_with_digests(f"{DIGEST}  a\n", a=b"a"),
        ValueError,
        f"{OPENED} its part 'a' is not what `export` has written: it is damaged or changed, or of "
        "another artifact",
    ),
    (
        load_without_its_weights,
        ValueError,
        "'model.xml' cannot be opened: its part 'model.bin' is missing",
    ),
    # Descriptions
    (
        lambda: load_described({"format": 2, **FIRST}),
        ValueError,
        f"{OPENED} its digests are missing or damaged",
    ),
    (
        lambda: load_described({"format": 3, **FIRST}),
        ValueError,
        f"{FIELDS}3 with {sorted(FIRST)}",
    ),
    (
        lambda: load_described({**FIRST, "author": "me"}),
        ValueError,
        f"{FIELDS}1 with ['activation', 'author', 'input_shape', 'metadata', 'output_shape', "
        "'pixels', ...]",
    ),
    (
        lambda: load_described({"precision": "float32", "input_shape": [3]}),
        ValueError,
        f"{FIELDS}1 with ['input_shape', 'precision']",
    ),
    (
        lambda: load_described([1]),
        ValueError,
        f"{OPENED} it must be an artifact that `export` has written",
    ),
    *[
        (functools.partial(load_described, {**FIRST, **changes}), ValueError, text)
        for changes, text in WRONG
    ],
    (
        lambda: export(model=network(metadata={"class_names": ["a", "a"]})),
        ValueError,
        "`class_names` must be a list of distinct names. Received: class_names=['a', 'a']",
    ),
    (
        lambda: export(model=network(metadata={"class_names": []})),
        ValueError,
        "`class_names` must be a list of distinct names. Received: class_names=[]",
    ),
    (
        load_by_another_name,
        ValueError,
        f"`path` must be UTF-8, as runtimes need it. Received: path={ANY}",
    ),
    (
        lambda: export(path=f"{'a' * 240}.onnx"),
        ValueError,
        f"`path` is too long: its name must have at most {ANY} bytes. Received: "
        f"path='{'a' * 240}.onnx'",
    ),
    # What is in them
    (
        lambda: load_program("AddV2", "WriteFile", "ReadFile", "ImmutableConst", "Abort", "Mine"),
        ValueError,
        f"{OPENED} a SavedModel is a program, and must have no operators but those that `export` "
        "writes. Received: 'Abort', 'ImmutableConst', 'Mine', 'ReadFile', 'WriteFile'",
    ),
    (
        lambda: load_program(*(f"Op{i:02}" for i in range(30))),
        ValueError,
        f"{OPENED} a SavedModel is a program, and must have no operators but those that `export` "
        f"writes. Received: {', '.join(repr(f'Op{i:02}') for i in range(10))} and 20 more",
    ),
    (
        lambda: load_described(FIRST, file="saved_model.cpb"),
        ValueError,
        f"{OPENED} 'saved_model.cpb' in it must not be there",
    ),
    (
        load_with_weights_elsewhere,
        ValueError,
        "'model.onnx' cannot be opened: its weights must be in it, and not in another file",
    ),
    (
        lambda: call_with(2, 24, 40, 3),
        ValueError,
        "`images` must have shape (None, 40, 24, 3). Received: shape=(2, 24, 40, 3)",
    ),
    (
        lambda: call_with(2, 40, 24, 3),  # what runs gives the images back
        ValueError,
        f"The outputs of '{Path('model')}' must have shape (None, 5), as it says. "
        "Received: shape=(2, 40, 24, 3)",
    ),
    (
        lambda: call_with(2, 40, 24, 3, fill=np.nan, run=lambda x: np.zeros((len(x), 5))),
        ValueError,
        f"`images` must be numbers, since NaN would count as one in '{Path('model')}'. "
        "Received: NaN in images[0]",
    ),
    (
        lambda: call_with(0, 40, 24, 3),
        ValueError,
        "`images` must have shape (None, 40, 24, 3). Received: shape=(0, 40, 24, 3)",
    ),
]


@pytest.mark.share(3)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
