"""`pytest benchmarks/` as it is called: options, results, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "benchmarks/bench_harness.py", "-k", "known_delay"]
    return subprocess.run(
        [*command, "-q", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_results_go_to_a_folder_that_is_made(tmp_path: Path) -> None:
    """Without a round that counts: `--seconds 0` is one."""
    path = tmp_path / "new" / "results.json"
    done = run("--seconds", "0", "--results", str(path))
    assert done.returncode == 0, done.stdout
    data = json.loads(path.read_text(encoding="utf-8"))
    (comparison,) = data["comparisons"]
    assert {name: len(rounds) for name, rounds in comparison["seconds"].items()} == {
        "long": 1,
        "short": 1,
    }
    assert min(comparison["seconds"]["short"]) >= 0.05
    assert "--results" not in data["command"]
    assert "a sleep of 100 ms beside one of 50 ms" in done.stdout


@pytest.mark.slow
def test_benchmarks_side_by_side_are_refused() -> None:
    done = run("-n", "2")
    assert done.returncode != 0
    assert "Benchmarks must run one after the other, so without `-n`." in done.stderr


@pytest.mark.slow
def test_runs_that_measure_nothing_say_so() -> None:
    done = run("--benchmark-disable")
    assert done.returncode == 0, done.stdout
    assert "With --benchmark-disable these are no measurements." in done.stdout
