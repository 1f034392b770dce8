"""ResNet-50 beside what people would use instead, with equal weights.

keras.applications always; keras-hub, torchvision and timm with `torch.compile` where they are
installed; with `--full` ours in every mode and on every backend that is.
`bench_serving` has ONNX Runtime and OpenVINO.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import devices, peers, twins
from benchmarks.harness.child import Child, children
from benchmarks.harness.report import Comparison, Results

# What is done, precision, batch, device.
Case = tuple[str, str, int, str]
BOTH = ("forward", "training step")
CASES: list[Case] = [
    ("training step", "bfloat16", 8, "cpu:0"),
    ("forward", "bfloat16", 32, "gpu:0"),
]
SMOKE: list[Case] = [("forward", "float32", 1, "cpu:0")]
FULL: list[Case] = [
    *itertools.product(BOTH, twins.POLICIES, (1, 8, 16, 32), ("cpu:0",)),
    *itertools.product(BOTH, twins.POLICIES, (1, 32, 256), ("gpu:0",)),
]


# What the other frameworks warn of is theirs.
@pytest.mark.filterwarnings("ignore")
def test_peers(
    compare: Callable[..., Comparison],
    results: Results,
    case: Case,
    smoke: bool,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    job = peers.Job(*case, size=32 if smoke else 224)
    if reason := devices.missing(job.device):
        pytest.skip(reason)
    pair = twins.make("resnet50", job.precision, size=job.size, device=job.device)
    x, y = pair.batch(job.batch)
    full = bool(pytestconfig.getoption("--full"))
    tasks = {} if smoke else dict(peers.elsewhere(job, pair, x, y, tmp_path, full=full))
    with children(tasks) as others:
        found = _compared(
            compare, results, job, dict(peers.here(job, pair, x, y, full=full)) | others
        )
    if peers.TIMM in found.seconds:
        seconds = {name: found.seconds[name] for name in (peers.TIMM, "ours")}
        beside = Comparison("peers", found.case, peers.TIMM, seconds, {"ours": 1.0})
        results.comparisons.append(beside)


def _compared(
    compare: Callable[..., Comparison], results: Results, job: peers.Job, made: dict[str, Any]
) -> Comparison:
    """Checks the first result of each, and times those that are there."""
    case = {
        "work": job.work,
        "precision": job.precision,
        "batch": f"batch {job.batch}",
        "size": f"{job.size} px",
        "device": devices.shown(job.device),
    }
    contenders: dict[str, Any] = {}
    details: dict[str, dict[str, Any]] = {}
    for name, contender in made.items():
        if isinstance(contender, str):
            results.skipped[f"peers, {', '.join(case.values())}: {name}"] = contender
            continue
        details[name] = detail = {}
        if name == peers.BASELINE:  # its strides stand elsewhere, and so its numbers differ
            assert np.all(np.isfinite(contender.first))
        else:
            expected = made["ours"].first
            detail["difference"] = twins.assert_same_output(
                contender.first, expected, job.precision, job.device
            )
        if isinstance(contender, Child):
            detail["compile_seconds"] = contender.compile_seconds
        contenders[name] = contender.run if isinstance(contender, Child) else contender
    goals = {}
    if job.device.startswith("gpu"):
        goals = {"ours": 1.0} | ({"ours, folded": 1.2} if job.work == "forward" else {})
    return compare("peers", case, contenders, peers.BASELINE, goals=goals, details=details)
