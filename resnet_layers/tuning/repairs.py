"""What searches need of keras-tuner 1.4.8 and TensorFlow, and do not find there."""

import copy
import functools
import inspect
import re
from typing import Any

import keras_tuner

from resnet_layers.tuning import continuing, restart, state

_GRID = keras_tuner.oracles.GridSearchOracle
# The versions that the repairs were written for.
_KNOWN = re.compile(r"1\.4\.([89]|\d\d+)")


def repair() -> None:
    """Repairs keras-tuner, once in a process.

    Raises:
        ImportError: If it is of a version that the repairs were not written for.
    """
    if not _KNOWN.fullmatch(keras_tuner.__version__):
        raise ImportError(
            "`HyperResNet` needs keras-tuner 1.4, from 1.4.8 on. "
            f"Received: keras-tuner {keras_tuner.__version__}"
        )
    _repair_grid_search()
    _repair_failures()
    state.repair_writing()
    restart.repair_restart()
    continuing.repair_ends()


def _repair_grid_search() -> None:
    """Lets an interrupted grid search go on.

    keras-tuner saves the trials of a grid and not their order, which its oracle asks for the next
    point: after a restart it ends at once or fails with a KeyError. The order follows from the
    trials.
    """
    if "reload" in vars(_GRID):  # repaired already, here or there
        return

    def reload(self: Any) -> None:
        super(_GRID, self).reload()
        values = {name: trial.hyperparameters.values for name, trial in self.trials.items()}
        values = {name: point for name, point in values.items() if point}  # without lost ones
        by_values = functools.cmp_to_key(lambda a, b: self._compare(values[a], values[b]))
        self._populate_next = sorted(values, key=by_values)
        for name in self._populate_next:
            self._ordered_ids.insert(name)

    _GRID.reload = reload


def _repair_failures() -> None:
    """Keeps samples over budget from ending a search.

    keras-tuner ends it after three failed trials in a row, and has no word for a sample that was
    refused. This is by the oracle, so it holds in a chief and in a search that goes on as well.
    """
    check = keras_tuner.Oracle._check_consecutive_failures
    if hasattr(check, "__wrapped__"):  # repaired already
        return

    @functools.wraps(check)
    def check_others(self: Any) -> None:
        others = copy.copy(self)
        others.end_order = [
            name
            for name in self.end_order
            if "OverBudgetError" not in (self.trials[name].message or "")
        ]
        check(others)

    keras_tuner.Oracle._check_consecutive_failures = check_others


def is_exploring() -> bool:
    """Whether a tuner builds to find scopes, as it does when it is made; it tells nobody."""
    explores = keras_tuner.Tuner._activate_all_conditions.__code__
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not explores:
        frame = frame.f_back
    return frame is not None
