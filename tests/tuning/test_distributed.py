"""Searches of a chief and two workers, all on this machine, and what they survive."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tuning_script
from tests.support.tuning_script import Plan

pytestmark = pytest.mark.slow
WORKERS = ("tuner0", "tuner1")
# For a process to end by itself; a chief looks every 20 seconds whether it may.
_PATIENCE = 150.0
KINDS = {
    "RandomSearch": ({"max_trials": 6}, 6),
    "BayesianOptimization": ({"max_trials": 6, "num_initial_points": 2}, 6),
    "Hyperband": ({"max_epochs": 2, "factor": 2}, 5),
}


class _Cluster:
    """Processes of one search, by their names.

    Args:
        folder: For what they write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, name: str, plan: Plan) -> None:
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self.port),
        }
        with (self.folder / f"{name}.txt").open("ab") as output:
            process = subprocess.Popen(
                tuning_script.command(plan), stdout=output, stderr=output, env=environment
            )
        self.running[name] = process
        self.started.append(process)

    def ends(self, *names: str) -> list[int]:
        """Their exit codes, once they have all ended by themselves."""
        until = time.monotonic() + _PATIENCE
        return [self.running[name].wait(until - time.monotonic()) for name in names]

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(10)

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait(10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[_Cluster]:
    made = _Cluster(tmp_path)
    yield made
    made.close()


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def _finished(directory: str) -> dict[str, dict[str, Any]]:
    found = tuning_script.trials(directory)
    return {name: trial for name, trial in found.items() if trial["status"] == "COMPLETED"}


def _trains_the_third(plan: Plan) -> bool:
    """Whether two trials have ended and a network is in training, so that the chief has a rest."""
    events = [event for _, event, _ in _events(plan)]
    return events.count("end") >= 2 and events[-1] == "inside"


def _events(plan: Plan) -> list[list[str]]:
    """Who did what to which trial."""
    lines = plan.log.read_text().splitlines() if plan.log.exists() else []
    return [line.split() for line in lines]


@pytest.mark.parametrize(
    "kind",
    [
        "RandomSearch",
        *(
            pytest.param(kind, marks=pytest.mark.huge)
            for kind in ("BayesianOptimization", "Hyperband")
        ),
    ],
)
def test_two_workers_share_a_search(kind: str, tmp_path: Path, cluster: _Cluster) -> None:
    options, total = KINDS[kind]
    plan = Plan(kind, str(tmp_path), options=options)
    for name in ("chief", *WORKERS):
        cluster.start(name, plan)
    assert cluster.ends("chief", *WORKERS) == [0, 0, 0]

    finished = _finished(plan.directory)
    assert len(finished) == len(tuning_script.trials(plan.directory)) == total
    begun = [(who, trial) for who, event, trial in _events(plan) if event == "begin"]
    assert sorted(trial for _, trial in begun) == sorted(finished)
    assert {who for who, _ in begun} == set(WORKERS)

    best = Plan(**{**vars(plan), "does": "best"})
    result = subprocess.run(
        tuning_script.command(best), capture_output=True, text=True, timeout=120, check=True
    )
    (line,) = re.findall(r"^result (.*)$", result.stdout, re.MULTILINE)
    now, recorded = json.loads(line)
    assert now["val_loss"] == pytest.approx(recorded["val_loss"], abs=1e-5)
    assert recorded["score"] == min(trial["score"] for trial in finished.values())


@pytest.mark.slow
@pytest.mark.share(3)
def test_worker_started_again_takes_its_trial_up(tmp_path: Path, cluster: _Cluster) -> None:
    plan = Plan("RandomSearch", str(tmp_path), options={"max_trials": 6})
    cluster.start("chief", plan)
    cluster.start("tuner0", plan)
    cluster.start("tuner1", Plan(**{**vars(plan), "dies": ("inside", 1)}))
    assert cluster.ends("tuner1") == [-signal.SIGKILL]
    before = _finished(plan.directory)
    cluster.start("tuner1", plan)
    assert cluster.ends("chief", *WORKERS) == [0, 0, 0]

    after = _finished(plan.directory)
    assert len(after) == len(tuning_script.trials(plan.directory)) == 6
    assert {name: after[name] for name in before} == before
    begun = [trial for who, event, trial in _events(plan) if (who, event) == ("tuner1", "begin")]
    assert begun[0] == begun[1]


@pytest.mark.slow
@pytest.mark.share(3)
def test_chief_started_again_goes_on(tmp_path: Path, cluster: _Cluster) -> None:
    plan = Plan("RandomSearch", str(tmp_path), options={"max_trials": 6})
    for name in ("chief", *WORKERS):
        cluster.start(name, plan)
    _wait_for(lambda: _trains_the_third(plan))
    cluster.kill("chief")
    before = _finished(plan.directory)
    cluster.start("chief", plan)
    assert cluster.ends("chief", *WORKERS) == [0, 0, 0]

    after = _finished(plan.directory)
    assert len(after) == len(tuning_script.trials(plan.directory)) == 6
    assert {name: after[name] for name in before} == before
