"""`--attack-report FILE`: the figures of all attacks of a run, of all its workers, in one file."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.attack.figures import Report, taken

_NAME = "figures of an attack"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--attack-report",
        type=Path,
        metavar="FILE",
        help="JSON file for what was tried, right and wrong, by kind",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has counted goes with its report, also out of a worker of xdist."""
    report = yield
    report.user_properties += [(_NAME, figures) for figures in taken()]
    return report


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--attack-report")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(path))


class _Collector:
    """Adds what the tests tell, and writes it at the end."""

    def __init__(self, path: Path) -> None:
        self.path, self.report = path.absolute(), Report()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            found: list[Any] = [value for name, value in report.user_properties if name == _NAME]
            self.report.add(report.nodeid, report.outcome, found)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self.report.write(self.path)
        terminalreporter.section("attack")
        terminalreporter.write_line(str(self.report))
