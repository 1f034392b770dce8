"""What a command says of errors that come from outside, and of its own faults."""

import dataclasses
import errno
import os
import re
from pathlib import Path

import pytest
from cyclopts import App

from resnet_layers.__main__ import main
from resnet_layers.shell import app, commands, config, errors, runs
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import labelled
from tests.package.test_files import left_over


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


OUTSIDE = [
    (
        PermissionError(errno.EACCES, "Permission denied", "a.keras"),
        "The system refused: 'a.keras': Permission denied",
    ),
    (OSError("odd"), "The system refused: odd"),
    (OSError(errno.ENOSPC, "No space left"), "There is no space left where the output goes"),
    (ResourceExhaustedError("/a/b; No space left on device"), app.NO_SPACE),
    (MemoryError(), app.OUT_OF_MEMORY),
    (ResourceExhaustedError("OOM when allocating"), app.OUT_OF_MEMORY),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), app.OUT_OF_MEMORY),
]


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command in which this is raised."""

    def run(tokens: list[str]) -> int:
        raise error

    monkeypatch.setattr(app, "_run", run)
    return main(["list"])


@pytest.mark.parametrize(("error", "sentence"), OUTSIDE, ids=lambda value: type(value).__name__)
def test_what_comes_from_outside_is_a_sentence(
    error: Exception,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert failing(error, monkeypatch) == 2
    assert capsys.readouterr().err == f"resnet-layers: {sentence}\n"


def test_a_fault_of_its_own_is_reported_with_its_details(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert failing(KeyError("nobody thought of it"), monkeypatch) == app.FAULT
    err = capsys.readouterr().err
    said = re.fullmatch(
        "resnet-layers: A fault of resnet-layers itself: KeyError: 'nobody thought of it'. Please "
        "report it in the issues of its repository, with '(.*)'\n",
        err,
    )
    assert said is not None
    (file,) = tmp_path.iterdir()
    assert str(file) == said[1]
    assert "Traceback (most recent call last)" in file.read_text(encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    assert failing(KeyError("again"), monkeypatch) == app.FAULT
    assert capsys.readouterr().err.endswith("in the issues of its repository\n")


def test_a_folder_that_a_kill_has_moved_away_is_found(tmp_path: Path) -> None:
    """As where a kill came between two renames, on systems that cannot exchange names."""
    (tmp_path / left_over("old", "saved")).mkdir()
    errors.check_there("model file", tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize("full", [True, False])
def test_what_a_shell_reads_at_its_start_is_old_or_new(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes, startup = Path.write_bytes, tmp_path / ".bashrc"
    startup.write_text("alias ll='ls -l'\n")
    startup.chmod(0o600)

    def write_a_part(path: Path, content: bytes) -> None:
        write_bytes(path, content[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("HOME", str(tmp_path))
    if full:
        monkeypatch.setattr(Path, "write_bytes", write_a_part)
    assert main(["--install-completion", "--shell", "bash"]) == (2 if full else 0)
    lines = startup.read_text().splitlines()
    assert lines[0] == "alias ll='ls -l'"
    assert len(lines) == (1 if full else 3)
    assert startup.stat().st_mode & 0o777 == 0o600
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".unfinished")]


@pytest.mark.upstream
def test_cyclopts_empties_a_startup_file_before_it_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup, sizes, write_bytes = tmp_path / ".bashrc", [], Path.write_bytes
    startup.write_text("alias ll='ls -l'\n")

    def look(path: Path, content: bytes) -> None:
        with path.open("wb"):
            sizes.append(startup.stat().st_size)
        write_bytes(path, content)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", look)
    App(name="program").install_completion(shell="bash")
    assert sizes == [0]


def test_settings_without_a_name_that_toml_has_not_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    data = Path(os.fsdecode(b"/photos-\xff"))
    runs.write_settings(file, "train", TrainSettings(data=data, epochs=3, output=tmp_path))
    command = ["train", "--config", str(file), "--data", "elsewhere"]
    _, bound, _ = commands.app.parse_args(command, exit_on_error=False, print_error=False)
    found = bound.arguments["settings"]
    assert (found.epochs, found.output, found.data) == (3, tmp_path, Path("elsewhere"))
    assert "# data is no UTF-8: type it\n" in file.read_text(encoding="utf-8")


def test_a_run_goes_on_from_weights_whose_name_toml_has_not(tmp_path: Path) -> None:
    known, other = (os.fsdecode(name) for name in (b"/known-\xff.keras", b"/known.keras"))
    settings = TrainSettings(from_=known, output=tmp_path)
    file = tmp_path / config.OF_THE_RUN
    file.parent.mkdir()
    runs.write_settings(file, "train", settings)
    config.check_resumed(tmp_path, runs.chosen(settings), free=())
    for changed in ({"from_": other}, {"epochs": 9}):
        mine = runs.chosen(dataclasses.replace(settings, **changed))
        with pytest.raises(InputError, match="takes the options of its run"):
            config.check_resumed(tmp_path, mine, free=())


@pytest.mark.parametrize("counts", [(0, 2), (1, 2), (2,)], ids=str)
def test_names_of_class_folders_stay_in_their_line(counts: tuple[int, ...], tmp_path: Path) -> None:
    for number, count in enumerate(counts):
        folder = tmp_path / f"class\n{number}"
        folder.mkdir()
        for image in range(count):
            (folder / f"{image}.png").touch()
    with pytest.raises(InputError, match=r"class\\n0") as raised:
        labelled.folder(tmp_path).split(0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("command", ["train", "tune"])
def test_a_run_takes_the_place_of_its_like(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search names no variant, and goes on in its own folder all the same."""
    settings = {"variant": "resnet18"} if command == "train" else {}
    mine = {"command": command, "settings": settings, "images": "digest"}
    (tmp_path / runs.MODEL).touch()
    monkeypatch.setattr(runs, "_recorded", lambda path: dict(mine))
    runs.check_folder(tmp_path, mine, overwrite=False)
    with pytest.raises(InputError, match="on other images"):
        runs.check_folder(tmp_path, {**mine, "images": "other"}, overwrite=False)
