# ruff: noqa: T201 (printing is what commands are for)
"""`predict`: the classes of images."""

import csv
import glob
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_layers.shell import classifier, errors, features
from resnet_layers.shell.errors import InputError
from resnet_layers.training.labelled import is_image

# The classes of a file, the best first, with their probabilities; or why there are none.
Best = list[tuple[str, float]]


def run(
    model: Path, image: list[str], top: int, as_json: bool, as_csv: bool, vectors: Path | None
) -> int:
    """Prints the most probable classes of each image, the best first, or writes its features.

    Returns:
        0; 1 if an image could not be read.
    """
    if vectors is not None:
        return features.run(model, paths(image), vectors)
    found = classifier.load_any(model)
    say = _say_as_json if as_json else _csv_writer() if as_csv else _say
    failed = False
    for path, probabilities in found.each(paths(image)):
        if isinstance(probabilities, InputError):
            failed = True
            errors.say(errors.printable(probabilities))
            say(path, [], str(probabilities))
        else:
            say(path, _best(found.class_names, probabilities, top), None)
    return int(failed)


def paths(image: Sequence[str]) -> list[Path]:
    """The files that are meant.

    Args:
        image: Files, folders with images at any depth, shell patterns, and `-` for a list of
            those, one in each line of the standard input.

    Raises:
        InputError: If there are none.
    """
    found = [path for word in image for path in _meant(word)]
    if not found:
        raise InputError("The standard input must name one image or more. Received: none")
    return found


def _meant(word: str) -> Iterator[Path]:
    if word == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # names may be no text
        for line in sys.stdin or ():  # somebody may have closed it
            if line.strip():
                yield from _meant(line.rstrip("\r\n"))
        return
    path = Path(word)
    below: Iterable[Path] = ()
    try:
        if path.is_dir():
            below = (file for file in path.rglob("*") if not _is_hidden(file.relative_to(path)))
        elif not path.exists() and glob.has_magic(word):
            below = map(Path, glob.iglob(word, recursive=True))
    except (OSError, ValueError):  # no name of a file; reading it says why
        below = ()
    # What has no images is read itself, which says what is wrong.
    yield from sorted(filter(is_image, below)) or [path]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _best(names: list[str], probabilities: NDArray[np.float32], top: int) -> Best:
    order = (-probabilities).argsort(stable=True)[:top]
    return [(names[i], float(probabilities[i])) for i in order]


def _say(path: Path, best: Best, error: str | None) -> None:
    if error is None:
        print(errors.printable(path))
        for name, probability in best:
            print(f"  {probability:8.2%}  {errors.printable(name)}")


def _say_as_json(path: Path, best: Best, error: str | None) -> None:
    classes = [{"class": name, "probability": probability} for name, probability in best]
    row = {"path": str(path), "classes": classes, "error": error}
    print(re.sub("[\x7f-\x9f\u2028\u2029]", _escaped, json.dumps(row, ensure_ascii=False)))


def _escaped(found: re.Match[str]) -> str:
    """What moves a terminal's cursor and JSON leaves, as JSON escapes others."""
    return f"\\u{ord(found[0]):04x}"


def _csv_writer() -> Callable[[Path, Best, str | None], None]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    shown = errors.printable if sys.stdout is not None and sys.stdout.isatty() else str
    writer.writerow(["path", "rank", "class", "probability", "error"])

    def say(path: Path, best: Best, error: str | None) -> None:
        if error is not None:
            writer.writerow([shown(path), "", "", "", shown(error)])
        for rank, (name, probability) in enumerate(best, start=1):
            writer.writerow([shown(path), rank, shown(name), probability, ""])

    return say
