"""What a run leaves in its folder besides its network: its settings, and what it was a run of."""

import contextlib
import dataclasses
import importlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tomli_w

from resnet_layers import __version__
from resnet_layers._support import checks
from resnet_layers.serving.formats import FORMATS
from resnet_layers.shell import archive, config
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.settings import Settings
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training.labelled import Labelled

MODEL, SETTINGS = "model.keras", "settings.toml"


def record(command: str, settings: Settings, data: Labelled) -> dict[str, Any]:
    """What a run was, for the metadata of its network; nothing of the folders of this machine."""
    backend = keras.backend.backend()
    return {
        "command": command,
        "settings": {
            name: Path(value).name if name == "from" else value
            for name, value in chosen(settings).items()
            if name not in ("data", "output")
        },
        "images": data.digest(),
        "versions": {
            "resnet_layers": __version__,
            "keras": keras.__version__,
            backend: importlib.import_module(backend).__version__,
        },
    }


def write_settings(path: Path, command: str, settings: Settings) -> None:
    """Writes what `--config` reads, so that a run can be repeated."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"# For `resnet-layers {command} --config {SETTINGS}`\n")
        for name, value in chosen(settings).items():
            known = checks.is_utf8(str(value))  # TOML has no other names
            file.write(tomli_w.dumps({name: value}) if known else f"# {name} {config.UNWRITTEN}\n")


def check_folder(output: Path, mine: dict[str, Any], overwrite: bool) -> None:
    """Lets a run replace one of the same images and network, and no other one.

    Raises:
        InputError: If the folder holds the network of another run, and `overwrite` is not set.
    """
    path = output / MODEL
    if overwrite or not path.exists():
        return
    theirs = _recorded(path)
    said = [run.get("settings") for run in (mine, theirs)]
    variants = [one.get("variant") if isinstance(one, dict) else None for one in said]
    if not theirs:
        other = "which does not say what it was"
    elif theirs.get("command") != mine["command"]:
        other = f"of `{theirs.get('command')}`"
    elif variants[0] != variants[1]:
        other = f"of the variant '{variants[1]}'" if variants[1] else "that began with another"
    elif None in variants and mine["command"] == "train":  # a search has no variant
        other = "that began with another, as this one does"
    elif theirs.get("images") != mine["images"]:
        other = "on other images"
    else:
        return
    raise InputError(
        f"The folder '{output}' holds the network of another run, {other}: choose another folder "
        "with `--output`, or replace it with `--overwrite`"
    )


@contextlib.contextmanager
def told(*, quiet: bool, as_json: bool) -> Iterator[None]:
    """Where a command says what it does: nowhere, on standard error beside JSON, or as usual."""
    if quiet:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            yield
    elif as_json:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield


def exported(output: Path) -> list[str]:
    """What `export` has made of an earlier network in the folder."""
    endings = (ending for row in FORMATS.values() for ending in row.endings)
    names = dict.fromkeys(f"{Path(MODEL).stem}{ending}" for ending in endings)
    return [name for name in names if (output / name).exists()]


def next_commands(settings: Settings) -> str:
    """What one can type now."""
    model = printable(shlex.quote(str(settings.output / MODEL)))
    data = f" --data {printable(shlex.quote(str(settings.data)))}" if settings.data else ""
    skip = " --skip-damaged" if getattr(settings, "skip_damaged", False) else ""
    return "\n".join(
        [
            "Next:",
            f"  resnet-layers predict {model} IMAGE",
            f"  resnet-layers evaluate {model}{data}{skip}",
            f"  resnet-layers export {model} --format tf_saved_model",
        ]
    )


def chosen(settings: Settings) -> dict[str, Any]:
    """The options as TOML has them: no value for those that were not given, and whole paths."""
    fields = {f.name.rstrip("_"): getattr(settings, f.name) for f in dataclasses.fields(settings)}
    if isinstance(settings, TrainSettings) and settings.source is not None:
        fields["from"] = settings.source
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in fields.items()
        if value is not None and name not in ("overwrite", "look", "resume")
    }


def _recorded(path: Path) -> dict[str, Any]:
    """What a model file says of its run; nothing where it says nothing, or is none."""
    try:
        run = archive.metadata(path)["run"]
    except (InputError, LookupError, TypeError):
        return {}
    return run if isinstance(run, dict) else {}
