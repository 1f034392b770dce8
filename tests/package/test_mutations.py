"""The mutations of the package: each applies, changes something, and their command judges them."""

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

import resnet_layers
from tests.mutations import __main__ as command
from tests.mutations.covering import changed_lines, lines_to_cover
from tests.mutations.table import MUTATIONS, ROOMS, Mutation

PACKAGE = Path(resnet_layers.__file__).parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_changes_what_its_module_does(mutation: Mutation) -> None:
    source = (PACKAGE / mutation.module).read_text(encoding="utf-8")
    mutated = mutation.apply(source)
    compile(mutated, mutation.module, "exec")
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))


def test_a_snippet_that_is_gone_or_there_twice_is_refused() -> None:
    mutation = Mutation("sign", "layers", "sum.py", "a + b", "a - b")
    assert mutation.apply("c = a + b\n") == "c = a - b\n"
    for source in ("c = a\n", "c = a + b\nd = a + b\n"):
        with pytest.raises(ValueError, match=r"'sign' must occur once in sum\.py\. Received: [02]"):
            mutation.apply(source)


def test_every_room_has_several_mutations_of_different_names() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 40
    counts = Counter(mutation.room for mutation in MUTATIONS)
    assert set(counts) == set(ROOMS)
    assert min(counts.values()) >= 4, counts


SOURCE = """\
TABLE = {
    "a": 1,
}

class Layer:
    default = 2

    def __init__(self, size=3):
        self.size = (
            size
        )
        if size > 1:
            self.size = 1

    def call(self, x):
        return x

def function():
    return TABLE
"""


INIT, METHODS = [9, 10, 11, 12, 13], [9, 10, 11, 12, 13, 16]
ALL = [*METHODS, 19]


@pytest.mark.parametrize(
    ("line", "around"),
    [
        (2, [ALL]),  # a table
        (6, [METHODS, ALL]),  # a field
        (8, [INIT, METHODS, ALL]),  # a default
        (10, [[9, 10, 11], INIT, METHODS, ALL]),  # a part of a statement
        (12, [[12], INIT, METHODS, ALL]),  # a condition, without what depends on it
        (13, [[13], INIT, METHODS, ALL]),
        (19, [[19], [19], ALL]),
    ],
)
def test_lines_whose_execution_can_show_a_mistake(line: int, around: list[list[int]]) -> None:
    assert [sorted(lines) for lines in lines_to_cover(SOURCE, line) if lines] == around


def test_changed_lines_are_those_that_differ() -> None:
    source = "a = 1\nb = 2\nc = 3\nd = 3\n"
    assert list(changed_lines("b = 2\nc = 3\n", "b = 2\nc = 4\n", source)) == [3]
    assert list(changed_lines("b = 2\n", "", source)) == [2]
    assert list(changed_lines("b = 2", "b = 2\nb = 5", source)) == [3]
    assert list(changed_lines("b = 2\nc = 3\n", "e = 5\n", source)) == [2, 3]


MODULE = """\
def add(a, b):
    return a + b


def halve(a):
    return a / 2


def name():
    return "toy"
"""
TESTS = """\
import subprocess
import sys

import toy.sums


def test_of_a_sum():
    assert toy.sums.add(1, 1) == 2


def test_of_a_half_in_another_process():
    code = "import toy.sums; print(toy.sums.halve(4))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "2.0\\n"
"""


@pytest.mark.slow
def test_the_command_tells_what_is_caught_by_which_test_and_what_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("coverage")
    package, tests = tmp_path / "toy", tmp_path / "tests"
    for path, text in (
        (tmp_path / "pytest.ini", "[pytest]\nfilterwarnings = error\n"),
        (package / "__init__.py", ""),
        (package / "sums.py", MODULE),
        (tests / "test_sums.py", TESTS),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    mutations = tuple(
        Mutation(name, "layers", "sums.py", old, new)
        for name, old, new in (
            ("sign", "a + b", "a - b"),
            ("factor", "a / 2", "a / 3"),
            ("word", '"toy"', '"tool"'),
            ("nonsense", "def name():", "import nonsense\ndef name():"),
        )
    )
    monkeypatch.setattr(command, "MUTATIONS", mutations)
    results = tmp_path / "results.json"
    code = command.main(["--package", str(package), "--results", str(results), "--workers", "2"])
    assert code == 1
    rows = {row["name"]: row for row in json.loads(results.read_text(encoding="utf-8"))}
    test = "tests/test_sums.py::test_of_a"
    assert {name: (row["status"], row["run"], row["test"]) for name, row in rows.items()} == {
        "sign": ("caught", "covering", f"{test}_sum"),
        "factor": ("caught", "covering", f"{test}_half_in_another_process"),
        "word": ("survived", "everything", ""),
        "nonsense": ("broken", "covering", ""),
    }
    assert rows["sign"]["covering"] == rows["factor"]["covering"] == 1
    assert "2 caught" in capsys.readouterr().out
