"""How soon a network is right about 99 of 100 digits that it has not seen."""

import dataclasses

from benchmarks.harness.reaching import GOAL, Run, in_child
from benchmarks.harness.report import Reached, Results

# What is trained, how many seeds, and the accuracy.
Case = tuple[Run, int, float]
SECONDS = 10.0  # that it should take
BEST = Run()
CASES: list[Case] = [(BEST, 3, GOAL)]
SMOKE: list[Case] = [(Run(width=4, epochs=1), 1, 0.0)]
FULL: list[Case] = [(BEST, 20, GOAL)]


def test_seconds_to_an_accuracy(results: Results, case: Case) -> None:
    run, seeds, goal = case
    found = [in_child(dataclasses.replace(run, seed=seed, goal=goal)) for seed in range(seeds)]
    there = [one for one in found if one["seconds"] is not None]
    results.reached.append(
        Reached(
            {
                "network": f"{run.stages} blocks, width {run.width}",
                "batch": f"batch {run.batch}",
                "size": "8 px",
                "accuracy": f"{goal:.1%} on the test digits",
            },
            SECONDS,
            [one["seconds"] for one in there],
            [one["epochs"] for one in there],
            len(found) - len(there),
        )
    )
