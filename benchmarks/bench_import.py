"""Importing the package in a fresh process, beside importing Keras alone."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.harness.paired import Contender

PROGRAM = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def test_import(compare: Callable[..., Any]) -> None:
    compare(
        "import",
        {"process": "fresh"},
        {"keras": _importing("keras"), "ours": _importing("resnet_layers")},
        "keras",
        goals={"ours": 0.95},
        fewest=2,  # each round takes seconds
    )


def _importing(module: str) -> Contender:
    command = [sys.executable, "-c", PROGRAM.format(module=module)]

    def contender() -> float:
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(result.stdout)

    return contender
