"""`measure` and `latency` from the shell, and what `train` says before it starts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import pytest

import resnet_layers as rl
from resnet_layers.analysis.latency import machine, measuring
from resnet_layers.shell import app, forecast
from resnet_layers.shell.train_settings import TrainSettings
from tests.support.measured import MACHINE


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(machine.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert app.main([*arguments]) == 0
    return capsys.readouterr().out


def test_measured_once(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(threads: int) -> str:
        return json.dumps(dataclasses.asdict(dataclasses.replace(MACHINE, threads=threads)))

    monkeypatch.setattr(measuring, "_said_elsewhere", said)
    lines = told(capsys, "measure", "--threads", "1").splitlines()
    assert lines[0].split("  ")[0] == machine.processor()
    assert lines[0].endswith("1 thread")
    assert "ONNX Runtime 1.23, product in float32  90.0 GFLOP/s" in "\n".join(lines)
    assert any(line.startswith("memory in float32") and "10.0 GB/s" in line for line in lines)
    assert lines[-1] == f"Wrote '{cache / 'machine.json'}', which `latency` reads"
    mine = dataclasses.replace(MACHINE, threads=1)
    assert machine.Machine.read(1) == mine
    # A damaged row is as if it were not there.
    path = cache / "machine.json"
    said_so = json.loads(path.read_text())
    (row,) = said_so["machines"]
    for damage in ({"bandwidths": {"float32": 10**400}}, {"runtimes": None}, {"more": 1}):
        said_so["machines"] = [row | damage, row]
        path.write_text(json.dumps(said_so))
        assert machine.Machine.read(1) == mine
        said_so["machines"] = [row | damage]
        path.write_text(json.dumps(said_so))
        assert machine.Machine.read(1) is None


@pytest.mark.parametrize("name", ["cache", "cache/machine.json"])
def test_no_folder_to_keep_it_in(
    name: str,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if name == "cache":
        cache.write_text("a file")
    else:
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(measuring, "_said_elsewhere", lambda _: pytest.fail("it is measured"))
    assert app.main(["measure"]) == 2
    why = "File exists" if name == "cache" else "Is a directory"
    assert capsys.readouterr().err == (
        f"resnet-layers: '{cache / 'machine.json'}' cannot be written, where the numbers are kept: "
        f"{why}. The variable RESNET_LAYERS_CACHE names another folder\n"
    )


def test_runtimes_are_those_that_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"tf_saved_model": MACHINE.runtimes["tf_saved_model"]}
    dataclasses.replace(MACHINE, runtimes=one).write()
    _, row = told(capsys, "latency", "resnet18", "--threads", "7").splitlines()
    assert "tf_saved_model" in row


@keras.saving.register_keras_serializable("tests.latency")
class Mine(keras.layers.Layer):
    """One that nobody knows."""

    def call(self, inputs: Any) -> Any:
        return inputs


def test_what_is_not_counted_is_said_beside_a_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    MACHINE.write()
    known = rl.ResNet.from_variant("cifar_resnet20", classes=2)
    other = rl.ResNet(known.stem, known.stages, Mine())
    other.save(tmp_path / "other.keras")
    how = ("--threads", "7", "--runtime", "onnx")
    assert app.main(["latency", str(tmp_path / "other.keras"), *how, "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "(Mine), whose time is not in these numbers" in said.err


def test_a_table_of_networks_and_batches(capsys: pytest.CaptureFixture[str]) -> None:
    MACHINE.write()
    how = ("--threads", "7", "--batch", "1", "8", "--image-size", "64")
    lines = told(capsys, "latency", "resnet18", "resnext50_32x4d", *how).splitlines()
    assert lines[0].split() == ["network", "image", "batch", "runtime", "threads", "milliseconds"]
    assert len(lines) == 1 + 2 * 2 * 2
    rows = json.loads(told(capsys, "latency", "resnet18", *how, "--format", "json"))
    for row in rows:
        expected = rl.predict_latency(
            "resnet18", (64, 64, 3), row["batch"], runtime=row["runtime"], threads=7
        )
        assert row["milliseconds"] == pytest.approx(expected.milliseconds, rel=1e-3)
        assert (row["image"], row["unknown"]) == ([64, 64, 3], {})
    one = told(capsys, "latency", "resnet18", "--threads", "7", "--runtime", "onnx")
    assert len(one.splitlines()) == 2
    csv = told(capsys, "latency", "resnet18", *how, "--format", "csv").splitlines()
    assert csv[0] == "network,image,batch,runtime,threads,milliseconds"
    assert csv[1].startswith("resnet18,64x64x3,1,onnx,7,")
    markdown = told(capsys, "latency", "resnet18", *how, "--format", "markdown").splitlines()
    assert markdown[2].startswith("| resnet18 | 64×64×3 | 1 | onnx | 7 | ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["resnet5", "--threads", "7"],
            "There is no variant of that name; close names: 'resnet50'",
        ),
        ([], "`MODELS` must be one name or file, or several. Received: none"),
        (["resnet18", "--batch", "0"], "`batch` must be a positive integer. Received: batch=0"),
        (["resnet18", "--batch", "8", "1.5"], "Invalid value for --batch: '1.5' is no integer"),
        (["resnet18", "--image-size", "64.6"], "--image-size: '64.6' is no integer"),
        (["resnet18", "--threads", "0"], "`threads` must be a positive integer"),
        (["resnet18", "--threads", "5"], "`resnet-layers measure --threads 5` does"),
        (["resnet18", "--runtime", "litert"], "litert"),
        (["resnet18", "--threads", "7", "--image-size", "8", "9", "3"], "`image_size` must be"),
    ],
    ids=str,
)
def test_refused_in_words(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    MACHINE.write()
    assert app.main(["latency", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def foretold(settings: TrainSettings, images: int = 6400, others: int = 640) -> list[str]:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=10)
    return forecast.said(settings, model, 32, images, others, "LESS")


def test_a_training_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainSettings(batch_size=64)
    (before,) = foretold(settings)
    assert before.startswith("It will need about ")
    assert before.endswith("once `resnet-layers measure` has measured this machine")
    dataclasses.replace(MACHINE, threads=machine.usable_cores()).write()
    (after,) = foretold(settings)
    assert after.startswith("An epoch will take about ")
    assert after.endswith(" GB of memory")
    assert foretold(TrainSettings(compile="xla")) == []
    for part in (None, "head"):  # of which nothing is said
        some = TrainSettings(from_="resnet18.a1_in1k", freeze_until=part)
        assert len(foretold(some)) == (part is None)
    growing = TrainSettings(recipe="photos", grow_from=16)
    assert foretold(growing)[0].startswith("The longest epoch ")
    # A batch is no larger than what there is.
    few, same = (TrainSettings(batch_size=size) for size in (10**6, 40))
    assert foretold(few, 40, 10) == foretold(same, 40, 10)


@pytest.mark.parametrize("limit", [None, "max\n", "800000000\n"])
def test_a_training_that_memory_is_too_small_for_is_told_what_takes_less(
    limit: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the memory of the machine, or by the limit of a container."""
    if limit:
        (tmp_path / "limit").write_text(limit)
    monkeypatch.setattr(machine, "_LIMIT", tmp_path / "limit")
    there = machine.memory()
    if there is None:
        pytest.skip("the system does not say how much there is")
    sentences = foretold(TrainSettings(batch_size=2048))
    assert len(sentences) == (1 if limit != "800000000\n" else 2)
    assert sentences[1:] in (
        [],
        [
            "Note: there are 0.8 GB here, and the system ends a process that takes more, without a "
            "word: LESS"
        ],
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01234, "0.012 s"), (59, "59 s"), (61, "1 min"), (4000, "1.1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert forecast._duration(seconds) == text
