"""How files are written: beside their target, then renamed."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Paths beside the targets, which take their places once all of them are written.

    Whatever happens, the targets are complete, old or new, and nothing else is left.

    Args:
        *targets: The files or folders to write; the folders that they are in exist.

    Yields:
        A path with the same ending for each target, to write to.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> with replacing(folder / "a.txt") as (path,):
    ...     _ = path.write_text("whole")
    >>> [(file.name, file.read_text()) for file in folder.iterdir()]
    [('a.txt', 'whole')]
    """
    paths = [_beside(target) for target in targets]
    try:
        yield paths
        for path, target in zip(paths, targets, strict=True):
            _replace(path, target)
    finally:
        for path in paths:
            _remove(path)


def _beside(target: Path) -> Path:
    return target.with_name(f".{os.getpid()}-{threading.get_ident()}-{target.name}")


def _replace(path: Path, target: Path) -> None:
    """Renames a file or a folder; a folder cannot take the place of another at once."""
    if not (path.is_dir() and target.is_dir()):
        os.replace(path, target)
        return
    old = _beside(_beside(target))
    os.rename(target, old)
    try:
        os.rename(path, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
