"""Every error of predicted latency: its type and its whole text."""

import os
import sys
import tempfile
from typing import Any, cast
from unittest import mock

from resnet_layers._support.errors import InputError
from resnet_layers.analysis.latency.machine import VARIABLE, Machine, Speed
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


ERRORS: list[Row] = [
    (
        lambda: machine(bandwidths={"bfloat16": 1e10}),
        ValueError,
        "`bandwidths` must have a number for 'float32'. Received: bandwidths={'bfloat16': "
        "10000000000.0}",
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
        lambda: with_python("false"),
        InputError,
        "This machine could not be measured: the process that does ended with exit code 1",
    ),
]
