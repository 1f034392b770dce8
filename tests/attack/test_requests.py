"""Memory of an open artifact: it grows no more once each size of image was seen."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import resnet_layers as rl
from tests.attack.figures import counted
from tests.serving.test_requests import ENDINGS
from tests.support.randomize import randomize

MOST = 32  # MiB
# In a process of its own, in which nothing else is freed or made.
SCRIPT = """
import sys
import numpy as np
import resnet_layers as rl
path, sizes, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
artifact = rl.load_exported(path)
rng = np.random.default_rng(0)
shapes = [(1, 16 + i // 32, 16 + i % 32, 3) for i in range(sizes)]
def call(shape):
    assert artifact(rng.random(shape, np.float32)).shape == (1, 10)
def mib():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
start = mib()
for i in rng.permutation(sizes):
    call(shapes[i])
before = mib()
for i in rng.integers(0, sizes, calls):
    call(shapes[i])
print(before - start, mib() - before)
"""


@pytest.fixture(scope="module")
def model() -> Any:
    return randomize(rl.ResNet.from_variant("cifar_resnet20", classes=10))


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    ("sizes", "calls"), [(100, 1000), pytest.param(1000, 10_000, marks=pytest.mark.huge)]
)
@pytest.mark.parametrize("format", ENDINGS)
def test_memory_does_not_grow(
    format: str, sizes: int, calls: int, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / f"model{ENDINGS[format]}"
    try:
        rl.export(model, path, format=format)
    except ImportError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-c", SCRIPT, str(path), str(sizes), str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, then = map(float, done.stdout.split())
    with counted(f"{format}: {calls} calls after {sizes} sizes") as figures:
        figures.title += f" ({first:.0f} MiB), {then:.1f} MiB more"
        figures["right" if then < MOST else "wrong"] += 1
    assert then < MOST
