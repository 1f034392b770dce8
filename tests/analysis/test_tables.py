"""A profile as a tree, rows, CSV, JSON, Markdown and HTML."""

import csv
import io
import json

import pytest

from resnet_layers.analysis import tables
from resnet_layers.analysis.profile import profile

FOUND = profile("cifar_resnet20")


def test_a_tree_is_aligned_and_says_what_it_counts() -> None:
    lines = FOUND.text(1).splitlines()
    assert lines[0] == "cifar_resnet20 · 1 image of 32×32×3 · float32"
    table, notes = lines[1:8], lines[8:]
    assert [line.split()[0] for line in table[1:]] == [
        *("cifar_resnet20", "stem", "stage1", "stage2", "stage3", "head"),
    ]
    column = table[0].index("output")
    assert all(line[column - 2 : column] == "  " for line in table)
    assert any(note.startswith("macs: 40,") for note in notes)
    assert "taps on padding included" in FOUND.text(1)
    assert str(FOUND) == FOUND.text(2)


def test_rows_have_a_column_for_each_number() -> None:
    rows = FOUND.rows(1)
    assert [row["name"] for row in rows] == [
        *("cifar_resnet20", "stem", "stage1", "stage2", "stage3", "head"),
    ]
    assert {row["depth"] for row in FOUND.rows()} == {0, 1, 2, 3, 4}
    assert rows[0]["params"] == FOUND.params == 334_072
    assert FOUND.rows()[0].keys() == rows[1].keys()


def test_csv_and_json_hold_the_rows() -> None:
    read = list(csv.DictReader(io.StringIO(FOUND.to_csv())))
    described = json.loads(FOUND.to_json())
    assert [int(row["macs"]) for row in read] == [row["macs"] for row in FOUND.rows()]
    assert read[0]["receptive_field"] == "81x81"
    assert described["counts"].startswith("multiply-adds of convolutions")
    assert [row["params"] for row in described["rows"]] == [row["params"] for row in FOUND.rows()]


def test_markdown_is_a_table() -> None:
    lines = FOUND.to_markdown(1).splitlines()
    assert {line.count("|") for line in lines[:8]} == {9}
    assert lines[1].startswith("| --- | --- | ---: |")


def test_a_notebook_shows_a_table() -> None:
    shown = FOUND._repr_html_()
    assert shown.count("<tr>") == len(FOUND.rows(2)) + 1
    assert "&emsp;block1" in shown


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1000, "1.00 k"), (9_994, "9.99 k"), (9_995, "10.0 k")),
        *((99_949, "99.9 k"), (99_960, "100 k"), (999_500, "1.00 M"), (4_089_184_256, "4.09 G")),
    ],
)
def test_numbers_have_three_digits(number: int, text: str) -> None:
    assert tables.short(number) == text
