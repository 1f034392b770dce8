"""Every error of predicted latency: its type and its whole text."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from typing import Any, cast
from unittest import mock

from resnet_layers._support.errors import InputError
from resnet_layers.analysis.latency.machine import VARIABLE, Machine, Speed, usable_cores
from resnet_layers.analysis.latency.measuring import measure_machine
from resnet_layers.analysis.latency.prediction import predict_latency
from tests.support.messages import Row

SPEED = Speed(version="1.23", products={"float32": 5e10}, call=5e-5, step=5e-6)


def machine(**changes: Any) -> Machine:
    given: dict[str, Any] = {"processor": "an old one", "threads": 2}
    given |= {"bandwidths": {"float32": 1e10}, "runtimes": {"onnx": SPEED}}
    return Machine(**given | changes)


def with_python(path: str) -> Machine:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {VARIABLE: folder}),
        mock.patch.object(sys, "executable", path),
    ):
        return measure_machine(1)


def with_a_folder_for_a_file() -> Machine:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.makedirs("cache/machine.json")
        with mock.patch.dict(os.environ, {VARIABLE: "cache"}):
            return measure_machine(1)


ERRORS: list[Row] = [
    (
        lambda: machine(bandwidths={"bfloat16": 1e10}),
        ValueError,
        "`bandwidths` must have a number for 'float32'. Received: bandwidths={'bfloat16': "
        "10000000000.0}",
    ),
    (
        lambda: machine(bandwidths=None),
        TypeError,
        "`bandwidths` must be a mapping of numbers by precision. Received: bandwidths=None",
    ),
    (
        lambda: machine(bandwidths={"float32": 10**400}),
        ValueError,
        f"`bandwidths` must be a positive number. Received: bandwidths={10**400}",
    ),
    (
        lambda: machine(runtimes={"onnx": 5}),
        TypeError,
        "`runtimes` must be a mapping of a Speed by runtime. Received: runtimes={'onnx': 5}",
    ),
    (
        lambda: machine(runtimes="onnx"),
        TypeError,
        "`runtimes` must be a mapping of a Speed by runtime. Received: runtimes='onnx'",
    ),
    (
        lambda: Machine.of_json({"threads": 1}),
        ValueError,
        "A Machine must be a mapping of 'processor', 'threads', 'bandwidths', 'runtimes'. "
        "Received: {'threads': 1}",
    ),
    (
        lambda: Machine.of_json(dataclasses.asdict(machine()) | {"runtimes": {"onnx": None}}),
        ValueError,
        "A Speed must be a mapping of 'version', 'products', 'call', 'step'. Received: None",
    ),
    (
        lambda: machine(threads=0),
        ValueError,
        "`threads` must be a positive integer. Received: threads=0",
    ),
    (
        lambda: Speed(version="1", products={"float32": 0.0}, call=1.0, step=1.0),
        ValueError,
        "`products` must be a positive number. Received: products=0.0",
    ),
    (
        lambda: Speed(version="1", products={"float32": 1e9}, call=float("nan"), step=1.0),
        ValueError,
        "`call` must be a positive number. Received: call=nan",
    ),
    (
        lambda: predict_latency("resnet18", threads=3),
        ValueError,
        "The machine must have been measured with the threads that it is asked about: "
        "`resnet-layers measure --threads 3` does. Received: threads=3",
    ),
    (
        lambda: predict_latency("resnet18", threads=cast("int", 1.5)),
        TypeError,
        "`threads` must be a positive integer. Received: threads=1.5",
    ),
    (
        lambda: predict_latency("resnet18", threads=1, machine=machine()),
        ValueError,
        "`threads` must be those of `machine`, 2. Received: threads=1",
    ),
    (
        lambda: predict_latency("resnet18", machine=cast("Machine", "mine")),
        TypeError,
        "`machine` must be a Machine or None. Received: machine='mine'",
    ),
    (
        lambda: predict_latency("resnet18", machine=machine(), runtime="tf_saved_model"),
        ValueError,
        "TensorFlow must have been there to be measured: `resnet-layers measure --threads 2` does. "
        "Received: runtime='tf_saved_model'",
    ),
    (
        lambda: predict_latency("resnet18", machine=machine(runtimes={}), runtime="onnx"),
        ValueError,
        'ONNX Runtime must have been there to be measured: pip install "resnet-layers[export]", '
        "then `resnet-layers measure --threads 2`. Received: runtime='onnx'",
    ),
    (
        lambda: predict_latency("resnet18", machine=machine(), runtime="litert"),
        ValueError,
        "`runtime` must be one of 'onnx', 'tf_saved_model'. Received: runtime='litert'",
    ),
    (
        lambda: predict_latency("resnet18", machine=machine(), batch=0),
        ValueError,
        "`batch` must be a positive integer. Received: batch=0",
    ),
    (
        lambda: measure_machine(0),
        ValueError,
        "`threads` must be a positive integer. Received: threads=0",
    ),
    (
        lambda: measure_machine(10**6),
        ValueError,
        f"`threads` must be at most {usable_cores()}, the cores that this process may use. "
        "Received: threads=1000000",
    ),
    (
        with_a_folder_for_a_file,
        IsADirectoryError,
        "[Errno 21] Is a directory: 'cache/machine.json'",
    ),
    (
        lambda: with_python("false"),
        InputError,
        "This machine could not be measured: the process that does ended with exit code 1",
    ),
]
