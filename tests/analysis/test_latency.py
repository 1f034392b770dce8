"""Predicted latency: laws of it, what is kept of a machine, and how far it was off."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers.analysis import subjects
from resnet_layers.analysis.latency import machine as machines
from resnet_layers.analysis.latency import prediction, training
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.analysis.latency.steps import steps_of
from resnet_layers.networks import variants, walks
from tests.support.measured import MACHINE as SEVEN

BOTH = dataclasses.replace(SEVEN, threads=2)
RUNTIMES = list(prediction.RUNTIMES)
NAMES = ["resnet18", "resnext50_32x4d", "keras_resnet50v2", "resnetv2_50x1_bit", "r3d_18"]
NAMES += ["resnetblur18", "seresnet18", "cifar_resnet20", "resnetv2_50d_evos", "resnet50_gn"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that machines are kept in."""
    monkeypatch.setenv(machines.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def milliseconds(model: Any, *arguments: Any, runtime: str = "onnx", **how: Any) -> float:
    return rl.predict_latency(model, *arguments, runtime=runtime, machine=BOTH, **how).milliseconds


@pytest.mark.parametrize("runtime", RUNTIMES)
@given(name=st.sampled_from(NAMES), batch=st.integers(1, 64), size=st.integers(32, 300))
def test_more_work_takes_no_less(runtime: str, name: str, batch: int, size: int) -> None:
    shape = (16, 112, 112, 3) if name == "r3d_18" else (size, size, 3)
    larger = (16, 128, 128, 3) if name == "r3d_18" else (size + 32, size + 32, 3)
    one = milliseconds(name, shape, batch, runtime=runtime)
    assert 0 < one <= milliseconds(name, shape, batch + 1, runtime=runtime)
    assert one <= milliseconds(name, larger, batch, runtime=runtime)
    # A network twice as often takes at least as long as one of twice the batch, but for the call.
    assert milliseconds(name, shape, 2 * batch, runtime=runtime) <= 2 * one


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_parts_add_up_with_the_call(runtime: str) -> None:
    found = rl.predict_latency("resnet50", batch=8, runtime=runtime, machine=BOTH)
    assert list(found.parts) == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    call = 1000 * BOTH.runtimes[runtime].call
    assert found.milliseconds == pytest.approx(sum(found.parts.values()) + call)


@pytest.mark.share(4)
@pytest.mark.parametrize("name", ["resnet18", "keras_resnet50v2", "seresnet18", "resnetblur18"])
def test_a_network_takes_as_long_by_its_name_and_folded(name: str) -> None:
    shape = (64, 64, 3)
    model = rl.ResNet.from_variant(name, input_shape=shape)
    expected = milliseconds(name, shape)
    assert milliseconds(model) == pytest.approx(expected)
    assert milliseconds(rl.fold_batch_norm(model)) == pytest.approx(expected)


def test_steps_are_those_of_a_folded_network() -> None:
    walk = walks.of_row(variants.find("resnet50"), 1000, (224, 224, 3))
    kinds = [step.kind for step in steps_of(walk)]
    assert "batch_normalization" not in kinds
    assert "activation" not in kinds
    assert sum(kind in ("pointwise", "spatial", "shallow") for kind in kinds) == 53
    operations = sum(step.operations for step in steps_of(walk))
    assert operations == 2 * rl.profile("resnet50").macs
    before = walks.of_row(variants.find("resnetv2_50"), 1000, (224, 224, 3))
    left = [step.kind for step in steps_of(before)].count("batch_normalization")
    assert left == 17  # one before each block, and the last


def test_a_faster_machine_takes_less() -> None:
    def found(runtime: str, memory: float = 1, product: float = 1, **fields: float) -> float:
        speed = BOTH.runtimes[runtime]
        products = {"float32": product * speed.products["float32"]}
        given = {name: factor * getattr(speed, name) for name, factor in fields.items()}
        machine = dataclasses.replace(
            BOTH,
            bandwidths={"float32": memory * BOTH.bandwidths["float32"]},
            runtimes={runtime: dataclasses.replace(speed, products=products, **given)},
        )
        return rl.predict_latency("resnet50", runtime=runtime, machine=machine).milliseconds

    for runtime in RUNTIMES:
        now = found(runtime)
        for faster in ({"memory": 2}, {"product": 2}, {"call": 0.5}, {"step": 0.5}):
            assert now / 2 <= found(runtime, **faster) <= now
        assert found(runtime, 2, 2, call=0.5, step=0.5) == pytest.approx(now / 2)


def test_machines_are_kept_by_processor_and_threads(cache: Path) -> None:
    assert Machine.read(2) is None
    path = BOTH.write()
    assert path == cache / "machine.json"
    SEVEN.write()
    other = dataclasses.replace(BOTH, processor="another one", threads=2)
    other.write()
    assert Machine.read(2) == BOTH
    assert Machine.read(7) == SEVEN
    assert Machine.read(3) is None
    newer = dataclasses.replace(BOTH, bandwidths={"float32": 5e9})
    newer.write()
    assert Machine.read(2) == newer
    assert len(json.loads(path.read_text())["machines"]) == 3
    assert os.listdir(cache) == ["machine.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "machines": 3}',
        '{"format": 1, "machines": [3, {"threads": 2}]}',
        "\x00",
        "[" * 100_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_damaged_file_is_as_none_and_is_written_again(cache: Path, text: str) -> None:
    cache.mkdir()
    (cache / "machine.json").write_text(text)
    assert Machine.read(2) is None
    BOTH.write()
    assert Machine.read(2) == BOTH


@pytest.mark.parametrize(
    "change",
    [
        {"bandwidths": {"float32": 0.0}},
        {"bandwidths": {}},
        {"bandwidths": None},
        {"runtimes": None},
        {"runtimes": {"onnx": None}},
        {"runtimes": {"onnx": {}}},
        {"runtimes": {"onnx": {"version": "1", "products": {"float32": "fast"}, "call": 1}}},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_numbers_that_cannot_be_are_as_none(cache: Path, change: dict[str, Any]) -> None:
    path = BOTH.write()
    said = json.loads(path.read_text())
    said["machines"][0] |= change
    path.write_text(json.dumps(said))
    assert Machine.read(2) is None


@pytest.mark.slow
def test_this_machine_is_measured(cache: Path) -> None:
    found = rl.measure_machine(1)
    assert Machine.read(1) == found
    assert found.threads == 1
    assert set(found.bandwidths) == {"float32", "bfloat16", "int8"}
    assert set(found.runtimes) == set(RUNTIMES)
    assert set(found.runtimes["onnx"].products) == {"float32", "int8"}
    assert set(found.runtimes["tf_saved_model"].products) == {"float32", "bfloat16"}
    for runtime, speed in found.runtimes.items():
        assert 1e9 < speed.products["float32"] < 1e13
        assert 0 < speed.step < speed.call < 0.1
        assert 0 < rl.predict_latency("resnet18", runtime=runtime, threads=1).milliseconds < 1e4
    assert 1e8 < found.bandwidths["float32"] < 1e12


def test_a_layer_that_nobody_knows_is_named() -> None:
    import keras

    class Mine(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return keras.ops.fft2((inputs, inputs))[0]

    model = keras.Sequential([keras.Input((8, 8, 3)), Mine(name="mine")])
    found = rl.predict_latency(model, machine=BOTH)
    assert found.unknown == {"mine": "Mine"}
    assert "unknown: mine (Mine), whose time is not in these numbers" in str(found)


def test_training_takes_longer_and_more_with_larger_batches() -> None:
    walk = subjects.find("resnet18", (64, 64, 3), 1, None).walk
    served = prediction.seconds_of(walk, 8, "tf_saved_model", BOTH)
    step = training.seconds_of(walk, 8, BOTH)
    assert 2 * served < step < 20 * served
    assert step < training.seconds_of(walk, 16, BOTH)
    assert training.bytes_of(walk, 8) < training.bytes_of(walk, 16)
    assert training.bytes_of(walk, 8) > 11_689_512 * 4


def test_shown() -> None:
    found = rl.predict_latency("resnet18", batch=8, machine=BOTH)
    first, *parts = str(found).splitlines()
    assert first == (
        f"resnet18 · 8 images of 224×224×3 · ONNX Runtime, 2 threads: {found.milliseconds:.3g} ms"
    )
    assert [part.split()[0] for part in parts] == list(found.parts)
    assert repr(found) == str(found)
    assert np.isfinite(found.milliseconds)
