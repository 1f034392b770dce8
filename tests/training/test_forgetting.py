"""Trainings leave nothing behind: neither graphs nor networks."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

from resnet_layers import training
from resnet_layers.training.forgetting import gradients_forgotten
from tests.training.fitting import settings


def registry() -> set[str]:
    from tensorflow.python.framework import ops

    return set(ops.gradient_registry._registry)


@pytest.mark.share(6)
def test_a_training_leaves_no_graph_behind() -> None:
    before = registry()
    one = settings(epochs=1)
    model = weakref.ref(one.model)
    training.train(one)
    assert registry() == before
    del one
    gc.collect()
    assert model() is None


@pytest.mark.share(3)
def test_parts_that_train_later_leave_no_graph_behind() -> None:
    """Compiling again gives up the optimizer, whose variables the first graph has as well."""
    before = registry()
    one = settings(epochs=2, callbacks=[training.Unfreeze({"head": 1, "stage1": 2})])
    training.freeze_until(one.model, "head")
    training.train(one)
    assert registry() == before


@pytest.mark.share(6)
def test_what_was_traced_before_keeps_its_gradient() -> None:
    one = settings(epochs=1)
    one.model.compile("sgd", "mse")
    one.model.fit(np.zeros((4, 8, 8, 3)), np.zeros((4, 3)), verbose=0)
    before = registry()
    with gradients_forgotten(one.model):
        pass
    assert registry() == before


def test_what_others_trace_meanwhile_keeps_its_gradient() -> None:
    import tensorflow as tf

    doubled = tf.function(lambda x: 2.0 * tf.nn.silu(x))
    x = tf.constant([1.0])
    with gradients_forgotten(settings().model), tf.GradientTape() as tape:
        tape.watch(x)
        y = doubled(x)
    assert tape.gradient(y, x) is not None


GROWS = """
from tests.training.test_forgetting import memory, settings, training
for i in range(100):
    training.train(settings(epochs=1))
    if i in (29, 99):
        print(memory())
"""


def memory() -> int:
    """Resident bytes."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_trainings() -> None:
    process = subprocess.run(
        [sys.executable, "-c", GROWS], capture_output=True, text=True, check=True
    )
    early, late = map(int, process.stdout.split()[-2:])
    assert late <= 1.05 * early, (early, late)
