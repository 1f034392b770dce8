"""What a command is started with: variables, streams, languages and memory that are not as usual.

A command works or says why it does not, in lines of its own; what it leaves is whole.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_layers.analysis.latency.machine import VARIABLE
from resnet_layers.shell import commands
from tests.attack.figures import Figures, counted
from tests.attack.test_signals import COMMANDS, is_whole, outputs, write_networks
from tests.shell.test_command_line import write_photos

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other streams and names")
NOWHERE = "/dev/null/nowhere"
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# Variables, `None` for one that is taken away, and what a shell says behind the command.
ENVIRONMENTS: dict[str, tuple[dict[str, str | None], str]] = {
    "usual": ({}, ""),
    "backend of nonsense": ({"KERAS_BACKEND": "nonsense"}, ""),
    "no backend": ({"KERAS_BACKEND": ""}, ""),
    "JAX with nonsense": ({"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "nonsense"}, ""),
    "Keras' home": ({"KERAS_HOME": NOWHERE}, ""),
    "no home": ({"HOME": None, "KERAS_HOME": None}, ""),
    "no such home": ({"HOME": NOWHERE, "MPLCONFIGDIR": NOWHERE, "XDG_CACHE_HOME": NOWHERE}, ""),
    "no such TMPDIR": ({"TMPDIR": NOWHERE, "TEMP": NOWHERE}, ""),
    "columns of no number": ({"COLUMNS": "²", "LINES": "²"}, ""),
    "too many columns": ({"COLUMNS": "9" * 30, "LINES": "9" * 5000}, ""),
    "words for columns": ({"COLUMNS": "many", "LINES": "-1", "TERM": "nonsense"}, ""),
    "matplotlib": ({"MPLBACKEND": "nonsense"}, ""),
    "threads": ({"TF_NUM_INTRAOP_THREADS": "-7", "OMP_NUM_THREADS": "x"}, ""),
    "switches": ({"TF_DETERMINISTIC_OPS": "x", "TF_FORCE_GPU_ALLOW_GROWTH": "x"}, ""),
    "processors": ({"CUDA_VISIBLE_DEVICES": "x", "TF_ENABLE_ONEDNN_OPTS": "x"}, ""),
    "a search without a port": ({"KERASTUNER_ORACLE_IP": "1.2.3.4"}, ""),
    "ASCII": ({"PYTHONIOENCODING": "ascii"}, ""),
    "ASCII, strictly": ({"PYTHONIOENCODING": "ascii:strict"}, ""),
    "Latin": ({"PYTHONIOENCODING": "latin-1"}, ""),
    "C": ({"LC_ALL": "C", **PLAIN}, ""),
    "POSIX": ({"LC_ALL": "POSIX", "LANG": "", **PLAIN}, ""),
    "output closed": ({}, ">&-"),
    "errors closed": ({}, "2>&-"),
    "all closed": ({}, "<&- >&- 2>&-"),
    "output full": ({}, ">/dev/full"),
    "both full": ({}, ">/dev/full 2>&1"),
}
QUICK = [["list", "resnet1*"], ["train", "--help"], ["predict", "nothing.keras", "é\udcff.png"]]
ALL = [
    *COMMANDS,
    ["predict", "model.keras", "photos", "--csv"],
    ["predict", "model.keras", "photos", "--json"],
    ["convert", "model.keras", "--to", "torch", "--output", "new.safetensors"],
    ["profile", "model.keras", "--format", "markdown"],
    ["latency", "model.keras", "--threads", "2"],
    ["measure", "--threads", "1"],
    ["draw", "vgg19", "model.keras", "--output", "drawn.svg"],
    ["explain", "model.keras", "photos", "--output", "explained.svg"],
]
ODD = [b"\xff\xe9", "猫".encode(), b"a\x1b[31mb\nc\x9b"]  # names of classes
CODES = {0, 1, 2, 141}


def test_every_command_is_among_these() -> None:
    names = {name for name in commands.app if not name.startswith("-")}
    assert names <= {command[0] for command in ALL}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read, in names that are not of ASCII, and some that are no text."""
    folder = tmp_path_factory.mktemp("start")
    source = write_photos(folder / "photos") / "rot"
    for name in ODD:
        try:
            shutil.copytree(source, os.fsdecode(os.fsencode(folder / "photos") + b"/" + name))
        except OSError:  # a disk that takes none
            continue
    write_networks(folder)
    return folder


def wrong(command: list[str], environment: str, folder: Path, before: str = "") -> str:
    """What is wrong with what a command did in an environment; nothing if nothing is."""
    changes, behind = ENVIRONMENTS[environment]
    variables = {k: v for k, v in {**os.environ, **changes}.items() if v is not None}
    called = shlex.join([sys.executable, "-m", "resnet_layers", *command])
    done = subprocess.run(
        ["sh", "-c", f"{before}exec {called} {behind}"],
        capture_output=True,
        cwd=folder,
        env={**variables, "TF_CPP_MIN_LOG_LEVEL": "3", VARIABLE: "cache"},
        check=False,
        timeout=500,
    )
    out, err = (text.decode(errors="surrogateescape") for text in (done.stdout, done.stderr))
    if "Traceback" in out + err or "A fault of" in err:
        return err[-2000:]
    if done.returncode not in CODES:
        return f"exit code {done.returncode}: {err[-500:]}"
    if "\x1b" in err or ("\x1b" in out and "--csv" not in command):
        return f"the terminal is told to do something: {out!r} {err!r}"
    if done.returncode == 2 and not err and "2>" not in behind:
        return "nothing is said"
    return ""


@pytest.mark.share(8)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_commands_that_need_no_keras(environment: str, tmp_path: Path) -> None:
    index = list(ENVIRONMENTS).index(environment)
    assert not wrong(QUICK[index % len(QUICK)], environment, tmp_path)


def attack(pairs: list[tuple[list[str], str]], start: Path, folder: Path) -> None:
    for name in ("photos", "model.keras", "weights.safetensors"):
        (folder / name).symlink_to(start / name)
    before = {path.name for path in folder.iterdir()}
    failures = []
    figures: Figures
    with counted("environments of commands") as figures:
        for command, environment in pairs:
            fault = wrong(command, environment, folder)
            left = outputs(folder, before)
            fault = fault or " ".join(name for name in left if not whole(folder / name))
            figures["wrong" if fault else "right"] += 1
            if fault:
                failures.append((command, environment, fault))
            for name in left:
                path = folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not failures


def whole(path: Path) -> bool:
    return path.suffix == ".safetensors" or is_whole(path)


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_share_of_all_commands(command: list[str], start: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(ALL.index(command))
    attack([(command, str(rng.choice(list(ENVIRONMENTS))))], start, tmp_path)


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_commands(environment: str, start: Path, tmp_path: Path) -> None:
    attack([(command, environment) for command in ALL], start, tmp_path)


@pytest.mark.slow
def test_a_flag_that_tensorflow_ends_for_is_named(start: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "resnet_layers",
        "predict",
        str(start / "model.keras"),
        "a.png",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TF_XLA_FLAGS": "--nonsense"},
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    assert "Unknown flag in TF_XLA_FLAGS: --nonsense" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kib", [300_000, 1_000_000])
def test_memory_that_is_too_small_is_a_sentence(kib: int, start: Path, tmp_path: Path) -> None:
    """Enough for Python and not for Keras; where TensorFlow ends the process, nothing is begun."""
    command = ["predict", str(start / "model.keras"), str(start / "photos")]
    assert not wrong(command, "usual", tmp_path, f"ulimit -v {kib}; ")
