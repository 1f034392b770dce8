"""`measure` and `latency` from the shell, and what `train` says before it starts."""

import dataclasses
import json
from pathlib import Path

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
    lines = told(capsys, "measure", "--threads", "3").splitlines()
    assert lines[0].split("  ")[0] == machine.processor()
    assert lines[0].endswith("3 threads")
    assert "ONNX Runtime 1.23, product in float32  90.0 GFLOP/s" in "\n".join(lines)
    assert any(line.startswith("memory in float32") and "10.0 GB/s" in line for line in lines)
    assert lines[-1] == f"Wrote '{cache / 'machine.json'}', which `latency` reads"
    assert machine.Machine.read(3) == dataclasses.replace(MACHINE, threads=3)


def test_no_folder_to_keep_it_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(measuring, "_said_elsewhere", lambda _: pytest.fail("it is measured"))
    assert app.main(["measure"]) == 2
    said = capsys.readouterr().err
    assert f"'{tmp_path / 'cache'}'" in said
    assert "Traceback" not in said


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


def test_a_training_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=10)
    settings = TrainSettings(batch_size=64)
    (before,) = forecast.said(settings, model, 32, 100, 10)
    assert before.startswith("It will need about ")
    assert before.endswith("once `resnet-layers measure` has measured this machine")
    dataclasses.replace(MACHINE, threads=machine.usable_cores()).write()
    (after,) = forecast.said(settings, model, 32, 100, 10)
    assert after.startswith("An epoch will take about ")
    assert after.endswith("B of memory")
    assert forecast.said(TrainSettings(compile="xla"), model, 32, 100, 10) == []
    growing = TrainSettings(recipe="photos", grow_from=16)
    assert forecast.said(growing, model, 32, 100, 10)[0].startswith("The longest epoch ")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01234, "0.012 s"), (59, "59 s"), (61, "1 min"), (4000, "1.1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert forecast._duration(seconds) == text
