"""Every activation of Keras in every rank, format and precision: it agrees, or a sentence."""

import random
import subprocess
import sys

import pytest

from tests.serving.activation_script import CELLS
from tests.serving.test_export import WAYS, needs

SHARE = 4
# What may be refused, for faults that `docs/upstream.md` has. How far bfloat16 is away is the
# processor's affair: there any may be.
REFUSED = {
    "openvino-float32": {"log_softmax"},
    "openvino-int8": {"log_softmax"},
    "litert-int8": {"celu", "sparse_plus"},
}


def outcomes(way: str, cells: list[str]) -> dict[str, str]:
    """What came of each cell; after an abort the others go on in another process."""
    found: dict[str, str] = {}
    while cells:
        command = [sys.executable, "-m", "tests.serving.activation_script", way, *cells]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split(" ", 2) for line in run.stdout.splitlines()]
        begun = [line[1] for line in lines if line[0] == "begins"]
        found |= {line[1]: line[2] for line in lines if line[0] == "ends"}
        if not begun:
            raise AssertionError(run.stderr[-2000:])
        if begun[-1] not in found:
            found[begun[-1]] = f"ended with {run.returncode}: {run.stderr[-500:]}"
        cells = [cell for cell in cells if cell not in found]
    return found


def check(way: tuple[str, str], cells: list[str]) -> None:
    needs(*way)
    name = "-".join(way)
    for cell, said in outcomes(name, cells).items():
        refusable = way[1] == "bfloat16" or cell.partition("-")[0] in REFUSED.get(name, ())
        allowed = ("agrees", "no network", *(["refused: "] if refusable else []))
        assert said.startswith(allowed), (way, cell, said)


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=() if way[0] == "onnx" else pytest.mark.slow) for way in WAYS],
    ids="-".join,
)
def test_some_activations_export(way: tuple[str, str]) -> None:
    check(way, random.Random(str(way)).sample(CELLS, SHARE))


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_every_activation_exports(way: tuple[str, str]) -> None:
    check(way, CELLS)
