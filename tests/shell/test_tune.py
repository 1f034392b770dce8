"""The command `tune`: what it prints, writes, continues and refuses."""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import keras
import keras_tuner
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

import resnet_layers as rl
from resnet_layers.shell import data, finishing, searched, trial_plots, trials, tune
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.settings import Tuner, TuneSettings
from resnet_layers.shell.trials import Table, Trial
from resnet_layers.tuning import HyperResNet, Range
from resnet_layers.tuning.parts import PRESETS
from tests.shell.test_command_line import agreed, model_run, run, write_photos
from tests.support.uncompiled import uncompiled
from tests.training.test_labelled import counted
from tests.tuning.test_space import ONE

TINY = {
    **ONE,
    "blocks": (1, 2),
    "width": (4, 8),
    "schedule": ("cosine", "constant"),
    "dropout": Range(0.0, 0.2),
    "optimizer": ("sgd", "adamw"),
    "learning_rate": Range(0.01, 0.1, log=True),
}
OPTIONS = ("--epochs", 1, "--batch-size", 4, "--image-size", 8, "--seed", 2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space whose networks train in no time."""
    monkeypatch.setitem(PRESETS, "small-images", TINY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.mark.slow
@pytest.mark.share(2)
@uncompiled()
def test_a_search_writes_what_it_found(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "search"
    arguments = ("tune", "--data", photos, *OPTIONS, "--output", output)
    code, out, err = run(capsys, *arguments, "--trials", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"Reading 15 images of 3 classes: the folder '{photos}'"
    assert (
        "Searching (bayesian): 2 trials of 1 epoch on 9 images of 8×8 pixels; 3 to choose by, "
        "3 for the test" in lines
    )
    assert [line.partition(":")[0] for line in lines if line.startswith("Trial ")] == [
        "Trial 1 of 2 begins",
        "Trial 1 of 2",
        "Trial 2 of 2 begins",
        "Trial 2 of 2",
    ]
    assert f"Wrote {', '.join(tune.FILES)} into '{output}'" in lines
    assert agreed(out)
    assert lines[-1] == f"  resnet-layers export {output}/model.keras --format tf_saved_model"
    assert model_run(output)["command"] == "tune"
    with (output / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["COMPLETED"] * 2
    assert float(rows[0]["val_accuracy"]) >= float(rows[1]["val_accuracy"])
    assert {"width", "schedule", "dropout", "sgd_learning_rate"} <= set(rows[0])
    assert "block" not in rows[0]  # fixed
    model = keras.saving.load_model(output / "model.keras")
    assert type(model) is rl.ResNet
    assert getattr(model, "optimizer", None) is None
    assert model.metadata["class_names"] == sorted(["blau grün", "rot", "weiß"])
    assert str(model.metadata["hyperparameters"]["width"]) == rows[0]["width"]
    for name in ("parallel_coordinates.png", "importance.png"):
        with Image.open(output / name) as image:
            assert image.size[0] > 200
    # More trials of the same search: those that are there are kept.
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")
    code, out, _ = run(capsys, *arguments, "--trials", 3)
    assert code == 0
    assert [line[:14] for line in out.splitlines() if line.startswith("Trial ")] == [
        "Trial 3 of 3 b",
        "Trial 3 of 3: ",
    ]
    assert "The search goes on after 2 trials\n" in out
    assert "Reloading" not in out
    with (output / "trials.csv").open(encoding="utf-8") as file:
        again = {row["trial"]: row for row in csv.DictReader(file)}
    assert len(again) == 3
    assert all(again[row["trial"]] == row for row in rows)
    # Of another search nothing is mixed in.
    code, out, err = run(capsys, *("3" if a == 1 else a for a in arguments))
    assert code == 2
    assert err == (
        f"resnet-layers: The folder '{output}' holds a search with other settings, which can only "
        "go on with its own: choose another with `--output`, or begin anew with `--overwrite`. "
        "Received: epochs=3, there epochs=1\n"
    )
    (output / "settings.json").write_text("[")
    code, out, err = run(capsys, *arguments)
    assert err == (
        f"resnet-layers: '{output / 'settings.json'}' is damaged: choose another folder with "
        "`--output`, or begin anew with `--overwrite`\n"
    )


def test_overwrite_begins_a_search_anew(tmp_path: Path) -> None:
    """Without it, trials of other settings stay where they are."""
    data = counted(2, 2)
    trial = tmp_path / "search" / "oracle.json"
    trial.parent.mkdir()
    trial.touch()
    tune._keep_settings(TuneSettings(output=tmp_path), data)
    with pytest.raises(InputError, match="begin anew with `--overwrite`"):
        tune._keep_settings(TuneSettings(output=tmp_path, epochs=3), data)
    tune._keep_settings(TuneSettings(output=tmp_path, overwrite=True), data)
    assert trial.exists()  # the same search goes on
    tune._keep_settings(TuneSettings(output=tmp_path, epochs=3, overwrite=True), data)
    assert not trial.exists()
    assert json.loads((tmp_path / "settings.json").read_text())["epochs"] == 3
    (tmp_path / "settings.json").write_text("[")
    tune._keep_settings(TuneSettings(output=tmp_path, overwrite=True), data)
    assert json.loads((tmp_path / "settings.json").read_text())["epochs"] == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--trials", 0], "`trials` must be a positive integer. Received: trials=0"),
        (["--epochs", -1], "`epochs` must be a positive integer. Received: epochs=-1"),
        (["--epochs", 10**7], "`epochs` must be at most 1000000. Received: epochs=10000000"),
        (["--seed", 2**31], "`seed` must be below 2**31. Received: seed=2147483648"),
        (
            ["--max-parameters", 10],
            "The budget must let the smallest network of the space through, which has {} "
            "parameters and takes {} multiply-adds. Received: max_parameters=10.0",
        ),
        (["--max-macs", 0], "`max_macs` must be a positive number. Received: max_macs=0.0"),
        (["--data", "nowhere"], "The folder 'nowhere' cannot be read: No such file or directory"),
    ],
    ids=str,
)
def test_bad_options_are_one_sentence(
    options: list[Any], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "tune", "--output", tmp_path / "x", *options)
    assert code == 2
    start, _, end = sentence.partition("{}")
    assert err.startswith(f"resnet-layers: {start}")
    assert err.endswith(f"{end.rpartition('{}')[2]}\n" if end else f"{start}\n")
    assert not (tmp_path / "x" / "search").exists()


@pytest.mark.slow
@pytest.mark.share(2)
def test_a_search_where_all_fails_says_why(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("resnet_layers.tuning.HyperResNet.fit", fail)
    code, out, err = run(
        capsys, "tune", "--data", photos, *OPTIONS, "--trials", 2, "--output", tmp_path
    )
    assert code == 2
    assert re.search(r"^Trial 1 of 2 failed after \d+ s: no luck$", out, re.MULTILINE)
    assert err.endswith("No trial succeeded. The last one ended so: RuntimeError: no luck\n")


@pytest.mark.parametrize("table", [False, True], ids=["folder", "table"])
def test_images_that_are_split_already_stay_so(table: bool, tmp_path: Path) -> None:
    parts = {part: write_photos(tmp_path / "split" / part) for part in ("train", "val", "test")}
    given = tmp_path / "split"
    if table:
        files = [(part, path) for part in parts for path in parts[part].rglob("*.png")]
        rows = [f"{path},{path.parent.name},{part}" for part, path in files]
        given = tmp_path / "table.csv"
        given.write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    every, chosen = data.chosen(given)
    found = searched.read(TuneSettings(data=given, batch_size=4), every, chosen, 8).found
    numbers = [len(part.labels) for part in (found.training, found.validation, found.test)]
    assert numbers == [len(every.labels) // 3] * 3
    assert set(found.test.class_names) == {path.name for path in parts["test"].iterdir()}
    assert found.split["folders"]


@pytest.mark.slow
@uncompiled()
def test_images_read_from_disk_make_the_search_that_images_in_memory_make(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"image_size": 8, "batch_size": 4, "epochs": 2, "trials": 2}
    found = []
    for folder, memory in ((tmp_path / "memory", searched.MEMORY), (tmp_path / "disk", 0)):
        monkeypatch.setattr(searched, "MEMORY", memory)
        row = tune.tune(TuneSettings(data=photos, output=folder, **options))
        with (folder / "trials.csv").open(encoding="utf-8") as file:
            found.append((row, list(csv.DictReader(file))))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", get_args(Tuner))
def test_every_tuner_can_be_chosen(kind: Any, tmp_path: Path) -> None:
    settings = TuneSettings(tuner=kind, output=tmp_path, trials=5, epochs=3)
    hypermodel = HyperResNet(3, (8, 8, 3))
    tuner = tune.make_tuner(settings, hypermodel)
    expected = {
        "bayesian": keras_tuner.BayesianOptimization,
        "random": keras_tuner.RandomSearch,
        "hyperband": keras_tuner.Hyperband,
        "grid": keras_tuner.GridSearch,
    }[kind]
    assert isinstance(tuner, expected)
    assert tuner.oracle.seed == 1
    assert getattr(tuner.oracle, "max_epochs", 3) == 3


def make_table(count: int) -> Table:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        width = (8, 16)[i % 2]
        values: dict[str, Any] = {"width": width, "rate": float(10 ** -rng.uniform(1, 3))}
        values |= {"flip": bool(i % 3), "kind": "ab"[i % 2], "same": 1}
        if i % 2:
            values["only"] = float(rng.uniform())
        rows.append(Trial(str(i), "COMPLETED", 0.5 + width / 40 + values["rate"] / 10, values))
    rows.sort(key=lambda row: -(row.score or 0))
    failed = Trial("x", "FAILED", None, {"width": 8}, "Traceback\nValueError: no")
    columns = ["width", "rate", "flip", "kind", "only", "same"]
    return Table([*rows, failed], columns, frozenset({"rate"}))


def test_table_shows_the_best_side_by_side() -> None:
    rows = [
        Trial("3", "COMPLETED", 0.9876, {"width": 8, "rate": 0.012345, "kind": "b"}),
        Trial("0", "COMPLETED", 0.5, {"width": 16, "rate": 3e-5}),
        Trial("1", "FAILED", None, {"width": 16}),
    ]
    out = io.StringIO()
    Console(file=out, markup=False).print(Table(rows, ["width", "rate", "kind", "never"]).best(5))
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "trial          4       1",
        "accuracy  98.76%  50.00%",
        "width          8      16",
        "rate      0.0123   3e-05",
        "kind           b",
    ]


def make_trial(number: int, score: float | None = 0.5, **values: Any) -> SimpleNamespace:
    values = {"block": "basic", "stages": 3, "width": 8, "optimizer": "sgd", **values}
    return SimpleNamespace(
        trial_id=f"{number:02}",
        score=score,
        message="Traceback\nmodule.ValueError: no",
        hyperparameters=SimpleNamespace(values=values),
    )


def test_a_line_for_each_trial_says_what_is_left() -> None:
    best = make_trial(0, 0.75)
    network = "basic, 3 stages, width 8, sgd"
    # The search went on in this process with its third trial.
    assert trials.line(make_trial(3), best, 10, [20.0, 40.0]) == (
        f"Trial 4 of 10: accuracy 50.00% (best 75.00%) in 40 s; {network}; 3 min left"
    )
    assert trials.line(make_trial(9), best, 10, [20.0]) == (
        f"Trial 10 of 10: accuracy 50.00% (best 75.00%) in 20 s; {network}"
    )
    hyperband = make_trial(3, **{"tuner/epochs": 2})
    assert trials.line(hyperband, best, 10, [20.0]) == (
        f"Trial 4: accuracy 50.00% (best 75.00%) in 20 s; {network}"
    )
    assert trials.line(make_trial(3, None), best, 10, [2.0]) == "Trial 4 of 10 failed after 2 s: no"


@pytest.mark.slow
@pytest.mark.share(2)
@uncompiled()
def test_long_trials_say_where_they_are(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resnet_layers.shell.progress.EVERY", 0.0)
    options: dict[str, Any] = {"image_size": 8, "batch_size": 4, "epochs": 2, "trials": 1}
    tune.tune(TuneSettings(data=photos, output=tmp_path, **options))
    said = capsys.readouterr().out
    assert re.search(
        r"^Trial 1 of 1: Epoch 1/2, step 2 of \d+: loss [\d.]+, accuracy [\d.]+%, \d+ s left$",
        said,
        re.MULTILINE,
    )
    assert re.search(r"^Trial 1 of 1: Epoch 2/2: loss .*, 0 s left$", said, re.MULTILINE)


@pytest.mark.slow
@uncompiled()
def test_a_trial_of_another_process_is_not_said_to_go_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which checkpoint there is is known before, and who has it only once the network is built."""
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "search" / "trial_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "epoch-00001-step-0000000.safetensors").touch()
    options: dict[str, Any] = {"image_size": 8, "batch_size": 4, "epochs": 1, "trials": 1}
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tune.tune(TuneSettings(data=photos, output=tmp_path, **options))
    said = capsys.readouterr().out
    assert "Trial 1 of 1 begins anew: another process goes on with it\n" in said
    assert "goes on after" not in said


def test_importance_is_that_of_what_the_score_depends_on() -> None:
    found = trial_plots.importances(make_table(40))
    assert found is not None
    names = trial_plots._varied(make_table(40))
    assert names == ["width", "rate", "flip", "kind", "only"]
    shares = dict(zip(names, found[0], strict=True))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["width"] + shares["kind"] + shares["only"] > 0.7  # one follows from the other
    assert shares["flip"] < 0.02


@pytest.mark.share(3)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_plots_of_few_and_many_trials(count: int, tmp_path: Path) -> None:
    table = make_table(count)
    assert (trial_plots.importances(table) is None) == (count < 4)
    for plot in (trial_plots.parallel_coordinates, trial_plots.importance):
        plot(table, tmp_path / "plot.png")
        pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize("count", [1, 2, 12])
def test_lines_have_no_gaps_and_labels_can_be_read(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    trial_plots.parallel_coordinates(make_table(count), tmp_path / "plot.png")
    (figure,) = drawn
    figure.canvas.draw()
    axes, bar = figure.axes
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(lines) == count
    assert all(np.isfinite(line.get_ydata()).all() for line in lines)
    assert all(line.get_zorder() < text.get_zorder() for line in lines for text in axes.texts)
    assert all(text.get_bbox_patch() is not None for text in axes.texts)
    assert ("not used" in [text.get_text() for text in axes.texts]) == (count > 2)
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "accuracy"
    assert len(axes.get_xticks()) > 3
    ticks = [label.get_text() for label in bar.get_yticklabels()]
    assert all(tick.endswith("%") for tick in ticks)
    assert bar.yaxis.get_offset_text().get_text() == ""


def test_a_line_of_the_plot_is_a_trial() -> None:
    axis = trial_plots._Axis.of(make_table(6), "rate")
    finished = make_table(6).finished[::-1]
    np.testing.assert_allclose(axis.numbers, np.log10([row.values["rate"] for row in finished]))
    assert {min(axis.heights()), max(axis.heights())} == {0.0, 1.0}
    gaps = trial_plots._Axis.of(make_table(6), "only").heights()
    assert np.isnan(gaps).tolist() == ["only" not in row.values for row in finished]


def test_metadata_of_the_best_are_plain(tmp_path: Path) -> None:
    table = make_table(3)
    table.write(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [row.trial for row in table.rows]
    assert rows[-1] == {
        **dict.fromkeys(["val_accuracy", "rate", "flip", "kind", "only", "same"], ""),
        "trial": "x",
        "status": "FAILED",
        "width": "8",
    }
    assert json.loads(json.dumps(table.finished[0].values)) == table.finished[0].values


@pytest.mark.slow
def test_a_chief_and_a_worker_search_together(photos: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    options = ["--image-size", "8", "--epochs", "1", "--trials", "1", "--max-parameters", "100000"]
    command = [sys.executable, "-m", "resnet_layers", "tune", "--data", str(photos), *options]
    chief, worker = (
        subprocess.Popen(
            [*command, "--output", str(tmp_path / "search")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **where, "KERASTUNER_TUNER_ID": name},
        )
        for name in ("chief", "tuner0")
    )
    said = worker.communicate(timeout=300)[0]
    assert worker.returncode == 0, said
    assert said.splitlines()[-1] == "The search is over; the chief writes what it found"
    assert "Trial 1 of 1: accuracy" in said
    said = chief.communicate(timeout=300)[0]
    assert chief.returncode == 0, said
    assert agreed(said)
