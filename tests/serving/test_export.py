"""`export` and `load_exported`: artifacts that agree with their model, or are not there."""

import functools
import inspect
import json
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.serving import DisagreementError, Report, comparison, exporting, formats
from resnet_layers.serving.calibration import Calibration, gather
from resnet_layers.serving.pixels import takes_pixels
from resnet_layers.serving.runtimes import litert, openvino_runtime
from resnet_layers.serving.runtimes import saved_model as saved_model_format
from tests.support.cases import STYLE
from tests.support.randomize import images, randomize, relative_difference, value

ENDINGS = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}
WAYS = [(row.name, precision) for row in formats.FORMATS.values() for precision in row.precisions]
QUICK_WAYS = [("tf_saved_model", "float32")]
LARGEST = {"float32": 1e-4, "bfloat16": 3e-2, "int8": 0.2}

every_format = pytest.mark.parametrize("format", ENDINGS)
some_formats = pytest.mark.parametrize(
    "format",
    [pytest.param(name, marks=() if name == "openvino" else pytest.mark.slow) for name in ENDINGS],
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_SECONDS", 0.0)


def network(name: str = "", **overrides: Any) -> rl.ResNet:
    """A variant, or one block of each kind."""
    if name:
        return randomize(rl.ResNet.from_variant(name, classes=5, **overrides))
    stages = [rl.ResNetStage(8, 1), rl.ResNetStage(4, 1, strides=2, bottleneck=True)]
    head = rl.ClassifierHead(5)
    return randomize(rl.ResNet(rl.Stem(8, kernel_size=3), stages, head, **overrides))


def needs(format: str, precision: str = "float32") -> None:
    """Skips where a runtime is not installed."""
    row = formats.FORMATS[format]
    for package in (*row.writes, *row.reads, *(["nncf"] if precision == "int8" else [])):
        pytest.importorskip(package)


def write(model: rl.ResNet, folder: Path, format: str, **options: Any) -> Report:
    needs(format, options.get("precision", "float32"))
    if options.get("precision") == "int8":
        shape = [32 if size is None else size for size in options.get("input_shape") or (32, 32, 3)]
        options = {"calibration": images(24, *shape), **options}
    return rl.export(model, folder / f"model{ENDINGS[format]}", format=format, **options)


def logits(model: Any, x: np.ndarray) -> np.ndarray:
    return value(model(x, training=False))


@pytest.mark.share(8)
@pytest.mark.parametrize(
    ("format", "precision"),
    [pytest.param(*way, marks=pytest.mark.slow if way[1] == "bfloat16" else ()) for way in WAYS],
)
def test_artifacts_agree_at_any_size_and_number_of_images(
    tmp_path: Path,
    format: str,
    precision: str,
) -> None:
    model = network(metadata={"class_names": list("abcde")})
    report = write(model, tmp_path, format, precision=precision)
    assert report.relative_difference < LARGEST[precision]
    artifact = rl.load_exported(report.path)
    for shape in ((1, 32, 32, 3), (4, 33, 47, 3), (2, 64, 20, 3)):
        x = images(*shape)
        y = artifact(x)
        assert y.shape == (shape[0], 5)
        assert y.dtype == np.float32
        assert relative_difference(y, logits(model, x)) < LARGEST[precision]
        for i in range(len(x)):  # a row depends on no other one
            assert (
                relative_difference(artifact(x[i : i + 1]), y[i : i + 1]) < LARGEST[precision] / 9
            )
    assert (artifact.format, artifact.precision) == (format, precision)
    assert artifact.input_shape == (None, None, 3)
    assert artifact.metadata == model.metadata
    assert report.folded == 8
    assert signature(report.path, format) == ("images", [None, None, None, 3], "output_0")
    assert sorted(report.path.parent.iterdir()) == sorted(
        formats.FORMATS[format].files(report.path)
    )
    if format == "openvino" and precision == "int8":
        assert 0 < largest_weight(report.path) <= 64


def largest_weight(path: Path) -> int:
    """Of those in int8: two products by 255 fit in 16 bits, which they have without VNNI."""
    graph = openvino_runtime.core().read_model(path)
    constants = [op for op in graph.get_ops() if op.get_output_size()]
    weights = [op.get_data() for op in constants if op.get_type_name() == "Constant"]
    return max(int(np.abs(w.astype(int)).max()) for w in weights if w.dtype == np.int8)


@pytest.mark.share(3)
@some_formats
def test_fixed_sizes_are_in_the_signature(tmp_path: Path, format: str) -> None:
    model = network()
    report = write(model, tmp_path, format, input_shape=(40, 24, 3))
    artifact = rl.load_exported(report.path)
    x = images(2, 40, 24, 3)
    assert relative_difference(artifact(x), logits(model, x)) < 1e-4
    assert report.inputs == ((1, 40, 24, 3), (3, 40, 24, 3))
    with pytest.raises(ValueError, match="must have shape") as caught:
        artifact(images(2, 24, 40, 3))
    assert str(caught.value) == (
        "`images` must have shape (None, 40, 24, 3). Received: shape=(2, 24, 40, 3)"
    )
    assert signature(report.path, format) == ("images", [None, 40, 24, 3], "output_0")


def signature(path: Path, format: str) -> tuple[str, list[int | None], str]:
    """Name and shape of the input and name of the output, as the format's own library says."""
    if format == "tf_saved_model":
        serve = tf.saved_model.load(str(path)).signatures["serving_default"]
        (spec,) = serve.structured_input_signature[1].values()
        (output,) = serve.structured_outputs
        return spec.name, spec.shape.as_list(), output
    if format == "onnx":
        import onnx

        graph = onnx.load(path).graph
        dims = graph.input[0].type.tensor_type.shape.dim
        assert len({dim.dim_param for dim in dims}) == sum(not d.dim_value for d in dims) + 1
        return (
            graph.input[0].name,
            [dim.dim_value or None for dim in dims],
            graph.output[0].name,
        )
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))
        (names,) = interpreter.get_signature_list().values()
        shape = interpreter.get_input_details()[0]["shape_signature"]
        return (
            names["inputs"][0],
            [None if size < 0 else int(size) for size in shape],
            names["outputs"][0],
        )
    model = openvino_runtime.core().read_model(path)
    sizes = [None if size.is_dynamic else size.get_length() for size in model.input().partial_shape]
    return model.input().any_name, sizes, model.output().any_name


def reloaded(model: rl.ResNet, folder: Path) -> rl.ResNet:
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def trained(model: rl.ResNet, folder: Path) -> rl.ResNet:
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images(8, 32, 32, 3), np.arange(8) % 5, verbose=0)
    return model


HISTORIES: dict[str, Callable[[rl.ResNet, Path], rl.ResNet]] = {
    "fresh": lambda model, folder: rl.ResNet.from_config(model.get_config()),
    "trained": trained,
    "reloaded": reloaded,
    "mixed_float16": lambda model, folder: rl.with_dtype(model, "mixed_float16"),
    "mixed_bfloat16": lambda model, folder: trained(rl.with_dtype(model, "mixed_bfloat16"), folder),
    "folded": lambda model, folder: rl.fold_batch_norm(model),
}


QUICK_HISTORIES = [("mixed_bfloat16", "onnx"), ("reloaded", "tf_saved_model")]


# The graphs that all formats are made of have the same history: most of them are slow.
@pytest.mark.share(6)
@pytest.mark.parametrize(
    ("history", "format"),
    [
        pytest.param(
            history,
            name,
            marks=() if (history, name) in QUICK_HISTORIES else pytest.mark.slow,
        )
        for history in HISTORIES
        for name in ENDINGS
    ],
)
def test_models_of_every_history_export_alike(
    tmp_path: Path,
    format: str,
    history: str,
) -> None:
    model = HISTORIES[history](network(), tmp_path)
    before = [value(variable).copy() for variable in model.weights]
    report = write(model, tmp_path, format)
    x = images(3, 33, 40, 3)
    exact = model if model.dtype_policy.name == "float32" else rl.with_dtype(model, "float32")
    y = rl.load_exported(report.path)(x)
    assert relative_difference(y, logits(exact, x)) < 1e-4
    assert relative_difference(y, logits(model, x)) < 2e-2
    for variable, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(value(variable), old)


TWO_STAGES = {"blocks": (1, 1), "filters": (64, 128), "strides": (1, 2)}
VIDEO = rl.BlockStyle(rank=3, factorize=True)
KINDS: dict[str, Callable[[], rl.ResNet]] = {
    "preactivation": lambda: network("resnetv2_18", **TWO_STAGES),
    "grouped": lambda: network("seresnext26d_32x4d", **TWO_STAGES),
    "eca": lambda: network("ecaresnet26t", **TWO_STAGES),
    "blur": lambda: network("resnetblur18", **TWO_STAGES),
    "average": lambda: network("resnetaa34d", **TWO_STAGES),
    "same": lambda: network("resnet18", style="article", **TWO_STAGES),
    "option_a": lambda: network("cifar_resnet20", **TWO_STAGES),
    "strided_last": lambda: network("keras_resnet50v2", **{**TWO_STAGES, "blocks": (2, 1)}),
    "group": lambda: network("resnetv2_50d_gn", **TWO_STAGES),
    "bit": lambda: network("resnetv2_50x1_bit", **TWO_STAGES),
    "evonorm": lambda: network("resnetv2_50d_evos", **TWO_STAGES),
    "frn": lambda: network("resnetv2_50d_frn", **TWO_STAGES),
    "channels_first": lambda: network("test_resnet", data_format="channels_first"),
    "dilated": lambda: network("resnet18", output_stride=8, blocks=(1, 1, 1, 1)),
    "video": lambda: network("r3d_18", **TWO_STAGES),
    "factorized": lambda: randomize(
        rl.ResNet(
            rl.Stem(8, kernel_size=(3, 7, 7), hidden_filters=(9,), pooling=None, style=VIDEO),
            [rl.ResNetStage(8, 1, bottleneck=True, style=VIDEO)],
            rl.ClassifierHead(5, rank=3),
            input_shape=(None, None, None, 3),
        )
    ),
}


@functools.lru_cache(maxsize=1)  # the formats of a kind come one after the other
def of_kind(kind: str) -> tuple[rl.ResNet, Any, Any]:
    """A network, images and its logits."""
    model = KINDS[kind]()
    x = images(2, *(size or (5, 33, 40)[i] for i, size in enumerate(model.input_shape)))
    return model, x, logits(model, x)


@pytest.mark.share(8)
@pytest.mark.slow
@every_format
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_exports(tmp_path: Path, format: str, kind: str) -> None:
    model, x, expected = of_kind(kind)
    path = write(model, tmp_path, format).path
    y = rl.load_exported(path)(x)
    assert relative_difference(y, expected) < (3e-4 if kind == "bit" else 1e-4)
    # tf2onnx keeps two transposes around each dilated convolution.
    if format == "onnx" and kind != "dilated":
        assert transposes(path) == (kind != "channels_first")


@pytest.mark.share(3)
@some_formats
def test_unfolded_networks_export_in_inference(tmp_path: Path, format: str) -> None:
    model = trained(network(), tmp_path)
    report = write(model, tmp_path, format, fold=False)
    assert report.folded == 0
    x = images(3, 33, 40, 3)
    assert relative_difference(rl.load_exported(report.path)(x), logits(model, x)) < 1e-4


def test_feature_maps_are_outputs_as_well(tmp_path: Path) -> None:
    model = randomize(rl.ResNet(rl.Stem(8), [rl.ResNetStage(8, 1)]))
    report = write(model, tmp_path, "tf_saved_model", calibration=images(4, 32, 32, 3))
    assert (report.images, report.agreement) == (4, None)
    assert rl.load_exported(report.path)(images(2, 32, 32, 3)).ndim == 4


def test_saved_model_serves_keras_and_tensorflow(tmp_path: Path) -> None:
    model = network()
    path = write(model, tmp_path, "tf_saved_model").path
    x = images(3, 33, 40, 3)
    layer = keras.layers.TFSMLayer(path, call_endpoint="serve")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    for y in (layer(x), serve(images=tf.constant(x))["output_0"]):
        assert relative_difference(y, logits(model, x)) < 1e-4


@pytest.mark.share(6)
def test_saved_model_of_large_networks_has_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    small = write(model, tmp_path, "tf_saved_model")
    assert (small.path / "variables" / "variables.data-00000-of-00001").stat().st_size < 1000
    monkeypatch.setattr(saved_model_format, "_MOST_CONSTANTS", 4)
    large = write(model, tmp_path, "tf_saved_model")
    values = Path("variables", "variables.data-00000-of-00001")
    assert (large.path / values).stat().st_size > 4 * rl.fold_batch_norm(model).count_params()
    x = images(3, 33, 40, 3)
    assert relative_difference(rl.load_exported(large.path)(x), logits(model, x)) < 1e-4


def transposes(path: Path) -> int:
    onnx = pytest.importorskip("onnx")
    counts = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert counts["BatchNormalization"] == 0
    return counts["Transpose"]


@pytest.mark.parametrize(
    "style",
    [
        {"attention": "se"},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"normalization": "group"}, marks=pytest.mark.slow),
    ],
)
def test_onnx_has_the_transpose_of_its_layout_alone(tmp_path: Path, style: dict[str, Any]) -> None:
    dialect = rl.BlockStyle(**style)
    stages = [rl.ResNetStage(32, 1, bottleneck=True, groups=4, style=dialect)]
    model = randomize(rl.ResNet(rl.Stem(8), stages, rl.ClassifierHead(5)))
    assert transposes(write(model, tmp_path, "onnx").path) == 1


# Each option away from its default, and what the others leave open; all that branch at once first.
SIGNALS = {
    "branches": {"shortcut": "D", "anti_aliasing": "blur", "normalization": "group"},
    **{name: {name: value} for name, value in STYLE.items() if name not in ("rank", "factorize")},
    **{f"shortcut {name}": {"shortcut": name} for name in "AD"},
    **{name: {"normalization": name} for name in ("group", "evonorm_s0", "frn")},
    "average": {"anti_aliasing": "average"},
    "se": {"attention": "se"},
}


@pytest.mark.parametrize(
    "option",
    [pytest.param(name, marks=() if name == "branches" else pytest.mark.slow) for name in SIGNALS],
)
def test_signals_need_no_more_transposes_than_images(tmp_path: Path, option: str) -> None:
    style = rl.BlockStyle(rank=1, **SIGNALS[option])
    stages = [rl.ResNetStage(32, 1, style=style), rl.ResNetStage(36, 1, strides=2, style=style)]
    head = rl.ClassifierHead(5, rank=1, data_format=style.data_format)
    shape = style.layout.shape(0, (None,), 3)[1:]
    model = rl.ResNet(rl.Stem(8, style=style), stages, head, input_shape=shape)
    path = write(randomize(model), tmp_path, "onnx").path
    assert transposes(path) == (style.data_format == "channels_last")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_litert_has_builtin_operators_alone(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    path = write(network(), tmp_path, "litert", precision=precision).path
    interpreter = Interpreter(str(path))
    names = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert not any("Flex" in name or "CUSTOM" in name for name in names)
    if precision == "float32":
        return
    # By channel.
    kernels = [
        detail
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.int8
        and len(detail["shape"]) == 4
        and "serving" not in detail["name"]
    ]
    scales = [len(detail["quantization_parameters"]["scales"]) for detail in kernels]
    assert sum(count > 1 for count in scales) >= 8


@pytest.mark.share(6)
def test_openvino_keeps_float32_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = network()
    report = write(model, tmp_path, "openvino")
    assert report.size > 4 * rl.fold_batch_norm(model).count_params()  # not compressed to float16
    compiled = openvino_runtime.core().compile_model(
        report.path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    x = images(2, 33, 40, 3)
    assert relative_difference(compiled(x)[0], logits(model, x)) < 1e-4


CLOSED_IN_ORDER = """
import signal, sys
import resnet_layers as rl
first, second = map(rl.load_exported, sys.argv[1:])
del first
del second
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.share(3)
def test_signals_are_safe_when_artifacts_of_openvino_are_closed(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = str(write(network(), tmp_path, "openvino").path)
    command = [sys.executable, "-c", CLOSED_IN_ORDER, path, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


# Agreement and accuracy


def learned() -> tuple[rl.ResNet, np.ndarray, np.ndarray]:
    """A network that tells four kinds of images apart, with those images."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 4
    x = 0.7 * rng.standard_normal((96, 24, 24, 3)).astype("float32")
    x[labels == 1, :, ::4] += 2
    x[labels == 2, ::4] += 2
    x[labels == 3, ..., 0] += 1
    model = rl.ResNet.from_variant("test_resnet", classes=4)
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    keras.utils.set_random_seed(0)
    model.fit(x, labels, epochs=12, batch_size=16, verbose=0)
    return model, x, labels


@pytest.fixture(scope="module")
def classifier() -> tuple[rl.ResNet, np.ndarray, np.ndarray]:
    return learned()


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("format", ["litert", pytest.param("openvino", marks=pytest.mark.slow)])
def test_int8_agrees_where_calibration_is_right(
    tmp_path: Path,
    classifier: tuple[rl.ResNet, np.ndarray, np.ndarray],
    format: str,
) -> None:
    model, x, labels = classifier
    report = write(model, tmp_path, format, precision="int8", calibration=(x, labels))
    expected = np.mean(logits(model, x).argmax(-1) == labels)
    assert report.images == 96
    assert report.model_accuracy == pytest.approx(expected)
    assert report.model_accuracy is not None
    assert report.accuracy is not None
    assert report.agreement is not None
    assert report.model_accuracy > 0.9
    assert report.agreement >= 0.95
    y = rl.load_exported(report.path)(x)
    assert report.accuracy == np.mean(y.argmax(-1) == labels)
    assert report.agreement == np.mean(y.argmax(-1) == logits(model, x).argmax(-1))
    assert report.size < 4 * model.count_params() / 2


@pytest.mark.share(6)
def test_float32_tells_accuracy_as_well(
    tmp_path: Path, classifier: tuple[rl.ResNet, np.ndarray, np.ndarray]
) -> None:
    model, x, labels = classifier
    report = write(model, tmp_path, "tf_saved_model", calibration=(x, labels))
    assert report.agreement == 1.0
    assert report.accuracy == report.model_accuracy


def gathered(calibration: Any) -> Calibration:
    return gather(calibration, (None, None, 3), 4)


@pytest.mark.parametrize(
    "batches",
    [
        lambda x, y: (x, y),
        lambda x, y: [(x[:30], y[:30]), (x[30:30], y[30:30]), (x[30:], y[30:])],
        lambda x, y: (x, keras.utils.to_categorical(y, 4)),
        lambda x, y: (x.astype("float64"), y.astype("float32")),
        lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).batch(25),
        lambda x, y: iter([(tf.constant(x), tf.constant(y[:, None]))]),
    ],
    ids=["pair", "list", "one_hot", "float64", "dataset", "iterator"],
)
def test_calibration_takes_what_keras_takes(
    batches: Callable[[np.ndarray, np.ndarray], Any],
) -> None:
    x, y = images(96, 8, 8, 3), np.arange(96) % 4
    found = gathered(batches(x, y))
    np.testing.assert_array_equal(np.concatenate(found.batches), x)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, y)
    assert max(map(len, found.batches)) <= 32


@pytest.mark.parametrize(
    "batches",
    [
        lambda x: x,
        lambda x: [x[:30], x[30:]],
        lambda x: tf.data.Dataset.from_tensor_slices(x).batch(25),
    ],
    ids=["array", "list", "dataset"],
)
def test_calibration_needs_no_labels(batches: Callable[[np.ndarray], Any]) -> None:
    x = images(60, 8, 8, 3)
    found = gathered(batches(x))
    np.testing.assert_array_equal(np.concatenate(found.batches), x)
    assert found.labels is None
    assert len(found) == 60


def test_calibration_without_end_is_read_in_part() -> None:
    x, y = images(30, 8, 8, 3), np.arange(30) % 4
    endless = tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(300)
    found = gathered(endless)
    assert found.labels is not None
    assert (len(found), len(found.labels)) == (1000, 1000)
    single = list(found.single_images())
    assert [image.shape for image in single] == [(1, 8, 8, 3)] * 300
    # Spread evenly: from the first to the last.
    np.testing.assert_array_equal(single[0][0], x[0])
    np.testing.assert_array_equal(single[-1][0], x[999 % 30])


@pytest.mark.slow
def test_sizes_of_calibration_may_differ(tmp_path: Path) -> None:
    calibration = [images(8, 32, 32, 3), images(8, 40, 24, 3)]
    report = write(network(), tmp_path, "openvino", precision="int8", calibration=calibration)
    assert report.images == 16


# Nothing wrong is left behind


@pytest.mark.share(6)
@pytest.mark.parametrize(
    ("format", "precision"),
    [pytest.param(*way, marks=() if way in QUICK_WAYS else pytest.mark.slow) for way in WAYS],
)
def test_what_does_not_agree_is_not_left_behind(
    tmp_path: Path, format: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = write(network(), tmp_path, format, precision=precision)
    x = images(2, 33, 40, 3)
    before = rl.load_exported(kept.path)(x)
    fold = rl.fold_batch_norm

    def wrong(model: Any) -> Any:
        folded = fold(model)
        folded.stem.conv.convolution.kernel.assign_add(folded.stem.conv.convolution.kernel * 1e-2)
        return folded

    monkeypatch.setattr(exporting, "fold_batch_norm", wrong)
    with pytest.raises(DisagreementError, match="must agree with the model") as caught:
        write(network(), tmp_path, format, precision=precision)
    assert str(caught.value).startswith(
        f"{formats.FORMATS[format].title} (float32) must agree with the model within 0.0005 of the "
        "outputs, and has not been kept. Received: a difference of "
    )
    files = sorted(formats.FORMATS[format].files(kept.path))
    assert sorted(tmp_path.iterdir()) == files
    np.testing.assert_array_equal(rl.load_exported(kept.path)(x), before)


def test_batches_that_leak_into_rows_are_found() -> None:
    def leaks(x: np.ndarray) -> np.ndarray:
        return (x - x.mean()).mean((1, 2))

    shapes = comparison.input_shapes((None, None, 3))
    same, between = comparison.on_seeded_images(leaks, leaks, shapes)
    assert same == 0
    assert between > 1e-2


def test_nan_and_other_shapes_are_differences() -> None:
    shapes = comparison.input_shapes((8, 8, 3))
    mean: Callable[[np.ndarray], np.ndarray] = lambda x: x.mean((1, 2))  # noqa: E731
    assert comparison.on_seeded_images(mean, mean, shapes) == (0, 0)
    assert np.isnan(comparison.on_seeded_images(lambda x: mean(x) * np.nan, mean, shapes)).all()
    first: Callable[[np.ndarray], np.ndarray] = lambda x: mean(x)[:1]  # noqa: E731
    assert comparison.on_seeded_images(first, mean, shapes) == (np.inf, np.inf)


def test_rows_that_depend_on_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "on_seeded_images", lambda *_: (0.0, 0.01))
    with pytest.raises(DisagreementError) as caught:
        write(network(), tmp_path, "tf_saved_model")
    assert str(caught.value) == (
        "SavedModel (float32) must agree with itself in another batch within 0.0005 of the "
        "outputs, and has not been kept. Received: a difference of 1.0e-02"
    )
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = network()
    model.head.dense.bias.assign(np.full(5, np.nan))  # type: ignore[union-attr]
    with pytest.raises(DisagreementError, match="Received: a difference of nan"):
        write(model, tmp_path, "tf_saved_model")
    assert list(tmp_path.iterdir()) == []


@some_formats
def test_failures_leave_nothing(
    tmp_path: Path,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_compare", fail)
    with pytest.raises(KeyboardInterrupt):
        write(network(), tmp_path, format)
    assert list(tmp_path.iterdir()) == []


@some_formats
def test_damaged_artifacts_are_refused(tmp_path: Path, format: str) -> None:
    path = write(network(), tmp_path, format).path
    file = path / "saved_model.pb" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"'{path}' cannot be opened: "):
        rl.load_exported(path)


@pytest.mark.share(6)
def test_other_artifacts_are_refused(tmp_path: Path) -> None:
    network().export(tmp_path / "foreign", format="tf_saved_model", verbose=False)
    with pytest.raises(ValueError, match="cannot be opened") as caught:
        rl.load_exported(tmp_path / "foreign")
    assert str(caught.value) == (
        f"'{tmp_path / 'foreign'}' cannot be opened: it must be an artifact that `export` has "
        "written"
    )


# Bad input


@pytest.mark.share(6)
def test_what_stands_at_the_path_is_not_harmed(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    write(network(), tmp_path, "tf_saved_model")
    for name in ("photos/a.png", "model.onnx/a", "model/notes.txt", "torch.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, kind, harmed in (
        ("photos", "tf_saved_model", "photos"),
        ("model", "tf_saved_model", "model"),
        ("model.onnx", "onnx", "model.onnx"),
        ("torch.xml", "openvino", "torch.bin"),
    ):
        with pytest.raises(ValueError, match="must be free") as caught:
            rl.export(network(), tmp_path / name, format=kind)
        assert str(caught.value) == (
            "`path` must be free, or hold an artifact of its kind. "
            f"Received: path='{tmp_path / harmed}'"
        )
    assert (tmp_path / "photos" / "a.png").exists()


@pytest.mark.share(6)
def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    model = network()
    write(model, tmp_path, "tf_saved_model")
    (tmp_path / "link").symlink_to("model")
    model.head.dense.bias.assign(np.arange(5.0))  # type: ignore[union-attr]
    report = rl.export(model, tmp_path / "link", format="tf_saved_model")
    assert report.path == tmp_path / "link"
    x = images(2, 33, 40, 3)
    for name in ("link", "model"):
        y = rl.load_exported(tmp_path / name)(x)
        assert relative_difference(y, logits(model, x)) < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]


@pytest.mark.slow
@pytest.mark.share(2)
@some_formats
def test_one_artifact_serves_many_threads(tmp_path: Path, format: str) -> None:
    model = network()
    artifact = rl.load_exported(write(model, tmp_path, format).path)
    batches = [images(1 + i % 3, 24 + i, 24, 3, seed=i) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(artifact, batches * 4))
    for x, y in zip(batches * 4, outputs, strict=True):
        assert relative_difference(y, logits(model, x)) < 1e-4


HEADS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "dense": (
        lambda: keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)]),
        "linear",
    ),
    "softmax": (
        lambda: keras.Sequential(
            [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5), keras.layers.Softmax()]
        ),
        "softmax",
    ),
    "own": (lambda: rl.ClassifierHead(5, activation="softmax"), "softmax"),
    "pooling": (keras.layers.GlobalAveragePooling2D, None),
}


@pytest.mark.share(4)
@pytest.mark.parametrize("kind", HEADS)
def test_heads_of_all_kinds_say_their_activation(tmp_path: Path, kind: str) -> None:
    make, activation = HEADS[kind]
    model = randomize(rl.ResNet(rl.Stem(8), [rl.ResNetStage(8, 1)], make()))
    artifact = rl.load_exported(write(model, tmp_path, "tf_saved_model").path)
    assert artifact.activation == activation
    x = images(2, 33, 40, 3)
    assert relative_difference(artifact(x), logits(model, x)) < 1e-4


def test_parts_of_other_policies_export_in_float32(tmp_path: Path) -> None:
    stages = [rl.ResNetStage(8, 1, dtype="mixed_bfloat16")]
    model = randomize(rl.ResNet(rl.Stem(8), stages, rl.ClassifierHead(5)))
    report = write(model, tmp_path, "tf_saved_model")
    assert report.relative_difference < 1e-4


# Models of other kinds


class Subclassed(keras.Model):
    """Known to Keras by its calls alone."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = rl.ConvNorm(4, 3)
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.pool(self.unit(inputs, training=training))


def small() -> rl.ResNet:
    stages = [rl.ResNetStage(4, 1)]
    metadata = {"class_names": list("abc")}
    return rl.ResNet(
        rl.Stem(4, kernel_size=3),
        stages,
        rl.ClassifierHead(3, activation="softmax"),
        metadata=metadata,
    )


def with_preprocessing(dtype: str = "float32") -> Any:
    photo = keras.Input((None, None, 3), dtype=dtype)
    return keras.Model(photo, small()(rl.Preprocessing(image_size=16)(photo)))


def behind(layer: Any) -> Any:
    return keras.Sequential([keras.Input((20, 24, 3)), layer, small()])


def subclassed() -> Any:
    model = Subclassed()
    model(images(1, 20, 24, 3))
    return model


# How to make it; how many normalizations are folded; whether it takes pixels.
MODELS: dict[str, tuple[Callable[[], Any], int, bool]] = {
    "functional": (with_preprocessing, 4, True),
    "whole_numbers": (lambda: with_preprocessing("uint8"), 4, True),
    "sequential": (
        lambda: keras.Sequential(
            [keras.Input((None, None, 3)), rl.Preprocessing(image_size=16), small()]
        ),
        4,
        True,
    ),
    "one_size": (lambda: behind(rl.Preprocessing(image_size=16)), 4, True),
    "rescaled": (lambda: behind(keras.layers.Rescaling(1 / 255)), 4, True),
    "rescaled_before": (lambda: behind(keras.layers.Rescaling(2.0, -1.0)), 4, False),
    "normalized": (
        lambda: behind(keras.layers.Normalization(mean=[123.0] * 3, variance=[3600.0] * 3)),
        4,
        True,
    ),
    "normalized_before": (
        lambda: behind(keras.layers.Normalization(mean=[0.4] * 3, variance=[0.05] * 3)),
        4,
        False,
    ),
    "mixed": (lambda: rl.with_dtype(with_preprocessing(), "mixed_bfloat16"), 4, True),
    "subclassed": (subclassed, 0, False),
    "stock": (
        lambda: keras.Sequential(
            [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
        ),
        0,
        False,
    ),
}


@pytest.mark.share(16)
@pytest.mark.parametrize(
    ("kind", "format"),
    [
        pytest.param(kind, name, marks=() if name == "tf_saved_model" else pytest.mark.slow)
        for kind in MODELS
        for name in ENDINGS
    ],
)
@pytest.mark.filterwarnings("ignore:.* is exported without folding")
def test_models_of_other_kinds_export(tmp_path: Path, kind: str, format: str) -> None:
    make, folded, pixels = MODELS[kind]
    model = randomize(make())
    report = write(model, tmp_path, format)
    artifact = rl.load_exported(report.path)
    assert (report.folded, artifact.pixels) == (folded, pixels)
    if folded:
        assert artifact.metadata == {"class_names": list("abc")}
        assert artifact.activation == "softmax"
    sizes = [size or 40 - i for i, size in enumerate(artifact.input_shape)]
    x = np.random.default_rng(0).integers(0, 256, (2, *sizes)).astype("float32")
    exact = model if kind != "mixed" else rl.with_dtype(model, "float32")
    assert relative_difference(artifact(x), logits(exact, x)) < 1e-4


def test_normalization_that_is_adapted_takes_what_it_saw() -> None:
    for scale, pixels in ((255.0, True), (1.0, False)):
        layer = keras.layers.Normalization()
        layer.adapt(scale * np.random.default_rng(0).uniform(size=(8, 20, 24, 3)))
        assert takes_pixels(behind(layer), (1, 20, 24, 3)) == pixels
    inverse = keras.layers.Normalization(mean=[123.0] * 3, variance=[3600.0] * 3, invert=True)
    assert not takes_pixels(behind(inverse), (1, 20, 24, 3))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_is_set_in_memory_is_exported_or_refused(tmp_path: Path, policy: str) -> None:
    model = rl.with_dtype(network(), policy)
    model.head.dense.activation = keras.activations.tanh
    if policy == "float32":
        with pytest.warns(
            UserWarning, match=r"dense\.activation` must be what the layer was made with"
        ):
            path = write(model, tmp_path, "tf_saved_model").path
        x = images(2, 33, 40, 3)
        assert relative_difference(rl.load_exported(path)(x), logits(model, x)) < 1e-4
    else:
        with pytest.raises(
            ValueError, match=r"dense\.activation` must be what the layer was made with"
        ):
            write(model, tmp_path, "tf_saved_model")
        assert list(tmp_path.iterdir()) == []


# Report


def test_report_prints_what_was_measured() -> None:
    report = Report(
        path=Path("model.xml"),
        format="openvino",
        precision="int8",
        input_shape=(None, 224, 3),
        size=25_600_000,
        relative_difference=0.0123,
        inputs=((1, 64, 224, 3), (3, 64, 224, 3)),
        latency=0.005,
        model_latency=0.06,
        latency_shape=(1, 224, 224, 3),
        folded=53,
        left={"GroupNormalization": 2},
        images=300,
        agreement=0.99,
        accuracy=0.801,
        model_accuracy=0.8075,
    )
    assert str(report).split("\n") == [
        "model.xml: openvino, int8",
        "  input            any number of images, any × 224 × 3",
        "  size on disk     25.6 MB",
        "  difference       1.2e-02 of the largest output, over 300 calibration images",
        "  latency          5.00 ms for 1 × 224 × 224 × 3, model 60.00 ms, 12.00 times as fast",
        "  normalizations   53 folded, 2 GroupNormalization left",
        "  top-1 agreement  99.00% of 300 images",
        "  accuracy         80.10%, model 80.75%",
    ]


@pytest.mark.slow
@pytest.mark.share(2)
def test_report_says_what_is_left(tmp_path: Path) -> None:
    model = network("resnetv2_50d_gn", blocks=(1,), filters=(32,), strides=(1,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = write(model, tmp_path, "tf_saved_model")
    assert (report.folded, report.left) == (0, {"GroupNormalization": 6})


@pytest.mark.parametrize(
    ("metadata", "shape"),
    [
        ({}, (1, 224, 224, 3)),
        ({"preprocessing": {"image_size": 32}}, (1, 32, 32, 3)),
        ({"preprocessing": {"config": {"image_size": [40, 48]}}}, (1, 40, 48, 3)),
        ({"preprocessing": "unknown"}, (1, 224, 224, 3)),
        ({"preprocessing": {"image_size": [32]}}, (1, 224, 224, 3)),
        ({"preprocessing": {"image_size": 32.5}}, (1, 224, 224, 3)),
        ({"preprocessing": {"config": "32"}}, (1, 224, 224, 3)),
    ],
)
def test_latency_is_that_of_the_size_the_model_is_for(
    metadata: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert comparison.usual_shape((None, None, 3), metadata) == shape
    assert comparison.usual_shape((8, 9, 3), metadata) == (1, 8, 9, 3)


@pytest.mark.slow
@pytest.mark.share(2)
def test_description_is_in_the_artifact(tmp_path: Path) -> None:
    path = write(network(metadata={"a": [1]}), tmp_path, "litert").path
    import zipfile

    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read(litert._DESCRIPTION))
    assert description == {
        "format": 2,
        "precision": "float32",
        "input_shape": [None, None, 3],
        "output_shape": [None, 5],
        "activation": "linear",
        "metadata": {"a": [1]},
        "pixels": False,
    }


def test_signature_of_export_is_the_documented_one() -> None:
    parameters = inspect.signature(rl.export).parameters
    assert {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY} == {
        "format": inspect.Parameter.empty,
        "precision": "float32",
        "calibration": None,
        "input_shape": None,
        "fold": True,
    }
