"""Exported networks against the network itself in Keras, as its users call it.

`python -m benchmarks.serving` has more to compare with, and more to say.
"""

from collections.abc import Callable

import pytest

from benchmarks.paired import stopwatch
from benchmarks.serving_contenders import FORMATS, Contenders
from tests.randomize import images

# Runtime, precision, images.
CASES = [(*way, batch) for batch in (1, 8, 32) for way in FORMATS]
SMOKE = [(*way, 1) for way in FORMATS]


@pytest.fixture(scope="module")
def contenders(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Contenders:
    smoke = pytestconfig.getoption("--smoke")
    variant, size = ("cifar_resnet20", 32) if smoke else ("resnet50", 224)
    return Contenders(variant, size, tmp_path_factory.mktemp("serving"))


# What the runtimes and exporters warn of is theirs.
@pytest.mark.filterwarnings("ignore")
def test_serving(
    compare: Callable[..., None], contenders: Contenders, case: tuple[str, str, int]
) -> None:
    runtime, precision, count = case
    ways = {(way.whose, way.runtime, way.precision): way for way in contenders.ways}
    way = ways["ours", runtime, precision]
    if way.missing():
        pytest.skip(way.missing())
    stock = ways["Keras", "predict_on_batch", "float32"]
    size = contenders.model.input_shape[0]
    batch = images(count, size, size, 3)
    ours, theirs = way.make(batch), stock.make(batch)
    contenders.check(way, batch, ours())
    contenders.check(stock, batch, theirs())
    compare(f"serving: {way.name}, batch {count}", stopwatch(ours), stopwatch(theirs))
