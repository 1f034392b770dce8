"""Of a table marked `share`, every case has its day."""

import itertools
from typing import Any

import pytest

from tests import conftest


class Case:
    def __init__(self, nodeid: str, every: int | None) -> None:
        self.nodeid, self.every = nodeid, every
        self.markers: set[str] = set()

    def get_closest_marker(self, name: str) -> Any:
        return pytest.mark.share(self.every).mark if self.every else None

    def add_marker(self, name: str) -> None:
        self.markers.add(name)


def tables() -> list[Any]:
    sizes = {
        "test_a.py::test_few": (2, 5),
        "test_b.py::test_many": (23, 5),
        "test_b.py::rest": (4, 0),
    }
    cases = [Case(f"{table}[{i}]", every) for table, (n, every) in sizes.items() for i in range(n)]
    return [*cases, *(Case(f"test_c.py::test_{i}", 5) for i in range(3))]


def test_each_case_of_a_table_runs_on_one_day_of_n_and_those_without_on_all() -> None:
    ran = []
    for day in range(739582, 739587):
        cases = tables()
        conftest._leave_to_the_night(cases, day)
        assert all(case.markers in (set(), {"slow", "huge"}) for case in cases)
        ran += [case.nodeid for case in cases if not case.markers]
    shared = [case.nodeid for case in tables() if case.every]
    others = [case.nodeid for case in tables() if not case.every]
    assert sorted(ran) == sorted(itertools.chain(shared, others * 5))
