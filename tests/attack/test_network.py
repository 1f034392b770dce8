"""Nobody is contacted: in a network that leads nowhere, every attempt is recorded."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Import, train, export in every format, open and predict, in one process.
SCRIPT = """
import os, sys
sys.argv[0] = "program"
import numpy as np
import resnet_layers as rl
from resnet_layers.__main__ import main
os.chdir(sys.argv[1])
train = ["train", "--variant", "cifar_resnet20", "--epochs", "1", "--output", "run", "--quiet"]
assert main(train) == 0
images = np.random.default_rng(0).uniform(size=(8, 8, 8, 3)).astype("float32")
model = "run/model.keras"
for format, name in FORMATS.items():
    assert main(["export", model, "--format", format, "--output", name]) == 0
    rl.load_exported(name)(images)
if "openvino" in FORMATS:
    import keras
    rl.export(keras.saving.load_model(model), "int8.xml", format="openvino", precision="int8",
              calibration=images)
"""
# An import of OpenVINO by the program itself sends an event; what comes after that is ours.
IMPORTED = """
import os, sys, time
import openvino, openvino_telemetry
time.sleep(2)
os.mkdir(sys.argv[1] + "/imported")
import numpy as np
import resnet_layers as rl
images = np.random.default_rng(0).uniform(size=(8, 32, 32, 3)).astype("float32")
model = rl.ResNet.from_variant("cifar_resnet20", classes=10)
rl.export(model, sys.argv[1] + "/int8.xml", format="openvino", precision="int8", calibration=images)
time.sleep(2)
"""
FORMATS = {"tf_saved_model": "saved", "onnx": "m.onnx", "litert": "m.tflite", "openvino": "m.xml"}


def has_namespaces() -> bool:
    """Whether this process may make a network of its own, and watch what calls the system."""
    command = ["unshare", "--net", "strace", "-o", "/dev/null", "true"]
    found = all(shutil.which(name) for name in ("unshare", "strace"))
    return found and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.share(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    "script", [SCRIPT.replace("FORMATS", repr(FORMATS)), IMPORTED], ids=["commands", "imported"]
)
def test_nobody_is_contacted(script: str, tmp_path: Path) -> None:
    if not has_namespaces():
        pytest.skip("needs root, unshare and strace")
    log = tmp_path / "calls"
    watched = ["strace", "-f", "--seccomp-bpf", "-e", "trace=mkdir,connect,sendto,sendmsg,sendmmsg"]
    command = [sys.executable, "-c", script, str(tmp_path)]
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        ["unshare", "--net", "env", "-u", "CI", f"HOME={home}", *watched, "-o", str(log), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    calls = log.read_text(encoding="utf-8").splitlines()
    ours = next((i for i, call in enumerate(calls) if '/imported"' in call), 0)
    attempts = [call for call in calls[ours:] if "AF_INET" in call]
    assert not attempts
    files = [file for file in home.rglob("*") if file.is_file()]
    known = {".keras", "matplotlib", *(["intel"] if script is IMPORTED else [])}
    kept = [file for file in files if not known & set(file.parts)]
    assert not kept, "an identifier?"
