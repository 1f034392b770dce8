"""The study of degradation: its networks, what it measures, and that it goes on after a kill."""

import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers._support.errors import InputError
from resnet_layers.analysis.studies import degradation as studies
from resnet_layers.analysis.studies import figures, measures, parallel, running
from resnet_layers.analysis.studies.contenders import Contender, contenders
from resnet_layers.analysis.studies.degradation import degradation
from resnet_layers.analysis.studies.results import Interval, Results
from resnet_layers.analysis.studies.settings import Degradation
from resnet_layers.training import checkpoint_files
from resnet_layers.training.states import CheckpointError, State
from tests.analysis.explaining_messages import study
from tests.support.randomize import randomize
from tests.support.uncompiled import uncompiled

IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 3, 4, 5])


def small(shortcut: str) -> rl.ResNet:
    return cast("rl.ResNet", randomize(Contender(depth=14, shortcut=shortcut).network(10)))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Degradation, Results]:
    """A whole study of the smallest networks."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    settings = study(str(folder), shortcut_depths=(8,), epochs=2)
    lines: list[str] = []
    with uncompiled():
        results = degradation(settings, lines.append)
    assert len(lines) == 8
    return settings, results


@pytest.mark.parametrize("depth", [8, 20, 56])
@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
def test_networks_are_as_deep_as_their_names_say(depth: int, shortcut: str) -> None:
    network = Contender(depth=depth, shortcut=shortcut).network(10)
    blocks = measures.blocks_of(network)
    assert 2 * len(blocks) + 2 == depth
    kernels = [v for v in network.trainable_variables if v.name == "kernel" and len(v.shape) == 4]
    projections = {"none": 0, "A": 0, "B": 2, "C": len(blocks)}[shortcut]
    assert len(kernels) + 1 - projections == depth
    assert {block.style.shortcut for block in blocks} == {shortcut}


def test_contenders_are_named_once() -> None:
    names = [one.name for one in contenders((8, 14), (14,))]
    assert names == [
        *("plain-8", "residual-8", "plain-14", "residual-14"),
        *("residual-14-B", "residual-14-C"),
    ]


@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
def test_gradient_norms_are_those_of_a_training_step(shortcut: str) -> None:
    """Against a difference quotient: along its gradient a block's weights change the loss so."""
    model = small(shortcut)
    before = [np.array(value) for value in model.get_weights()]
    norms = measures.gradient_norms(model, IMAGES, LABELS)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernel = cast("Any", measures.blocks_of(model)[2]).body[1].convolution.kernel
    place, step = (1, 1, 0, 0), 1e-2
    value = np.array(kernel)
    ends = []
    for sign in (1, -1):
        changed = value.copy()
        changed[place] += sign * step
        kernel.assign(changed)
        constants = [v.value for v in model.non_trainable_variables]
        weights = [v.value for v in model.trainable_variables]
        outputs, _ = model.stateless_call(weights, constants, IMAGES, training=True)
        ends.append(float(loss(LABELS, outputs)))
    kernel.assign(value)
    assert abs(ends[0] - ends[1]) / (2 * step) <= norms[2] * 1.01
    assert len(norms) == 6
    assert min(norms) > 0


def test_norms_square_and_add_up_to_the_norm_of_all() -> None:
    """The blocks' and the rest's are the whole gradient's, as Keras' own step has it."""
    model = small("A")
    norms = measures.gradient_norms(model, IMAGES, LABELS)
    seen: list[Any] = []

    class Looking(keras.optimizers.SGD):
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            seen.append([np.asarray(one) for one in grads])
            return super().apply(grads, trainable_variables)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Looking(0.0), loss, run_eagerly=keras.backend.backend() == "tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow shows its gradients")
    model.train_on_batch(IMAGES, LABELS)
    of = dict(zip(map(id, model.trainable_variables), seen[0], strict=True))
    for block, norm in zip(measures.blocks_of(model), norms, strict=True):
        squares = [np.sum(of[id(v)] ** 2) for v in block.trainable_variables]
        assert norm == pytest.approx(np.sqrt(np.sum(squares)), rel=1e-3)


def test_branches_are_what_the_block_adds() -> None:
    model = small("A")
    residuals, shortcuts = measures.branches(model, IMAGES)
    assert (len(residuals), len(shortcuts)) == (6, 6)
    x = np.asarray(model.stem(IMAGES))
    assert shortcuts[0] == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-5)
    block = measures.blocks_of(model)[0]
    added = np.asarray(block.residual(x))
    np.testing.assert_allclose(np.maximum(x + added, 0), np.asarray(block(x)), atol=1e-5)
    assert residuals[0] == pytest.approx(np.sqrt(np.mean(added**2)), rel=1e-5)
    plain = measures.branches(small("none"), IMAGES)
    assert (len(plain[0]), len(plain[1])) == (6, 0)


@pytest.mark.parametrize("shortcut", ["none", "A", "B"])
def test_a_block_left_out_passes_its_shortcut_on(shortcut: str) -> None:
    """As the network whose last normalization of the block's body is 0."""
    model = small(shortcut)
    errors = measures.left_out(model, IMAGES, LABELS)
    blocks = measures.blocks_of(model)
    for i, (block, error) in enumerate(zip(blocks, errors, strict=True)):
        changes = isinstance(block, rl.ConvBlock)
        assert (error is None) == (changes and shortcut == "none")
        if shortcut == "none" or error is None:
            continue
        last = cast("Any", block).body[-1].normalization
        before = [np.array(last.gamma), np.array(last.beta)]
        last.gamma.assign(np.zeros_like(before[0]))
        last.beta.assign(np.zeros_like(before[1]))
        assert measures.error(model, [(IMAGES, LABELS)]) == pytest.approx(error), i
        last.gamma.assign(before[0])
        last.beta.assign(before[1])


def test_intervals_are_students() -> None:
    """The quantile of 4 degrees of freedom is 2.776."""
    found = Interval.of([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.mean == pytest.approx(0.3)
    assert found.margin == pytest.approx(
        2.776 * np.std([1, 2, 3, 4, 5], ddof=1) / 10 / 5**0.5, 1e-3
    )
    assert Interval.of([0.5]).margin == np.inf
    assert np.isnan(Interval.of([None, None]).mean)
    assert Interval.of([0.5, None, 0.5]) == Interval(0.5, 0.0)


def test_a_study_is_written_run_by_run(done: tuple[Degradation, Results]) -> None:
    settings, results = done
    assert results.networks == ["plain-8", "residual-8", "residual-8-B", "residual-8-C"]
    files = sorted(path.name for path in (settings.output / "runs").iterdir())
    assert files == sorted(
        f"{name}-seed{seed}.json" for name in results.networks for seed in (0, 1)
    )
    for run in results.runs:
        assert len(run["error"]) == len(run["loss"]) == 2
        assert list(run["gradients"]) == ["0", "1", "2"]
        assert len(run["left_out"]) == len(run["residuals"]) == 3
        assert 0 <= run["test_error"] <= 1
    first, second = results.of("plain-8")
    assert first["gradients"]["0"] != second["gradients"]["0"]
    assert first["error"] != second["error"]


def test_nothing_is_trained_again(
    done: tuple[Degradation, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, results = done
    monkeypatch.setattr(running, "_Runs", None)  # which would be called
    assert degradation(settings).runs == results.runs


@pytest.mark.share(4)
def test_a_run_goes_on_within_it_and_ends_as_if_nothing_had_been(
    done: tuple[Degradation, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, results = done
    again = dataclasses.replace(settings, output=tmp_path / "again", shortcut_depths=())

    class KilledError(Exception):
        pass

    class Killing(running.Gradients):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch, logs)
            if epoch == 1:
                raise KilledError

    Killing.__name__ = "Gradients"  # by which a checkpoint knows it
    with uncompiled():
        with monkeypatch.context() as patch:
            patch.setattr(running, "Gradients", Killing)
            with pytest.raises(KilledError):
                degradation(again)
        assert studies.gather(again).runs == []
        found = degradation(again)
    for run in found.runs:
        (same,) = [one for one in results.of(run["network"]) if one["seed"] == run["seed"]]
        assert run == same


def test_tables(done: tuple[Degradation, Results]) -> None:
    _, results = done
    text = results.table()
    assert text.splitlines()[0].split("  ")[0].strip() == "network"
    assert [line.split(",")[0] for line in results.table("csv").splitlines()] == [
        "network",
        *results.networks,
    ]
    assert results.table("markdown").count("|\n") == 6
    assert json.loads(results.table("json"))["runs"] == results.runs


@pytest.mark.share(3)
@pytest.mark.parametrize("name", figures.FIGURES)
def test_figures_are_files_that_are_the_same_again(
    name: str, done: tuple[Degradation, Results], tmp_path: Path
) -> None:
    _, results = done
    assert name in figures.drawn(results)
    for path in ("a.svg", "b.svg", "a.png"):
        figures.write(name, results, tmp_path / path)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_what_is_no_number_is_no_error() -> None:
    """The largest of outputs that are none would be the first class."""
    model = small("A")
    cast("Any", model.head).dense.bias.assign([np.nan, *[0.0] * 9])
    assert np.isnan(measures.error(model, [(IMAGES, LABELS)]))
    assert all(np.isnan(cast("float", one)) for one in measures.left_out(model, IMAGES, LABELS))


@pytest.mark.share(3)
def test_runs_that_diverge_say_so(tmp_path: Path) -> None:
    lines: list[str] = []
    with uncompiled():
        results = degradation(study(str(tmp_path), learning_rate=1e30), lines.append)
    assert all(": diverged; " in line for line in lines)
    for run in results.runs:
        assert (run["error"], run["train_error"], run["test_error"]) == ([None], None, None)
        assert set(run["left_out"]) == {None}
    assert results.table().splitlines()[1].split("  ")[-1].strip() == "2, 2 diverged"


def diverged(run: dict[str, Any]) -> dict[str, Any]:
    """The same, as if it had diverged in its last epoch."""
    lists = {name: [None for _ in run[name]] for name in ("residuals", "shortcuts", "left_out")}
    last = str(len(run["error"]))
    return {
        **run,
        **lists,
        "error": [*run["error"][:-1], None],
        "loss": [*run["loss"][:-1], None],
        "gradients": {**run["gradients"], last: [None for _ in run["gradients"][last]]},
        "train_error": None,
        "test_error": None,
    }


PARTS: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "one run": lambda runs: runs[:1],
    "no plain ones": lambda runs: [run for run in runs if run["shortcut"] != "none"],
    "plain ones": lambda runs: [run for run in runs if run["shortcut"] == "none"],
    "one diverged": lambda runs: [diverged(run) if run["seed"] else run for run in runs],
    "all diverged": lambda runs: [diverged(run) for run in runs],
}


@pytest.mark.share(6)
@pytest.mark.parametrize("name", figures.FIGURES)
@pytest.mark.parametrize("part", PARTS)
def test_figures_are_drawn_of_what_there_is(
    part: str, name: str, done: tuple[Degradation, Results], tmp_path: Path
) -> None:
    """Without a warning of matplotlib's; runs that have diverged are counted."""
    results = Results(done[1].study, PARTS[part](done[1].runs))
    if name not in figures.drawn(results):
        pytest.skip("nothing to draw")
    figures.write(name, results, tmp_path / "figure.svg")
    count = {"one diverged": "1 of 2 diverged", "all diverged": "2 of 2 diverged"}.get(part)
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert count in text if count else "diverged" not in text


def test_tables_leave_out_what_has_diverged_and_count_it(done: tuple[Degradation, Results]) -> None:
    whole = done[1]
    results = Results(whole.study, PARTS["one diverged"](whole.runs))
    for name in results.networks:
        (left,) = [run for run in whole.of(name) if run["seed"] == 0]
        assert results.interval(name, "test_error").mean == left["test_error"]
    text = results.table()
    assert text.count("2, 1 diverged") == results.table("markdown").count("2, 1 diverged") == 4
    rows = list(csv.DictReader(io.StringIO(results.table("csv"))))
    assert [(row["runs"], row["diverged"]) for row in rows] == [("2", "1")] * 4
    of_none = Results(whole.study, PARTS["all diverged"](whole.runs))
    assert "no number  2, 2 diverged" in of_none.table()
    assert "diverged" not in whole.table()


def test_processes_have_their_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with parallel._environment(3, 4):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    with parallel._environment(0, 4):
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    settings = study(str(tmp_path / "study"))
    results = parallel.in_processes(settings, 2)
    assert [(run["network"], run["seed"]) for run in results.runs] == [
        *(("plain-8", 0), ("plain-8", 1), ("residual-8", 0), ("residual-8", 1))
    ]


ENDLESS = """
import sys
from resnet_layers.analysis.studies.parallel import in_processes
from tests.analysis.explaining_messages import study
if __name__ == "__main__":
    in_processes(study(sys.argv[1], epochs=100_000), 2)
"""


def until(said: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not said() and time.monotonic() < end:
        time.sleep(0.1)
    return said()


def process(pid: int) -> tuple[str, int] | None:
    """Its state and its parent; nothing of one that has ended, waited for or not."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else (state, int(parent))


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    every = {str(path): path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in every.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script, folder = tmp_path / "endless.py", tmp_path / "study"
    script.write_text(ENDLESS)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with (tmp_path / "log").open("w") as log:
        parent = subprocess.Popen([sys.executable, script, folder], env=environment, stderr=log)
    children: list[int] = []
    try:
        # Each trains a network of its own, and has written a checkpoint.
        trained = [folder / "runs" / name / "seed0" for name in ("plain-8", "residual-8")]
        assert until(lambda: all(any(one.glob("*")) for one in trained), 300), (
            tmp_path / "log"
        ).read_text()
        numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        found = {number: process(number) for number in numbers}
        children = [one for one, its in found.items() if its is not None and its[1] == parent.pid]
        assert len(children) >= 2
        parent.kill()
        parent.wait()
        assert until(lambda: not any(map(process, children)), 30)
        before = content(folder)
        time.sleep(3)
        assert content(folder) == before
        assert not list(folder.glob("runs/*.json"))
    finally:
        parent.kill()
        parent.wait()
        for child in children:
            if process(child) is not None:
                os.kill(child, signal.SIGKILL)


def test_another_process_is_left_its_networks(
    done: tuple[Degradation, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = done

    def taken(folder: Path) -> None:
        raise CheckpointError("taken")

    monkeypatch.setattr(running, "lock", taken)
    other = dataclasses.replace(settings, output=tmp_path / "other")
    assert degradation(other).runs == []


@pytest.mark.parametrize("kind", ["damaged", "of another study"])
def test_a_checkpoint_that_is_of_no_use_lets_its_run_begin_anew(
    kind: str, done: tuple[Degradation, Results], tmp_path: Path
) -> None:
    settings, _ = done
    runs = running._Runs.__new__(running._Runs)
    runs.settings = settings
    gradients = running.Gradients(None, None, ())
    path = tmp_path / "epoch-00001-step-0000000.safetensors"
    state = State(epoch=1, steps=3, options={"every": None, "keep": 0, "study": settings.digest})
    checkpoint_files.write(path, state)
    assert runs._checkpoint(tmp_path, gradients).epoch == 1
    if kind == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        runs.settings = dataclasses.replace(settings, epochs=3)
    assert runs._checkpoint(tmp_path, gradients).epoch == 0
    assert not path.exists()


def test_a_folder_of_another_study_is_left_alone(done: tuple[Degradation, Results]) -> None:
    settings, _ = done
    with pytest.raises(InputError, match="can only go on with its own: choose another"):
        degradation(dataclasses.replace(settings, epochs=3))
