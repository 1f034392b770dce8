"""A plugin of pytest that tells coverage.py which test is running."""

import coverage


def pytest_runtest_logstart(nodeid: str) -> None:
    """What follows belongs to a test."""
    _switch_to(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """What follows belongs to none."""
    _switch_to("")


def _switch_to(context: str) -> None:
    started = coverage.Coverage.current()
    if started is not None:
        started.switch_context(context)
