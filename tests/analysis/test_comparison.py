"""Networks side by side."""

import csv
import io
import json
from typing import Any

import keras

import resnet_layers as rl
from resnet_layers.analysis.comparison import compare
from tests.analysis.test_accounting import Halves

FIGURE_3 = ["vgg19", "plain34", "paper_resnet34"]


def test_the_networks_of_the_papers_figure() -> None:
    """He et al. 2015, figure 3 and table 1: 19.6, 3.6 and 3.6 billion FLOPs."""
    rows = compare(FIGURE_3, convention="paper").rows()
    assert [(row["layers"], round(row["macs"] / 1e9, 1)) for row in rows] == [
        *((19, 19.6), (34, 3.6), (34, 3.6)),
    ]
    others = {
        "paper_resnet18": 1.8,
        "paper_resnet50": 3.9,  # printed as 3.8
        "paper_resnet101": 7.6,
        "paper_resnet152": 11.3,
    }
    rows = compare(list(others), convention="paper").rows()
    assert {row["network"]: round(row["macs"] / 1e9, 1) for row in rows} == others


def test_a_comparison_is_a_table_in_every_format() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), Halves(name="mine")], name="odd")
    found = compare(["cifar_resnet20", model], batch=2)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["cifar_resnet20", "odd"]
    assert lines[3].endswith("for 2 images")
    assert lines[4] == "unknown: mine (Halves) of odd"
    read: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["network"] for row in read] == ["cifar_resnet20", "odd"]
    assert [row["input_shape"] for row in read] == ["32x32x3", "8x8x3"]
    described = json.loads(found.to_json())
    assert [row["params"] for row in described["rows"]] == [334_072, 3]
    assert found.to_markdown().splitlines()[3].startswith("| odd | 8×8×3 |")
    assert found._repr_html_().count("<tr>") == 3


def test_names_are_escaped() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", name="a.b")
    found = compare([model])
    object.__setattr__(found.profiles[0], "name", "<i>|")
    assert "&lt;i&gt;|" in found._repr_html_()
    assert "| <i>\\| |" in found.to_markdown()


def test_networks_are_compared_at_one_size() -> None:
    found = compare(["resnet18", rl.ResNet.from_variant("resnet18", classes=10)], (64, 96, 3))
    assert {row["input_shape"] for row in found.rows()} == {(64, 96, 3)}
