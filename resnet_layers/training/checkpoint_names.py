"""The names of checkpoints, which say where a training was; without Keras."""

import os
import re
from pathlib import Path

_NAME = re.compile(r"epoch-(\d{5,})-step-(\d{7,})\.safetensors")


def name(epoch: int, step: int) -> str:
    """Of the file of a training with so many epochs, and steps of the next one, behind it."""
    return f"epoch-{epoch:05}-step-{step:07}.safetensors"


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one by its name."""
    return _NAME.fullmatch(path.name) is not None


def files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    try:
        found = [folder / one for one in os.listdir(folder) if _NAME.fullmatch(one)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=place)


def place(path: Path) -> tuple[int, int]:
    """Epochs that were over, and steps of the next one that were done, as the name says them."""
    found = _NAME.fullmatch(path.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)
