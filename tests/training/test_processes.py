"""Several processes train one network as one process does, stop together, and go on apart."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_layers.training import checkpoint_files
from tests.training.parallel import CASES
from tests.training.test_devices import QUICK, accuracy, check_equal, is_within

PROCESSES, DEVICES = 2, 4
pytestmark = [pytest.mark.slow, pytest.mark.share(4)]


def started(
    *arguments: str, processes: int = PROCESSES, last: Sequence[str] = (), **variables: str
) -> list[Any]:
    """The processes of one training, or the one process of another; the last may have options."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    if processes > 1:
        environment |= {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
        }
    return [
        subprocess.Popen(
            [sys.executable, "-u", "-m", *arguments, *(last if i == processes - 1 else ())],
            env={**environment, "KERAS_DISTRIBUTION_PROCESS_ID": str(i)}
            if processes > 1
            else environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]


def ended(running: list[Any]) -> list[tuple[int, str, str]]:
    """What each came to."""
    with ThreadPoolExecutor() as pool:  # one that nobody reads from does not end
        found = list(pool.map(lambda process: process.communicate(timeout=500), running))
    return [(one.returncode, *said) for one, said in zip(running, found, strict=True)]


def trained(
    folder: Path, *names: str, processes: int, devices: int, multiple: int = DEVICES
) -> list[dict[str, Any]]:
    variables = {"DEVICES": str(devices), "MULTIPLE": str(multiple)}
    found = ended(
        started("tests.training.parallel", str(folder), *names, processes=processes, **variables)
    )
    assert [code for code, _, _ in found] == [0] * processes, found
    return [json.loads(out.strip().rpartition("\n")[2]) for _, out, _ in found]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two processes have come to, and what one has."""
    folder = tmp_path_factory.mktemp("processes")
    names = (QUICK, "growing")
    several = trained(folder / "several", *names, processes=PROCESSES, devices=DEVICES)
    (one,) = trained(folder / "one", *names, processes=1, devices=1)
    return several, one


@pytest.mark.parametrize("name", [QUICK, "growing"])
def test_several_processes_train_as_one(both: Any, name: str) -> None:
    several, one = both
    assert name in CASES
    for process in several:
        check_equal(one[f"{name}/1"], process[f"{name}/{DEVICES}"])


def test_every_process_has_the_same_variables(both: Any) -> None:
    several, _ = both
    for name, found in several[0].items():
        np.testing.assert_array_equal(found["variables"], several[1][name]["variables"])
        assert found["table"] == several[1][name]["table"]


@pytest.mark.huge
def test_three_processes_train_as_one(tmp_path: Path) -> None:
    several = trained(tmp_path / "several", QUICK, processes=3, devices=6, multiple=6)
    (one,) = trained(tmp_path / "one", QUICK, processes=1, devices=1, multiple=6)
    for process in several:
        check_equal(one[f"{QUICK}/1"], process[f"{QUICK}/6"])


@pytest.mark.parametrize("when", ["step", "step, checkpoint", "evaluation, checkpoint"])
def test_all_stop_at_sigterm_to_one(when: str, tmp_path: Path) -> None:
    found = ended(
        started(
            *("tests.training.parallel", str(tmp_path)),
            DEVICES=str(DEVICES),
            MULTIPLE=str(DEVICES),
            STOPS=when,
        )
    )
    assert [code for code, _, _ in found] == [-signal.SIGTERM] * PROCESSES, found
    there = checkpoint_files.files(tmp_path)
    assert bool(there) == ("checkpoint" in when)
    assert all(checkpoint_files.is_whole(path) for path in there)


@pytest.mark.huge
@pytest.mark.timeout(3600)
def test_a_whole_run_is_as_accurate(tmp_path: Path) -> None:
    seeds = [accuracy(tmp_path / str(seed), seed, "jax") for seed in range(5)]
    options = ("--variant", "cifar_resnet20", "--image-size", "8", "--json", "--devices", "4")
    first, _ = ended(started("resnet_layers", "train", *options, "--output", str(tmp_path / "run")))
    assert first[0] == 0, first[2]
    found = json.loads(first[1].splitlines()[-1])["test_accuracy"]
    assert is_within(found, seeds), (found, seeds)


def until_it_trains(process: Any) -> None:
    line = ""
    while "Epoch 1/" not in line:
        line = process.stdout.readline()
        assert line, process.stderr.read()


def written(folder: Path) -> list[str]:
    return [path.stem for path in checkpoint_files.files(folder / "checkpoints")]


def command(output: Path, *options: str) -> list[str]:
    return [
        *("resnet_layers", "train", "--variant", "cifar_resnet20", "--image-size", "8"),
        *("--batch-size", "256", "--output", str(output), *options),
    ]


@pytest.mark.parametrize("processes", [PROCESSES, 1])
def test_all_stop_at_sigterm_to_one_and_go_on(processes: int, tmp_path: Path) -> None:
    """In as many processes as before, or in one of one device."""
    running = started(*command(tmp_path, "--epochs", "500", "--devices", str(DEVICES)))
    until_it_trains(running[0])
    running[1].send_signal(signal.SIGTERM)
    found = ended(running)
    sentence = (
        "resnet-layers: interrupted: no unfinished file is left behind; `train --resume "
        f"{tmp_path}` goes on\n"
    )
    assert [code for code, _, _ in found] == [143] * PROCESSES
    assert all(err.endswith(sentence) for _, _, err in found)
    _, epoch, _, step = written(tmp_path)[-1].split("-")
    assert int(epoch) + int(step) > 0
    epochs = str(int(epoch) + 1)
    resume = ["resnet_layers", "train", "--resume", str(tmp_path), "--epochs", epochs]
    resume += ["--devices", "1"] if processes == 1 else []
    first, *others = ended(started(*resume, processes=processes))
    assert [code for code, _, _ in (first, *others)] == [0] * processes, first[2]
    assert f"The training goes on after epoch {int(epoch)} of {epochs}" in first[1]
    assert "A new process agrees" in first[1]
    for _, out, _ in others:  # whose threads may write into each other's lines
        assert not re.sub(r"\[Gloo\][\w .:]*|\d", "", out).strip()


def photos(folder: Path, damaged: str = "none") -> Path:
    """Images of three classes, of which one may have none that can be read."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            path = folder / name / f"{i}.png"
            Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(path)
            if name == damaged:
                data = path.read_bytes()
                path.write_bytes(data[: len(data) // 2] + bytes(20) + data[len(data) // 2 + 20 :])
    return folder


@pytest.mark.parametrize("what", ["seeds", "images", "a class"])
def test_what_is_wrong_in_one_ends_all_with_a_sentence(what: str, tmp_path: Path) -> None:
    """Other options; other images; a class of which nothing is left, in two parts."""
    data = photos(tmp_path / "photos", "owl" if what == "a class" else "none")
    options = ["--epochs", "1", "--devices", "2", "--skip-damaged"]
    if what != "images":
        options += ["--data", str(data)]
    last, said = {
        "seeds": (("--seed", "1"), "All processes must be given the same images, options and seed"),
        "images": (
            ("--data", str(data / "missing")),
            f"The folder '{data / 'missing'}' cannot be read: No such file or directory",
        ),
        "a class": ((), "Too many images are damaged: none is left of 'owl'"),
    }[what]
    running = started(*command(tmp_path / "run", *options), last=last)
    if what == "images":  # the first waits for the other, which does not come
        running[1].wait()
        running[0].send_signal(signal.SIGTERM)
    found = ended(running)
    assert [code for code, _, _ in found] == [143 if what == "images" else 2, 2], found
    assert found[1][2].startswith(f"resnet-layers: {said}")
    if what == "seeds":
        assert found[0][2] == found[1][2]


@pytest.mark.parametrize("which", range(PROCESSES))
def test_the_others_end_when_one_is_killed(which: int, tmp_path: Path) -> None:
    running = started(*command(tmp_path, "--epochs", "500", "--devices", str(DEVICES)))
    until_it_trains(running[0])
    running[which].kill()
    found = ended(running)
    code, _, err = found[1 - which]
    if which == 1:  # without the first, JAX ends the process itself
        assert (code, err) == (2, "resnet-layers: Another process of this training has ended\n")
    assert code != 0
    assert written(tmp_path) == ["epoch-00000-step-0000000"]
