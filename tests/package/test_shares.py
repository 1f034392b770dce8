"""Of a table marked `share`, every case has its day."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests import conftest


class Case:
    def __init__(self, nodeid: str, every: int | None, *keywords: str) -> None:
        self.nodeid, self.every, self.keywords = nodeid, every, keywords
        self.path = Path(nodeid.partition("::")[0])
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


def test_a_slow_table_has_four_times_as_many_days() -> None:
    ran = []
    for day in range(12):
        cases: list[Any] = [Case(f"test_a.py::test[{i}]", 3, "slow") for i in range(24)]
        conftest._leave_to_the_night(cases, day)
        ran += [case.nodeid for case in cases if not case.markers]
        assert len(ran) == 2 * (day + 1)
    assert len(set(ran)) == 24


def test_each_48th_slow_test_runs_on_a_day_and_a_twelfth_of_the_attack() -> None:
    ran, attacked = [], []
    for day in range(48):
        slow: list[Any] = [Case(f"test_{i % 3}.py::test_{i}", None, "slow") for i in range(96)]
        attack: list[Any] = [Case(f"attack/test_a.py::test_{i}", None, "slow") for i in range(24)]
        huge: Any = Case("test_a.py::test_huge", None, "slow", "huge")
        conftest._leave_to_the_night([*slow, *attack, huge], day)
        assert not huge.markers
        ran += [case.nodeid for case in slow if not case.markers]
        attacked += [case.nodeid for case in attack if not case.markers]
        assert (len(ran), len(attacked)) == (2 * (day + 1),) * 2
    assert len(set(ran)) == 96
    assert sorted(attacked) == sorted([f"attack/test_a.py::test_{i}" for i in range(24)] * 4)
