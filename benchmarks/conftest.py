"""The `compare` fixture, the `--smoke` option, and the table at the end."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras
import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from benchmarks import report
from benchmarks.paired import Contender, Duel, rounds_within

ROWS = pytest.StashKey[list[report.Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--smoke",
        action="store_true",
        help="benchmarks: one round of the smallest sizes, to see that everything runs",
    )
    parser.addoption(
        "--seconds",
        type=float,
        default=12.0,
        help="benchmarks: time for the rounds of one comparison, at least ten (default: 12)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    # Such as "no benchmarks to compare with": about files, not about what is measured.
    warnings.filterwarnings("default", category=PytestBenchmarkWarning)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a benchmark with an argument `case` the `CASES` of its module, or the `SMOKE` ones."""
    if "case" in metafunc.fixturenames:
        smoke = metafunc.config.getoption("--smoke")
        cases = metafunc.module.SMOKE if smoke else metafunc.module.CASES
        metafunc.parametrize("case", cases, ids=["-".join(map(str, case)) for case in cases])


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def compare(benchmark: Any, pytestconfig: pytest.Config) -> Callable[..., None]:
    """Measures two contenders, after a warm-up, and adds a row to the table.

    pytest-benchmark runs the rounds. Its times are those of whole rounds, both contenders
    together; its `extra_info` has the ratio.
    """

    def run(title: str, ours: Contender, stock: Contender, **columns: Any) -> None:
        duel = Duel(ours, stock)
        benchmark.group = title.partition(":")[0]
        benchmark.pedantic(duel.round, rounds=_warm_up(ours, stock, pytestconfig))
        row = report.Row(title, ratio=duel.ratio(), **columns)
        benchmark.extra_info.update(asdict(row), machine=report.machine())
        pytestconfig.stash[ROWS].append(row)

    return run


def _warm_up(ours: Contender, stock: Contender, config: pytest.Config) -> int:
    """Runs both twice, and returns how many rounds of the second kind there is time for."""
    if config.getoption("--smoke"):
        return 1
    warm_up = Duel(ours, stock)
    warm_up.round()
    warm_up.round()
    return rounds_within(config.getoption("--seconds"), sum(warm_up.seconds[-1]))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("ours / stock: medians of paired rounds")
    for name, text in report.machine().items():
        terminalreporter.write_line(f"{name:10} {text}")
    terminalreporter.write_line("")
    for line in report.table(rows):
        terminalreporter.write_line(line)
    if config.getoption("--smoke"):
        terminalreporter.write_line("With --smoke these are no measurements.")
