"""Labelled images, scikit-learn's digits or a folder's, and how they are split."""

import dataclasses
import hashlib
import os
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError, printable
from resnet_layers.training.pictures import ENDINGS, ImageSource

# Names of the folders of a folder that is split already.
PARTS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_BLOCK = 4096  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images with their classes, not decoded yet.

    Args:
        kind: `"digits"` or `"folder"`.
        title: What they are, for people.
        sources: Paths or arrays.
        labels: Index of each image's class, (N,); or rows of 0 and 1, (N, classes), where an image
            may have several classes, or none.
        class_names: Names of the classes, in the order of the indices.
        names: What tells the images apart, in the same order on every machine.

    Raises:
        ValueError: If labels are of other classes, or of another number of images.
    """

    kind: str
    title: str
    sources: Sequence[ImageSource]
    labels: NDArray[Any]
    class_names: list[str]
    names: list[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels))
        numbers = [len(self.sources), len(self.labels), len(self.names)]
        if len(set(numbers)) > 1:
            raise ValueError(
                "`sources`, `labels` and `names` must be of the same images. Received: "
                f"{checks.some(numbers, str)} of them"
            )
        classes = len(self.class_names)
        indices = self.labels.ndim == 1 and self.labels.dtype.kind in "iu"
        rows = self.labels.ndim == 2 and self.labels.shape[1] == classes
        rows = rows and bool(np.isin(self.labels, (0, 1)).all())
        if len(self.labels) and not (
            rows or (indices and self.labels.min() >= 0 and self.labels.max() < classes)
        ):
            raise ValueError(
                f"`labels` must be indices of {classes} classes, or rows of as many 0 or 1. "
                f"Received: labels={reprlib.repr(self.labels.tolist())}"
            )

    @property
    def several(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self.labels.ndim == 2

    def counts(self) -> NDArray[np.int64]:
        """How many images each class has, (classes,)."""
        return _counts(self.labels, len(self.class_names))

    def rows(self) -> NDArray[np.uint8]:
        """1 for the classes of each image and 0 for others, (N, classes)."""
        return (
            self.labels
            if self.several
            else np.eye(len(self.class_names), dtype=np.uint8)[self.labels]
        )

    def select(self, indices: NDArray[np.int64]) -> "Labelled":
        """Some of the images, with the same classes."""
        return dataclasses.replace(
            self,
            sources=[self.sources[i] for i in indices],
            labels=self.labels[indices],
            names=[self.names[i] for i in indices],
        )

    def split(
        self, seed: int, fraction: float = 0.2, *, together: bool = False, every: bool = True
    ) -> "tuple[Labelled, Labelled]":
        """The images to keep, and a share of each class to hold out, one image of it at least.

        Where images have several classes, the rarest class is held out first, as in Sechidis et
        al., On the stratification of multi-label data, 2011; those without any are one more.

        Args:
            seed: Equal seeds split equal images equally; from 0 to 2³² - 1.
            fraction: That share, in (0, 1).
            together: Whether images with equal bytes stay on one side.
            every: Whether each class must have an image on both sides; otherwise one with a single
                image keeps it.

        Raises:
            InputError: If there is a single class, or a class with too few images.
            TypeError: If a number has the wrong type.
            ValueError: If a number is out of range.
        """
        checks.seed(seed)
        checks.inside("fraction", fraction)
        counts = self.counts()
        if len(counts) < 2:
            raise InputError(
                f"The images of {self.title} must belong to two or more classes. Received: "
                f"{checks.some(self.class_names) or 'none'}"
            )
        if every and counts.min() < 2:
            alone = printable(self.class_names[counts.argmin()])
            raise InputError(
                f"Each class of {self.title} must have two or more images, one to train on and "
                f"one to test on. Received: one image of '{alone}'"
            )
        # Old files name their test images by this order, so NumPy must never change it: that is
        # promised of `RandomState` alone.
        rng = np.random.RandomState(seed)
        labels, order = self.labels, np.arange(len(counts))
        if self.several:
            labels = np.column_stack([labels, 1 - labels.max(1)])
            counts = labels.sum(0, dtype=np.int64)
            order = counts.argsort(kind="stable")
        held, seen = np.zeros((2, len(labels)), bool)
        there = np.zeros(len(counts), int)
        equal = twins(self.sources) if together else {}
        for label in order:
            mine = labels[:, label] == 1 if self.several else labels == label
            members = rng.permutation(np.flatnonzero(mine))
            # Those of rarer classes come last: of them enough are held out already.
            members = members[seen[members].argsort(kind="stable")]
            count = len(members)
            wanted = max(1, round(fraction * count)) if count > 1 else 0
            for i in members:
                if there[label] >= wanted or (seen[i] and there[label]):
                    break
                alike = equal.get(i, [i])
                more = _counts(labels[alike], len(counts))
                # No class may lose its last image, which may be a copy.
                if not held[i] and np.all((there + more < counts) | (more == 0)):
                    held[alike] = True
                    there += more
            seen |= mine
        for side in (held, ~held) if every else ():
            missing = np.flatnonzero(_counts(self.labels[side], len(self.class_names)) == 0)
            if len(missing):
                name, kind = printable(self.class_names[missing[0]]), "copies of one image"
                if self.several:
                    kind = "images that others have all to themselves, or copies of one,"
                raise InputError(
                    f"Each class of {self.title} must have two or more different images. Received: "
                    f"{kind} of '{name}'"
                )
        return self.select(np.flatnonzero(~held)), self.select(np.flatnonzero(held))

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


def folder(path: str | os.PathLike[str], *, flat: bool = False) -> Labelled:
    """The images of a folder that has one subfolder for each class.

    Classes and images are sorted by name, and folders inside a class folder belong to the class.
    Hidden files and folders, files with other endings than those of images, and files beside the
    class folders are left out; links to folders are followed to classes alone.

    Args:
        path: The folder.
        flat: Whether to see what the release before saw: JPEG and PNG files in class folders
            themselves.

    Raises:
        InputError: If there is no such folder, or no class, or a class without images.
    """
    path = Path(path)
    endings = ENDINGS[:3] if flat else ENDINGS
    try:
        classes = [entry for entry in _visible(path) if entry.is_dir()]
        files = {entry.name: list(_below(entry, endings, flat)) for entry in classes}
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
                f"({checks.some(endings, str)}). Received: none"
            )
    return Labelled(
        kind="folder",
        title=f"the folder '{printable(path)}'",
        sources=[file for found in files.values() for file in found],
        labels=np.repeat(np.arange(len(files)), [len(found) for found in files.values()]),
        class_names=list(files),
        names=[file.relative_to(path).as_posix() for found in files.values() for file in found],
    )


def parts(path: str | os.PathLike[str]) -> "dict[str, Labelled] | None":
    """The images of a folder that is split already: `train`, `val` and `test`, as far as there.

    Args:
        path: The folder. It is split if all of its subfolders have such names, `train` and one of
            the others among them, and if each of them has class folders.

    Raises:
        InputError: If a part has a class that `train` has not, or as of `folder`.
    """
    path = Path(path)
    try:
        names = [entry.name for entry in _visible(path) if entry.is_dir()]
        kinds = [kind for name in names for kind, all_ in PARTS.items() if name.lower() in all_]
        split = "train" in kinds and len(kinds) == len(names) == len(set(kinds)) > 1
        if not split or not all(any(e.is_dir() for e in _visible(path / n)) for n in names):
            return None
    except OSError as error:
        name = printable(error.filename)
        raise InputError(f"The folder '{name}' cannot be read: {error.strerror}") from None
    found = {kind: folder(path / name) for kind, name in zip(kinds, names, strict=True)}
    found = {kind: found[kind] for kind in PARTS if kind in found}
    classes = found["train"].class_names
    for kind, images in found.items():
        for name in images.class_names:
            if name not in classes:
                raise InputError(
                    f"The classes of {images.title} must be among those of "
                    f"{found['train'].title}. Received: '{printable(name)}'"
                )
        number = np.array([classes.index(name) for name in images.class_names])
        found[kind] = dataclasses.replace(images, labels=number[images.labels], class_names=classes)
    return found


def joined(parts: "dict[str, Labelled]", title: str) -> Labelled:
    """All parts of a folder as one, which is called by its title."""
    return dataclasses.replace(
        parts["train"],
        title=title,
        sources=[source for part in parts.values() for source in part.sources],
        labels=np.concatenate([part.labels for part in parts.values()]),
        names=[f"{kind}/{name}" for kind, part in parts.items() for name in part.names],
    )


def twins(sources: Sequence[ImageSource]) -> dict[int, list[int]]:
    """Images with equal bytes: the places of each image that has others, with theirs."""
    groups: dict[Any, list[int]] = {0: list(range(len(sources)))}
    # Each look costs more than the one before, and few images need the later ones.
    for look in (_size, _middle, _digest):
        finer: dict[Any, list[int]] = {}
        for key, places in groups.items():
            for i in places:
                finer.setdefault((key, look(sources[i])), []).append(i)
        groups = {key: places for key, places in finer.items() if len(places) > 1}
    return {i: places for places in groups.values() for i in places}


def _counts(labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    if labels.ndim == 2:
        return labels.sum(0, dtype=np.int64)
    return np.bincount(labels, minlength=classes)


def _size(source: ImageSource) -> Any:
    if isinstance(source, np.ndarray):
        return source.shape
    try:
        return os.stat(source).st_size
    except OSError:  # reading it says what is wrong
        return source


def _middle(source: ImageSource) -> Any:
    if isinstance(source, np.ndarray):
        return 0
    try:
        with open(source, "rb") as file:
            file.seek(os.stat(source).st_size // 2)
            return file.read(_BLOCK)
    except OSError:
        return source


def _digest(source: ImageSource) -> Any:
    if isinstance(source, np.ndarray):
        return source.tobytes()
    try:
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return source


def _below(path: Path, endings: Sequence[str], flat: bool) -> Iterator[Path]:
    for entry in _visible(path):
        if entry.is_dir() and not flat and not entry.is_symlink():
            yield from _below(entry, endings, flat)
        elif is_image(entry, endings):
            yield entry


def _visible(path: Path) -> list[Path]:
    entries = (entry for entry in path.iterdir() if not entry.name.startswith("."))
    return sorted(entries, key=lambda entry: entry.name)


def is_image(path: Path, endings: Sequence[str] = ENDINGS) -> bool:
    """Whether it is a file that ends as images do."""
    # A broken link counts, so that reading it says what is wrong.
    is_file = path.is_file() or (path.is_symlink() and not path.exists())
    return path.suffix.lower() in endings and is_file
