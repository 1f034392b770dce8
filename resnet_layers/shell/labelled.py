"""Labelled images, scikit-learn's digits or a folder's, and how they are split."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.shell import images
from resnet_layers.shell.errors import InputError, printable

TEST_FRACTION = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images with their classes, not decoded yet.

    Args:
        kind: `"digits"` or `"folder"`.
        title: What they are, for people.
        sources: Paths or arrays.
        labels: Index of each image's class, (N,).
        class_names: Names of the classes, in the order of the indices.
        names: What tells the images apart, in the same order on every machine.
    """

    kind: str
    title: str
    sources: Sequence[images.ImageSource]
    labels: NDArray[np.int64]
    class_names: list[str]
    names: list[str]

    def select(self, indices: NDArray[np.int64]) -> "Labelled":
        """Some of the images, with the same classes."""
        return dataclasses.replace(
            self,
            sources=[self.sources[i] for i in indices],
            labels=self.labels[indices],
            names=[self.names[i] for i in indices],
        )

    def split(self, seed: int) -> "tuple[Labelled, Labelled]":
        """The images to train on and those to test on, a fifth of each class.

        Where that is less than one image for each class, more of them become test images.

        Args:
            seed: Equal seeds split equal images equally.

        Raises:
            InputError: If there is a single class, or a class with a single image.
        """
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        if len(counts) < 2:
            raise InputError(
                f"The images of {self.title} must belong to two or more classes, with a subfolder "
                f"for each. Received: {len(counts)} class, '{printable(self.class_names[0])}'"
            )
        if counts.min() < 2:
            alone = printable(self.class_names[counts.argmin()])
            raise InputError(
                f"Each class of {self.title} must have two or more images, one to train on and "
                f"one to test on. Received: one image of '{alone}'"
            )
        # Old files name their test images by this order, so NumPy must never change it: that is
        # promised of `RandomState` alone.
        rng = np.random.RandomState(seed)
        test = np.zeros(len(self.labels), bool)
        for label, count in enumerate(counts):
            members = rng.permutation(np.flatnonzero(self.labels == label))
            test[members[: max(1, round(TEST_FRACTION * count))]] = True
        return self.select(np.flatnonzero(~test)), self.select(np.flatnonzero(test))

    def digest(self) -> str:
        """A number for these images by their names: equal for an equal choice of images."""
        return hashlib.sha256(os.fsencode("\n".join(self.names))).hexdigest()


def digits() -> Labelled:
    """The 1797 handwritten digits that scikit-learn brings along, 8×8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0 … 16
    return Labelled(
        kind="digits",
        title="scikit-learn's digits",
        sources=list(grey),
        labels=data.target.astype(np.int64),
        class_names=[str(name) for name in data.target_names],
        names=[str(i) for i in range(len(grey))],
    )


def folder(path: Path) -> Labelled:
    """The images of a folder that has one subfolder for each class.

    Classes and images are sorted by name. Hidden files and folders, files with other endings
    than `.jpg`, `.jpeg` and `.png`, files beside the class folders and folders inside them are
    left out.

    Args:
        path: The folder.

    Raises:
        InputError: If there is no such folder, or no class, or a class without images.
    """
    try:
        classes = [entry for entry in _visible(path) if entry.is_dir()]
        files = {entry.name: [f for f in _visible(entry) if is_image(f)] for entry in classes}
    except OSError as error:
        name = printable(error.filename)
        raise InputError(f"The folder '{name}' cannot be read: {error.strerror}") from None
    if not files:
        hint = ", but images in the folder itself" if any(map(is_image, _visible(path))) else ""
        raise InputError(
            f"The folder '{path}' must have a subfolder of images for each class. "
            f"Received: none{hint}"
        )
    for name, found in files.items():
        if not found:
            raise InputError(
                f"The class folder '{printable(path / name)}' must have images "
                f"({checks.some(images.ENDINGS, str)}) in itself. Received: none"
            )
    return Labelled(
        kind="folder",
        title=f"the folder '{printable(path)}'",
        sources=[file for found in files.values() for file in found],
        labels=np.repeat(np.arange(len(files)), [len(found) for found in files.values()]),
        class_names=list(files),
        names=[f"{name}/{file.name}" for name, found in files.items() for file in found],
    )


def _visible(path: Path) -> list[Path]:
    entries = (entry for entry in path.iterdir() if not entry.name.startswith("."))
    return sorted(entries, key=lambda entry: entry.name)


def is_image(path: Path) -> bool:
    """Whether it is a file that ends as images do."""
    # A broken link counts, so that reading it says what is wrong.
    is_file = path.is_file() or (path.is_symlink() and not path.exists())
    return path.suffix.lower() in images.ENDINGS and is_file
