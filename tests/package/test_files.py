"""Files are whole, old or new, whatever happens to the process that writes them."""

import ctypes
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import pytest

from resnet_layers._support import files
from resnet_layers._support.files import (
    check_names,
    check_writable,
    discard,
    replacing,
    scratch,
    tidy,
)


def contents(folder: Path) -> dict[str, str]:
    """All files below a folder, hidden ones too."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_text() for file in found}


def write(*targets: Path, text: str = "new", error: BaseException | None = None) -> None:
    """Replaces files; folders where names have no ending."""
    with replacing(*targets) as paths:
        for path in paths:
            if path.suffix:
                path.write_text(text)
            else:
                path.mkdir()
                (path / "file.txt").write_text(text)
        if error:
            raise error


def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, and on some file systems."""
    monkeypatch.setattr(files, "_exchanged", lambda a, b: False)


@pytest.mark.parametrize("letter", ["a", "é"])
@pytest.mark.parametrize("endings", [[".txt"], [".txt", ".bin"]], ids="".join)
def test_a_name_that_leaves_no_room_is_refused_before_anything_is_written(
    endings: list[str], letter: str, tmp_path: Path
) -> None:
    def targets(letters: int) -> list[Path]:
        return [tmp_path / f"{letter * letters}{ending}" for ending in endings]

    def is_refused(letters: int) -> bool:
        try:
            check_names(*targets(letters))
        except OSError as error:
            return error.errno == errno.ENAMETOOLONG
        return False

    first = next(letters for letters in range(20, 255) if is_refused(letters))
    write(*targets(first - 1))
    assert len(contents(tmp_path)) == len(endings)
    before = contents(tmp_path)
    with pytest.raises(OSError, match="its name must have at most"):
        write(*targets(first))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("targets", [("a.txt",), ("a.txt", "b.txt"), ("model",)], ids="-".join)
def test_targets_are_all_old_or_all_new(
    targets: tuple[str, ...], exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        no_exchange(monkeypatch)
    paths = [tmp_path / name for name in targets]
    write(*paths, text="old")
    before = contents(tmp_path)
    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write(*paths, error=error)
        assert contents(tmp_path) == before
    write(*paths)
    assert contents(tmp_path) == dict.fromkeys(before, "new")


def test_an_interrupt_between_two_files_does_not_part_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    write(*paths, text="old")
    replace = files._replace

    def interrupted(path: Path, target: Path) -> None:
        if target.name == "b.txt":
            raise KeyboardInterrupt
        replace(path, target)

    monkeypatch.setattr(files, "_replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(*paths)
    assert contents(tmp_path) == {"a.txt": "new", "b.txt": "new"}


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(IsADirectoryError, match=os.strerror(errno.EISDIR)):
        write(tmp_path / "a.txt", tmp_path / "b.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["b.txt"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_exchange(monkeypatch)
    write(tmp_path / "model", text="old")
    rename = os.rename

    def rename_all_but_new(source: Path, target: Path) -> None:
        if (source / "file.txt").read_text() == "new":
            raise OSError("no space left")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_all_but_new)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "model")
    assert contents(tmp_path) == {"model/file.txt": "old"}


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "file.txt")
    write(tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink()
    assert contents(tmp_path / "real") == {"file.txt": "new"}


def test_two_threads_have_a_place_each(tmp_path: Path) -> None:
    target, both = tmp_path / "target.txt", threading.Barrier(2, timeout=60)

    def one(text: str) -> None:
        with replacing(target) as (path,):
            both.wait()
            path.write_text(text)
            both.wait()
            assert path.read_text() == text

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, ("first", "second")))
    assert [file.name for file in tmp_path.iterdir()] == ["target.txt"]
    assert target.read_text() in ("first", "second")


# Killed

NOBODY = 2**22 + 1  # above the largest number of a process in Linux


def left_over(kind: str, name: str, process: int = NOBODY, system: str | None = None) -> str:
    """The name of what a process left."""
    return f".{kind}-{system or files._system()}-{process}-1-{name}"


def test_what_belongs_to_no_living_process_is_removed(tmp_path: Path) -> None:
    mine, elsewhere = left_over("unfinished", "a.txt", os.getpid()), "0" * 8
    others = [
        left_over("unfinished", "a.txt", system=elsewhere),
        ".hidden",
        ".unfinished-notes",
        "a.txt",
    ]
    for name in [*others, mine, left_over("unfinished", "a.txt"), left_over("old", "a.txt")]:
        (tmp_path / name).write_text(name)
    (tmp_path / left_over("unfinished", "model")).mkdir()
    write(tmp_path / "b.txt")
    assert {file.name for file in tmp_path.iterdir()} == {*others, mine, "b.txt"}
    tidy(tmp_path / "nowhere")


def test_a_folder_for_what_is_not_kept_is_gone_afterwards_or_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = tmp_path / left_over("unfinished", "scratch-a1b2c3")
    killed.mkdir()
    (killed / "a").touch()
    with scratch() as folder:
        assert re.fullmatch(rf"\.unfinished-.*-{os.getpid()}-.*-scratch-.*", folder.name)
        (folder / "b").touch()
        assert [Path(name).name for name in contents(tmp_path)] == ["b"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["", "[", "1", "[1]", '["../out.txt"]', '["plain.txt"]', '[".unfinished-x"]', '{"a": 1}'],
)
def test_a_list_that_is_none_moves_nothing(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out.txt").write_text("out")
    (folder / "plain.txt").write_text("plain")
    (folder / left_over("list", "a.txt")).write_text(content)
    tidy(folder)
    assert contents(tmp_path) == {"out.txt": "out", "in/plain.txt": "plain"}


def test_a_list_gives_whole_files_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("new")  # it had its place
    (tmp_path / "b.txt").write_text("old")
    names = [left_over("unfinished", name) for name in ("a.txt", "b.txt", "c.txt")]
    for name in names[1:]:
        (tmp_path / name).write_text("new")
    (tmp_path / left_over("list", "a.txt")).write_text(json.dumps(names))
    tidy(tmp_path)
    assert contents(tmp_path) == {"a.txt": "new", "b.txt": "new", "c.txt": "new"}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows numbers no users")
def test_what_other_users_have_put_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that all may write to, they could have files of others replaced."""
    (tmp_path / "mine.txt").write_text("mine")
    evil = left_over("unfinished", "mine.txt")
    for name, text in ((evil, "evil"), (left_over("list", "a"), json.dumps([evil]))):
        (tmp_path / name).write_text(text)
    before, user = contents(tmp_path), os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    tidy(tmp_path)
    assert contents(tmp_path) == before
    monkeypatch.undo()
    tidy(tmp_path)
    assert contents(tmp_path) == {"mine.txt": "evil"}


def test_odd_names_do_not_keep_others_from_being_tidied(tmp_path: Path) -> None:
    (tmp_path / left_over("list", "a")).mkdir()
    (tmp_path / left_over("list", "b")).write_text("[" * 200_000)
    for name in (".", ".."):
        (tmp_path / left_over("old", name)).write_text("no target's")
    (tmp_path / left_over("unfinished", "z")).write_text("half")
    tidy(tmp_path)
    left = {left_over("list", "a"), left_over("old", "."), left_over("old", "..")}
    assert {file.name for file in tmp_path.iterdir()} == left


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
@pytest.mark.parametrize("by_link", [False, True])
def test_what_is_no_file_and_no_folder_is_not_replaced(by_link: bool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="it is neither a file nor a folder"):
        write(tmp_path / ("link" if by_link else "pipe"))
    assert {file.name for file in tmp_path.iterdir()} == {"pipe", "link"}
    assert (tmp_path / "pipe").is_fifo()


def test_files_of_one_process_take_their_places_together(tmp_path: Path) -> None:
    """Another one waits meanwhile."""
    fcntl = pytest.importorskip("fcntl")
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(write, tmp_path / "a.txt", tmp_path / "b.txt")
        time.sleep(0.3)
        assert not written.done()
        assert not {"a.txt", "b.txt"} & set(os.listdir(tmp_path))
        os.close(other)
        written.result(timeout=60)
    assert contents(tmp_path) == {"a.txt": "new", "b.txt": "new"}


def test_a_folder_that_was_moved_away_comes_back(tmp_path: Path) -> None:
    (tmp_path / left_over("old", "model")).mkdir()
    (tmp_path / left_over("old", "model") / "file.txt").write_text("old")
    tidy(tmp_path)
    assert contents(tmp_path) == {"model/file.txt": "old"}


def test_a_folder_that_lost_its_place_never_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a part of it, where a kill came while it was removed."""
    no_exchange(monkeypatch)
    monkeypatch.setattr(shutil, "rmtree", lambda path: None)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    write(tmp_path / "model", text="old")
    write(tmp_path / "model")
    write(tmp_path / "search")
    discard(tmp_path / "search")
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} == {"model", ".unfinished"}


def test_what_is_tried_out_has_the_name_of_what_is_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, unlink = [], os.unlink

    def remove(path: str) -> None:
        names.append(Path(path).name)
        unlink(path)

    monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)  # as on NFS
    monkeypatch.setattr(os, "unlink", remove)
    check_writable(tmp_path)
    assert len(names) == 1
    assert files._NAME.fullmatch(names[0])
    assert not contents(tmp_path)


# Without the package, whose import takes seconds.
SCRIPT = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("files", sys.argv[1])
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
if sys.argv[2] == "rename":
    files._exchanged = lambda a, b: False
with files.replacing(*map(Path, sys.argv[3:])) as paths:
    for path in paths:
        if not path.suffix:
            path.mkdir()
            path /= "file.txt"
        path.write_text("new")
"""
CALLS = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,truncate,ftruncate"


def can_kill_at_calls() -> bool:
    """Whether strace is there, and may watch."""
    command = ["strace", "-o", "/dev/null", "true"]
    if shutil.which("strace") is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def calls_in(log: Path) -> dict[tuple[str, int], str]:
    """The calls that strace has written, by name and by how many of it their thread had made.

    That is how it counts those that it is to stop at.
    """
    found, counts = {}, Counter[tuple[str, str]]()
    for line in log.read_text(errors="replace").splitlines():
        thread, call = line.split(maxsplit=1)
        if named := re.match(r"(\w+)\(", call):
            counts[thread, named[1]] += 1
            found[named[1], counts[thread, named[1]]] = call
    return found


@pytest.mark.share(3)
@pytest.mark.skipif(not can_kill_at_calls(), reason="needs strace, and the right to use it")
@pytest.mark.parametrize("how", ["exchange", "rename"])
@pytest.mark.parametrize(
    "names", [("a.txt",), ("a.txt", "b.txt", "c.txt"), ("model",)], ids="-".join
)
def test_a_kill_at_any_call_leaves_all_old_or_all_new(
    names: tuple[str, ...], how: str, tmp_path: Path
) -> None:
    def run(name: str, *options: str) -> tuple[Path, dict[str, str], int]:
        folder = tmp_path / name
        folder.mkdir()
        targets = [folder / name for name in names]
        write(*targets, text="old")
        old = contents(folder)
        watch = ["strace", "-f", "-o", str(tmp_path / "log"), "-e", f"trace={CALLS}", *options]
        command = [sys.executable, "-S", "-c", SCRIPT, files.__file__, how, *map(str, targets)]
        return (
            folder,
            old,
            subprocess.run([*watch, *command], capture_output=True, check=False).returncode,
        )

    assert run("whole")[2] == 0
    outcomes = []
    for call, when in calls_in(tmp_path / "log"):
        folder, old, code = run(f"{call}{when}", "-e", f"inject={call}:signal=KILL:when={when}")
        assert code
        seen = {name: text for name, text in contents(folder).items() if name in old}
        if len(names) == 1 and how == "exchange":  # at once, before anything is tidied
            assert set(seen.values()) in ({"old"}, {"new"})
        tidy(folder)
        assert contents(folder) in (old, dict.fromkeys(old, "new"))
        outcomes.append(contents(folder) == old)
    assert {*outcomes} == {True, False}


def test_the_exchange_of_names_is_that_of_the_system(tmp_path: Path) -> None:
    if getattr(ctypes.CDLL(None), "renameat2", None) is None:
        pytest.skip("Linux has it, with glibc 2.28")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(name)
    assert files._exchanged(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path) == {"a/file.txt": "b", "b/file.txt": "a"}
    assert not files._exchanged(tmp_path / "a", tmp_path / "missing")


def test_what_keras_has_no_memory_for_is_in_a_folder_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes a file beside the one that it is asked for, and a kill would leave it there."""
    from keras.src.saving import saving_lib

    seen: list[Path] = []
    original: Any = tempfile.NamedTemporaryFile

    def noted(*args: Any, dir: Any = None, **kwargs: Any) -> Any:
        seen.append(Path(dir))
        return original(*args, dir=dir, **kwargs)

    monkeypatch.setattr(saving_lib, "is_memory_sufficient", lambda model: False)
    monkeypatch.setattr(saving_lib.tempfile, "NamedTemporaryFile", noted)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with files.replacing(tmp_path / "model.keras") as (path,):
        files.save_model(model, path)
    (folder,) = seen
    assert folder.parent == tmp_path
    assert folder.name.startswith(".unfinished-")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
    keras.saving.load_model(tmp_path / "model.keras")
    gone = tmp_path / folder.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")
    gone.mkdir()  # as a process leaves it that is no more
    files.tidy(tmp_path)
    assert not gone.exists()
