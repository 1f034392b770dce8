"""The command `tune` on a full disk, and with files of its search damaged."""

import contextlib
import errno
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from resnet_layers._support import files
from resnet_layers.shell import app, finishing, trial_plots
from resnet_layers.tuning import state
from resnet_layers.tuning.parts import PRESETS
from tests.shell.test_command_line import run, write_photos
from tests.support.uncompiled import uncompiled
from tests.tuning.test_space import ONE

TINY: dict[str, Any] = {**ONE, "width": (4, 8), "optimizer": "sgd", "learning_rate": (0.01, 0.1)}
OPTIONS = ("--epochs", 1, "--batch-size", 4, "--image-size", 8, "--seed", 2, "--tuner", "random")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space whose networks train in no time; and no new process checks the best one."""
    monkeypatch.setitem(PRESETS, "small-images", TINY)
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")
    for name in ("parallel_coordinates", "importance"):
        monkeypatch.setattr(trial_plots, name, lambda table, path: path.touch())
    monkeypatch.setattr(gc, "collect", lambda *_: 0)  # which takes longer than all the rest


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


def begun(out: str) -> list[str]:
    """Numbers of the trials that were begun."""
    return [line.split()[1] for line in out.splitlines() if line.endswith(" begins")]


@pytest.mark.slow
@pytest.mark.share(2)
@uncompiled()
def test_a_search_goes_on_after_a_full_disk_and_with_damaged_files(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, search = tmp_path / "found", tmp_path / "found" / "search"
    arguments = ("tune", "--data", photos, *OPTIONS, "--output", output, "--trials", 3)
    weights: list[Path] = []

    @contextlib.contextmanager
    def full(path: Path) -> Iterator[list[Path]]:
        weights.extend([path] * path.name.endswith(".h5"))
        if len(weights) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        with files.replacing(path) as paths:
            yield paths

    with monkeypatch.context() as patch:
        patch.setattr(state, "replacing", full)
        code, out, err = run(capsys, *arguments)
    assert (code, err) == (2, f"resnet-layers: {app.NO_SPACE}\n")
    assert begun(out) == ["1", "2"]

    (search / "oracle.json").write_bytes(b"")
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    said = f"'{search}/oracle.json' is damaged: the search goes on from its trials"
    assert said in out.splitlines()
    assert "The search goes on after 1 trial" in out.splitlines()
    assert begun(out) == ["2", "3"]

    checkpoint = search / "trial_1" / "checkpoint.weights.h5"
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    (search / "trial_2" / "trial.json").write_text("[]")
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert f"'{checkpoint}' is damaged: its trial is trained again" in out.splitlines()
    assert (
        f"'{search}/trial_2/trial.json' is damaged: its trial is not used, and another takes its "
        "place" in out.splitlines()
    )
    assert begun(out) == ["2", "3"]

    for folder in search.glob("trial_*"):
        (folder / "build_config.json").unlink()
        with h5py.File(folder / "checkpoint.weights.h5", "w") as file:
            file["another"] = 1
    code, out, err = run(capsys, *arguments)
    assert (code, begun(out)) == (2, [])
    named = re.fullmatch(
        "resnet-layers: The weights of the best trial in '(.*)' cannot be read: without that "
        "folder the same command trains another in its place\n",
        err,
    )
    assert named is not None
    shutil.rmtree(named[1])
    assert Path(named[1]).parent == search
    _, out, _ = run(capsys, *arguments)
    assert begun(out) == [str(int(named[1][-1]) + 1)]


FULL = f"""
import sys
from resnet_layers.__main__ import main
from resnet_layers.tuning.parts import PRESETS
PRESETS["small-images"] = {TINY!r}
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("size", [60, 100, 150])
def test_a_disk_that_is_full_ends_a_search_with_a_sentence(
    size: int, photos: Path, tmp_path: Path
) -> None:
    """In kB: the search needs about 200."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount")
    command = [sys.executable, "-c", FULL, "tune", "--data", str(photos), "--trials", "6"]
    command += [*map(str, OPTIONS), "--output", str(disk / "found")]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        left = [path.name for path in disk.rglob(".*")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert result.returncode == 2, result.stderr
    assert "No space left on device" not in result.stdout
    sentences = [line for line in result.stderr.splitlines() if "space" in line]
    assert sentences == [f"resnet-layers: {app.NO_SPACE}"]
    assert "Traceback" not in result.stderr
    assert left == []


KILLED = f"""
import os, signal, sys
from resnet_layers.__main__ import main
from resnet_layers.shell import progress
from resnet_layers.tuning.parts import PRESETS
from tests.support.uncompiled import uncompiled

PRESETS["small-images"] = {TINY!r}
step = int(sys.argv[1])
end, done = progress.Lines.on_train_batch_end, []

def killed(self, batch, logs=None):
    end(self, batch, logs)
    done.append(batch)
    if len(done) == step:
        os.kill(os.getpid(), signal.SIGKILL)

progress.Lines.on_train_batch_end = killed
with uncompiled():
    sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.share(3)
def test_a_search_that_is_killed_goes_on_within_the_epoch_of_its_trial(
    photos: Path, tmp_path: Path
) -> None:
    """By the eighth step, of three in each epoch."""
    options = ["--trials", "1", "--epochs", "3", "--checkpoint-every", "1"]
    found = []
    for folder, steps in ((tmp_path / "cut", (8, 0)), (tmp_path / "whole", (0,))):
        for step in steps:
            command = [sys.executable, "-c", KILLED, str(step), "tune", "--data", str(photos)]
            command += [*map(str, OPTIONS[2:]), *options, "--output", str(folder)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            assert result.returncode == (-9 if step else 0), result.stderr
        found.append((folder / "trials.csv").read_text())
        if len(steps) > 1:
            assert re.search(r"^Trial 1 of 1 goes on after epoch 2, step 1 of", result.stdout, re.M)
    assert found[0] == found[1]
    assert not list(tmp_path.rglob("*.safetensors"))
