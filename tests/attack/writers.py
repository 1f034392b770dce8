"""Every command as it is run in an attack, and what it leaves: tables over the commands."""

import csv
import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import keras
import safetensors.numpy
from PIL import Image

from resnet_layers.analysis.latency import machine
from resnet_layers.networks.model import ResNet
from resnet_layers.serving import seal
from resnet_layers.serving.formats import FORMATS
from resnet_layers.shell import archive, commands, study, train, tune

OPTIONS = ("--data", "photos", "--image-size", "8", "--batch-size", "4")
TRAIN = ("train", *OPTIONS, "--variant", "tiny", "--output", "run")
TUNE = ("tune", *OPTIONS, "--epochs", "1", "--output", "found")
OUTPUTS = {"tf_saved_model": "saved", "onnx": "m.onnx", "litert": "m.tflite", "openvino": "m.xml"}


@dataclasses.dataclass(frozen=True)
class Writer:
    """One way in which a command writes.

    Args:
        name: Of it.
        arguments: Of the command.
        outputs: What it writes, which belongs together.
        before: Arguments of the command that wrote what is there before; `None` where nothing is.
    """

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    before: tuple[str, ...] | None = None


def _pair(name: str, new: Any, old: Any, outputs: tuple[str, ...]) -> list[Writer]:
    return [Writer(name, new, outputs), Writer(f"{name} again", new, outputs, old)]


def _train() -> list[Writer]:
    outputs = tuple(f"run/{name}" for name in train.FILES)
    new, old = (*TRAIN, "--epochs", "2"), (*TRAIN, "--epochs", "1")
    return _pair("train", new, old, outputs)


def _tune() -> list[Writer]:
    outputs = tuple(f"found/{name}" for name in tune.FILES)
    more, less = (*TUNE, "--trials", "2"), (*TUNE, "--trials", "1")
    anew = (*TUNE, "--trials", "2", "--seed", "3", "--overwrite")
    return [*_pair("tune", more, less, outputs), Writer("tune anew", anew, outputs, less)]


def _export() -> list[Writer]:
    found = []
    for name in get_args(commands.Format):
        outputs = tuple(
            file.name for file in FORMATS[name].files(Path(OUTPUTS[name]))
        )  # KeyError: a format that is new here
        how = ("--format", name, "--image-size", "8", "--output", OUTPUTS[name])
        new, old = (("export", f"{model}.keras", *how) for model in ("new", "old"))
        found += _pair(f"export {name}", new, old, outputs)
    return found


def _convert() -> list[Writer]:
    found = []
    for to, ending, given in (("keras", "keras", "safetensors"), ("torch", "safetensors", "keras")):
        output, how = f"to.{ending}", ["--to", to]
        how += ["--variant", "tiny"] if to == "keras" else []
        new, old = (
            ("convert", f"{which}.{given}", *how, "--output", output) for which in ("new", "old")
        )
        found += _pair(f"convert to {to}", new, old, (output,))
    return found


def _draw() -> list[Writer]:
    found = []
    for ending in ("svg", "png", "pdf"):
        output = f"drawn.{ending}"
        new = ("draw", "new.keras", "--output", output)
        old = (*new, "--horizontal")
        found += _pair(f"draw {ending}", new, old, (output,))
    return found


def _explain() -> list[Writer]:
    new = ("explain", "new.keras", "photos", "--output", "explained.png")
    return _pair("explain", new, (*new, "--stage", "stem"), ("explained.png",))


def _measure() -> list[Writer]:
    new, old = ("measure", "--threads", "2"), ("measure", "--threads", "1")
    return _pair("measure", new, old, (f"cache/{machine.FILE}",))


def _study() -> list[Writer]:
    how = ("--smoke", "--depths", "8", "--batch-size", "4", "--output", "studied")
    names = [name for name in study.FILES if name != "shortcuts.png"]
    outputs = tuple(f"studied/{name}" for name in names)
    # What another one has left is refused.
    return [Writer("study", ("study", "degradation", *OPTIONS[:4], *how), outputs)]


# What writes by the name of the command; the others only read, by the arguments that show it.
WRITERS = {
    "train": _train(),
    "tune": _tune(),
    "export": _export(),
    "convert": _convert(),
    "draw": _draw(),
    "explain": _explain(),
    "measure": _measure(),
    "study": _study(),
}
READERS = {
    "evaluate": ("evaluate", "new.keras", "--data", "photos", "--all"),
    "predict": ("predict", "new.keras", "photos"),
    "list": ("list", "tiny"),
    "profile": ("profile", "tiny"),
    "compare": ("compare", "tiny", "new.keras"),
    "latency": ("latency", "tiny", "--threads", "7", "--runtime", "onnx"),
}
CASES = [case for cases in WRITERS.values() for case in cases]


def names() -> set[str]:
    """All commands that there are."""
    return {name for name in commands.app if not name.startswith("-")}


def check_whole(path: Path) -> None:
    """Raises what it can if a file or a folder that a command wrote is not whole."""
    if path.suffix == ".keras":
        archive.read(path, keras.saving.get_registered_name(ResNet))
    elif path.suffix == ".safetensors":
        safetensors.numpy.load_file(path)
    elif path.suffix == ".png":
        Image.open(path).load()
    elif path.suffix == ".toml":
        tomllib.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix in (".html", ".svg"):
        if not path.read_text(encoding="utf-8").endswith(f"</{path.suffix[1:]}>\n"):
            raise ValueError("it has no end")
    elif path.suffix == ".pdf":
        if not path.read_bytes().rstrip().endswith(b"%%EOF"):
            raise ValueError("it has no end")
    elif path.suffix == ".csv":
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        if len({*map(len, rows)}) != 1:
            raise ValueError(f"its rows have other lengths: {rows}")
    elif path.suffix != ".bin":  # which is checked with its `.xml`
        row = next(row for row in FORMATS.values() if row.endings[0] == path.suffix)
        if not seal.is_closed(row.files(path), row.ending):
            raise ValueError("it has no digests")


def digests(folder: Path) -> dict[str, str]:
    """What is in the files of a folder."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in found
    }


def content(path: Path) -> Any:
    """What a file or a folder is told by; `None` where there is none."""
    if path.is_dir():
        return digests(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
