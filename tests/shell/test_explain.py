"""`explain`: which pixels decided, in a shell."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell import classifier, commands, errors, explain
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
            "`--class` must be one of 'cat', 'dog'. Received: 'cow'",
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


@pytest.mark.parametrize("where", ["a folder", "nothing can be made there"])
def test_where_nothing_can_be_written_nothing_is_done(
    where: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before Keras is loaded."""

    def fail(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    def no_module(*_: Any) -> None:
        pytest.fail("it was loaded")

    monkeypatch.setattr(commands, "_module", no_module)
    reason = "Is a directory"
    if where == "a folder":
        Path("taken.png").mkdir()
    else:
        reason = "Permission denied"
        monkeypatch.setattr(errors, "check_writable", fail)
    try:
        assert run(capsys, "explain", "model.keras", "0.png", "-o", "taken.png") == (
            *(2, ""),
            f"resnet-layers: 'taken.png' cannot be written: {reason}\n",
        )
    finally:
        if where == "a folder":
            Path("taken.png").rmdir()


def test_class_names_of_all_kinds(capsys: Any) -> None:
    """Letters that the font of pixels lacks, and several lines."""
    model = classifier.load(Path("model.keras")).model
    names = ["\u732b", "d\nog"]
    model.replace(metadata={**model.metadata, "class_names": names}).save("odd.keras")
    boxes = (
        "resnet-layers: Letters of class names that the picture's font lacks are boxes in it; in "
        "one that ends in .svg they are letters\n"
    )
    try:
        for name, ending in itertools.product(names, ("png", "svg")):
            said = boxes if (name, ending) == (names[0], "png") else ""
            asked = ("odd.keras", "0.png", "--class", name, "-o", f"odd.{ending}")
            code, out, err = run(capsys, "explain", *asked)
            assert (code, err) == (0, said)
            assert out.splitlines()[0] == f"0.png  {name}".replace("\n", "\\n")
        assert ">d\\nog</text>" in Path("odd.svg").read_text(encoding="utf-8")
    finally:
        for file in Path().glob("odd.*"):
            file.unlink()
