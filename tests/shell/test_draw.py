"""`draw`: pictures of networks, in a shell."""

from pathlib import Path
from typing import Any

import pytest

import resnet_layers as rl
from tests.shell.test_command_line import run

NAMES = ("vgg19", "plain34")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without a folder are written to one that nobody has."""
    monkeypatch.chdir(tmp_path)


def saved(drawn: Any, **how: Any) -> bytes:
    drawn.save("expected.svg", **how)
    return Path("expected.svg").read_bytes()


def test_a_name_is_drawn_in_a_file_of_its_name(capsys: Any) -> None:
    assert run(capsys, "draw", "resnet18") == (0, "Drawn in 'resnet18.svg'.\n", "")
    assert Path("resnet18.svg").read_bytes() == saved(rl.draw("resnet18"))


def test_several_are_drawn_side_by_side_with_every_option(capsys: Any) -> None:
    options = ("--image-size", "64", "96", "--detail", "blocks", "--horizontal", "--theme", "dark")
    assert run(capsys, "draw", *NAMES, *options)[0] == 0
    drawn = rl.draw(NAMES, (64, 96, 3), detail="blocks", horizontal=True)
    assert Path("networks.svg").read_bytes() == saved(drawn, theme="dark")


def test_a_file_is_drawn_beside_it(capsys: Any) -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3, data_format="channels_first")
    Path("run").mkdir()
    model.save("run/model.keras")
    assert run(capsys, "draw", "run/model.keras")[:2] == (0, "Drawn in 'run/model.svg'.\n")
    assert Path("run/model.svg").read_bytes() == saved(rl.draw(model))
    assert run(capsys, "draw", "run/model.keras", "resnet18", "-o", "both.pdf")[0] == 0
    assert Path("both.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "`MODELS` must be one name or file, or several. Received: none"),
        (
            ("resnet18", "-o", "a.gif"),
            "The name of the output must end in one of '.svg', '.png', '.pdf'. Received: 'a.gif'",
        ),
        (
            ("resnet18", "-o", "none/a.svg"),
            "The folder of the output must exist. Received: 'none/a.svg'",
        ),
        (("no.keras",), "The model file 'no.keras' cannot be read: No such file or directory"),
        (
            ("vgg19", "resnet18", "--image-size", "8", "9", "10"),
            "`image_size` must be one number, or one for each of 2 axes. "
            "Received: image_size=[8, 9, 10]",
        ),
        (
            ("vgg19", "--image-size", "0"),
            "`image_size` must be a positive integer. Received: image_size=0",
        ),
    ],
    ids=["none", "ending", "folder", "file", "sizes", "size"],
)
def test_what_is_wrong_is_said_in_a_sentence(
    capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    assert run(capsys, "draw", *arguments) == (2, "", f"resnet-layers: {message}\n")
    assert not list(Path().iterdir())
