"""`explain`: which pixels decided, in a shell."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell import classifier, explain
from tests.shell.test_command_line import run
from tests.support.randomize import randomize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network and three images."""
    made = tmp_path_factory.mktemp("explain")
    prepare = for_squares(16, [100.0] * 3, [50.0] * 3)
    metadata = {
        "class_names": ["cat", "dog"],
        "preprocessing": keras.saving.serialize_keras_object(prepare),
    }
    model = rl.ResNet.from_variant("cifar_resnet20", 2, blocks=(1, 1, 1), metadata=metadata)
    randomize(model).save(made / "model.keras")
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / f"{i}.png")
    return made


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_images_are_drawn_beside_their_maps(capsys: Any) -> None:
    code, out, err = run(capsys, "explain", "model.keras", "0.png", "1.png", "-o", "a.svg")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["0.png", "1.png"]
    assert all(line.split("  ")[1] in ("cat", "dog") for line in lines[:2])
    assert lines[2:] == ["Drawn in 'a.svg'."]
    assert Path("a.svg").read_text(encoding="utf-8").count("<image") == 4


def test_every_option(capsys: Any) -> None:
    options = ("--class", "dog", "--stage", "stage2", "--method", "hires_cam", "--certificate")
    code, out, _ = run(capsys, "explain", "model.keras", ".", *options)
    assert code == 0
    assert [line.split("  ")[1] for line in out.splitlines()[:3]] == ["dog"] * 3
    assert all("fails: " in line or "passes: " in line for line in out.splitlines()[:3])
    Image.open("explained.png").load()
    Path("explained.png").unlink()  # or it would be one of the images


def test_what_is_shown_are_the_pixels(folder: Path) -> None:
    found = classifier.load(folder / "model.keras")
    pixels = np.asarray(Image.open(folder / "0.png"))
    shown = explain._pixels(found.reader([folder / "0.png"]), found.reader.layer)
    np.testing.assert_array_equal(shown[0], pixels)


def test_an_image_that_cannot_be_read_is_named_and_left_out(capsys: Any) -> None:
    Path("bad.png").write_bytes(b"no image")
    try:
        code, out, err = run(capsys, "explain", "model.keras", "0.png", "bad.png")
        assert code == 1
        assert "bad.png" in err
        assert "bad.png" not in out
        assert run(capsys, "explain", "model.keras", "bad.png")[2].splitlines()[-1] == (
            "resnet-layers: An image must be readable, to be explained. Received: none"
        )
    finally:
        Path("bad.png").unlink()
        Path("explained.png").unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model.keras",), "An image must be named: `resnet-layers explain MODEL IMAGE...`"),
        (
            ("model.keras", "0.png", "-o", "a.gif"),
            "The name of the output must end in one of '.svg', '.png', '.pdf'. Received: 'a.gif'",
        ),
        (
            ("model.keras", "0.png", "--class", "cow"),
            "`classes` must be of 'cat', 'dog'. Received: 'cow'",
        ),
        (
            ("model.keras", "0.png", "--stage", "stage4"),
            "`stage` must be one of 'stem', 'stage1', 'stage2', 'stage3', or None for the last. "
            "Received: stage='stage4'",
        ),
        (
            ("no.keras", "0.png"),
            "The model file 'no.keras' cannot be read: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_explained(capsys: Any, arguments: tuple[str, ...], message: str) -> None:
    assert run(capsys, "explain", *arguments) == (2, "", f"resnet-layers: {message}\n")


def test_a_sheet_has_an_end(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "MOST", 2)
    assert run(capsys, "explain", "model.keras", "0.png", "1.png", "2.png")[2] == (
        "resnet-layers: A sheet has at most 2 images. Received: 3\n"
    )


def test_a_folder_that_cannot_be_written_to(capsys: Any) -> None:
    Path("taken.png").mkdir()
    code, _, err = run(capsys, "explain", "model.keras", "0.png", "-o", "taken.png")
    assert code == 2
    assert "taken.png" in err
    Path("taken.png").rmdir()
