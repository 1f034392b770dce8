"""How files are written: beside their target, then renamed; what a kill leaves is tidied away."""

import contextlib
import ctypes
import errno
import functools
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # of Windows
    fcntl = None  # type: ignore[assignment]

# Names beside a target: the system, process and thread that write it, and the target's own name.
# A list has the names of unfinished files that are whole and take their places together.
_NAME = re.compile(r"\.(unfinished|old|list)-([0-9a-f]{8})-(\d+)-\d+-(.+)", re.DOTALL)
_RENAME_EXCHANGE = 2  # of Linux' renameat2
_HERE = -100  # AT_FDCWD: paths are relative to the working directory


@contextlib.contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Paths beside the targets, which take their places once all of them are written.

    Whatever happens, the targets are complete, old or new, and nothing else is left. After a kill
    the next call in these folders, or `tidy`, gives several files the places that they have not
    taken yet, and removes what was not complete. Links are followed.

    Args:
        *targets: The files or folders to write; the folders that they are in exist.

    Raises:
        OSError: If a target is neither a file nor a folder, or one of them in the other's place,
            or if its name is too long for another one beside it.

    Yields:
        A path with the same ending for each target, to write to.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> with replacing(folder / "a.txt") as (path,):
    ...     _ = path.write_text("whole")
    >>> [(file.name, file.read_text()) for file in folder.iterdir()]
    [('a.txt', 'whole')]
    """
    targets = tuple(Path(os.path.realpath(target)) for target in targets)
    for target in targets:
        if target.exists() and not (target.is_file() or target.is_dir()):  # a device, a pipe
            raise OSError(errno.EINVAL, "it is neither a file nor a folder", str(target))
    check_names(*targets)
    for folder in {target.parent for target in targets}:
        tidy(folder)
    paths = [_beside(target) for target in targets]
    try:
        yield paths
        _check_kinds(paths, targets)
        with _locked(*(target.parent for target in targets)), _listed(paths, targets):
            for path, target in zip(paths, targets, strict=True):
                _replace(path, target)
    finally:
        for path in paths:
            _remove(path)


def tidy(folder: Path) -> None:
    """Ends what processes that were killed have begun in a folder, as far as they had come.

    What another user has put there is left alone, whatever its name.
    """
    try:
        paths = [folder / name for name in os.listdir(folder) if _is_left_over(name)]
    except OSError:  # there is no such folder, or nobody may look
        return
    paths = [path for path in paths if _is_mine(path)]
    for path in paths:
        with contextlib.suppress(OSError):  # nobody may write there
            if path.name.startswith(".list-"):
                _take_places(path)
            elif path.name.startswith(".old-") and not os.path.lexists(_target(path)):
                os.rename(path, _target(path))  # killed between the two renames of folders
    for path in paths:
        with contextlib.suppress(OSError):
            _remove(path)


def discard(path: Path) -> None:
    """Takes a file or a folder away at once, and then removes it."""
    if os.path.lexists(path):
        away = _beside(path)
        os.rename(path, away)
        _remove(away)


def check_writable(folder: Path) -> None:
    """Makes a file in a folder; not all systems have files without a name.

    Raises:
        OSError: If none can be made.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=_beside(folder / "file").name):
        pass


@contextlib.contextmanager
def scratch(within: Path | None = None) -> Iterator[Path]:
    """A folder for what is not kept; what a kill leaves of one goes away with the next.

    Args:
        within: Where it is made; `None` for the system's folder for temporary files.
    """
    temporary = within or Path(tempfile.gettempdir())
    tidy(temporary)
    prefix = f"{_beside(temporary / 'scratch').name}-"
    with tempfile.TemporaryDirectory(dir=temporary, prefix=prefix) as folder:
        yield Path(folder)


def save_model(model: Any, path: Path) -> None:
    """`model.save`, which writes beside its file what it has no memory for, in a hidden folder."""
    with scratch(path.parent) as folder:
        model.save(folder / path.name.lstrip("."))
        os.replace(folder / path.name.lstrip("."), path)


def check_names(*targets: Path) -> None:
    """Refuses targets whose names leave no room for what stands before them until they are whole.

    Raises:
        OSError: With the number of bytes that a name may have.
    """
    for target in targets:
        beside = _beside(target if len(targets) == 1 else _beside(target, "list"))
        try:
            longest = os.pathconf(target.parent, "PC_NAME_MAX")
        except (AttributeError, OSError, ValueError):  # Windows does not tell
            longest = 255
        room = longest - len(beside.name) + len(target.name)
        if len(os.fsencode(target.name)) > room:
            reason = f"its name must have at most {room} bytes"
            raise OSError(errno.ENAMETOOLONG, reason, str(target))


def _beside(target: Path, kind: str = "unfinished") -> Path:
    thread = threading.get_ident()
    return target.with_name(f".{kind}-{_system()}-{os.getpid()}-{thread}-{target.name}")


def _target(path: Path) -> Path:
    """Whose place a path is for."""
    found = _NAME.fullmatch(path.name)
    return path if found is None else path.with_name(found[4])


@functools.cache
def _system() -> str:
    """Who numbers processes: a machine, and a container in it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


def _is_left_over(name: str) -> bool:
    """Whether a process has left this that is no more."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] != _system() or os.name != "posix":
        return False
    if found[4] in (".", ".."):  # which no target is called
        return False
    try:
        os.kill(int(found[3]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        pass
    return False


def _is_mine(path: Path) -> bool:
    """Whether it is a file or a folder of this user: others may write into a shared folder."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    is_list = path.name.startswith(".list-")
    is_ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return is_ours and (
        stat.S_ISREG(found.st_mode) or (stat.S_ISDIR(found.st_mode) and not is_list)
    )


@contextlib.contextmanager
def _locked(*folders: Path) -> Iterator[None]:
    """While files take their places, no other process gives others to a part of them."""
    with contextlib.ExitStack() as stack:
        for folder in sorted(set(folders)) if fcntl else ():
            with contextlib.suppress(OSError):  # not all file systems have locks
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _listed(paths: list[Path], targets: tuple[Path, ...]) -> Iterator[None]:
    """Around renaming several files: a list from which somebody else can go on."""
    if len(targets) < 2:
        yield
        return
    file = _beside(targets[0], "list")
    unfinished = _beside(file)
    try:
        unfinished.write_text(json.dumps([path.name for path in paths]), encoding="utf-8")
        os.replace(unfinished, file)
        try:
            yield
        except BaseException:  # such as Ctrl-C: they are whole, and belong together
            with contextlib.suppress(OSError):
                _take_places(file)
            raise
    finally:
        _remove(unfinished)
        _remove(file)


def _take_places(file: Path) -> None:
    """Gives each file of a list that is still beside its target its place."""
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except (RecursionError, ValueError):
        return
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and os.path.basename(name) == name and _NAME.fullmatch(name):
            path = file.with_name(name)
            if path.is_file() and _is_mine(path):
                os.replace(path, _target(path))


def _check_kinds(paths: list[Path], targets: tuple[Path, ...]) -> None:
    """Finds out before the first is renamed whether all can be.

    Raises:
        IsADirectoryError: If a file would take the place of a folder.
    """
    for path, target in zip(paths, targets, strict=True):
        if target.is_dir() and not path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))


def _replace(path: Path, target: Path) -> None:
    """Renames a file or a folder, whose place another folder may have."""
    if not (path.is_dir() and target.is_dir()):
        os.replace(path, target)
        return
    if _exchanged(path, target):
        return
    old = _beside(target, "old")
    os.rename(target, old)
    try:
        os.rename(path, target)
    except OSError:
        os.rename(old, target)
        raise
    os.rename(old, path)  # to be removed as what is unfinished: it has lost its place


def _exchanged(a: Path, b: Path) -> bool:
    """Gives each of two names what the other has, at once, where the system can."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    names = map(os.fsencode, (a, b))
    return rename is not None and not rename(
        _HERE, next(names), _HERE, next(names), ctypes.c_uint(_RENAME_EXCHANGE)
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
