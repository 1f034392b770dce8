"""Exported networks against the network itself in Keras, as its users call it.

`python -m benchmarks.serving` has more to compare with, and more to say.
"""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.harness.paired import stopwatch
from benchmarks.serving.contenders import FORMATS, Contenders
from tests.support.randomize import images

# Runtime, precision, images.
Case = tuple[str, str, int]
CASES: list[Case] = [
    ("ONNX Runtime", "float32", 8),
    ("OpenVINO", "int8", 8),
]
FULL: list[Case] = [(*way, batch) for batch in (1, 8, 32) for way in FORMATS]
SMOKE: list[Case] = [(*way, 1) for way in list(FORMATS)[:3]]


@pytest.fixture(scope="module")
def contenders(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Contenders:
    smoke = pytestconfig.getoption("--smoke")
    variant, size = ("cifar_resnet20", 32) if smoke else ("resnet50", 224)
    return Contenders(variant, size, tmp_path_factory.mktemp("serving"))


# What the runtimes and exporters warn of is theirs.
@pytest.mark.filterwarnings("ignore")
def test_serving(compare: Callable[..., Any], contenders: Contenders, case: Case) -> None:
    runtime, precision, count = case
    ways = {(way.whose, way.runtime, way.precision): way for way in contenders.ways}
    way = ways["ours", runtime, precision]
    if way.missing():
        pytest.skip(way.missing())
    stock = ways["Keras", "predict_on_batch", "float32"]
    size = contenders.model.input_shape[0]
    batch = images(count, size, size, 3)
    ours, theirs = way.make(batch), stock.make(batch)
    difference = contenders.check(way, batch, ours())
    contenders.check(stock, batch, theirs())
    compare(
        "serving",
        {
            "network": contenders.model.name,
            "runtime": runtime,
            "precision": precision,
            "batch": f"batch {count}",
            "size": f"{size} px",
            "device": "CPU",
        },
        {"predict_on_batch": stopwatch(theirs), "ours": stopwatch(ours)},
        "predict_on_batch",
        details={"ours": {"difference": difference}},
    )
