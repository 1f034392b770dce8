"""Labelled images of a table: a CSV with the columns `path`, `label` and, optionally, `split`.

Several labels of an image stand in one cell, with `;` between them. In a table with such a cell an
image may have none as well.
"""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError, printable
from resnet_layers.training import labelled
from resnet_layers.training.labelled import PARTS, Labelled

_KINDS = {name: kind for kind, names in PARTS.items() for name in names}


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether it is a file that ends in .csv."""
    path = Path(path)
    return path.suffix.lower() == ".csv" and path.is_file()


def whole(path: str | os.PathLike[str], *, flat: bool = False) -> Labelled:
    """All images of a folder or a table; `flat` as of `labelled.folder`."""
    if not is_table(path):
        return labelled.folder(path, flat=flat)
    found = read(path)
    return found["every"] if "every" in found else joined(path, found)


def joined(path: str | os.PathLike[str], parts: dict[str, Labelled]) -> Labelled:
    """All images of a folder or a table that has such parts."""
    return labelled.joined(parts, _title(path))


def parts(path: str | os.PathLike[str]) -> dict[str, Labelled] | None:
    """Those of a folder or a table that is split already; `None` for another one."""
    if not is_table(path):
        return labelled.parts(path)
    found = read(path)
    return found if len(found) > 1 else None


def read(path: str | os.PathLike[str]) -> dict[str, Labelled]:
    """The images of a table by the names of `PARTS`, or as `"every"` where it has no splits.

    Args:
        path: The table. Paths in it are relative to its folder.

    Raises:
        InputError: If it is no such table, or if a part has a class that `train` has not.
    """
    path = Path(path)
    title = _title(path)
    rows = _rows(path, title)
    splits = {row.get("split") for row in rows} != {None}
    kinds = [_kind(row.get("split") or "", title) if splits else "every" for row in rows]
    whole = "train" if splits else "every"
    several = _several(rows)
    labels = [_split(row["label"]) for row in rows]
    names = sorted(
        {name for some, kind in zip(labels, kinds, strict=True) if kind == whole for name in some}
    )
    number = {name: i for i, name in enumerate(names)}
    found = {}
    for kind in dict.fromkeys((whole, *PARTS)):
        places = [i for i, mine in enumerate(kinds) if mine == kind]
        for name in (name for i in places for name in labels[i]):
            if name not in number:
                raise InputError(
                    f"Each label of {title} must have images to train on. Received: none of "
                    f"'{printable(name)}'"
                )
        some = [rows[i] for i in places]
        if some or kind == whole:
            found[kind] = Labelled(
                kind="folder",
                title=title,
                sources=[path.parent / row["path"] for row in some],
                labels=_indices(
                    [[number[name] for name in labels[i]] for i in places], several, len(names)
                ),
                class_names=names,
                names=[row["path"] for row in some],
            )
    return found


def _title(path: str | os.PathLike[str]) -> str:
    path = Path(path)
    return f"the {'folder' if path.is_dir() else 'table'} '{printable(path)}'"


def _rows(path: Path, title: str) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or ()
            rows = list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV in UTF-8"
        raise InputError(f"The table '{printable(path)}' cannot be read: {reason}") from None
    if not {"path", "label"} <= set(columns) or len(set(columns)) < len(columns):
        raise InputError(
            f"The columns of {title} must be 'path', 'label' and, optionally, 'split'. Received: "
            f"{checks.some([printable(one) for one in columns]) or 'none'}"
        )
    several, before = _several(rows), dict[str, dict[str, str]]()
    for line, row in enumerate(rows, start=2):
        label = row["label"]
        if None in row:  # what is beyond the last column
            raise InputError(
                f"Each line of {title} must have as many cells as there are columns. Received: "
                f"line {line}, path='{printable(row['path'])}', with more"
            )
        wrong = label is None or not (several or label.strip())
        if not row["path"] or wrong or "\0" in row["path"]:
            hint = "" if several else ", or a ';' in the label of one that has several or none"
            raise InputError(
                f"Each line of {title} must have a path and a label{hint}. Received: line {line}, "
                f"path='{printable(row['path'] or '')}', label='{printable(label or '')}'"
            )
        if before.setdefault(row["path"], row) != row:
            raise InputError(
                f"Lines of {title} with the same path must be the same. Received: line {line}, "
                f"path='{printable(row['path'])}'"
            )
    if not rows:
        raise InputError(f"The lines of {title} must be images. Received: none")
    return rows


def _several(rows: list[dict[str, str]]) -> bool:
    return any(";" in (row["label"] or "") for row in rows)


def _split(label: str) -> list[str]:
    """The labels of a cell; none of an empty one."""
    return [name.strip() for name in label.split(";") if name.strip()]


def _indices(labels: list[list[int]], several: bool, classes: int) -> NDArray[Any]:
    """As `Labelled` has them."""
    if not several:
        return np.array([index for (index,) in labels], np.int64)
    rows = np.zeros((len(labels), classes), np.uint8)
    for row, some in zip(rows, labels, strict=True):
        row[some] = 1
    return rows


def _kind(split: str, title: str) -> str:
    if split not in _KINDS:
        raise InputError(
            f"`split` in {title} must be one of {checks.some(_KINDS)}. Received: "
            f"'{printable(split)}'"
        )
    return _KINDS[split]
