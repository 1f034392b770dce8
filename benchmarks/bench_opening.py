"""Opening an artifact, which checks every byte of it, beside its runtime alone."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnet_layers as rl
from benchmarks.harness.paired import stopwatch
from resnet_layers.serving.formats import FORMATS
from resnet_layers.serving.runtimes import openvino_runtime
from tests.support.randomize import images, randomize

# Format, network.
Case = tuple[str, str]
CASES: list[Case] = [("tf_saved_model", "resnet50"), ("onnx", "resnet50")]
FULL: list[Case] = [(name, "resnet50") for name in FORMATS]
SMOKE: list[Case] = [(name, "cifar_resnet20") for name in FORMATS]


@functools.cache
def _network(name: str) -> Any:
    return randomize(rl.ResNet.from_variant(name))


def _saved_model(path: Path) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(path))


def _onnx(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _litert(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path))


def _openvino(path: Path) -> Any:
    return openvino_runtime.core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


ALONE = {
    "tf_saved_model": _saved_model,
    "onnx": _onnx,
    "litert": _litert,
    "openvino": _openvino,
}


# What the runtimes and exporters warn of is theirs.
@pytest.mark.filterwarnings("ignore")
def test_opening(compare: Callable[..., Any], tmp_path: Path, case: Case) -> None:
    name, network = case
    row = FORMATS[name]
    for package in (*row.writes, *row.reads):
        pytest.importorskip(package)
    path = tmp_path / f"model{row.endings[0]}"
    report = rl.export(_network(network), path, format=name)
    assert rl.load_exported(path)(images(1, 32, 32, 3)).shape == (1, 1000)
    compare(
        "opening",
        {"format": name, "network": network, "size": f"{report.size / 1e6:.0f} MB"},
        {
            "the runtime alone": stopwatch(lambda: ALONE[name](path)),
            "ours": stopwatch(lambda: rl.load_exported(path)),
        },
        "the runtime alone",
    )
