"""`train --resume`, and the same command again: a run goes on, and nothing else does."""

import csv
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.shell import finishing, resuming, train
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import checkpoint_files
from tests.shell.test_command_line import run, tiny, write_photos  # noqa: F401 (a fixture)
from tests.support.randomize import randomize
from tests.support.uncompiled import uncompiled
from tests.training.resuming import Ends

OPTIONS = ("--variant", "tiny", "--image-size", 4, "--batch-size", 4, "--patience", 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos", 8)


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process, which other tests start in earnest."""
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")


def weights(folder: Path) -> list[Any]:
    model: Any = keras.saving.load_model(folder / "model.keras")
    return list(model.get_weights())


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [{**row, "data_wait": ""} for row in csv.DictReader(file)]


@uncompiled()
@pytest.mark.share(18)
@pytest.mark.parametrize(
    ("how", "step", "where"),
    [
        ("resumed", 3, "after epoch 0 of 2, step 3 of 5"),
        ("again", 6, "after epoch 1 of 2, step 1 of 5"),
        ("elsewhere", 6, "after epoch 1 of 2, step 1 of 5"),
    ],
)
def test_a_run_that_was_interrupted_goes_on(
    how: str,
    step: int,
    where: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By `--resume`, by the same command, or into another folder, and ends as the whole one."""
    every = ("--checkpoint-every", 2, "--keep", 2)
    command = ("train", "--data", photos, *OPTIONS, "--epochs", 2, *every)
    assert run(capsys, *command, "--output", tmp_path / "whole")[0] == 0
    callbacks, cut = train._callbacks, tmp_path / "cut"
    ends = Ends(signal.SIGTERM, step)
    monkeypatch.setattr(train, "_callbacks", lambda settings: [*callbacks(settings), ends])
    code, _, err = run(capsys, *command, "--output", cut)
    monkeypatch.setattr(train, "_callbacks", callbacks)
    assert (code, err) == (
        143,
        "resnet-layers: interrupted: no unfinished file is left behind; `train --resume "
        f"{cut}` goes on\n",
    )
    folder, again = {
        "resumed": (cut, ("train", "--resume", cut)),
        "again": (cut, (*command, "--output", cut)),
        "elsewhere": (
            tmp_path / "there",
            ("train", "--resume", cut, "--output", tmp_path / "there"),
        ),
    }[how]
    code, out, err = run(capsys, *again)
    assert (code, err) == (0, "")
    assert f"The training goes on {where}\n" in out
    assert table(folder) == table(tmp_path / "whole")
    for mine, other in zip(weights(folder), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(mine, other)
    # What is over is over, and makes way for a run of its kind.
    assert not resuming._unfinished(TrainSettings(output=folder))
    code, _, err = run(capsys, "train", "--resume", folder, "--epochs", 7)
    assert code == 2
    assert "`epochs` must stay as they are where training is over" in err
    code, out, _ = run(capsys, *command[:-6], "--epochs", 1, "--output", folder)
    assert code == 0
    assert "goes on after" not in out
    assert len(checkpoint_files.files(folder / resuming.FOLDER)) == 1


@pytest.mark.share(6)
@uncompiled()
def test_another_run_takes_the_place_of_an_unfinished_one_when_it_is_told_to(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("train", "--data", photos, *OPTIONS, "--epochs", 2, "--output", tmp_path)
    assert run(capsys, *command)[0] == 0
    ended = tmp_path / resuming.FOLDER / resuming.ENDED
    ended.unlink()  # as if it had not come to its end
    other = (*command, "--seed", 1)
    code, _, err = run(capsys, *other)
    assert code == 2
    assert "holds the checkpoints of another run, which was not ended" in err
    code, out, _ = run(capsys, *other, "--overwrite")
    assert code == 0
    assert "goes on after" not in out


@pytest.mark.share(3)
@uncompiled()
@pytest.mark.parametrize("several", [False, True])
def test_a_run_from_a_file_goes_on_without_it(
    several: bool,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its checkpoints have the network, with which other runs begin, and which `convert` writes."""
    data = photos
    if several:
        data = tmp_path / "table.csv"
        rows = [f"{path},{path.parent.name};all" for path in sorted(photos.glob("*/*"))]
        data.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    known = tmp_path / "known.keras"
    model: Any = rl.ResNet.from_variant("tiny", classes=7)
    randomize(model).save(known)
    first = ("train", "--data", data, "--image-size", 4, "--batch-size", 4)
    command = (*first, "--from", known, "--epochs", 2, "--freeze-until", "stage2", "--keep", 2)
    assert run(capsys, *command, "--output", tmp_path / "whole")[0] == 0
    callbacks, cut = train._callbacks, tmp_path / "cut"
    ends = Ends(signal.SIGTERM, 6)
    monkeypatch.setattr(train, "_callbacks", lambda settings: [*callbacks(settings), ends])
    assert run(capsys, *command, "--output", cut)[0] == 143
    monkeypatch.setattr(train, "_callbacks", callbacks)
    known.unlink()
    again = (*command, "--output", cut) if several else ("train", "--resume", cut)
    code, _, err = run(capsys, *again)
    assert (code, err) == (0, "")
    assert table(cut) == table(tmp_path / "whole")
    for mine, other in zip(weights(cut), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(mine, other)
    last = checkpoint_files.files(cut / resuming.FOLDER)[-1]
    code, _, err = run(capsys, "convert", last, "-o", tmp_path / "last.keras")
    assert (code, err) == (0, "")
    to_torch = run(capsys, "convert", last, "--to", "torch", "-o", tmp_path / "last.safetensors")
    assert to_torch[0] == 0
    converted: Any = keras.saving.load_model(tmp_path / "last.keras")
    model = keras.saving.load_model(cut / "model.keras")
    assert converted.metadata == model.metadata
    assert all(layer.trainable for layer in converted._flatten_layers())
    for mine, other in zip(converted.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    more = (*first, "--from", last, "--epochs", 1, "--learning-rate", 1e-30)
    code, _, err = run(capsys, *more, "--output", tmp_path / "more")
    assert (code, err) == (0, "")
    for name in ("stem", "head"):
        mine, other = (
            getattr(keras.saving.load_model(path / "model.keras"), name).get_weights()[0]
            for path in (tmp_path / "more", cut)
        )
        np.testing.assert_array_equal(mine, other)
