"""The report of an attack has the figures of all its tests, of whichever process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attack.figures import Report

TEST = """
import pytest
from tests.attack.figures import counted

@pytest.mark.parametrize("wrong", [0, 2])
def test_{name}(wrong):
    with counted("files") as figures:
        figures["right, refused"] += 3
        figures["wrong, opened"] += wrong
    with counted("{name}") as figures:
        figures["right"] += 1
    assert not wrong

def test_skipped():
    pytest.skip("for no reason")
"""


@pytest.mark.share(2)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_figures_are_merged(workers: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(TEST.format(name=name))
    (tmp_path / "pytest.ini").touch()
    command = [sys.executable, "-m", "pytest", "-n", workers, "-p", "tests.attack.conftest"]
    command += ["--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini"), str(tmp_path)]
    command += ["--attack-report", str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "tried": 20,
        "right": 16,
        "wrong": 4,
        "kinds": {
            "a": {"tried": 2, "right": 2, "wrong": 0, "by": {"right": 2}},
            "b": {"tried": 2, "right": 2, "wrong": 0, "by": {"right": 2}},
            "files": {
                "tried": 16,
                "right": 12,
                "wrong": 4,
                "by": {"right, refused": 12, "wrong, opened": 4},
            },
        },
        "tests": {
            "passed": 2,
            "failed": ["test_a.py::test_a[2]", "test_b.py::test_b[2]"],
            "skipped": ["test_a.py::test_skipped", "test_b.py::test_skipped"],
        },
    }
    assert "    16 tried,     12 right,    4 wrong: files" in done.stdout


def test_a_report_of_nothing_says_so() -> None:
    assert str(Report()) == "     0 tried,      0 right,    0 wrong: all"
