"""The shell interface: what commands print, write and refuse."""

import csv
import dataclasses
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import resnet_layers as rl
from resnet_layers.__main__ import main
from resnet_layers._support import signals
from resnet_layers.layers.preprocessing import from_metadata
from resnet_layers.networks import variants
from resnet_layers.networks.variants import Row
from resnet_layers.shell import (
    classifier,
    commands,
    data,
    finishing,
    predict,
    predictor,
    progress,
    runs,
    train,
)
from resnet_layers.shell.images import Reader
from resnet_layers.shell.settings import Preset
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import batches, history, labelled, making
from resnet_layers.training.headers import headers
from tests.support.uncompiled import uncompiled

TINY = Row(
    blocks=(1, 1),
    parameters=11_000,
    style="cifar",
    source="nowhere",
    fields={
        "filters": (4, 8),
        "stem": {"filters": 4, "kernel_size": 3, "strides": 1, "pooling": None},
    },
)
CHECKING = "A new process opens the network and evaluates it"
WRITTEN = {"model.keras", "history.csv", "curves.png", "test.json", "report.html", "settings.toml"}
FILES = {*WRITTEN, "checkpoints"}
COMMANDS = (
    "train",
    "tune",
    "evaluate",
    "predict",
    "export",
    "convert",
    "profile",
    "compare",
    "latency",
    "measure",
    "draw",
    "explain",
    "study",
    "list",
)
COLOURS = {"blau grün": (0, 90, 200), "rot": (220, 0, 0), "weiß": (250, 250, 250)}
PREPROCESSING = {"image_size": 8, "mean": [127.0] * 3, "std": [64.0] * 3}
PUBLISHED = keras.saving.serialize_keras_object(rl.preprocessing("resnet18.a1_in1k"))


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """A variant that trains in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(variants.VARIANTS, "tiny", TINY)
        yield


def write_photos(path: Path, count: int = 5) -> Path:
    """A folder of images of three colours with noise, in different sizes and formats."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (path / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(-20, 20, (6 + i, 9, 3))
            pixels = np.clip(noise + colour, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / name / f"{i}.{('png', 'jpg')[i % 2]}")
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `train` wrote for the photos."""
    output = tmp_path_factory.mktemp("trained")
    settings = TrainSettings(
        data=photos, variant="tiny", epochs=8, batch_size=4, image_size=8, output=output
    )
    train.train(settings)
    return output


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The sentence of a command that ends with exit code 2."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err[:-1]


def agreed(out: str) -> str:
    """What a new process found."""
    (line,) = (line for line in out.splitlines() if line.startswith("A new process agrees: loss "))
    return line


def model_run(folder: Path) -> dict[str, Any]:
    """What a network's file says of the run that wrote it."""
    run: dict[str, Any] = keras.saving.load_model(folder / "model.keras").metadata["run"]
    return run


def history_of(folder: Path) -> list[dict[str, str]]:
    """The rows of a run, without what a clock has measured."""
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "data_wait"} for row in csv.DictReader(file)]


def files(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def scores(model: keras.Model, prepare: Reader, data: Any) -> tuple[float, float]:
    """Loss and accuracy, computed by hand."""
    logits = np.asarray(model(prepare(data.sources)), np.float64)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    picked = logs[np.arange(len(logs)), data.labels]
    return -float(picked.mean()), float((logits.argmax(1) == data.labels).mean())


# --- train ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.share(2)
def test_train_writes_model_history_and_curves(trained: Path, photos: Path) -> None:
    assert files(trained) == FILES
    with (trained / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 9)]
    assert list(rows[0]) == [
        *("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "data_wait"),
    ]
    with Image.open(trained / "curves.png") as image:
        assert image.format == "PNG"
        assert len(image.getcolors(1 << 20) or []) > 50
    found = classifier.load(trained / "model.keras")
    assert found.reader.takes_squares
    loss, accuracy = scores(found.model, found.reader, found.test_images(photos))
    test = json.loads((trained / "test.json").read_text())
    assert test == {
        "images": 3,
        "loss": pytest.approx(loss, rel=1e-4),
        "accuracy": pytest.approx(accuracy),
    }
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert all(0.0 <= float(row["data_wait"]) <= 1.0 for row in rows)


@pytest.mark.share(6)
def test_trained_model_holds_what_prediction_needs(trained: Path, photos: Path) -> None:
    model = keras.saving.load_model(trained / "model.keras")
    assert type(model) is rl.ResNet
    assert model.metadata["class_names"] == list(COLOURS)
    assert rl.preprocessing(model).image_size == 8
    split = model.metadata["split"]
    assert {key: split[key] for key in split if key != "test_digest"} == {
        "data": "folder",
        "folders": False,
        "seed": 0,
        "test_fraction": 0.1,
        "test_images": 3,
    }
    found = classifier.load(trained / "model.keras")
    test = {str(path) for path in found.test_images(photos).sources}
    rest = labelled.folder(photos).split(0, 0.1)[0]
    training, validation = rest.split(0, 0.1 / 0.9)
    assert len(training.sources) == 9
    assert test.isdisjoint(map(str, [*training.sources, *validation.sources]))
    x = found.reader(training.sources)
    assert np.abs(x.mean((0, 1, 2))).max() < 1e-4
    assert str(photos) not in json.dumps(model.get_config())
    assert not model.compiled


@pytest.mark.slow
@pytest.mark.share(2)
def test_equal_seeds_train_equally(photos: Path, tmp_path: Path) -> None:
    histories = []
    for i, seed in enumerate((1, 1, 2)):
        settings = TrainSettings(
            data=photos, variant="tiny", epochs=2, image_size=8, seed=seed, output=tmp_path / str(i)
        )
        train.train(settings)
        histories.append(history_of(settings.output))
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.share(4)
@pytest.mark.parametrize("style", ["timm_v2", "bit", "keras_v2", "torchvision"])
@uncompiled()
def test_network_of_every_kind_of_block_is_written_as_it_was_trained(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    monkeypatch.setitem(variants.VARIANTS, "other", dataclasses.replace(TINY, style=style))
    settings = TrainSettings(data=photos, variant="other", epochs=1, image_size=8, output=tmp_path)
    last = train.train(settings)
    found = classifier.load(tmp_path / "model.keras")
    scores = found.evaluate(found.test_images(photos))
    assert scores.loss == pytest.approx(last["test_loss"], rel=1e-5)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("option", "value"), [("--batch-size", 1000), ("--image-size", 7), ("--image-size", 1)]
)
@uncompiled()
def test_train_takes_unusual_sizes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tmp_path: Path,
    option: str,
    value: int,
) -> None:
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")
    arguments = ["--data", photos, "--variant", "tiny", "--epochs", 1, "--output", tmp_path]
    code, out, err = run(capsys, "train", *arguments, option, value)
    assert (code, err) == (0, "")
    wrote = "Wrote model.keras, history.csv, curves.png, test.json, report.html, settings.toml"
    assert f"{wrote} into '{tmp_path}'\n{CHECKING}\nchecked\nNext:\n" in out
    assert files(tmp_path) == FILES


@pytest.mark.share(6)
@uncompiled()
def test_train_takes_heads_that_count_pixels(photos: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fields = {**TINY.fields, "head": {"pooling": "avg2x2"}}
        fixed = dataclasses.replace(TINY, fields=fields)
        patch.setitem(variants.VARIANTS, "fixed", fixed)
        arguments: Any = {"data": photos, "variant": "fixed", "epochs": 1, "image_size": 8}
        train.train(TrainSettings(**arguments, output=tmp_path))
    assert classifier.load(tmp_path / "model.keras").model.input_shape == (8, 8, 3)


def test_training_lets_kernels_decay_and_nothing_else() -> None:
    block = rl.ConvBlock(4, style={"use_bias": True, "attention": "se"})
    block.build((None, 8, 8, 4))
    recipe = TrainSettings(epochs=1, learning_rate=1.0).chosen
    optimizer = making.make_optimizer(recipe, 1.0, 1)
    for variable in block.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    zeros = [np.zeros(variable.shape, "float32") for variable in block.trainable_variables]
    optimizer.apply(zeros, block.trainable_variables)
    names = {variable.name for variable in block.trainable_variables}
    decayed = {v.name for v in block.trainable_variables if (np.array(v) < 2.0).any()}
    assert names == {"kernel", "bias", "gamma", "beta"}
    assert decayed == {"kernel"}


def test_what_may_not_be_meant_is_said_before_it_takes_long() -> None:
    def beginnings(stem: rl.Stem, size: int, steps: int) -> list[str]:
        return [sentence[:24] for sentence in train.advice(TrainSettings(), stem, size, steps)]

    small = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    large, few = "Note: the stem of the ne", "Note: the number of step"
    assert beginnings(small, 64, 345) == []
    assert beginnings(small, 224, 345) == [large]
    assert beginnings(small, 224, 30) == [large, few]
    assert beginnings(rl.Stem(4, strides=(1, 1), pooling=None), 224, 345) == [large]
    assert beginnings(rl.Stem(4), 224, 30) == [few]
    assert beginnings(rl.Stem(4, strides=(2, 2), pooling=None), 224, 2000) == []
    assert beginnings(rl.Stem(4, strides=1), 224, 2000) == []
    settings = TrainSettings(variant="resnet18", grow_from=48)
    assert train.advice(settings, small, 64, 345) == []
    assert train.advice(settings, small, 40, 345) == [
        "Note: images are of 40×40 pixels from the first epoch on, since they would grow from 48"
    ]
    for epochs, steps, enough in ((15, 30, 100), (4, 28, 29)):  # 2 and 7 steps an epoch
        settings = TrainSettings(epochs=epochs)
        (sentence,) = train.advice(settings, small, 64, steps)
        assert sentence.endswith(f"`--epochs {enough}` would be enough")
        assert train.advice(settings, small, 64, enough * steps // epochs) == []
        assert train.advice(settings, small, 64, (enough - 1) * steps // epochs)


def test_a_network_of_a_file_may_be_too_large_for_the_images() -> None:
    small = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    (sentence,) = train.advice(TrainSettings(from_="a.keras"), small, 97, 345)
    assert sentence == (
        "Note: the stem of the network does not halve images, so that it computes at each of "
        "97×97 pixels, in much time and memory. Less of both takes a smaller `--image-size`"
    )


@pytest.mark.parametrize(("side", "expected"), [(1, 16), (15, 16), (20, 20), (21, 21), (300, 64)])
def test_images_keep_their_usual_size_within_bounds(side: int, expected: int) -> None:
    sizes = [(side, side), (side, 2 * side), (side + 3, side), (side, side)]
    found = headers([np.zeros(size, np.uint8) for size in sizes])
    assert data.usual_size(found) == expected


@pytest.mark.share(6)
def test_new_process_agreement(
    monkeypatch: pytest.MonkeyPatch, photos: Path, trained: Path
) -> None:
    """Every outcome of the other process, which one test below starts in earnest."""
    settings = TrainSettings(data=photos, batch_size=7, output=trained)
    path = trained / "model.keras"
    row = {"test_loss": 0.25, "test_accuracy": 0.5}
    commands: list[Any] = []

    def answer(code: int = 0, out: str = "", err: str = "") -> None:
        def start(command: list[str], **_: Any) -> Any:
            commands.append(command)
            return subprocess.CompletedProcess(command, code, out, err)

        monkeypatch.setattr(subprocess, "run", start)

    answer(out='{"images": 3, "loss": 0.250001, "accuracy": 0.5}')
    assert finishing.check_in_new_process(settings, row) == (
        "A new process agrees: loss 0.250001, accuracy 50.00% on 3 test images"
    )
    program = [sys.executable, "-m", "resnet_layers"]
    options = ["--json", "--batch-size", "7", "--data", str(photos)]
    assert commands == [[*program, "evaluate", str(path), *options]]
    for loss, accuracy in ((0.2501, 0.5), (0.25, 0.75)):
        answer(out=json.dumps({"images": 3, "loss": loss, "accuracy": accuracy}))
        with pytest.raises(rl.DisagreementError) as error:
            finishing.check_in_new_process(settings, row)
        assert str(error.value) == (
            f"A new process does not agree about '{path}': loss {loss:.6f}, accuracy "
            f"{accuracy:.2%} there, loss 0.250000, accuracy 50.00% here"
        )
    answer(code=-9, err="first line\nlast line\n")
    with pytest.raises(rl.DisagreementError) as error:
        finishing.check_in_new_process(settings, row)
    assert str(error.value) == (
        f"A new process could not evaluate '{path}' and ended with exit code -9: last line"
    )


def test_disagreement_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(*_: Any) -> str:
        raise rl.DisagreementError("both numbers")

    monkeypatch.setattr(train, "train", lambda _: {})
    monkeypatch.setattr(finishing, "check_in_new_process", disagree)
    code, _, err = run(capsys, "train")
    assert (code, err) == (1, "resnet-layers: both numbers\n")


@pytest.mark.share(6)
@uncompiled()
def test_a_loss_that_is_no_number_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(batches, "normalized", lambda x, _: tf.cast(x, tf.float32) * np.nan)
    arguments = ["--data", photos, "--variant", "tiny", "--epochs", 3, "--output", tmp_path]
    assert refusal(capsys, "train", *arguments, "--image-size", 4) == (
        "resnet-layers: The loss is no longer a number in epoch 1, step 1: `learning_rate` must be "
        f"smaller. Received: learning_rate=0.001; the last good checkpoint is '{tmp_path}/"
        "checkpoints/epoch-00000-step-0000000.safetensors', with which `--from` begins"
    )
    assert files(tmp_path) == {"checkpoints"}


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test fail that comes as far as training."""

    def fit(*_: Any, **__: Any) -> None:
        pytest.fail("training began")

    monkeypatch.setattr(keras.Model, "fit", fit)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "`epochs` must be a positive integer. Received: epochs=0"),
        (
            ["--batch-size", "-1"],
            "`batch_size` must be a positive integer. Received: batch_size=-1",
        ),
        (
            ["--learning-rate", "-0.1"],
            "`learning_rate` must be a positive number. Received: learning_rate=-0.1",
        ),
        (
            ["--learning-rate", "nan"],
            "`learning_rate` must be a positive number. Received: learning_rate=nan",
        ),
        (["--image-size", "0"], "`image_size` must be a positive integer. Received: image_size=0"),
        (["--seed", "-1"], "`seed` must be an integer of at least 0. Received: seed=-1"),
        (
            ["--variant", "r3d_18"],
            "`variant` must be a network for images. Received: variant='r3d_18', with 3 axes of "
            "pixels",
        ),
        (["--seed", "4294967296"], "`seed` must be below 2**32. Received: seed=4294967296"),
        (
            ["--variant", "tinny"],
            "There is no variant of that name; close names: 'tiny'. Received: variant='tinny'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_wrong_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], message: str
) -> None:
    output = tmp_path / "run"
    assert refusal(capsys, "train", *options, "--output", output) == f"resnet-layers: {message}"
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "ten"], "Invalid value for --epochs: "),
        (["train", "--epoch", "1"], "Unknown option: --epoch. Did you mean --epochs?"),
        (["train", "cats"], "There is no place for what is left over. Received: 'cats'"),
        (["train", "."], "There is no place for what is left over; did you mean `--data .`? "),
        (["tain"], 'Unknown command "tain". Did you mean "train"?'),
        (["predict"], 'Command "predict" parameter MODEL requires an argument.'),
        (["predict", "m.keras"], "An image must be named: "),
        (["predict", "m.keras", "a.png", "--tpo", "1"], "An image must be a file, a folder, a "),
        (["predict", "m.keras", ""], "An image must be a file, a folder, a pattern or `-`; "),
        (["train", "--epochs", "1.5"], "Invalid value for --epochs: '1.5' is no integer"),
        *[
            ([*command, "8", "8.5"], f"Invalid value for {command[-1]}: '8.5' is no integer")
            for command in (
                ["export", "m.keras", "--format", "onnx", "--image-size"],
                ["profile", "resnet18", "--image-size"],
                ["compare", "resnet18", "--image-size"],
                ["draw", "resnet18", "--image-size"],
                ["study", "degradation", "--depths"],
                ["study", "degradation", "--shortcut-depths"],
            )
        ],
        (["train", "--output", ""], "Invalid value for --output: '' is no path"),
        (["predict", "", "a.png"], "'' is no path"),
        (["tune", "--preset", "imagenot"], 'Invalid value "imagenot" for --preset. '),
        (
            ["export", "m.keras", "--format", "onxx"],
            'Invalid value "onxx" for --format. Choose from: ',
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_commands_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """The wording beyond this beginning is cyclopts'."""
    assert refusal(capsys, *arguments).startswith(f"resnet-layers: {message}")


def test_choices_are_those_of_what_they_choose() -> None:
    from resnet_layers.serving.formats import FORMATS, PRECISIONS
    from resnet_layers.tuning.parts import PRESETS

    assert get_args(commands.Format) == tuple(FORMATS)
    assert get_args(commands.Precision) == PRECISIONS
    assert {name: row.precisions for name, row in FORMATS.items()} == commands.PRECISIONS
    assert get_args(Preset) == tuple(PRESETS)


@pytest.mark.usefixtures("untrained")
def test_train_refuses_images_that_it_cannot_use(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    folder = tmp_path / "photos"

    def sentence() -> str:
        return refusal(capsys, "train", "--data", folder, "--output", output)

    start = "resnet-layers: "
    assert sentence() == f"{start}The folder '{folder}' cannot be read: No such file or directory"
    write_photos(folder, 2)
    for name in ("blau grün", "rot"):
        (folder / name).rename(tmp_path / name)
    assert sentence() == (
        f"{start}The images of the folder '{folder}' must belong to two or more classes. Received: "
        "'weiß'"
    )
    (tmp_path / "rot").rename(folder / "rot")
    (folder / "rot" / "1.jpg").write_bytes(b"no image")
    assert sentence() == f"{start}'{folder}/rot/1.jpg' is not a JPEG, PNG, WebP, BMP or GIF image"
    (folder / "rot" / "1.jpg").unlink()
    assert sentence() == (
        f"{start}Each class of the folder '{folder}' must have two or more images, one to train "
        "on and one to test on. Received: one image of 'rot'"
    )
    (folder / "rot" / "0.png").unlink()
    assert sentence() == (
        f"{start}The class folder '{folder}/rot' must have images "
        "(.jpg, .jpeg, .png, .webp, .bmp, .gif). Received: none"
    )


@pytest.mark.usefixtures("untrained")
def test_train_refuses_outputs_that_it_cannot_write(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    def sentence(output: Path) -> str:
        return refusal(capsys, "train", "--data", photos, "--output", output)

    file = tmp_path / "file"
    file.touch()
    start = "resnet-layers: "
    assert sentence(file) == f"{start}The output folder '{file}' cannot be written to: File exists"
    assert sentence(file / "run") == (
        f"{start}The output folder '{file}/run' cannot be written to: Not a directory"
    )
    assert sentence(photos / "run") == (
        f"{start}The output folder must not lie in the folder of images, where it would be a "
        f"class. Received: '{photos}/run' in '{photos}'"
    )
    (tmp_path / "run" / "curves.png").mkdir(parents=True)
    assert sentence(tmp_path / "run") == (
        f"{start}'{tmp_path}/run/curves.png' must not be a folder, since a file is written there"
    )
    assert files(tmp_path / "run") == {"curves.png"}


@pytest.mark.share(6)
@uncompiled()
def test_train_reports_a_disk_that_fails_late(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tmp_path: Path,
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "write_curves", fail)
    arguments = ["--data", photos, "--variant", "tiny", "--epochs", 1, "--image-size", 4]
    assert refusal(capsys, "train", *arguments, "--output", tmp_path) == (
        f"resnet-layers: The output folder '{tmp_path}' cannot be written to: "
        "No space left on device"
    )
    assert files(tmp_path) == {"checkpoints"}


def test_curves_need_nothing_of_the_users_matplotlib(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)  # latex may not be installed
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    quantities = ("loss", "accuracy", "val_loss", "val_accuracy")
    history.write_curves(tmp_path / "curves.png", [dict.fromkeys(quantities, 0.5)] * 2)
    with Image.open(tmp_path / "curves.png") as image:
        assert (255, 0, 0) not in {
            colour for _, colour in image.convert("RGB").getcolors(2**20) or ()
        }
    assert matplotlib.rcParams["text.usetex"]


@pytest.mark.share(2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@uncompiled()
def test_signals_while_writing_leave_the_old_files(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    def interrupt(path: Path, _: Any) -> None:
        path.write_bytes(b"half")
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(history, "write_curves", interrupt)
    (tmp_path / "model.keras").write_bytes(b"old")
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["--data", photos, "--variant", "tiny", "--epochs", 1, "--image-size", 4]
    code, _, err = run(capsys, "train", *arguments, "--output", tmp_path, "--overwrite")
    assert (code, err) == (
        128 + number,
        "resnet-layers: interrupted: no unfinished file is left behind\n",
    )
    assert files(tmp_path) == {"model.keras", "checkpoints"}
    assert (tmp_path / "model.keras").read_bytes() == b"old"
    assert signal.getsignal(signal.SIGTERM) is before
    signals.check()  # asks nothing of a program that goes on


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process, which tests above and below start in earnest."""
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.usefixtures("unchecked")
@uncompiled()
def test_a_second_run_replaces_its_like_and_nothing_else(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    options = ["--epochs", 1, "--image-size", 4, "--output", output]
    arguments = ["--variant", "tiny", *options]
    start = f"resnet-layers: The folder '{output}' holds the network of another run, "
    end = ": choose another folder with `--output`, or replace it with `--overwrite`"
    assert run(capsys, "train", "--data", photos, *arguments)[0] == 0
    assert run(capsys, "train", "--data", photos, *arguments, "--seed", 3)[0] == 0
    assert model_run(output)["settings"]["seed"] == 3
    other = write_photos(tmp_path / "photos", 6)
    written = {name: (output / name).read_bytes() for name in WRITTEN}
    assert refusal(capsys, "train", "--data", photos, *options) == (
        f"{start}of the variant 'tiny'{end}"
    )
    assert refusal(capsys, "train", "--data", other, *arguments) == f"{start}on other images{end}"
    assert {name: (output / name).read_bytes() for name in WRITTEN} == written
    assert run(capsys, "train", "--data", other, *arguments, "--overwrite")[0] == 0
    assert refusal(capsys, "train", "--data", photos, *arguments) == f"{start}on other images{end}"


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.usefixtures("unchecked")
@uncompiled()
def test_the_settings_that_a_run_writes_repeat_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    tmp_path: Path,
) -> None:
    """From another folder as well, and with options that are typed on top."""
    monkeypatch.chdir(photos.parent)
    options = ["--variant", "tiny", "--epochs", 2, "--image-size", 4, "--seed", 5]
    options += ["--optimizer", "sgd", "--no-nesterov", "--scale", "0.5,0.9", "--schedule", "linear"]
    output = tmp_path / "one"
    assert run(capsys, "train", "--data", photos.name, *options, "--output", output)[0] == 0
    rows = history_of(output)
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "mine.toml"
    settings.write_bytes((output / "settings.toml").read_bytes())
    assert run(capsys, "train", "--config", settings, "--output", "two")[0] == 0
    assert history_of(tmp_path / "two") == rows
    assert run(capsys, "train", "--config", settings, "--seed", 6, "--output", "three")[0] == 0
    assert history_of(tmp_path / "three") != rows
    settings.write_text("epocs = 3\n")
    assert refusal(capsys, "train", "--config", settings) == (
        f"resnet-layers: The file '{settings}' must have options of `train` alone; did you mean "
        "`epochs`? Received: epocs"
    )
    settings.write_text("# For `resnet-layers tune --config settings.toml`\npreset = 'imagenet'\n")
    assert refusal(capsys, "train", "--config", settings) == (
        f"resnet-layers: The file '{settings}' must have options of `train` alone; it was written "
        "for `tune`. Received: preset"
    )
    assert (
        (output / "settings.toml")
        .read_text(encoding="utf-8")
        .startswith("# For `resnet-layers train --config settings.toml`\n")
    )


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.usefixtures("unchecked")
@uncompiled()
def test_train_tells_programs_and_nobody(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    options = ["--variant", "tiny", "--epochs", 1, "--image-size", 4, "--output", tmp_path]
    code, out, err = run(capsys, "train", "--data", photos, *options, "--quiet")
    assert (code, out, err) == (0, "", "")
    code, out, err = run(capsys, "train", "--data", photos, *options, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["model"] == str(tmp_path / "model.keras")
    assert set(result) == {
        *("model", "loss", "accuracy", "val_loss", "val_accuracy", "data_wait"),
        *("test_loss", "test_accuracy"),
    }
    assert "Epoch 1/1: " in err
    assert "checked" in err


def test_metadata_says_what_a_run_was(trained: Path, photos: Path) -> None:
    found = model_run(trained)
    assert found["command"] == "train"
    assert found["settings"]["variant"] == "tiny"
    assert found["settings"]["learning_rate"] == 0.001 / 4  # 4 in a batch, not 64
    assert not {"data", "output", "overwrite"} & set(found["settings"])
    assert found["versions"]["resnet_layers"] == rl.__version__
    assert found["versions"]["keras"] == keras.__version__
    assert len(found["versions"]) == 3


def test_paths_are_quoted_where_one_can_copy_them(tmp_path: Path) -> None:
    settings = TrainSettings(data=Path("my photos"), output=Path("résultat d'un jour"))
    model = "'résultat d'\"'\"'un jour/model.keras'"
    assert runs.next_commands(settings) == (
        f"Next:\n  resnet-layers predict {model} IMAGE\n"
        f"  resnet-layers evaluate {model} --data 'my photos'\n"
        f"  resnet-layers export {model} --format tf_saved_model"
    )


# --- progress ------------------------------------------------------------------------------------


def test_lines_say_where_training_is_and_what_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 60.0, 63.0, 66.0, 78.0, 772.0, 1182.0])
    monkeypatch.setattr("resnet_layers.shell.progress.monotonic", lambda: next(now))
    lines = progress.Lines()
    lines.set_params({"epochs": 4, "steps": 10})
    lines.on_train_begin()
    lines.on_epoch_begin(0)
    lines.on_train_batch_end(0)  # which compiles, and says nothing of the others
    lines.on_train_batch_end(1, {"accuracy": 0.25, "loss": 0.5})
    lines.on_train_batch_end(3)  # too soon for another line
    lines.on_epoch_end(
        0, {"val_accuracy": 0.125, "loss": 0.4, "accuracy": 0.5, "val_loss": 1.0, "data_wait": 0.01}
    )
    lines.on_epoch_begin(1)
    lines.on_train_batch_end(4, {"loss": 0.25})
    lines.on_epoch_end(1, {})
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1/4, step 2 of 10: loss 0.5000, accuracy 25.00%, 2 min left",
        "Epoch 1/4: loss 0.4000, accuracy 50.00%, validation loss 1.0000, "
        "validation accuracy 12.50%, data_wait 1.00%, 60 s left",
        "Epoch 2/4, step 5 of 10: loss 0.2500, 21 min left",
        "Epoch 2/4: 20 min left",
    ]
    assert progress.remaining(3600, 1, 10) == "9.0 h left"


def test_what_is_left_is_told_by_the_steps_of_this_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that goes on at step 3, whose first step compiles for an hour."""
    now = iter([0.0, 3600.0, 3610.0, 3610.0])
    monkeypatch.setattr("resnet_layers.shell.progress.monotonic", lambda: next(now))
    lines = progress.Lines()
    lines.begins_at(1, 2)
    lines.set_params({"epochs": 3, "steps": 4})
    lines.on_train_begin()
    lines.on_epoch_begin(1)
    for step, logs in enumerate(({}, {"loss": 1.0}, {"loss": 1.0}, {"loss": 0.5})):
        lines.on_train_batch_end(step, logs)  # the last that `fit` only counts has logs, too
    lines.on_epoch_end(1, {"loss": 0.5})
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2/3, step 4 of 4: loss 0.5000, 40 s left",
        "Epoch 2/3: loss 0.5000, 40 s left",
    ]


def test_lines_of_a_trial_come_seconds_after_the_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 2.0, 7.0])
    monkeypatch.setattr("resnet_layers.shell.progress.monotonic", lambda: next(now))
    lines = progress.Lines("Trial 2 of 3: ", epochs=False)
    lines.set_params({"epochs": 2, "steps": 1})
    lines.on_train_begin()
    for epoch in range(2):
        lines.on_epoch_begin(epoch)
        if not epoch:
            lines.on_train_batch_end(0)
        lines.on_epoch_end(epoch, {"loss": 0.5})
    assert capsys.readouterr().out == "Trial 2 of 3: Epoch 2/2: loss 0.5000, 0 s left\n"


def test_reading_many_images_says_how_many_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 2.0, 6.0, 8.0, 12.0])
    monkeypatch.setattr("resnet_layers.shell.progress.monotonic", lambda: next(now))
    count = progress.Count(4, verbose=2)
    for _ in range(4):
        count.add()
    assert capsys.readouterr().out.splitlines() == [
        "2 of 4 images are read; 6 s left",
        "4 of 4 images are read; 0 s left",
    ]


# --- evaluate ------------------------------------------------------------------------------------


def test_evaluate_prints_the_scores_of_the_test_images(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path
) -> None:
    model = trained / "model.keras"
    found = classifier.load(model)
    assert found.reader.takes_squares
    loss, accuracy = scores(found.model, found.reader, found.test_images(photos))
    code, out, err = run(capsys, "evaluate", model, "--data", photos, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result.keys() == {"images", "loss", "accuracy"}
    assert result["images"] == 3
    assert result["loss"] == pytest.approx(loss, rel=1e-4)
    assert result["accuracy"] == pytest.approx(accuracy)
    code, out, err = run(capsys, "evaluate", model, "--data", photos, "--batch-size", 2)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == (
        f"3 test images of the folder '{photos}': loss {result['loss']:.6f}, "
        f"accuracy {accuracy:.2%}"
    )


def test_evaluate_all_takes_another_folder_with_fewer_classes(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path, tmp_path: Path
) -> None:
    """Labels follow the names of the classes, not their place in the folder."""
    other = write_photos(tmp_path / "photos")
    (other / "blau grün").rename(tmp_path / "blau grün")
    found = classifier.load(trained / "model.keras")
    data = found.all_images(other)
    assert data.labels.tolist() == [0] * 5 + [1] * 5
    probabilities = found.probabilities(data.sources)
    expected = float((probabilities.argmax(1) == data.labels + 1).mean())
    arguments = [trained / "model.keras", "--data", other, "--all"]
    code, out, _ = run(capsys, "evaluate", *arguments)
    assert code == 0
    assert out.splitlines()[-1].startswith(f"10 images of the folder '{other}': loss ")
    assert out.endswith(f", accuracy {expected:.2%}\n")


def test_evaluate_refuses_other_test_images(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path
) -> None:
    model = trained / "model.keras"
    other = write_photos(tmp_path / "photos", 6)
    start = "resnet-layers: "
    assert refusal(capsys, "evaluate", model, "--data", other) == (
        f"{start}The images of the folder '{other}' must be those that '{model}' was trained on, "
        "by name, so that the same ones are left for the test; `--all` takes every image"
    )
    (other / "rot").rename(other / "red")
    message = (
        f"{start}The classes of the folder '{other}' must be among those of '{model}'. "
        "Received: 'red'"
    )
    assert refusal(capsys, "evaluate", model, "--data", other) == message
    assert refusal(capsys, "evaluate", model, "--data", other, "--all") == message
    assert refusal(capsys, "evaluate", model) == (
        f"{start}'{model}' was trained on a folder of images: name it with `--data`"
    )
    assert refusal(capsys, "evaluate", model, "--all") == (
        f"{start}`--all` must come with `--data`, the folder of the images"
    )
    assert refusal(capsys, "evaluate", model, "--data", other, "--batch-size", 0) == (
        f"{start}`batch_size` must be a positive integer. Received: batch_size=0"
    )


def write_model(
    path: Path, activation: str | None = None, classes: int = 3, **metadata: Any
) -> rl.ResNet:
    """A small untrained network."""
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    head = rl.ClassifierHead(classes, activation=activation)
    model = rl.ResNet(stem, [rl.ResNetStage(4, 1)], head, metadata=metadata)
    model.save(path)
    return model


def test_evaluate_refuses_a_folder_for_the_digits_and_a_model_without_split(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photos: Path
) -> None:
    model = tmp_path / "a.keras"
    known: dict[str, Any] = {"class_names": list(COLOURS), "preprocessing": PREPROCESSING}
    write_model(model, **known, split={"data": "digits", "seed": 0, "test_digest": ""})
    assert refusal(capsys, "evaluate", model, "--data", photos) == (
        f"resnet-layers: '{model}' was trained on scikit-learn's digits, which leave out no image "
        f"of '{photos}': take every image with `--all`"
    )
    whole = {"data": "folder", "seed": 0, "test_digest": ""}
    bad = [{}, 3, None, {**whole, "seed": "x"}, {**whole, "seed": -1}, {**whole, "data": "zzz"}]
    for split in bad:
        write_model(model, **known, split=split)
        assert refusal(capsys, "evaluate", model, "--data", photos) == (
            f"resnet-layers: The metadata of '{model}' must say in `split` which images training "
            "left out, unless `--data` and `--all` choose others"
        )


# --- predict -------------------------------------------------------------------------------------


def test_predict_prints_classes_with_probabilities_best_first(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path
) -> None:
    paths = [photos / "rot" / "0.png", photos / "weiß" / "1.jpg"]
    code, out, err = run(capsys, "predict", trained / "model.keras", *paths)
    assert (code, err) == (0, "")
    model = keras.saving.load_model(trained / "model.keras")
    prepare = Reader(from_metadata(model.metadata["preprocessing"]))
    lines = out.splitlines()
    assert lines[::4] == [str(path) for path in paths]
    rows = np.asarray(keras.ops.softmax(model(prepare(paths))))
    for row, printed in zip(rows, (lines[1:4], lines[5:]), strict=True):
        best = sorted(zip(row, COLOURS, strict=True), reverse=True)
        for line, (probability, name) in zip(printed, best, strict=True):
            percent, _, printed_name = line.strip().partition("%  ")
            assert printed_name == name
            assert float(percent) == pytest.approx(100 * probability, abs=0.0051)
    code, out, _ = run(capsys, "predict", trained / "model.keras", *paths, "--top", 1)
    assert out.splitlines() == [lines[i] for i in (0, 1, 4, 5)]


def test_names_do_not_move_the_cursor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photos: Path
) -> None:
    """They come from files, as do class names."""
    names = ["a\nb", "\x1b[2Jc", "日本\u3000語"]
    model = write_model(tmp_path / "a.keras", class_names=names, preprocessing=PREPROCESSING)
    assert model.metadata["class_names"] == names
    image = tmp_path / "x\ny.jpg"
    image.write_bytes((photos / "weiß" / "1.jpg").read_bytes())
    _, out, _ = run(capsys, "predict", tmp_path / "a.keras", image)
    assert out.splitlines()[0] == str(tmp_path / "x\\ny.jpg")
    said = {line.partition("%  ")[2] for line in out.splitlines()[1:]}
    assert said == {"a\\nb", "\\x1b[2Jc", "日本\u3000語"}
    code, _, err = run(capsys, "predict", tmp_path / "a.keras", "no\nfile.png")
    assert code == 1
    assert "'no\\nfile.png'" in err
    assert err.count("\n") == 1


def test_predict_takes_probabilities_as_they_are(tmp_path: Path) -> None:
    known: dict[str, Any] = {"class_names": list(COLOURS), "preprocessing": PREPROCESSING}
    model = write_model(tmp_path / "a.keras", "softmax", **known)
    image = np.full((8, 8), 200, np.uint8)
    found = classifier.load(tmp_path / "a.keras")
    expected = np.asarray(model(found.reader([image])))
    assert np.allclose(found.probabilities([image]), expected, atol=1e-6)


def test_predict_goes_on_after_what_it_cannot_read(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path
) -> None:
    model, good, link = trained / "model.keras", photos / "rot" / "0.png", photos / "weiß" / "1.jpg"
    code, out, err = run(capsys, "predict", model, good, "nothing.png", model, link, "--top", 1)
    assert code == 1
    assert out.splitlines()[::2] == [str(good), str(link)]
    assert err.splitlines() == [
        "resnet-layers: The image 'nothing.png' cannot be read: No such file or directory",
        f"resnet-layers: '{model}' is not a JPEG, PNG, WebP, BMP or GIF image",
    ]
    code, out, err = run(capsys, "predict", model, "nothing.png")
    assert (code, out) == (1, "")


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_predict_prints_for_programs(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path, form: str
) -> None:
    """The numbers that people get, and a row for what cannot be read."""
    model, good = trained / "model.keras", photos / "rot" / "0.png"
    code, out, err = run(capsys, "predict", model, good, "nothing.png", form, "--top", 2)
    why = "The image 'nothing.png' cannot be read: No such file or directory"
    assert (code, err) == (1, f"resnet-layers: {why}\n")
    found = classifier.load(model)
    (row,) = found.probabilities([good])
    best = sorted(zip(row.tolist(), COLOURS, strict=True), reverse=True)[:2]
    if form == "--json":
        first, second = map(json.loads, out.splitlines())
        classes = [{"class": name, "probability": pytest.approx(p)} for p, name in best]
        assert first == {"path": str(good), "classes": classes, "error": None}
        assert second == {"path": "nothing.png", "classes": [], "error": why}
    else:
        rows = list(csv.reader(out.splitlines()))
        assert rows[0] == ["path", "rank", "class", "probability", "error"]
        for rank, (p, name) in enumerate(best, start=1):
            assert rows[rank] == [str(good), str(rank), name, rows[rank][3], ""]
            assert float(rows[rank][3]) == pytest.approx(p)
        assert rows[3:] == [["nothing.png", "", "", "", why]]


@pytest.mark.slow
@pytest.mark.share(2)
def test_predict_takes_folders_patterns_and_lists(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    def asked(*images: Any) -> list[str]:
        code, out, err = run(
            capsys, "predict", trained / "model.keras", *images, "--json", "--top", 1
        )
        assert (code, err) == (0, "")
        return [json.loads(line)["path"] for line in out.splitlines()]

    every = sorted(str(path) for path in photos.glob("*/*"))
    red = [path for path in every if "rot" in path]
    assert asked(photos) == every
    assert asked(f"{photos}/rot/*") == red
    assert asked(photos / "rot", photos / "weiß" / "0.png") == [*red, f"{photos}/weiß/0.png"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{photos}/weiß/0.png\n\n{photos}/rot\r\n"))
    assert asked("-") == [f"{photos}/weiß/0.png", *red]
    raw = io.TextIOWrapper(io.BytesIO(b"no\xff.png\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", raw)
    assert predict.paths(["-"]) == [Path("no\udcff.png")]
    monkeypatch.setattr(predictor, "BATCH_SIZE", 4)
    assert asked(photos) == every
    assert predict.paths([str(photos / "rot"), "no*.png"]) == [*map(Path, red), Path("no*.png")]
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").touch()
    (tmp_path / "link.png").symlink_to("nowhere")
    assert predict.paths([str(tmp_path)]) == [tmp_path / "link.png"]
    (tmp_path / "link.png").unlink()
    images = [tmp_path, "no*.png", "x" * 5000, photos / "rot" / "0.png"]
    code, out, err = run(capsys, "predict", trained / "model.keras", "--top", 1, *images)
    assert code == 1
    assert out.splitlines()[::2] == [red[0]]
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == [
        "it is a folder",
        "No such file or directory",
        "File name too long",
    ]


def test_predict_names_the_classes_of_imagenet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photos: Path
) -> None:
    """Those of weights that were trained on it, though their files have no names."""
    path = tmp_path / "a.keras"
    pretrained = {"tag": "resnet18.a1_in1k", "source": "", "license": None, "classes": 1000}
    write_model(path, classes=1000, pretrained=pretrained, preprocessing=PUBLISHED)
    found = classifier.load(path)
    assert found.class_names[0] == "tench, Tinca tinca"
    assert found.class_names[281] == "tabby, tabby cat"
    assert found.class_names[999] == "toilet tissue, toilet paper, bathroom tissue"
    assert len(set(found.class_names)) == 1000
    write_model(path, classes=7, pretrained={**pretrained, "classes": 7}, preprocessing=PUBLISHED)
    assert classifier.load(path).class_names == [str(i) for i in range(7)]


def test_predict_refuses_what_it_cannot_do(
    capsys: pytest.CaptureFixture[str], trained: Path, photos: Path
) -> None:
    model, good = trained / "model.keras", photos / "rot" / "0.png"
    assert refusal(capsys, "predict", model, good, "--top", 0) == (
        "resnet-layers: `top` must be a positive integer. Received: top=0"
    )
    assert refusal(capsys, "predict", model, good, "--json", "--csv") == (
        "resnet-layers: `--json` and `--csv` must not come together"
    )


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_files_that_are_no_model_are_refused(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "a.keras"
    image = ["a.png"] if command == "predict" else []
    start = "resnet-layers: "

    def sentence() -> str:
        return refusal(capsys, command, path, *image)

    assert sentence() == f"{start}The model file '{path}' cannot be read: No such file or directory"
    damaged = f"{start}'{path}' is not a .keras file, or it is damaged"
    whole = (trained / "model.keras").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"text", whole[:-1000], whole[1000:], bytes(flipped)):
        path.write_bytes(content)
        assert sentence() == damaged
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert sentence() == damaged
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    assert sentence() == f"{start}'{path}' must hold a `resnet_layers.ResNet`. Received: Sequential"
    path.unlink()
    path.mkdir()
    assert sentence() == f"{start}The model file '{path}' cannot be read: Is a directory"


def test_archives_that_do_not_fit_together_are_refused(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(trained / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in (("model.weights.h5", b"no weights"), ("config.json", None)):
        config = json.loads(parts["config.json"])
        config["config"]["stages"] = "none"
        changed = {**parts, name: content or json.dumps(config)}
        with zipfile.ZipFile(path, "w") as archive:
            for key, value in changed.items():
                archive.writestr(key, value)
        sentence = refusal(capsys, "predict", path, "a.png")
        assert sentence.startswith(f"resnet-layers: The model file '{path}' cannot be opened: ")


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({}, ". Received: none"),
        ({"class_names": list("abc")}, ". Received: 'class_names'"),
        ({"preprocessing": PREPROCESSING}, ". Received: 'preprocessing'"),
        (
            {"class_names": list("abc"), "preprocessing": {**PREPROCESSING, "image_size": 0}},
            ": `image_size` must be a positive integer. Received: image_size=0",
        ),
        (
            {"class_names": 3, "preprocessing": PREPROCESSING},
            ": `class_names` must be distinct. Received: 3",
        ),
    ],
)
def test_models_without_names_or_preprocessing_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, metadata: dict[str, Any], found: str
) -> None:
    path = tmp_path / "a.keras"
    write_model(path, **metadata)
    assert refusal(capsys, "predict", path, "a.png") == (
        f"resnet-layers: The metadata of '{path}' must have `class_names` and `preprocessing`, as "
        f"`train` writes them{found}"
    )


def test_models_with_another_activation_or_other_images_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.keras"
    known: dict[str, Any] = {"class_names": list("abc"), "preprocessing": PREPROCESSING}
    write_model(path, "tanh", **known)
    assert refusal(capsys, "predict", path, "a.png") == (
        f"resnet-layers: The model of '{path}' must return logits or the probabilities of a "
        "softmax or a sigmoid. Received: activation='tanh'"
    )
    for shape in ((None, None, 1), (16, None, 3)):
        rl.ResNet(
            rl.Stem(4),
            [rl.ResNetStage(4, 1)],
            rl.ClassifierHead(3),
            input_shape=shape,
            metadata=known,
        ).save(path)
        assert refusal(capsys, "predict", path, "a.png") == (
            f"resnet-layers: The model of '{path}' must take the images that its preprocessing "
            f"makes, 8×8 pixels in 3 channels. Received: input_shape={shape}"
        )


def test_what_is_no_network_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path
) -> None:
    path = tmp_path / "model.bin"
    path.touch()
    for command in ("predict", "evaluate"):
        image = ["a.png"] if command == "predict" else []
        assert refusal(capsys, command, path, *image) == (
            "resnet-layers: A network must be a .keras file, or what `export` wrote: a folder, or "
            f"a file that ends in .onnx, .tflite, .xml. Received: '{path}'"
        )
        assert refusal(capsys, command, trained, *image) == (
            f"resnet-layers: The network of the run in '{trained}' is '{trained / 'model.keras'}': "
            "name that file"
        )
        assert refusal(capsys, command, tmp_path, *image) == (
            f"resnet-layers: '{tmp_path}' cannot be opened: it must be an artifact that `export` "
            "has written"
        )


@pytest.mark.parametrize("kind", ["train", "published"])
def test_evaluate_names_every_image_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    photos = write_photos(tmp_path / "photos")
    wrong = sorted(photos.rglob("*"))
    wrong = [path for path in wrong if path.is_file()][::2]
    for path in wrong:
        path.write_bytes(b"")
    prepare = rl.Preprocessing(image_size=4, mean=(0.5,) * 3, std=(0.5,) * 3)
    config = keras.saving.serialize_keras_object(prepare)
    preprocessing = PREPROCESSING if kind == "train" else config
    model = tmp_path / "a.keras"
    write_model(model, class_names=list(COLOURS), preprocessing=preprocessing)
    arguments = ["--data", photos, "--all", "--batch-size", 2]
    code, out, err = run(capsys, "evaluate", model, *arguments)
    assert (code, out) == (2, "")
    named = [line.removeprefix("resnet-layers: ") for line in err.splitlines()]
    assert named == [f"'{path}' is not a JPEG, PNG, WebP, BMP or GIF image" for path in wrong]
    assert len(wrong) > 3


@pytest.mark.share(6)
@pytest.mark.usefixtures("unchecked")
@uncompiled()
def test_artifacts_of_an_earlier_network_are_named(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "model").mkdir()
    arguments = ["--data", photos, "--variant", "tiny", "--epochs", 1, "--image-size", 4]
    _, out, _ = run(capsys, "train", *arguments, "--output", tmp_path)
    sentence = "Note: of a network that was there before, and not of this one: model, model.onnx\n"
    assert sentence in out


def test_epochs_without_end_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "train", "--epochs", 10**30) == (
        f"resnet-layers: `epochs` must be at most 1000000. Received: epochs={10**30}"
    )


def test_output_that_leads_to_itself_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, photos: Path
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    sentence = refusal(capsys, "train", "--data", photos, "--output", loop / "x")
    assert sentence.startswith(f"resnet-layers: The output folder '{loop / 'x'}' cannot be ")


def test_models_with_other_outputs_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.keras"
    write_model(path, class_names=list("ab"), preprocessing=PREPROCESSING)
    assert refusal(capsys, "predict", path, "a.png") == (
        f"resnet-layers: The model of '{path}' must have one output for each of its 2 class names. "
        "Received: output_shape=(None, 3)"
    )


# --- list and help -------------------------------------------------------------------------------


def test_list_prints_names_and_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "list", "resnet1*")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "resnet18" in {line.split()[0] for line in lines}
    assert [line.split()[0] for line in lines] == rl.list_variants("resnet1*")
    assert {line.split()[0]: line.split()[1] for line in lines}["resnet18"] == "11,689,512"
    _, out, _ = run(capsys, "list")
    assert [line.split()[0] for line in out.splitlines()] == rl.list_variants()
    _, out, _ = run(capsys, "list", "resnet1*", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["name"] for row in rows] == rl.list_variants("resnet1*")
    (row,) = (row for row in rows if row["name"] == "resnet101")
    assert row["parameters"] == 44_549_160
    assert {f"resnet101.{name}" for name in row["trainings"]} == {
        *rl.list_pretrained("resnet101.*")
    }
    assert refusal(capsys, "list", "vit*") == (
        "resnet-layers: There is no variant that matches 'vit*'"
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_fits_a_terminal_and_names_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for name in _options(command[0]) if command else COMMANDS:
        assert name in out
    if command == ["train"]:
        assert "cifar_resnet20" in out


@pytest.mark.parametrize("columns", ["0", "40"])
def test_help_fits_any_terminal(columns: str) -> None:
    process = start("train", "--help", env={**os.environ, "COLUMNS": columns})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert max(map(len, out.splitlines())) == max(20, int(columns))


def _options(command: str) -> list[str]:
    arguments = commands.app[command].assemble_argument_collection()
    names = [name for argument in arguments if argument.show for name in argument.names]
    return [name for name in names if not name.startswith(("--no-", "--empty-"))]


def test_nothing_typed_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 10
    typed = [line.split()[1] for line in out.splitlines() if line.startswith("  resnet-layers")]
    assert set(typed) == {"train", "predict", "tune", "export", "list"}


@pytest.mark.share(8)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--help"], 0),
        (["--version"], 0),
        *(([command, "--help"], 0) for command in COMMANDS),
        (["list", "resnet5*"], 0),
        (["list", "vit*"], 2),
        (["tain"], 2),
        (["train", "--epocs", "3"], 2),
        (["train", "--variant", "resnet5"], 2),
        (["tune", "--trials", "0"], 2),
    ],
    ids=str,
)
def test_what_needs_no_network_is_answered_without_keras(arguments: list[str], code: int) -> None:
    """By a process that names all that it imports."""
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    process = start(*arguments, env=environment)
    out, err = process.communicate(timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines() if "|" in line}
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert process.returncode == code, err
    assert len(said) == (1 if code else 0)
    assert bool(out) is not bool(code)
    assert "resnet_layers.shell.commands" in imported
    heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "keras_tuner", "sklearn", "PIL"}
    assert not heavy & imported


@pytest.mark.slow
@pytest.mark.share(2)
def test_a_command_registers_what_files_may_name() -> None:
    """The same as a program that imports the package."""
    code = (
        "import sys; sys.orig_argv = {argv}; import resnet_layers; late = 'keras' not in "
        "sys.modules; import keras, resnet_layers.shell.classifier; "
        "print(late, *sorted(name for name in keras.saving.get_custom_objects() "
        "if name.startswith('resnet_layers>')))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code.format(argv=argv)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for argv in (["python", "-m", "resnet_layers"], ["python"])
    ]
    assert [late for late, *_ in found] == ["True", "False"]
    assert found[0][1:] == found[1][1:]
    assert {"resnet_layers>ResNet", "resnet_layers>CategoricalCrossentropy"} <= set(found[0])


# --- in processes of their own -------------------------------------------------------------------


def start(*arguments: Any, **keywords: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "resnet_layers", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords
    )


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_tensorflow_says_nothing_of_its_own(tmp_path: Path, closed: bool) -> None:
    """Whatever it logs, with standard error open or closed, and without a home folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    environment["HOME"] = "/dev/null/nowhere"
    (tmp_path / "none.keras").touch()
    command = [sys.executable, "-m", "resnet_layers", "evaluate", "none.keras"]
    if closed:
        command = ["sh", "-c", f"exec {shlex.join(command)} 2>&-"]
    process = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    sentence = "'none.keras' is not a .keras file, or it is damaged"
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == ("" if closed else f"resnet-layers: {sentence}\n")


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("backend", ["nothing", "jax"])
def test_backends_of_keras_say_nothing_of_their_own(tmp_path: Path, backend: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    (tmp_path / "a.keras").touch()
    variables = {**environment, "KERAS_BACKEND": backend}
    process = start("evaluate", "a.keras", env=variables, cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    sentence = {
        "nothing": "Keras cannot be imported with KERAS_BACKEND='nothing': Unable to import "
        "backend : nothing",
        "jax": "'a.keras' is not a .keras file, or it is damaged",
    }
    assert (process.returncode, out) == (2, "")
    assert err == f"resnet-layers: {sentence[backend]}\n"


@pytest.mark.slow
@pytest.mark.share(2)
def test_train_in_a_process_agrees_with_a_new_one(photos: Path, tmp_path: Path) -> None:
    arguments = ["--data", photos, "--epochs", 1, "--image-size", 4, "--output", tmp_path / "run"]
    process = start("train", *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert agreed(out).endswith("% on 3 test images")
    assert files(tmp_path / "run") == FILES
    found = classifier.load(tmp_path / "run" / "model.keras")
    assert found.probabilities([photos / "rot" / "0.png"]).shape == (1, 3)


@pytest.mark.slow
@pytest.mark.share(2)
def test_interrupted_process_leaves_no_file(photos: Path, tmp_path: Path) -> None:
    arguments = ["--data", photos, "--epochs", 10_000, "--image-size", 4, "--output", tmp_path]
    process = start("train", *arguments)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.endswith(
        "resnet-layers: interrupted: no unfinished file is left behind; "
        f"`train --resume {tmp_path}` goes on\n"
    )
    assert "Traceback" not in err
    assert files(tmp_path) == {"checkpoints"}


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("data", ["digits", pytest.param("folder", marks=pytest.mark.huge)])
def test_default_run_reaches_98_percent(tmp_path: Path, data: str) -> None:
    options = []
    if data == "folder":
        from sklearn.datasets import load_digits

        digits = load_digits()
        for i, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            (tmp_path / "data" / str(label)).mkdir(parents=True, exist_ok=True)
            pixels = np.round(grey * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / str(label) / f"{i:04}.png")
        options = ["--data", "data", "--recipe", "digits"]
    process = start("train", *options, cwd=tmp_path)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    run = tmp_path / "resnet_run"
    assert files(run) == FILES
    accuracy = json.loads((run / "test.json").read_text())["accuracy"]
    assert accuracy >= 0.98
    assert agreed(out).endswith(f", accuracy {accuracy:.2%} on 179 test images")


@pytest.mark.share(2)
@pytest.mark.slow
def test_train_works_on_jax(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    arguments = ["--data", photos, "--epochs", 1, "--image-size", 4, "--output", tmp_path]
    process = start("train", *arguments, env={**os.environ, "KERAS_BACKEND": "jax"})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert agreed(out)
    # The file serves the other backend, too.
    found = classifier.load(tmp_path / "model.keras")
    assert found.probabilities([photos / "rot" / "0.png"]).shape == (1, 3)
