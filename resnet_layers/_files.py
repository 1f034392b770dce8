"""How files are written: beside their target, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Paths beside the targets, which take their places once all of them are written.

    Whatever happens, the targets are complete files, old or new, and nothing else is left.

    Args:
        *targets: The files to write; their folders exist.

    Yields:
        A path with the same ending for each target, to write to.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> with replacing(folder / "a.txt") as (path,):
    ...     _ = path.write_text("whole")
    >>> [(file.name, file.read_text()) for file in folder.iterdir()]
    [('a.txt', 'whole')]
    """
    paths = [target.with_name(f".{os.getpid()}-{target.name}") for target in targets]
    try:
        yield paths
        for path, target in zip(paths, targets, strict=True):
            os.replace(path, target)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
