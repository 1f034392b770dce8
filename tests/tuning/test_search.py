"""Searches with keras-tuner's own tuners: what they find, keep, take up again and leave out."""

import gc
import itertools
import json
import re
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from resnet_layers.tuning import HyperResNet, build_model
from tests.support import tuning_script
from tests.support.tuning_script import SEARCHES, Plan

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:DeprecationWarning")
    for message in tuning_script.KNOWN_WARNINGS
]
KINDS = list(SEARCHES)
# The best network by either.
OBJECTIVES = dict(zip(KINDS, ("val_accuracy", "val_loss", "val_accuracy", "val_loss"), strict=True))
Found = dict[str, dict[str, Any]]


class Kinds(dict[str, Any]):
    """What a function makes for each kind of search that a test of this run asks for."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, kind: str) -> Any:
        self[kind] = self.make(kind)
        return self[kind]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)


def _results(command: list[str]) -> list[Any]:
    """What a process prints, if it ends well."""
    result = _run(command)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in re.findall(r"^result (.*)$", result.stdout, re.MULTILINE)]


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    return {
        kind: Plan(kind, str(tmp_path_factory.mktemp(kind)), objective=OBJECTIVES[kind])
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def tuners(plans: dict[str, Plan]) -> Kinds:
    """One of each kind, after its search."""
    return Kinds(lambda kind: tuning_script.search(plans[kind]))


@pytest.fixture(scope="module")
def best(tuners: Kinds) -> Kinds:
    """The best network of each search, what it scores, and what was recorded."""
    return Kinds(lambda kind: tuning_script.evaluate_best(tuners[kind]))


@pytest.fixture(scope="module")
def reopened(tuners: Kinds, plans: dict[str, Plan]) -> Kinds:
    """The same from a process that did not search."""

    def reopen(kind: str) -> Any:
        assert tuners[kind]
        plan = Plan(**{**vars(plans[kind]), "does": "best"})
        (found,) = _results(tuning_script.command(plan))
        return found

    return Kinds(reopen)


@pytest.fixture(scope="module")
def opened(best: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    """What a process makes of the best network's file that knows nothing of searches."""
    folder = tmp_path_factory.mktemp("files")
    x, y = tuning_script.images()[2]
    np.savez(folder / "images.npz", x=x, y=y)
    code = (
        "import json, sys, keras, numpy as np, resnet_layers\n"
        "x, y = np.load('images.npz').values()\n"
        "model = keras.models.load_model('best.keras')\n"
        "found = {'exact': type(model) is resnet_layers.ResNet}\n"
        "found['predictions'] = model(x).numpy().tolist()\n"
        "found['scores'] = model.evaluate(x, y, verbose=0, return_dict=True)\n"
        "loaded = {'keras_tuner', 'resnet_layers.tuning'} & set(sys.modules)\n"
        "print('result', json.dumps({**found, 'loaded': sorted(loaded)}))\n"
    )

    def opening(kind: str) -> Any:
        best[kind][0].save(folder / "best.keras")
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=folder,
            check=True,
        )
        (line,) = re.findall(r"^result (.*)$", result.stdout, re.MULTILINE)
        return json.loads(line)

    return Kinds(opening)


@pytest.mark.share(8)
@pytest.mark.parametrize("kind", KINDS)
def test_search_completes_every_trial(kind: str, plans: dict[str, Plan], tuners: Kinds) -> None:
    assert tuners[kind]
    found = tuning_script.trials(plans[kind].directory)
    assert [trial["status"] for trial in found.values()] == ["COMPLETED"] * SEARCHES[kind][1]
    assert {trial["values"]["stages"] for trial in found.values()} == {1, 2}


@pytest.mark.share(4)
@pytest.mark.parametrize("kind", KINDS)
def test_best_network_scores_what_was_recorded(kind: str, best: Kinds) -> None:
    _, now, recorded = best[kind]
    assert now["val_loss"] == pytest.approx(recorded["val_loss"], abs=1e-5)
    assert now[OBJECTIVES[kind]] == pytest.approx(recorded["score"], abs=1e-5)


@pytest.mark.share(8)
@pytest.mark.parametrize("kind", KINDS)
def test_best_network_of_another_process_scores_what_was_recorded(
    kind: str, reopened: Kinds
) -> None:
    now, recorded = reopened[kind]
    assert now["val_loss"] == pytest.approx(recorded["val_loss"], abs=1e-5)
    assert now[OBJECTIVES[kind]] == pytest.approx(recorded["score"], abs=1e-5)


@pytest.mark.share(8)
@pytest.mark.parametrize("kind", KINDS)
def test_file_of_best_network_needs_no_tuner(kind: str, best: Kinds, opened: Kinds) -> None:
    (model, now, _), found = best[kind], opened[kind]
    assert found["exact"]
    assert found["loaded"] == []
    expected = model(tuning_script.images()[2][0])
    np.testing.assert_allclose(found["predictions"], expected, rtol=1e-5, atol=1e-6)
    assert {f"val_{name}": value for name, value in found["scores"].items()} == pytest.approx(now)


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_same_seeds_make_the_same_search(
    kind: str, tmp_path: Path, plans: dict[str, Plan], tuners: Kinds
) -> None:
    assert tuners[kind]
    again = Plan(kind, str(tmp_path), objective=OBJECTIVES[kind])
    tuning_script.search(again)
    assert tuning_script.trials(tmp_path) == tuning_script.trials(plans[kind].directory)


@pytest.mark.share(5)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "event"),
    [
        *((kind, "inside") for kind in KINDS),
        ("GridSearch", "end"),
        *(pytest.param(kind, "end", marks=pytest.mark.huge) for kind in KINDS[:-1]),
    ],
)
def test_killed_search_goes_on(
    kind: str, event: str, tmp_path: Path, plans: dict[str, Plan], tuners: Kinds
) -> None:
    """Killed inside the second trial, or between the second and the third."""
    assert tuners[kind]
    plan = Plan(kind, str(tmp_path), objective=OBJECTIVES[kind], dies=(event, 2))
    assert _run(tuning_script.command(plan)).returncode == -9
    before = _completed(tuning_script.trials(tmp_path))
    assert len(before) == {"inside": 1, "end": 2}[event]

    result = _run(tuning_script.command(Plan(**{**vars(plan), "dies": None})))
    assert result.returncode == 0, result.stderr
    after = _completed(tuning_script.trials(tmp_path))
    assert len(after) == SEARCHES[kind][1]
    assert {name: after[name] for name in before} == before
    assert after == tuning_script.trials(plans[kind].directory)
    begun = Counter(
        line.split()[2] for line in plan.log.read_text().splitlines() if "begin" in line
    )
    interrupted = [] if event == "end" else [sorted(after)[1]]
    assert begun == Counter([*after, *interrupted])


def _completed(found: Found) -> Found:
    return {name: trial for name, trial in found.items() if trial["status"] == "COMPLETED"}


class _Parameters(keras.callbacks.Callback):
    """Notes the sizes of the networks that are trained."""

    notes: list[int] = []  # noqa: RUF012 (of all copies: tuners copy callbacks)

    def on_train_begin(self, logs: Any = None) -> None:
        self.notes.append(self.model.count_params())


@pytest.mark.share(4)
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_search_stays_within_its_budget(kind: str, tmp_path: Path) -> None:
    """Two of eight architectures fit."""
    parts: dict[str, Any] = {"stages": (2, 1), "blocks": 1, "width": (16, 4, 8, 12)}
    sizes = {
        (stages, width): HyperResNet(
            10,
            (8, 8, 1),
            **{**tuning_script.FIXED, "blocks": 1, "learning_rate": 0.05},
            stages=stages,
            width=width,
        )
        .build(keras_tuner.HyperParameters())
        .count_params()
        for stages, width in itertools.product(parts["stages"], parts["width"])
    }
    budget = sorted(sizes.values())[1]
    plan = Plan(kind, str(tmp_path), parts=parts, hypermodel={"max_parameters": budget})
    _Parameters.notes.clear()
    tuning_script.search(plan, (_Parameters(),))

    found = tuning_script.trials(tmp_path)
    completed = _completed(found)
    assert len(_Parameters.notes) == len(completed)
    assert max(_Parameters.notes) <= budget
    sampled = [
        (trial["values"]["stages"], trial["values"]["width"]) for trial in completed.values()
    ]
    assert sorted(_Parameters.notes) == sorted(sizes[sample] for sample in sampled)
    if kind == "GridSearch":
        assert len(found) == len(sizes)
        assert sorted(sampled) == sorted(s for s, size in sizes.items() if size <= budget)
    else:
        assert len(completed) == len(found) == SEARCHES[kind][1]


GRID: dict[str, Any] = {
    **tuning_script.FIXED,
    "stages": 1,
    "blocks": 1,
    "learning_rate": 0.05,
    "width": (8, 64, 128, 256, 512),  # the first alone fits
    "dropout": (0.0, 0.1),
}


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["HyperResNet", "build_model"])
def test_grid_with_many_points_over_budget_is_exact(own: bool, tmp_path: Path) -> None:
    """Eight of ten points fail, four in a row; and the grid goes on after it was left."""

    def build(hp: Any) -> Any:
        return build_model(hp, 10, (8, 8, 1), max_parameters=6000, **GRID)

    space = build if own else HyperResNet(10, (8, 8, 1), max_parameters=6000, **GRID)
    x, y, held_out = tuning_script.images()
    for most in (7, None):
        made = keras_tuner.GridSearch(
            space, "val_accuracy", max_trials=most, directory=tmp_path, project_name="search"
        )
        made.search(x, y, validation_data=held_out, verbose=0)
        found = tuning_script.trials(tmp_path)
        assert len(found) == (most or 10)
    points = {(t["values"]["width"], t["values"]["dropout"]) for t in found.values()}
    assert points == set(itertools.product(GRID["width"], GRID["dropout"]))
    assert sorted(t["values"]["dropout"] for t in _completed(found).values()) == [0.0, 0.1]
    assert made.get_best_models()[0].stages[0].filters == 8


@pytest.mark.share(6)
def test_training_leaves_no_graph_behind() -> None:
    from tensorflow.python.framework import ops

    def trained() -> Any:
        plan = Plan("RandomSearch", "")
        space, hp = tuning_script.hypermodel(plan), keras_tuner.HyperParameters()
        model = space.build(hp)
        x, y, _ = tuning_script.images()
        space.fit(hp, model, x, y, verbose=0)
        # Training goes on in the graph that is there, and in another for another shape.
        history = space.fit(hp, model, x, y, verbose=0).history
        space.fit(hp, model, x[:9, :7], y[:9], batch_size=9, verbose=0)
        assert np.isfinite(history["loss"][0])
        return weakref.ref(model)

    registry = ops.gradient_registry._registry
    before = set(registry)
    model = trained()
    assert set(registry) == before
    keras.backend.clear_session()
    gc.collect()
    assert model() is None


@pytest.mark.share(6)
def test_what_others_trace_meanwhile_keeps_its_gradient() -> None:
    import tensorflow as tf

    doubled = tf.function(lambda x: 2.0 * tf.nn.silu(x))
    x = tf.constant([1.0])
    traces = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: doubled(x))
    space, hp = tuning_script.hypermodel(Plan("RandomSearch", "")), keras_tuner.HyperParameters()
    photos, labels, _ = tuning_script.images()
    space.fit(hp, space.build(hp), photos, labels, verbose=0, callbacks=[traces])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = doubled(x)
    assert tape.gradient(y, x) is not None


@pytest.mark.slow
@pytest.mark.huge
def test_long_search_does_not_grow(tmp_path: Path) -> None:
    plan = Plan("RandomSearch", str(tmp_path), options={"max_trials": 51}, does="memory")
    (memory,) = _results(tuning_script.command(plan))
    assert len(memory) == 51
    assert memory[50] <= 1.05 * memory[10], [round(m / 2**20) for m in memory[::5]]


@pytest.mark.share(6)
def test_search_survives_networks_that_diverge(tmp_path: Path) -> None:
    """Their trials fail, and are neither scored nor the best."""
    plan = Plan(
        "RandomSearch",
        str(tmp_path),
        options={"max_trials": 2},
        parts={"learning_rate": 1e30},
    )
    tuning_script.search(plan)
    found = tuning_script.trials(tmp_path)
    assert [trial["status"] for trial in found.values()] == ["FAILED", "FAILED"]
