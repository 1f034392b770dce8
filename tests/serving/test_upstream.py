"""Faults of converters, in stock parts: `docs/upstream.md` says what is built around them."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

# In a process of its own, where tf2onnx is as it comes.
TF2ONNX = """
import keras, tensorflow as tf, tf2onnx
def nodes(call, *shape):
    signature = [tf.TensorSpec(shape)]
    function = tf.function(lambda x: call(x), input_signature=signature)
    graph = tf2onnx.convert.from_function(function, signature)[0].graph
    return [node.op_type for node in graph.node]
print(nodes(tf.math.erfc, None, 3), nodes(tf.math.expm1, None, 3))
for rank, kind in ((1, keras.layers.Conv1D), (2, keras.layers.Conv2D)):
    x = keras.Input((*(None,) * rank, 3))
    y = kind(4, 3)(x)
    model = keras.Model(x, kind(4, 1)(y * keras.ops.sigmoid(y)))
    print(nodes(model, None, *x.shape[1:]).count("Transpose"))
"""


@pytest.mark.upstream
@pytest.mark.slow
def test_tf2onnx_lacks_operators_and_keeps_transposes_of_signals() -> None:
    pytest.importorskip("tf2onnx")
    done = subprocess.run(
        [sys.executable, "-c", TF2ONNX], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.splitlines()[-3:] == ["['Erfc'] ['Expm1']", "4", "2"]


# Two that end in the order in which they began.
CORES = """
import signal, openvino as ov
cores = [ov.Core(), ov.Core()]
[core.get_versions("CPU") for core in cores]
del cores[0]
del cores[0]
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.upstream
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="stacks for signals are Linux'")
def test_openvino_leaves_a_stack_for_signals_that_is_gone() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", CORES], capture_output=True, check=False)
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.upstream
def test_silu_in_a_frozen_graph_has_gradients_that_cannot_be_saved() -> None:
    from tensorflow.python.framework import convert_to_constants

    signature = [tf.TensorSpec((None, 3))]
    silu = tf.function(tf.nn.silu, input_signature=signature).get_concrete_function()
    frozen = convert_to_constants.convert_variables_to_constants_v2(silu)
    module = tf.Module()
    module.call = tf.function(lambda x: frozen(x)[0], input_signature=signature)
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.raises(ValueError, match=r"Found invalid capture .* when saving custom gradients"),
    ):
        tf.saved_model.save(module, str(Path(folder)))


@pytest.mark.upstream
@pytest.mark.slow
def test_litert_breaks_products_of_a_constant_and_images_of_known_size() -> None:
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    matrix = tf.ones((2, 4))

    def written(equation: str, matrix_first: bool) -> bytes:
        call = tf.function(
            lambda x: tf.einsum(equation, *((matrix, x) if matrix_first else (x, matrix)))
        )
        concrete = call.get_concrete_function(tf.TensorSpec((None, 4, 5, 3)))
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())

    Interpreter(model_content=written("biwc,oi->bowc", False)).allocate_tensors()
    with pytest.raises((RuntimeError, ValueError), match="number of elements overflowed"):
        Interpreter(model_content=written("oi,biwc->bowc", True)).allocate_tensors()


@pytest.mark.upstream
def test_openvino_cuts_sums_of_two_products_of_int8() -> None:
    ov = pytest.importorskip("openvino")
    from openvino import opset8

    if "avx2" not in (flags := processor_flags()) or any("vnni" in flag for flag in flags):
        pytest.skip("a processor with AVX2 and without VNNI")

    def quantized(x: Any, low: float, high: float, levels: int) -> Any:
        ends = [opset8.constant(np.float32(end)) for end in (low, high)]
        return opset8.fake_quantize(x, *ends, *ends, levels)

    def sum_of_four_ones(least: float, largest: float) -> float:
        x = opset8.parameter([1, 4, 8], np.float32)
        kernel = quantized(opset8.constant(np.ones((4, 4, 1), np.float32)), -largest, largest, 255)
        y = opset8.convolution(quantized(x, least, 1.0, 256), kernel, [1], [0], [0], [1])
        run = ov.Core().compile_model(ov.Model([y], [x], "ones"), "CPU")
        return float(run([np.ones((1, 4, 8), np.float32)])[0].max())

    assert sum_of_four_ones(0.0, 1.0) == pytest.approx(2.02, abs=0.01)  # as after ReLU
    assert sum_of_four_ones(-1.0, 1.0) == pytest.approx(0.03, abs=0.01)
    assert sum_of_four_ones(0.0, 127 / 63) == pytest.approx(4, abs=0.03)
    assert sum_of_four_ones(-1.0, 127 / 63) == pytest.approx(4, abs=0.03)


def processor_flags() -> set[str]:
    """As Linux names them."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


@pytest.mark.upstream
@pytest.mark.slow
def test_openvino_takes_the_logarithm_of_softmax_over_another_axis() -> None:
    ov = pytest.importorskip("openvino")
    kernel = np.random.default_rng(0).standard_normal((1, 1, 4, 4)).astype(np.float32)

    def difference(softmax: Any) -> float:
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 4))])
        def call(x: Any) -> Any:
            return softmax(tf.nn.conv2d(x, kernel, 1, "SAME"))

        x = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 8, 8, 4)
        graph = ov.convert_model(call.get_concrete_function())
        # It would take bfloat16 on processors that have it.
        run = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return float(np.abs(run([x])[0] - call(x)).max())

    assert difference(tf.nn.softmax) < 1e-4
    assert difference(tf.nn.log_softmax) > 0.1


@pytest.mark.upstream
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_litert_cuts_what_minimum_and_where_choose_from_for_its_other_readers() -> None:
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    x = np.linspace(-1, 1, 256, dtype=np.float32).reshape(1, 8, 8, 4)

    def difference(negative: Any) -> float:
        @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 4))])
        def call(x: Any) -> Any:
            return tf.nn.relu(x) + tf.exp(negative(x))

        converter = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[x]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        interpreter = Interpreter(model_content=converter.convert())
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return float(np.abs(found - call(x)).max())

    assert difference(lambda x: -tf.nn.relu(-x)) < 0.05
    assert difference(lambda x: tf.minimum(x, 0.0)) > 0.9
    assert difference(lambda x: tf.where(x < 0.0, x, 0.0)) > 0.9


@pytest.mark.upstream
def test_tf2onnx_makes_inputs_of_captured_tensors() -> None:
    tf2onnx = pytest.importorskip("tf2onnx")
    captured, signature = tf.ones(3), [tf.TensorSpec((None, 3))]
    function = tf.function(lambda x: x + captured, input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature)
    assert len(proto.graph.input) == 2
