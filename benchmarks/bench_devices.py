"""Steps on several devices, beside the same steps on one: on a CPU, what it costs to share them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import pytest

from benchmarks.harness.paired import Contender

# Network, size of its images in pixels, images in a batch, steps, devices.
Case = tuple[str, int, int, int, int]
CASES: list[Case] = [("resnet18", 64, 16, 8, 2)]
SMOKE: list[Case] = [("cifar_resnet20", 8, 4, 2, 2)]
FULL: list[Case] = [*CASES, ("resnet18", 64, 16, 8, 4), ("resnet50", 128, 16, 8, 2)]

PROGRAM = """
import sys, time
import keras, numpy as np
import resnet_layers as rl
from resnet_layers import training
name, size, batch, steps, devices = sys.argv[1], *map(int, sys.argv[2:])
with training.data_parallel(devices):
    model = rl.ResNet.from_variant(name, classes=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    x = np.zeros((batch * steps, size, size, 3), "float32")
    y = np.arange(len(x)) % 2
    model.fit(x, y, batch_size=batch, verbose=0)
    start = time.perf_counter()
    model.fit(x, y, batch_size=batch, verbose=0)
    print(time.perf_counter() - start)
"""


def test_devices(compare: Callable[..., Any], case: Case) -> None:
    """Without `synchronized`: each device normalizes by its own images."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("several devices need TensorFlow or JAX")
    name, size, batch, steps, devices = case
    compare(
        "devices",
        {"what": f"{steps} steps of {name}", "batch": batch, "size": f"{size} px"},
        {
            "one device": _steps(case[:4], 1),
            f"{devices} devices": _steps(case[:4], devices),
        },
        "one device",
        fewest=2,  # each starts a process
    )


def _steps(case: tuple[Any, ...], devices: int) -> Contender:
    command = [sys.executable, "-c", PROGRAM, *map(str, case), str(devices)]

    def contender() -> float:
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(result.stdout.split()[-1])

    return contender
