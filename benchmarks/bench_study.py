"""How soon a small study is over, from the command to its figures."""

import os
import subprocess
import sys
import time
from pathlib import Path

import keras

from benchmarks.harness.report import Reached, Results

# Depths of the networks, and processes.
Case = tuple[tuple[int, ...], int]
CASES: list[Case] = [((8, 20), 2)]
SMOKE: list[Case] = [((8,), 1)]
FULL: list[Case] = [*CASES, ((8, 20), 1)]
SECONDS = 120.0  # that it should take


def test_seconds_of_a_study(results: Results, tmp_path: Path, case: Case) -> None:
    depths, workers = case
    arguments = ["--smoke", "--depths", *map(str, depths), "--workers", str(workers)]
    command = [sys.executable, "-m", "resnet_layers", "study", "degradation", *arguments]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--output", tmp_path / "study"],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    results.reached.append(
        Reached(
            {
                "what": "study degradation --smoke",
                "depths": f"depths {' '.join(map(str, depths))}",
                "workers": f"processes: {workers}",
            },
            SECONDS,
            [seconds],
            [1],
            0,
        )
    )
