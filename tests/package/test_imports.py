"""What importing the package does to others: nothing."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.support import messages

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


@pytest.mark.slow
@pytest.mark.share(2)
def test_importing_everything_changes_nothing_in_others() -> None:
    code = "from tests.package.test_imports import changes; print(changes())"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.stdout == "[]\n", process.stderr


def test_no_module_takes_a_name_of_a_room_that_commands_leave_out() -> None:
    """`training/__init__` imports nothing under a command."""
    for name, path in messages.modules().items():
        if name.endswith("__init__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "resnet_layers":
                assert "training" not in {one.name for one in node.names}, name
            if isinstance(node, ast.ImportFrom) and node.module == "resnet_layers.training":
                taken = {f"training/{one.name}" for one in node.names}
                assert taken <= set(messages.modules()), name
