# ruff: noqa: T201 (a command tells what it does)
"""The end of `train` and `tune`: what was written, and whether a new process agrees."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from resnet_layers._support.errors import DisagreementError
from resnet_layers.shell import errors, runs
from resnet_layers.shell.evaluation import said
from resnet_layers.shell.runs import MODEL
from resnet_layers.shell.settings import Settings
from resnet_layers.training.history import score


def finish(settings: Settings, files: Sequence[str], result: dict[str, Any]) -> None:
    """Has a new process check what was written, and says what one can do with it."""
    print(f"Wrote {', '.join(files)} into '{errors.printable(settings.output)}'")
    if older := runs.exported(settings.output):
        print(f"Note: of a network that was there before, and not of this one: {', '.join(older)}")
    print("A new process opens the network and evaluates it", flush=True)
    print(check_in_new_process(settings, result))
    print(runs.next_commands(settings))


def check_in_new_process(settings: Settings, result: dict[str, Any]) -> str:
    """Opens the written file in a new process, which chooses the test images and evaluates again.

    Args:
        settings: Those of `train`.
        result: What `train` returned.

    Returns:
        One sentence that says that both agree.

    Raises:
        DisagreementError: If they do not, with both results, or if the process failed.
    """
    path = settings.output.absolute() / MODEL
    options = ["--json", "--batch-size", str(settings.batch_size)]
    if settings.data:
        options += ["--data", str(settings.data.absolute())]
    if getattr(settings, "skip_damaged", False):
        options += ["--skip-damaged"]
    process = subprocess.run(
        [sys.executable, "-m", "resnet_layers", "evaluate", str(path), *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
    )
    if process.returncode:
        last_line = process.stderr.strip().rpartition("\n")[2]
        raise DisagreementError(
            f"A new process could not evaluate '{path}' and ended with exit code "
            f"{process.returncode}: {last_line}"
        )
    try:
        theirs = json.loads(process.stdout)
    except ValueError:
        raise DisagreementError(
            f"A new process could not evaluate '{path}' and printed: {process.stdout.strip()}"
        ) from None
    name = score(theirs)
    ours = {"loss": result["test_loss"], name: result[f"test_{name}"]}
    here, there = said(ours), said(theirs)
    same_loss = math.isclose(ours["loss"], theirs["loss"], rel_tol=1e-4, abs_tol=1e-5)
    if not same_loss or abs(ours[name] - theirs[name]) > 1e-6:
        raise DisagreementError(
            f"A new process does not agree about '{path}': {there} there, {here} here"
        )
    return f"A new process agrees: {there} on {theirs['images']} test images"
