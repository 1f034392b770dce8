"""The options, the fixtures `compare` and `results`, and the tables at the end."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A GPU is shared with the processes of other frameworks.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import shlex
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from benchmarks.harness import tables
from benchmarks.harness.execution import Execution
from benchmarks.harness.machine import machine
from benchmarks.harness.paired import Contender, Match, rounds_within, stopwatch
from benchmarks.harness.report import Comparison, Results

RESULTS = pytest.StashKey[Results]()
# Idle threads of one runtime spin a while before they sleep, and would slow down the next.
PAUSE = 0.02


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    size = group.addoption
    size("--smoke", action="store_true", help="the smallest sizes once, to see that all runs")
    size("--full", action="store_true", help="every case; takes hours")
    size(
        "--seconds",
        type=float,
        help="time for the rounds of one comparison, ten rounds at least with --full and four "
        "without (default: 2; 12 with --full)",
    )
    size("--results", type=Path, metavar="FILE.json", help="where to write what was measured")


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("Benchmarks must run one after the other, so without `-n`.")
    if path := config.getoption("--results"):
        path.parent.mkdir(parents=True, exist_ok=True)
    config.stash[RESULTS] = Results(machine=machine(), command=_command(sys.argv[1:]))
    # Such as "no benchmarks to compare with": about files, not about what is measured.
    warnings.filterwarnings("default", category=PytestBenchmarkWarning)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives each case of a full run the time that it takes."""
    for item in items if config.getoption("--full") else []:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(3 * 3600))


def _command(arguments: list[str]) -> str:
    """How to measure again, but for where results go."""
    kept = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--results":
            next(rest, None)
        elif not argument.startswith("--results="):
            kept.append(argument)
    return shlex.join(["pytest", *kept])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a benchmark with an argument `case` the cases of its module: a list for each size."""
    if "case" not in metafunc.fixturenames:
        return
    kind = next((k for k in ("smoke", "full") if metafunc.config.getoption(f"--{k}")), "default")
    cases = getattr(metafunc.module, {"smoke": "SMOKE", "full": "FULL", "default": "CASES"}[kind])
    metafunc.parametrize("case", cases, ids=["-".join(map(str, case)) for case in cases])


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    keras.config.set_dtype_policy("float32")
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def results(pytestconfig: pytest.Config) -> Results:
    """Where a benchmark adds what it has measured."""
    return pytestconfig.stash[RESULTS]


@pytest.fixture
def smoke(pytestconfig: pytest.Config) -> bool:
    """Whether the smallest sizes are enough."""
    return bool(pytestconfig.getoption("--smoke"))


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    """The time for the rounds of one comparison; 0 for one round."""
    option = pytestconfig.getoption
    if option("--smoke"):
        return 0.0
    given = option("--seconds")
    return float(given) if given is not None else 12.0 if option("--full") else 2.0


@pytest.fixture
def compare(
    benchmark: Any, results: Results, seconds: float, pytestconfig: pytest.Config
) -> Callable[..., Comparison]:
    """Times contenders in rounds, after a warm-up, and adds a comparison to the results.

    An `Execution` is timed as a contender, and must not be traced again meanwhile. pytest-benchmark
    runs the rounds. Its times are those of whole rounds; its `extra_info` has the seconds of each.
    """

    def run(
        group: str,
        case: dict[str, Any],
        contenders: Mapping[str, Contender | Execution],
        baseline: str,
        goals: Mapping[str, float] | None = None,
        details: Mapping[str, dict[str, Any]] | None = None,
        fewest: int = 4,
    ) -> Comparison:
        details = {name: dict((details or {}).get(name, {})) for name in contenders}
        executions = {n: c for n, c in contenders.items() if isinstance(c, Execution)}
        timed = {
            name: _rested(stopwatch(each.run) if isinstance(each, Execution) else each)
            for name, each in contenders.items()
        }
        rounds = 1
        if seconds:
            warm_up = Match(timed)
            start = time.perf_counter()
            warm_up.round()
            taken = time.perf_counter() - start
            if pytestconfig.getoption("--full"):
                fewest = max(fewest, 10)
            rounds = rounds_within(seconds, taken, fewest=fewest)
        match = Match(timed)
        benchmark.group = group
        benchmark.pedantic(match.round, rounds=rounds)
        for name, execution in executions.items():
            assert execution.retraces == 0, f"{name} was traced {execution.traces()} times"
            details[name] |= {
                "trace_seconds": execution.trace_seconds,
                "compile_seconds": execution.compile_seconds,
                "retraces": execution.retraces,
                "nodes": execution.operations,
            }
        found = Comparison(group, case, baseline, match.seconds, dict(goals or {}), details)
        benchmark.extra_info.update(title=found.title, seconds=found.seconds, details=details)
        results.comparisons.append(found)
        return found

    return run


def _rested(contender: Contender) -> Contender:
    """One that starts when the threads of the one before have gone to sleep."""

    def run() -> float:
        time.sleep(PAUSE)
        return contender()

    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        item.config.stash[RESULTS].skipped[item.name] = reason


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[RESULTS]
    if lines := tables.lines(found):
        terminalreporter.section("times as fast as the baseline: medians of paired rounds")
        for line in lines:
            terminalreporter.write_line(line)
        for option in ("--smoke", "--benchmark-disable"):
            if config.getoption(option):
                terminalreporter.write_line(f"With {option} these are no measurements.")
    if path := config.getoption("--results"):
        found.write(path)
