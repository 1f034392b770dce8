"""How an artifact runs, and what it says of itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Takes images, float32, (N, *input_shape), and returns the outputs.
Run = Callable[[NDArray[np.float32]], NDArray[Any]]


def described(path: Path, read: Callable[[], str]) -> dict[str, Any]:
    """The description that `export` has put into an artifact.

    Raises:
        ValueError: If there is none.
    """
    try:
        description = json.loads(read())
        if {"precision", "input_shape", "output_shape", "metadata"} <= set(description):
            return description
    except Exception:  # each runtime has an error of its own for what is not there
        pass
    raise ValueError(f"'{path}' must be an artifact that `export` has written")
