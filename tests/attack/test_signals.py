"""Signals at seeded moments of every command, from its first statement on."""

import dataclasses
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers._support.files import tidy
from resnet_layers._support.signals import ENDED_AT_ONCE, INTERRUPTED, SIGNALS
from resnet_layers.analysis.latency.machine import VARIABLE, usable_cores
from tests.attack import writers
from tests.attack.figures import counted
from tests.package.test_signals import caught
from tests.shell.test_command_line import write_photos
from tests.support.measured import MACHINE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc"),
]
LONGEST = 15.0  # seconds after the first statement, of commands that were not over before
AFTER = 60.0  # seconds for a step that runs, on a machine that does other things as well
SOON = 5.0  # seconds for one on a machine that does nothing else
AT_ONCE = 5.0  # seconds after a second one, likewise
OVER = 3.0  # seconds that a process takes to end by itself once its command is over
ROUNDS = [
    pytest.param(0, 6),
    pytest.param(1, 200, marks=[pytest.mark.huge, pytest.mark.timeout(7200)]),
]
TUNE = ["--trials", "2", "--epochs", "1", "--max-parameters", "200000"]
COMMANDS = [
    ["list", "resnet*"],
    ["profile", "model.keras"],
    ["compare", "model.keras", "resnet152"],
    ["latency", "model.keras"],
    ["measure"],
    ["draw", "model.keras", "--output", "drawn.png"],
    ["explain", "model.keras", "photos", "--output", "explained.png"],
    ["study", "degradation", "--data", "photos", "--smoke", "--depths", "8", "--output", "study"],
    ["train", "--data", "photos", "--image-size", "8", "--epochs", "2", "--output", "run"],
    ["tune", "--data", "photos", "--image-size", "8", *TUNE, "--output", "search"],
    ["evaluate", "model.keras", "--data", "photos", "--all"],
    ["predict", "model.keras", "photos"],
    ["export", "model.keras", "--format", "tf_saved_model", "--output", "saved"],
    ["export", "model.keras", "--format", "onnx", "--output", "model.onnx"],
    ["export", "model.keras", "--format", "litert", "--output", "model.tflite"],
    ["export", "model.keras", "--format", "openvino", "--output", "model.xml"],
    ["convert", "weights.safetensors", "--variant", "test_resnet", "--output", "new.keras"],
    ["convert", "model.keras", "--to", "torch", "--output", "new.safetensors"],
]


def write_networks(folder: Path) -> None:
    """A network of a folder's photographs, and weights of another one."""
    names = sorted(path.name for path in (folder / "photos").iterdir())
    preprocessing = keras.saving.serialize_keras_object(rl.Preprocessing(image_size=32))
    metadata = {"class_names": names, "preprocessing": preprocessing}
    model = rl.ResNet.from_variant("cifar_resnet20", classes=len(names), metadata=metadata)
    model.save(folder / "model.keras")
    small = rl.ResNet.from_variant("test_resnet", classes=7)
    rl.save_torch_weights(small, folder / "weights.safetensors")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("start")
    write_photos(folder / "photos")
    write_networks(folder)
    return folder


def outputs(folder: Path, before: set[str]) -> set[str]:
    """What a command has left at the top of its folder."""
    return {path.name for path in folder.iterdir()} - before


def is_whole(path: Path) -> bool:
    """Whether a file or a folder of outputs is one that opens."""
    if path.name in ("run", "search", "study", "cache"):  # which begin with the settings
        models = [file for file in path.iterdir() if file.suffix in (".keras", ".json")]
        unfinished = (".unfinished", ".list", ".old")
        return all(map(is_whole, models)) and not any(
            file.name.startswith(unfinished) for file in path.rglob(".*")
        )
    if path.suffix == ".keras":
        return zipfile.ZipFile(path).testzip() is None
    if path.name.startswith("."):
        return False
    writers.check_whole(path)
    return True


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended after signals: the first one, and seconds after the last."""

    code: int
    said: list[str]
    seconds: float
    number: int
    twice: bool

    def told(self) -> str:
        """What of it was right, or else was not."""
        ours = [line for line in self.said if line.startswith("resnet-layers:")]
        sentence = {INTERRUPTED, ENDED_AT_ONCE} if self.twice else {INTERRUPTED}
        if any("Traceback" in line for line in self.said):
            return "a traceback"
        if self.code == 0:
            return "right, over" if self.seconds < OVER else "swallowed"
        if self.code != 128 + self.number:
            return "another exit code"
        if len(ours) != 1 or not any(one in ours[0] for one in sentence):
            return "other lines than one"
        if self.seconds > (AT_ONCE if self.twice else AFTER):
            return "late"
        late = ", in more than 5 s" if self.seconds > SOON else ""
        return f"right, ended by {'two' if self.twice else 'it'}{late}"


def interrupted(command: list[str], number: int, delay: float, second: float, **how: Any) -> Ended:
    """Runs a command until a signal, and another one soon if `second` is a time at all."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_layers", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", VARIABLE: "cache"},
        **how,
    )
    while process.poll() is None and not caught(process.pid, *SIGNALS):
        time.sleep(0.002)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    twice = False
    sent = time.monotonic()
    if second:
        try:
            process.wait(second)
        except subprocess.TimeoutExpired:
            twice, sent = True, time.monotonic()
            process.send_signal(number)
    _, said = process.communicate(timeout=300)
    took = time.monotonic() - sent
    return Ended(process.returncode, said.splitlines(), took, number, twice)


def test_every_command_is_interrupted() -> None:
    assert {command[0] for command in COMMANDS} == writers.names()


@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_a_signal_ends_a_command_with_its_code(
    seed: int, count: int, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    for name in ("photos", "model.keras", "weights.safetensors"):
        (tmp_path / name).symlink_to(start / name)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    dataclasses.replace(MACHINE, threads=usable_cores()).write()  # which `latency` reads
    before = {path.name for path in tmp_path.iterdir()}
    longest = [LONGEST] * len(COMMANDS)
    failures, seconds = [], []
    with counted("signals") as figures:
        for i in range(count):
            which = int(rng.integers(len(COMMANDS)))
            command, number = COMMANDS[which], SIGNALS[rng.integers(len(SIGNALS))]
            delay = float(rng.uniform(0, longest[which]))
            second = float(rng.uniform(0, 0.5)) if i % 4 == 3 else 0.0
            ended = interrupted(command, number, delay, second, cwd=tmp_path)
            told = ended.told()
            if told == "right, over":
                longest[which] = max(delay, 0.5)
            if ended.twice:  # as the next run does
                for folder in {path.parent for path in tmp_path.rglob(".*")}:
                    tidy(folder)
            try:
                whole = all(is_whole(tmp_path / name) for name in outputs(tmp_path, before))
            except (OSError, ValueError):
                whole = False
            if not whole:
                told = "not whole"
            seconds.append(ended.seconds)
            figures[told] += 1
            if not told.startswith("right"):
                failures.append((told, command, delay, second, ended))
        print(f"\nseconds until the end: {np.sort(seconds)[-10:].round(1)} at most")  # noqa: T201
    assert not failures, "\n".join(map(repr, failures))
