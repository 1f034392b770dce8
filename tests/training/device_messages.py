"""Errors of several devices: their types and whole texts."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers import training
from resnet_layers._support.errors import InputError
from resnet_layers.training import devices, processes
from resnet_layers.training.batches import Batches
from tests.support.messages import Row
from tests.training.fitting import PREPARE, coloured, settings


def on(backend: str, number: int) -> None:
    """Asks for devices."""
    with pytest.MonkeyPatch.context() as patch:
        tf.config.list_logical_devices()  # which takes the CPU as it is
        patch.setattr(keras.backend, "backend", lambda: backend)
        with training.data_parallel(number):
            pass


def shared(number: int, build: Callable[[], Any], of: int = 2) -> None:
    """As where so many devices share a batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "count", lambda: number)
        patch.setattr(devices, "_of", lambda _: of)
        build()


def fit_set_elsewhere() -> None:
    one = settings()
    shared(2, lambda: training.train(one))


def fit_made_elsewhere() -> None:
    one = settings()
    shared(2, lambda: training.train(dataclasses.replace(one, multiple=2)), of=1)


def fit(**given: Any) -> None:
    compiled = given.pop("compile", "auto")
    training.train(settings(given, multiple=2, compile=compiled))


def entered(devices: int = 4, on: str = "jax", **variables: str) -> None:
    """As a process whose environment says that there are others."""
    usual = {"JOB_ADDRESSES": "127.0.0.1:1", "NUM_PROCESSES": "2", "PROCESS_ID": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: on)
        for name, value in (usual | variables).items():
            patch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
        processes.enter(devices)


def some_of_all() -> None:
    """As a process on JAX that asks for fewer devices than all processes have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.distribution, "list_devices", lambda: [f"cpu:{i}" for i in range(4)])
        patch.setattr(processes, "count", lambda: 2)
        with devices._jax(2):
            pass


def together(build: Callable[[], Any]) -> None:
    """As one of two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "count", lambda: 2)
        with processes.named():
            build()


def fails(name: str, text: str) -> Callable[[], None]:
    """As a step does where something is wrong with another process."""

    def build() -> None:
        raise type(name, (RuntimeError,), {})(text)

    return lambda: together(build)


def asked_otherwise() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "gathered", lambda array: np.stack([array, array + 1]))
        processes.check_same({"epochs": 3})


def entered_alone(**changes: Any) -> None:
    """Where nobody else comes, or nobody can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes._This, "joins", False)  # and so it is again
        patch.setattr(processes, "_WAITS", 0.1)
        patch.setattr(processes, "split_cpu", lambda _: None)
        patch.setattr(keras.distribution, "initialize", changes["does"])
        entered()


def refused(*_: Any) -> None:
    raise RuntimeError("Failed to start RPC server\nand more")


DEVICES: list[Row] = [
    (
        lambda: shared(2, lambda: on("tensorflow", 3)),
        InputError,
        "`devices` must be the number of the devices that share batches here already. Received: "
        "devices=3, within 2",
    ),
    (
        lambda: entered(NUM_PROCESSES="two"),
        InputError,
        "`KERAS_DISTRIBUTION_NUM_PROCESSES` must be a number where training has several "
        "processes. Received: 'two'",
    ),
    (
        lambda: entered(JOB_ADDRESSES=""),
        InputError,
        "`KERAS_DISTRIBUTION_JOB_ADDRESSES` must be HOST:PORT of the first process where training "
        "has several processes. Received: ''",
    ),
    (
        lambda: entered(JOB_ADDRESSES="10.0.0.1"),
        InputError,
        "`KERAS_DISTRIBUTION_JOB_ADDRESSES` must be HOST:PORT of the first process where training "
        "has several processes. Received: '10.0.0.1'",
    ),
    (
        lambda: entered(PROCESS_ID="2"),
        InputError,
        "`KERAS_DISTRIBUTION_PROCESS_ID` must be less than `KERAS_DISTRIBUTION_NUM_PROCESSES`. "
        "Received: 2, 2",
    ),
    (
        lambda: entered(on="tensorflow"),
        InputError,
        "Several processes can train on the JAX backend alone. Received: tensorflow",
    ),
    (
        lambda: entered(5),
        InputError,
        "`devices` must be a multiple of the number of processes. Received: devices=5, 2 processes",
    ),
    (
        some_of_all,
        InputError,
        "`devices` must be those of all processes, 4. Received: devices=2",
    ),
    *[
        (
            fails(name, text),
            InputError,
            said,
        )
        for name, text, said in (
            (
                "JaxRuntimeError",
                "Gloo AllGather failed: Connection closed by peer",
                "Another process of this training has ended",
            ),
            (
                "AssertionError",
                "passed to device_put is not the same on each process",
                "All processes must be given the same images, options and seed",
            ),
        )
    ],
    (
        asked_otherwise,
        InputError,
        "All processes must be given the same images, options and seed",
    ),
    (
        lambda: together(lambda: devices.check_multiple(2)),
        InputError,
        "Several processes must train within `data_parallel`, on all of their devices. "
        "Received: 1 devices, 2 processes",
    ),
    (
        lambda: entered_alone(does=lambda *_: time.sleep(1)),
        InputError,
        "The other processes of this training have not come to '127.0.0.1:1' within 0 minutes",
    ),
    (
        lambda: entered_alone(does=refused),
        InputError,
        "This process cannot join the others at '127.0.0.1:1': Failed to start RPC server",
    ),
    *[
        (
            lambda part=part: Batches(coloured(), PREPARE, 8, multiple=4, part=part),
            ValueError,
            "`part` must be the number of a part, counted from 0, and that of all parts, which "
            f"`multiple` is a multiple of. Received: part={part!r}, multiple=4",
        )
        for part in ((2, 2), (0, 3), (-1, 2), 1, (0, 1.0))
    ],
    (
        lambda: on("tensorflow", 0),
        ValueError,
        "`devices` must be a positive integer. Received: devices=0",
    ),
    (
        lambda: on("torch", 2),
        InputError,
        "`devices` must be 1 on other backends than TensorFlow and JAX. Received: devices=2, on "
        "torch",
    ),
    (
        lambda: on("tensorflow", 99),
        InputError,
        "`devices` must be at most the number of devices, 1 CPU, which is in use already and "
        "cannot be split. Received: devices=99",
    ),
    *[
        (
            lambda name=name, value=value: shared(2, lambda: fit(**{name: value})),
            InputError,
            f"`{name}` must be {usual!r} on several devices on TensorFlow, {why}; the JAX backend "
            f"has no such limit. Received: {name}={value!r}, 2 devices",
        )
        for name, value, usual, why in (
            ("accumulate", 3, 1, "where Keras cannot accumulate gradients"),
            ("global_clipnorm", 0.5, None, "where Keras limits that of each device"),
            ("compile", "xla", "graph", "which have no XLA"),
        )
    ],
    (
        fit_set_elsewhere,
        ValueError,
        "`multiple` must be a multiple of the number of devices, between which a batch is divided. "
        "Received: multiple=1, 2 devices",
    ),
    (
        fit_made_elsewhere,
        InputError,
        "`model` must be made where it is trained, both within the same `data_parallel`, or "
        "outside of one. Received: a model on 1 devices, trained on 2",
    ),
    (
        lambda: shared(2, lambda: settings(multiple=3)),
        ValueError,
        "`multiple` must be a multiple of the number of devices, between which a batch is divided. "
        "Received: multiple=3, 2 devices",
    ),
    (
        lambda: settings(multiple=9),
        ValueError,
        "`multiple` must be at most `batch_size`. Received: multiple=9, batch_size=8",
    ),
    (
        lambda: Batches(coloured(), PREPARE, 4, multiple=5),
        ValueError,
        "`multiple` must be at most `batch_size`. Received: multiple=5, batch_size=4",
    ),
    (
        lambda: Batches(coloured(3), PREPARE, 8, seed=0, multiple=5),
        InputError,
        "`multiple` must be at most the number of images to train on. Received: multiple=5, "
        "3 images",
    ),
]
