"""Digests that close an artifact: of every byte that `export` has written and proven.

A file ends in the digest of all that stands before it, and in those of the files beside it; a
folder has a file of them, in the form that `sha256sum -c` reads. Whoever changes an artifact can
compute them anew: they tell damage, and not who has written it.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

# Where a digest will be, in what a writer leaves at the end of its file.
PLACE = b"0" * 64
_DIGEST = rb"([0-9a-f]{64})"
# What SavedModels have for files that their programs do not read.
EXTRA = "assets.extra"
DESCRIPTION = f"{EXTRA}/resnet_layers.json"
MANIFEST = f"{EXTRA}/resnet_layers.sha256"


def close(files: Sequence[Path], ending: bytes) -> None:
    """Writes the digests of an artifact that is complete.

    Args:
        files: The file that ends in `ending`, and those beside it; or a folder.
        ending: With a `PLACE` for the digest of each file.
    """
    first, *others = files
    if first.is_dir():
        lines = [f"{_digest(first / name)}  {name}\n" for name in _parts(first)]
        (first / MANIFEST).write_text("".join(lines), encoding="utf-8", newline="\n")
        return
    with first.open("r+b") as file:
        start = file.seek(-len(ending), os.SEEK_END)
        for digest in (_digest(first, start), *map(_digest, others)):
            ending = ending.replace(PLACE, digest.encode(), 1)
        file.write(ending)


def is_closed(files: Sequence[Path], ending: bytes) -> bool:
    """Whether an artifact has digests, which are those of its files.

    Raises:
        ValueError: With the name of the file that is missing, or that has another digest.
    """
    first, *others = files
    for file in files:
        if not (file.is_file() or file.is_dir()):
            raise ValueError(f"its part '{file.name}' is missing")
    if first.is_dir():
        return _is_closed_folder(first)
    start = first.stat().st_size - len(ending)
    with first.open("rb") as content:
        content.seek(max(start, 0))
        found = re.fullmatch(re.escape(ending).replace(PLACE, _DIGEST), content.read())
    if not found:
        return False
    _compare(first, first.name, found[1].decode(), start)
    for file, digest in zip(others, found.groups()[1:], strict=True):
        _compare(file, file.name, digest.decode())
    return True


def _is_closed_folder(folder: Path) -> bool:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return False
    lines = re.findall(rb"^%s  (.+)\n" % _DIGEST, manifest.read_bytes(), re.MULTILINE)
    if b"".join(b"%s  %s\n" % line for line in lines) != manifest.read_bytes():
        raise ValueError(f"its part '{MANIFEST}' is damaged")
    digests = {name.decode(errors="replace"): digest.decode() for digest, name in lines}
    parts = _parts(folder)
    for name in digests:
        if name not in parts:
            raise ValueError(f"its part {name!r} is missing")
    for name in parts:
        if name not in digests:
            raise ValueError(f"{name!r} in it is none of its parts")
        _compare(folder / name, name, digests[name])
    return True


def _parts(folder: Path) -> list[str]:
    """The files of a folder, without what others have laid beside the description."""
    found = [
        Path(where, name).relative_to(folder).as_posix()
        for where, _, names in os.walk(folder)
        for name in names
    ]
    return sorted(n for n in found if not n.startswith(f"{EXTRA}/") or n == DESCRIPTION)


def _compare(file: Path, name: str, digest: str, end: int | None = None) -> None:
    if not file.is_file():  # but a pipe, which may have no end
        raise ValueError(f"its part {name!r} is no file")
    if _digest(file, end) != digest:
        raise ValueError(
            f"its part {name!r} is not what `export` has written: it is damaged or changed, or of "
            "another artifact"
        )


def _digest(file: Path, end: int | None = None) -> str:
    """The digest of a file, up to some byte."""
    digest = hashlib.sha256()
    left = file.stat().st_size if end is None else end
    with file.open("rb") as content:
        while piece := content.read(min(left, 2**20)):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()
