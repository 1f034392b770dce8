"""What the machine can do, what a network asks of it, and where OpenVINO spends its time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cpuinfo
import numpy as np

from resnet_layers.serving.runtimes import openvino_runtime

SIDE = 2048  # of the matrices whose product tells what the machine can do
PRODUCT = 2.0 * SIDE**3  # its operations


def product(precision: str, _: Any = None) -> Callable[[], Any]:
    """A product of square matrices in TensorFlow."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal((SIDE, SIDE), (0, 0)), precision)
    call = tf.function(lambda x: tf.matmul(x, x)[0, 0])
    return lambda: call(matrix).numpy()


def product_int8(_: Any = None) -> Callable[[], Any]:
    """In OpenVINO, which has no integer product of its own: one between quantized matrices."""
    import openvino as ov
    from openvino import opset13 as ops

    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    low, high = np.float32(-4), np.float32(4)
    x = ops.parameter([SIDE, SIDE], np.float32)
    left = ops.fake_quantize(x, low, high, low, high, 256)
    right = ops.fake_quantize(ops.constant(matrix), low, high, low, high, 255)
    product = ops.reduce_max(ops.matmul(left, right, False, False), np.array([0, 1]))
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino_runtime.core().compile_model(ov.Model([product], [x]), "CPU", hints)
    return lambda: np.array(compiled(matrix)[0])


def operations(network: Any, size: int) -> float:
    """2 × multiply-adds of the convolutions and the dense layer, for one image.

    Convolutions in groups are functions of their own on the CPU, and are not counted.
    """
    import tensorflow as tf

    spec = tf.TensorSpec((1, size, size, 3), tf.float32)
    graph = tf.function(lambda x: network(x, training=False), autograph=False)
    total = 0
    for node in graph.get_concrete_function(spec).graph.get_operations():
        if node.type in ("Conv2D", "MatMul"):
            kernel = node.inputs[1].shape  # (height, width, channels, filters), (units, classes)
            total += 2 * int(np.prod(node.outputs[0].shape)) * int(np.prod(kernel[:-1]))
    return float(total)


def layers(path: Path, batch: Any) -> dict[str, tuple[float, float]]:
    """OpenVINO's own counters: seconds and operations of each kind of layer."""
    core = openvino_runtime.core()
    graph = core.read_model(path)
    precision = json.loads(graph.get_rt_info("resnet_layers").astype(str))["precision"]
    graph.reshape(list(batch.shape))
    kinds: dict[str, tuple[str, float]] = {}
    for node in graph.get_ops():
        if node.get_type_name() in ("Convolution", "MatMul"):
            kernel = list(node.input(1).get_shape())
            convolves = len(kernel) == 4  # filters, channels, height, width
            kind = f"convolutions {kernel[2]}×{kernel[3]}" if convolves else "dense"
            each = np.prod(kernel[1:]) if convolves else node.input(0).get_shape()[-1]
            count = 2.0 * float(np.prod(node.output(0).get_shape()) * each)
            kinds[node.friendly_name] = kind, count
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": "YES",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    request = core.compile_model(graph, "CPU", hints).create_infer_request()
    rounds: list[dict[str, float]] = []
    for _ in range(5):
        request.infer({0: batch})
        rounds.append({i.node_name: i.real_time.total_seconds() for i in request.profiling_info})
    found: dict[str, tuple[float, float]] = {}
    dense = next(row for row in kinds.values() if row[0] == "dense")
    for info in request.profiling_info:
        # A dense layer is named after the addition in it.
        is_dense = info.node_type.startswith("FullyConnected")
        kind, count = dense if is_dense else kinds.get(info.node_name, (info.node_type, 0.0))
        seconds = float(np.median([each[info.node_name] for each in rounds[2:]]))
        if seconds:
            before = found.get(kind, (0.0, 0.0))
            found[kind] = before[0] + seconds, before[1] + count
    return found


def processor_flags() -> list[str]:
    """Instructions for matrices and short numbers that this processor has."""
    flags = cpuinfo.get_cpu_info().get("flags", [])
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return [name for name in wanted if name in flags]
