# ruff: noqa: T201 (a process of its own prints what it has found)
"""What this machine can do, measured in a process of its own with the threads asked for."""

import errno
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError
from resnet_layers._support.files import check_writable
from resnet_layers.analysis.latency.machine import Machine, Speed, file, processor, usable_cores

Call = Callable[[], Any]
# Of square matrices; of arrays of bytes that no cache holds; passes over one; operations in a row.
SIDE, _BYTES, _PASSES, _STEPS = 1536, 2**28, 4, 64
_ROUNDS, _SECONDS = 5, 0.5


def measure_machine(threads: int | None = None) -> Machine:
    """Measures what this machine can do, and keeps it for `predict_latency`.

    A matrix product and memory in float32, bfloat16 and int8; what a call of a network and one
    operation more cost. It takes about half a minute, in which nothing else should run. The numbers
    are in `machine.json` in the user's folder for caches, or in that which the variable
    `RESNET_LAYERS_CACHE` names.

    Args:
        threads: How many threads networks will have; `None` for as many as there are cores.

    Returns:
        What was measured. ONNX Runtime is a part of it where it is installed, with `onnx`.

    Raises:
        ValueError: If `threads` is not positive, or more than the cores that there are.
        TypeError: If it is no integer.
        InputError: If the process that measures fails.
        OSError: If the user's folder cannot be written into.

    Example:

    >>> machine = measure_machine(threads=1)  # doctest: +SKIP
    >>> f"{machine.runtimes['onnx'].products['float32']:.1e}"  # doctest: +SKIP
    '5.4e+10'
    """
    cores = usable_cores()
    threads = cores if threads is None else checks.integer("threads", threads)
    if threads > cores:
        raise ValueError(
            f"`threads` must be at most {cores}, the cores that this process may use. "
            f"Received: threads={threads}"
        )
    path = file()
    path.parent.mkdir(parents=True, exist_ok=True)
    check_writable(path.parent)  # at once, and not in half a minute
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    machine = Machine.of_json(json.loads(_said_elsewhere(threads)))
    machine.write()
    return machine


def _said_elsewhere(threads: int) -> str:
    """What a process of its own finds, as JSON: TensorFlow has as many threads as it began with."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(threads)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else f"the process that does ended with exit code {done.returncode}"
        raise InputError(f"This machine could not be measured: {why}")
    return done.stdout.splitlines()[-1]


def _measured(threads: int) -> Machine:
    """What this process finds."""
    found = {"tf_saved_model": _tensorflow()}
    packages = {"tf_saved_model": "tensorflow"}
    if all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        found["onnx"] = _onnx_runtime(threads)
        packages["onnx"] = "onnxruntime"
    bandwidths: dict[str, float] = {}
    runtimes: dict[str, Speed] = {}
    for runtime, tasks in found.items():
        seconds = {name: _fastest(call) for name, call in tasks}
        products, memory = (_of_precisions(seconds, what) for what in ("product", "memory"))
        bandwidths |= {name: 2 * _PASSES * _BYTES / each for name, each in memory.items()}
        more = max(seconds["calls"] - seconds["call"], 1e-9)
        runtimes[runtime] = Speed(
            version=metadata.version(packages[runtime]),
            products={name: 2 * SIDE**3 / each for name, each in products.items()},
            call=seconds["call"],
            step=more / _STEPS,
        )
    return Machine(processor=processor(), threads=threads, bandwidths=bandwidths, runtimes=runtimes)


def _of_precisions(seconds: Mapping[str, float], what: str) -> dict[str, float]:
    """The seconds of a task in each precision."""
    named = {tuple(name.split()): each for name, each in seconds.items() if " " in name}
    return {precision: each for (task, precision), each in named.items() if task == what}


def _tensorflow() -> Iterator[tuple[str, Call]]:
    """What is timed in TensorFlow; memory as well, which is the same for all."""
    import tensorflow as tf

    for precision in ("float32", "bfloat16"):  # it has no kernel for int8 that is worth it
        yield f"product {precision}", product(precision)
    for dtype in (tf.float32, tf.bfloat16, tf.int8):
        array = tf.zeros(_BYTES // dtype.size, dtype)
        yield f"memory {dtype.name}", _graph(_passes, array)
    x = tf.zeros((1, 8, 8, 8))
    kernel = 0.1 * tf.random.stateless_normal((3, 3, 8, 8), (0, 0))

    def chain(x: Any, length: int) -> Any:
        for _ in range(length):
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
        return x

    yield "call", _graph(lambda x: chain(x, 1), x)
    yield "calls", _graph(lambda x: chain(x, 1 + _STEPS), x)


def product(precision: str) -> Call:
    """A product of square matrices in TensorFlow, and one number, which needs all others."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal((SIDE, SIDE), (0, 0)), precision)
    return _graph(lambda x: tf.reduce_max(tf.matmul(x, x)), matrix)


def _passes(x: Any) -> Any:
    """Reads and writes an array some times, in a loop, which nobody makes into one pass."""
    import tensorflow as tf

    one = tf.ones((), x.dtype)
    return tf.while_loop(lambda i, _: i < _PASSES, lambda i, x: (i + 1, x + one), (0, x))[1][0]


def _graph(function: Callable[[Any], Any], x: Any) -> Call:
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    return lambda: graph(x).numpy()


def _onnx_runtime(threads: int) -> Iterator[tuple[str, Call]]:
    """What is timed in ONNX Runtime."""
    from onnx import TensorProto

    normal = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    square = [SIDE, SIDE]
    x = normal.astype(np.float32)
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT)
    product = [("MatMul", ["x", "w"], ["y"])]
    yield "product float32", _session(product, x, square, kinds, x, threads)
    kinds = (TensorProto.UINT8, TensorProto.INT32)
    product = [("MatMulInteger", ["x", "w"], ["y"])]
    unsigned = (20 * normal + 128).clip(0, 255).astype(np.uint8)
    whole = (20 * normal).clip(-127, 127).astype(np.int8)
    yield "product int8", _session(product, unsigned, square, kinds, whole, threads)
    x = np.zeros((1, 8, 8, 8), np.float32)
    kernel = 0.1 * np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
    for name, length in (("call", 1), ("calls", 1 + _STEPS)):
        names = ["x", *(f"h{i}" for i in range(2 * length - 1)), "y"]
        nodes = [
            (("Conv", [a, "w"], [b]) if i % 2 == 0 else ("Relu", [a], [b]))
            for i, (a, b) in enumerate(itertools.pairwise(names))
        ]
        kinds = (TensorProto.FLOAT, TensorProto.FLOAT)
        yield name, _session(nodes, x, [*x.shape], kinds, kernel, threads)


def _session(
    nodes: Sequence[tuple[str, list[str], list[str]]],
    x: Any,
    output: list[int],
    kinds: tuple[int, int],
    kernel: Any,
    threads: int,
) -> Call:
    """A graph from `x` to `y` with a constant `w`, whose inputs and outputs are of these kinds."""
    import onnx
    import onnxruntime
    from onnx import helper

    made = [helper.make_node(kind, inputs, outputs) for kind, inputs, outputs in nodes]
    for node in made:
        if node.op_type == "Conv":
            node.attribute.append(helper.make_attribute("pads", [1] * 4))
    graph = helper.make_graph(
        made,
        "measured",
        [helper.make_tensor_value_info("x", kinds[0], x.shape)],
        [helper.make_tensor_value_info("y", kinds[1], output)],
        [onnx.numpy_helper.from_array(kernel, "w")],
    )
    opsets = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})


def _fastest(call: Call) -> float:
    """Seconds of the round that others disturbed least, each of many calls where they are short."""
    call()
    start = time.perf_counter()
    call()
    count = max(1, int(_SECONDS / _ROUNDS / max(time.perf_counter() - start, 1e-9)))
    rounds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            call()
        rounds.append((time.perf_counter() - start) / count)
    return min(rounds)


if __name__ == "__main__":
    import dataclasses

    print(json.dumps(dataclasses.asdict(_measured(int(sys.argv[1])))))
