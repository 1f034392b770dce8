"""The harness measured by itself: a delay that is known, and a network against itself."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import execution, flat, twins
from benchmarks.harness.paired import stopwatch
from tests.support.randomize import images

DELAY = 0.05  # seconds
ROUNDS = 10  # fewer say nothing of a median, since one process that wakes late decides it


def test_known_delay(compare: Callable[..., Any]) -> None:
    """Twice the delay takes twice the time; no sleep returns early."""
    found = compare(
        "harness",
        {"what": f"a sleep of {2e3 * DELAY:.0f} ms beside one of {1e3 * DELAY:.0f} ms"},
        {
            "long": stopwatch(lambda: time.sleep(2 * DELAY)),
            "short": stopwatch(lambda: time.sleep(DELAY)),
        },
        "long",
    )
    assert min(found.seconds["short"]) >= DELAY
    assert min(found.seconds["long"]) >= 2 * DELAY
    if len(found.seconds["short"]) >= ROUNDS:
        assert np.median(found.seconds["short"]) == pytest.approx(DELAY, rel=0.05)
        assert found.speed("short").median == pytest.approx(2.0, rel=0.05)


def test_same_network(compare: Callable[..., Any], smoke: bool) -> None:
    """Only 1 is right."""
    size = 32 if smoke else 224
    networks = [flat.resnet18((size, size, 3), classes=1000) for _ in range(2)]
    twins.copy(twins.pairs_by_path(*networks))
    x = images(1, size, size, 3)
    mode = execution.compiled_modes()[0]
    one, other = (execution.forward(network, x, mode) for network in networks)
    twins.assert_same_output(one.first, other.first)
    found = compare(
        "harness",
        {"what": "stock ResNet-18 beside itself", "mode": mode, "size": f"{size} px"},
        {"one": one, "the other": other},
        "one",
    )
    if not smoke:  # one round says nothing
        assert found.speed("the other").median == pytest.approx(1.0, abs=0.05)
