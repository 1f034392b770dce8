"""Fits of latency: on times that follow the formula they find the times of what was held out."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.latency import artifacts, fitting, tables
from resnet_layers.analysis.latency import prediction, training
from resnet_layers.analysis.latency.measuring import SIDE
from resnet_layers.networks import variants, walks
from tests.support.measured import MACHINE

NAMES = [name for name in artifacts.names() if "cifar" not in name and "r3d" not in name]


def data(noise: float = 0.0) -> dict[str, Any]:
    """Times that are what is predicted; the machine is half as fast in every second round."""
    rng = np.random.default_rng(0)
    product = 2 * SIDE**3 / MACHINE.runtimes["tf_saved_model"].products["float32"]
    seconds: dict[str, Any] = {}
    for name in NAMES:
        walk = walks.of_row(variants.find(name), 1000, (*variants.VARIANTS[name].image_size, 3))
        seconds[name] = {
            runtime: {
                str(batch): [
                    (
                        slow
                        * prediction.seconds_of(walk, batch, runtime, MACHINE)
                        * (1 + noise * rng.uniform(-1, 1)),
                        slow * product,
                    )
                    for slow in (1, 2, 1, 2)
                ]
                for batch in (1, 8)
            }
            for runtime in prediction.RUNTIMES
        }
    return {"machines": {"7": dataclasses.asdict(MACHINE)}, "seconds": {"7": seconds}}


@pytest.mark.share(6)
def test_what_is_held_out_is_found() -> None:
    timed = data()
    found = fitting.fit(timed)
    for runtime in prediction.RUNTIMES:
        rows = fitting.rows_of(timed, runtime)
        held = [row for row in rows if fitting.is_held_out(row.name)]
        assert 0.25 < len(held) / len(rows) < 0.42
        assert np.median([abs(row.error(found[runtime])) for row in held]) < 0.02
        assert all(row.spread < 1e-6 for row in rows)
        assert all(share >= 0 for shares in found[runtime].values() for share in shares)


def test_a_third_of_the_variants_is_held_out() -> None:
    every = artifacts.names()
    assert abs(sum(map(fitting.is_held_out, every)) - len(every) / 3) < 1
    assert all(variants.VARIANTS[name].parameters <= 60e6 for name in every)


def test_training_is_fitted() -> None:
    timed = data()
    timed["training"] = []
    for name in NAMES[:12]:
        for size, batch in ((64, 8), (96, 16)):
            walk = walks.of_row(variants.find(name), 2, (size, size, 3))
            timed["training"].append(
                {
                    "variant": name,
                    "size": size,
                    "batch": batch,
                    "threads": 7,
                    "step": training.seconds_of(walk, batch, MACHINE),
                    "bytes": training.bytes_of(walk, batch),
                }
            )
    found = fitting.fit(timed)
    assert found["memory"] == pytest.approx(prediction.fitted()["memory"], rel=0.05)
    assert sum(found["training"]) > 0


@pytest.mark.share(6)
def test_tables_of_what_was_timed() -> None:
    timed = data(0.01)
    lines = list(tables.errors(timed))
    assert len(lines) == 2 + 2 * 2 * 2
    assert all("0." in line.split("|")[4] for line in lines[2:])  # as it was made of predictions
    assert len(list(tables.choices(timed))) == 2 + len(tables.CHOICES)
    figure = Figure()
    tables.draw(figure, timed)
    assert len(figure.axes[0].lines) == 1 + len(NAMES)


@pytest.mark.share(6)
def test_other_threads_are_in_no_fit_and_in_lines_of_their_own() -> None:
    timed = data()
    alone = fitting.fit(timed)
    machine = dataclasses.replace(MACHINE, threads=1)
    timed["machines"]["1"] = dataclasses.asdict(machine)
    twice = [(2 * own, product) for own, product in timed["seconds"]["7"]["resnet50"]["onnx"]["8"]]
    timed["seconds"]["1"] = {"resnet50": {name: {"8": twice} for name in prediction.RUNTIMES}}
    assert fitting.fit(timed) == alone
    (line,) = [line for line in tables.errors(timed) if "ONNX" in line and "1 with 1 thr" in line]
    assert [cell.strip() for cell in line.split("|")[5:6]] == ["50 % (resnet50)"]


def test_who_breaks_the_rule() -> None:
    points = [(f"usual{i}", 1.0 + i, 10.0 * (1 + i)) for i in range(9)]
    found = tables.breakers([*points, ("slow", 1.0, 30.0), ("quick", 1.0, 4.0)])
    assert dict(found) == pytest.approx({"quick": 0.4, "slow": 3.0})
    assert [name for name, _ in found] == ["quick", "slow"]
