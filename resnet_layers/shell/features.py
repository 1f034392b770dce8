# ruff: noqa: T201 (printing is what commands are for)
"""`predict --features`: what a network sees of images, as vectors, for retrieval and neighbours."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import signals
from resnet_layers._support.files import replacing
from resnet_layers.shell import classifier, errors
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader
from resnet_layers.shell.predictor import BATCH_SIZE


def run(model: Path, paths: list[Path], output: Path) -> int:
    """Writes a vector for each image that can be read, and names the others.

    Returns:
        0; 1 if an image could not be read.
    """
    found = classifier.load(model)
    names, vectors, wrong = [], [], 0
    for path, vector in _each(found.model, found.reader, paths):
        if isinstance(vector, InputError):
            wrong += 1
            errors.say(errors.printable(vector))
        else:
            names.append(str(path))
            vectors.append(vector)
    if not vectors:
        raise InputError("An image must be readable, to have features. Received: none")
    table = np.stack(vectors)
    try:
        with replacing(output) as (new,):
            write = _write_csv if output.name.endswith(".csv") else _write_npz
            write(new, names, table)
    except OSError as error:
        raise InputError(f"'{output}' cannot be written: {error.strerror}") from None
    print(f"Wrote features of {len(names)} images, {table.shape[1]} each, to '{output}'")
    return int(bool(wrong))


def _each(
    model: Any, reader: Reader, paths: list[Path]
) -> Iterator[tuple[Path, NDArray[np.float32] | InputError]]:
    """The mean over the pixels of what the head gets, of each image."""
    body = model.replace(head=None)
    axes = (2, 3) if model.stem.layout.data_format == "channels_first" else (1, 2)
    for start in range(0, len(paths), BATCH_SIZE):
        signals.check()
        some = paths[start : start + BATCH_SIZE]
        read = list(reader.each(some))
        whole = [image for image in read if not isinstance(image, InputError)]
        maps = body.predict(np.concatenate(whole), verbose=0) if whole else np.zeros((0,))
        rows = iter(maps.astype(np.float32).mean(axes) if whole else ())
        for path, image in zip(some, read, strict=True):
            yield path, image if isinstance(image, InputError) else next(rows)


def _write_npz(path: Path, names: list[str], table: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        np.savez(file, paths=np.array(names), features=table)


def _write_csv(path: Path, names: list[str], table: NDArray[np.float32]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", *range(table.shape[1])])
        writer.writerows([name, *row.tolist()] for name, row in zip(names, table, strict=True))
