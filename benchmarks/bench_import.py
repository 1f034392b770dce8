"""Importing the package in a fresh process, against importing Keras alone."""

import subprocess
import sys
from collections.abc import Callable

from benchmarks.paired import Contender

PROGRAM = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def test_import(compare: Callable[..., None]) -> None:
    compare("import", _importing("resnet_layers"), _importing("keras"), goal=1.05)


def _importing(module: str) -> Contender:
    command = [sys.executable, "-c", PROGRAM.format(module=module)]

    def contender() -> float:
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(result.stdout)

    return contender
