"""What importing the package does to others: nothing."""

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOREIGN = ("keras", "tensorflow", "keras_tuner")


def modules() -> list[str]:
    """All modules of the package but the one that runs a command."""
    import resnet_layers

    found = pkgutil.walk_packages(resnet_layers.__path__, "resnet_layers.")
    return [module.name for module in found if module.name != "resnet_layers.__main__"]


def attributes() -> dict[tuple[str, str], Any]:
    """Functions and classes of the foreign modules, and all that their classes have."""
    found: dict[tuple[str, str], Any] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in FOREIGN or not isinstance(module, ModuleType):
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, type) or callable(value):
                found[name, key] = value
            if isinstance(value, type) and value.__module__.partition(".")[0] in FOREIGN:
                where = f"{value.__module__}.{value.__qualname__}"
                # Python itself counts and caches what is below abstract classes.
                own = {k: v for k, v in vars(value).items() if not k.startswith("_abc_")}
                found |= {(where, k): v for k, v in own.items()}
    return found


def changes() -> list[str]:
    """What importing every module of the package changes in others, in this process."""
    for name in FOREIGN:
        importlib.import_module(name)
    import keras_tuner  # noqa: F401
    import tensorflow as tf

    _ = tf.raw_ops.FusedBatchNormV3, tf.lite.OpsSet  # modules that TensorFlow imports on demand
    before = attributes()
    for name in modules():
        importlib.import_module(name)
    after = attributes()
    changed = {key for key, value in before.items() if after.get(key) is not value}
    classes = {where for where, _ in before} - set(sys.modules)
    added = {key for key in set(after) - set(before) if key[0] in classes}
    return sorted(".".join(key) for key in changed | added)


def test_importing_everything_changes_nothing_in_others() -> None:
    code = "from tests.package.test_imports import changes; print(changes())"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.stdout == "[]\n", process.stderr


def is_importing(process: int) -> bool:
    """Whether a process has begun to load TensorFlow, which takes seconds."""
    return "tensorflow" in Path(f"/proc/{process}/maps").read_text(encoding="utf-8")


def has_taken_over(process: int) -> bool:
    """Whether a process has a handler for SIGTERM, which it gets after that for Ctrl-C."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [has_taken_over, is_importing], ids=lambda f: str(f.__name__))
def test_a_signal_while_keras_is_imported_ends_in_a_sentence(
    number: int, moment: Callable[[int], bool]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_layers", "evaluate", "model.keras"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    while not moment(process.pid):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    *_, last = said.splitlines()  # TensorFlow may have said something before
    assert last == "resnet-layers: interrupted: no unfinished file is left behind"
    assert "Traceback" not in said
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        (["python", "-m", "resnet_layers", "list"], True),
        (["python", "-W", "error", "-Xdev", "-m", "resnet_layers"], True),
        (["python", "--check-hash-based-pycs", "never", "-m", "resnet_layers"], True),
        (["python", "/bin/resnet-layers", "list"], True),
        (["python", "train.py", "-m", "resnet_layers"], False),
        (["python", "-c", "import resnet_layers", "-m", "resnet_layers"], False),
        (["python", "-m", "pytest", "-m", "resnet_layers"], False),
        (["python"], False),
    ],
    ids=str,
)
def test_only_the_command_takes_signals_over(
    started: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a program that imports the package has among its own arguments."""
    from resnet_layers._support import signals  # not above: `changes` imports this file first

    monkeypatch.setattr(sys, "orig_argv", started)
    monkeypatch.setattr(sys, "argv", started[1:])
    assert signals.runs_command() is expected
