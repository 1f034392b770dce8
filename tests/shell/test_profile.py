"""`profile`: what a network costs, in a shell."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import resnet_layers as rl
from tests.shell.test_command_line import run

NAME = "cifar_resnet20"


def test_a_name_is_profiled(capsys: Any) -> None:
    code, out, err = run(capsys, "profile", NAME, "--depth", "1", "--convention", "flops")
    assert (code, err) == (0, "")
    assert out == rl.profile(NAME, convention="flops").text(1) + "\n"


def test_a_file_is_profiled_at_another_size(capsys: Any, tmp_path: Path) -> None:
    model = rl.ResNet.from_variant(NAME, classes=10, data_format="channels_first", name="mine")
    model.save(tmp_path / "model.keras")
    arguments = ("--image-size", "16", "24", "--batch", "3", "--dtype", "mixed_bfloat16")
    code, out, _ = run(capsys, "profile", tmp_path / "model.keras", *arguments)
    assert code == 0
    assert out == str(rl.profile(model, (3, 16, 24), 3, "mixed_bfloat16")) + "\n"


@pytest.mark.parametrize("arguments", [(), ("--all-layers",)], ids=["blocks", "layers"])
def test_it_is_read_by_other_programs(capsys: Any, arguments: tuple[str, ...]) -> None:
    rows = rl.profile(NAME).rows(None if arguments else 2)
    read = run(capsys, "profile", NAME, "--format", "csv", *arguments)[1]
    assert [row["name"] for row in csv.DictReader(io.StringIO(read))] == [r["name"] for r in rows]
    described = json.loads(run(capsys, "profile", NAME, "--format", "json", *arguments)[1])
    assert [row["macs"] for row in described["rows"]] == [row["macs"] for row in rows]
    markdown = run(capsys, "profile", NAME, "--format", "markdown", *arguments)[1]
    assert markdown.count("|\n") == len(rows) + 2


def test_networks_of_several_ranks_are_compared(capsys: Any) -> None:
    code, out, _ = run(capsys, "compare", "resnet18", "r3d_18", "--image-size", "32")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:3]] == ["32×32×3", "32×32×32×3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet5",),
            "There is no variant of that name; close names: 'resnet50', 'resnet50t', 'resnet50s', "
            "'resnet50d', 'resnet50c'. Received: variant='resnet5'",
        ),
        (
            ("resnet18", "--image-size", "1", "2", "3"),
            "`image_size` must be one number, or one for each of 2 axes. "
            "Received: image_size=[1, 2, 3]",
        ),
        (("resnet18", "--batch", "0"), "`batch` must be a positive integer. Received: batch=0"),
        (
            ("resnet18", "--dtype", "x"),
            "`dtype` must be one of 'float32', 'float16', 'bfloat16', 'float64', 'mixed_float16', "
            "'mixed_bfloat16'. Received: dtype='x'",
        ),
        (("none.keras",), "The model file 'none.keras' cannot be read: No such file or directory"),
    ],
    ids=["name", "sizes", "batch", "dtype", "file"],
)
def test_what_is_wrong_is_said_in_a_sentence(
    capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    assert run(capsys, "profile", *arguments) == (2, "", f"resnet-layers: {message}\n")
