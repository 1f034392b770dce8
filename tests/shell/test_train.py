"""`train` from beginning to end: its images, its recipe, and what it writes."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.shell import classifier, data, finishing, train
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training.recipes import RECIPES, Recipe
from tests.shell.test_command_line import (
    FILES,
    TINY,
    files,
    history_of,
    model_run,
    run,
    write_photos,
)
from tests.support.uncompiled import uncompiled

QUICK: dict[str, Any] = {"variant": "tiny", "image_size": 8, "batch_size": 8, "epochs": 2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant that trains in no time."""
    monkeypatch.setitem(variants.VARIANTS, "tiny", TINY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


def trained(output: Path, **options: Any) -> dict[str, Any]:
    """A run, and what it says of its test."""
    train.train(TrainSettings(**{**QUICK, "output": output, **options}))
    found: dict[str, Any] = json.loads((output / "test.json").read_text())
    return found


@pytest.mark.share(6)
@uncompiled()
def test_a_folder_that_is_split_is_trained_on_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for i, name in enumerate(("train", "valid", "test")):
        write_photos(tmp_path / "photos" / name, 3 + i)
    output = tmp_path / "run"
    result = trained(output, data=tmp_path / "photos", epochs=1)
    assert result["images"] == 15
    said = capsys.readouterr().out
    photos = tmp_path / "photos"
    assert said.startswith(f"Reading 36 images of 3 classes: the folder '{photos}'\n")
    assert "on 9 images of 8×8 pixels; 12 for validation, 15 for the test" in said
    assert "is left aside" not in said
    model = output / "model.keras"
    code, out, err = run(capsys, "evaluate", model, "--data", tmp_path / "photos", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["accuracy"] == pytest.approx(result["accuracy"])
    assert json.loads(out)["loss"] == pytest.approx(result["loss"], rel=1e-4)
    code, out, _ = run(capsys, "evaluate", model, "--data", photos, "--all")
    assert out.startswith(f"36 images of the folder '{photos}': loss ")


@pytest.mark.share(6)
@uncompiled()
def test_what_a_split_folder_has_not_is_split_off_from_train(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for i, name in enumerate(("Train", "val")):
        write_photos(tmp_path / "photos" / name, 4 + i)
    result = trained(tmp_path / "run", data=tmp_path / "photos", epochs=1)
    said = capsys.readouterr().out
    assert "on 9 images of 8×8 pixels; 15 for validation, 3 for the test" in said
    model = tmp_path / "run" / "model.keras"
    code, out, err = run(capsys, "evaluate", model, "--data", tmp_path / "photos", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["loss"] == pytest.approx(result["loss"], rel=1e-4)


@pytest.mark.share(6)
@uncompiled()
def test_no_images_for_validation_are_none(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    trained(tmp_path / "run", data=photos, epochs=1, validation=0.0)
    assert list(history_of(tmp_path / "run")[0]) == ["epoch", "loss", "accuracy"]
    two = write_photos(tmp_path / "photos", 2)
    trained(tmp_path / "two", data=two, epochs=1)
    assert "0 for validation, 3 for the test" in capsys.readouterr().out


def test_check_decodes_by_both_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's, by which training takes parts of JPEGs, refuses some that Pillow does not."""
    found = data.find(TrainSettings(data=write_photos(tmp_path / "photos")))
    refused = next(path for path in found.training.sources if str(path).endswith(".jpg"))

    def refuses(source: Any, header: Any) -> InputError | None:
        return InputError(f"'{source}' by TensorFlow") if source == refused else None

    monkeypatch.setattr(data, "refused", refuses)
    with pytest.raises(InputError, match=r"\d.jpg' by TensorFlow"):
        data.look(found, skip_damaged=False, check=True)
    assert len(data.look(found, skip_damaged=False, check=False).training.labels)


def test_folders_of_a_split_among_classes_are_pointed_out(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos" / "train")
    write_photos(tmp_path / "photos" / "more")
    (sentence,) = data.odd_classes(data.find(TrainSettings(data=tmp_path / "photos")))
    assert sentence.startswith("Note: taken for classes, with all folders in them: 'train'. ")
    write_photos(tmp_path / "plain")
    assert data.odd_classes(data.find(TrainSettings(data=tmp_path / "plain"))) == []


@pytest.mark.parametrize("table", [False, True], ids=["folder", "table"])
def test_shares_of_parts_that_are_there_are_left_aside_with_a_word(
    table: bool, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        write_photos(tmp_path / "photos" / part)
    given = tmp_path / "photos"
    if table:
        rows = [
            f"{path.relative_to(tmp_path)},{path.parent.name},{path.parts[-3]}"
            for path in given.rglob("*.png")
        ]
        given = tmp_path / "table.csv"
        given.write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    kind = "table" if table else "folder"
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []),
        ({"test": 0.2}, []),  # which is split off
        ({"validation": 0.3, "test": 0.2}, ["validation"]),
        ({"validation": 0.0}, ["validation"]),
    ]
    for options, expected in cases:
        settings = TrainSettings(data=given, **options)
        assert data.left_aside(settings, data.find(settings)) == [
            f"Note: `--{name}` is left aside, since the {kind} '{given}' has images of its own for "
            "that"
            for name in expected
        ]


def test_rates_suit_the_optimizer_that_is_asked_for() -> None:
    assert TrainSettings().learning_rate == 0.1
    assert TrainSettings(optimizer="adamw").learning_rate == 0.001
    assert TrainSettings(optimizer="sgd", batch_size=128).learning_rate == 0.2
    assert TrainSettings(data=Path(), optimizer="sgd").learning_rate == 0.1
    assert TrainSettings(data=Path(), batch_size=16).learning_rate == pytest.approx(0.0005)
    assert "rank" not in TrainSettings(from_="a.keras").chosen.source
    assert TrainSettings(from_="a.keras").chosen.source == RECIPES["finetune"].source


@pytest.mark.share(6)
@uncompiled()
def test_a_table_is_trained_on(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.glob("*/*"))]
    table = tmp_path / "a.csv"
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    result = trained(tmp_path / "run", data=table, epochs=1)
    model = tmp_path / "run" / "model.keras"
    code, out, err = run(capsys, "evaluate", model, "--data", table, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["loss"] == pytest.approx(result["loss"], rel=1e-4)


def colours(folder: Path, number: int = 60) -> Path:
    """A table of images that are red, green, blue, several of them, or none."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (number, 3))
    (folder / "images").mkdir(parents=True)
    lines = ["path,label"]
    for i, row in enumerate(rows):
        noise = rng.integers(0, 80, (9, 9, 3))
        Image.fromarray((noise + 150 * row).astype("uint8")).save(folder / "images" / f"{i}.png")
        names = [name for name, there in zip(("red", "green", "blue"), row, strict=True) if there]
        lines.append(f"images/{i}.png,{';'.join(names)}")
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A network that knows colours, the table, and its result."""
    folder = tmp_path_factory.mktemp("several")
    path = colours(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(variants.VARIANTS, "tiny", TINY)
        rate = {"learning_rate": 0.02, "optimizer": "adam"}
        result = trained(folder / "run", data=path, epochs=20, validation=0.2, test=0.2, **rate)
    return folder / "run", path, result


@pytest.mark.share(6)
def test_several_labels_of_an_image_are_learnt(
    several: tuple[Path, Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_, path, result = several
    assert list(result) == ["images", "loss", "mean_average_precision"]
    assert result["mean_average_precision"] > 0.95
    columns = ["epoch", "loss", "mean_average_precision", "val_loss", "val_mean_average_precision"]
    assert [name for name in history_of(run_)[0] if name != "data_wait"] == columns
    model = run_ / "model.keras"
    code, out, err = run(capsys, "evaluate", model, "--data", path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == pytest.approx(result, rel=1e-4)
    _, out, _ = run(capsys, "evaluate", model, "--data", path, "--all")
    assert out.startswith(f"60 images of the table '{path}': loss ")
    assert ", mean average precision 9" in out or ", mean average precision 100" in out
    folder = path.parent / "plain"  # of one label each, and fewer classes
    for name, pixels in {"red": [230, 20, 20], "blue": [20, 20, 230]}.items():
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((9, 9, 3), pixels, np.uint8)).save(folder / name / "a.png")
    _, out, _ = run(capsys, "evaluate", model, "--data", folder, "--all", "--json")
    assert json.loads(out)["mean_average_precision"] == 1.0


@pytest.mark.share(6)
def test_several_labels_have_probabilities_of_their_own_in_every_way_out(
    several: tuple[Path, Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_, path, _ = several
    white = tmp_path / "white.png"
    Image.fromarray(np.full((9, 9, 3), 220, np.uint8)).save(white)
    _, out, _ = run(capsys, "predict", run_ / "model.keras", white, "--json", "--top", "3")
    mine = {row["class"]: row["probability"] for row in json.loads(out)["classes"]}
    assert min(mine.values()) > 0.5  # all of them, which no softmax says
    for format_, precision, error in (("onnx", "float32", 1e-5), ("openvino", "int8", 0.1)):
        exported = tmp_path / (f"{precision}.onnx" if format_ == "onnx" else "int8.xml")
        options = ["--calibration", path] if precision == "int8" else []
        given = ["--format", format_, "--precision", precision, "--output", exported, *options]
        code, _, err = run(capsys, "export", run_ / "model.keras", *given)
        assert (code, err) == (0, "")
        _, out, _ = run(capsys, "predict", exported, white, "--json", "--top", "3")
        theirs = {row["class"]: row["probability"] for row in json.loads(out)["classes"]}
        assert theirs == pytest.approx(mine, abs=error)


@pytest.mark.slow
@uncompiled()
@pytest.mark.parametrize(
    "options",
    [
        {"mixup": 0.2, "cutmix": 1.0, "smoothing": 0.1},
        {"ema": 0.9, "precision": "bfloat16"},
        {"skip_damaged": True, "patience": 1},
        {"variant": None, "freeze_until": "head", "recipe": "finetune"},
    ],
    ids="-".join,
)
def test_several_labels_with_other_options(
    several: tuple[Path, Path, dict[str, Any]], options: dict[str, Any], tmp_path: Path
) -> None:
    run_, path, _ = several
    if "freeze_until" in options:
        options = {**options, "from_": str(run_ / "model.keras")}
    result = trained(tmp_path / "run", data=path, **options)
    assert 0.0 < result["mean_average_precision"] <= 1.0
    assert 0.0 < result["loss"] < 10.0
    found = classifier.load(tmp_path / "run" / "model.keras")
    assert found.activation == "sigmoid"


@pytest.mark.share(6)
@uncompiled()
def test_a_sheet_is_looked_at_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    arguments = ["--data", photos, "--variant", "tiny", "--image-size", 24, "--output", tmp_path]
    code, out, err = run(capsys, "train", *arguments, "--look", "--augment", "rand-m9")
    assert (code, err) == (0, "")
    assert out.endswith(f"Wrote look.png into '{tmp_path}'; nothing was trained\n")
    assert files(tmp_path) == {"look.png"}
    code, out, err = run(capsys, "train", *arguments, "--look", "--json")
    assert (code, json.loads(out)) == (0, {"look": str(tmp_path / "look.png")})
    assert err.endswith(f"Wrote look.png into '{tmp_path}'; nothing was trained\n")
    with Image.open(tmp_path / "look.png") as image:
        assert image.size == (78, 78)  # 9 images, 2 pixels between them


@pytest.mark.share(2)
@pytest.mark.parametrize("check", [False, True])
@uncompiled()
def test_damaged_images_are_named_and_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, check: bool
) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    rng = np.random.default_rng(0)
    late = photos / "rot" / "late.png"  # whose header and end are sound
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(late)
    content = bytearray(late.read_bytes())
    content[len(content) // 2] ^= 255
    late.write_bytes(content)
    early = photos / "rot" / "early.jpg"
    early.write_bytes(b"no image")
    result = trained(tmp_path / "run", data=photos, skip_damaged=True, check=check)
    said = capsys.readouterr().err
    for path in (late, early):
        assert str(path) in said
    arguments = ("--data", photos, "--skip-damaged", "--json")
    code, out, err = run(capsys, "evaluate", tmp_path / "run" / "model.keras", *arguments)
    assert code == 0, err
    again = json.loads(out)
    assert again["images"] == result["images"]
    assert again["loss"] == pytest.approx(result["loss"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.share(7)
@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "digits"},
        {"recipe": "cifar", "epochs": 2},
        {"recipe": "ffcv16", "epochs": 16, "image_size": 96},
        {"recipe": "a2", "epochs": 1},
        {"precision": "float16"},
        {"precision": "bfloat16"},
        {"ema": 0.9},
        {"accumulate": 2},
        {"balance": True, "mixup": 0.5},
        {"patience": 1, "epochs": 4},
        {"mixup": 0.2, "cutmix": 1.0, "smoothing": 0.2},
        {"augment": "rand-m9-mstd0.5", "erasing": 0.5, "flip": 0.0},
        {"drop_path": 0.5, "optimizer": "lamb", "weight_decay": 0.0},
        {"tensorboard": True},
        {
            "scale": "none",
            "padding": 0.125,
            "padding_mode": "edge",
            "repeats": 2,
            "loss": "sigmoid",
        },
        {"optimizer": "sgd", "nesterov": False, "schedule": "steps", "warmup": 0.3},
        {"grow_from": 32, "grow": "0.3,0.8", "image_size": 64, "epochs": 3, "scale": "0.5,0.9"},
        {"compile": "graph"},
        {"compile": "xla"},
    ],
    ids=str,
)
def test_every_option_trains_and_its_file_is_what_was_tested(
    photos: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    output = tmp_path / "run"
    given = {**QUICK, **options}
    result = trained(output, **{**given, "data": photos})
    assert files(output) == FILES | ({"tensorboard"} if "tensorboard" in options else set())
    settings = TrainSettings(**{**given, "data": photos, "output": output})
    said = finishing.check_in_new_process(
        settings, {"test_loss": result["loss"], "test_accuracy": result["accuracy"]}
    )
    assert said.startswith("A new process agrees")
    model = keras.saving.load_model(output / "model.keras")
    assert model.compute_dtype == "float32"
    assert len(history_of(output)) <= given["epochs"]


def test_every_field_of_a_recipe_is_an_option() -> None:
    options = {field.name for field in dataclasses.fields(TrainSettings)}
    assert {field.name for field in dataclasses.fields(Recipe)} - options == {"source"}
    settings = TrainSettings(nesterov=False, scale="0.5,1", grow="0.25,0.5", grow_from=16)
    chosen = settings.chosen
    assert (chosen.nesterov, chosen.scale, chosen.grow) == (False, (0.5, 1.0), (0.25, 0.5))
    for name in ("scale", "augment", "global_clipnorm"):
        none: dict[str, Any] = {name: "none"}
        assert getattr(TrainSettings(data=Path(), recipe="a2", **none).chosen, name) is None
    assert TrainSettings(global_clipnorm="2.5").chosen.global_clipnorm == 2.5
    assert TrainSettings(data=Path()).chosen == RECIPES["photos"]


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.timeout(3600)
def test_half_precision_learns_the_digits_as_well(tmp_path: Path) -> None:
    """Within half a point of float32, over five seeds, on a test of 540 images.

    With a tenth of the images for the test, one of them is half a point.
    """
    common = {"variant": "cifar_resnet20", "batch_size": 64, "image_size": 16, "test": 0.3}
    means = {}
    for precision in ("float32", "float16", "bfloat16"):
        found = []
        for seed in range(5):
            own = {"precision": precision, "seed": seed}
            found.append(trained(tmp_path / f"{precision}{seed}", **common, **own, epochs=8))
        accuracies = [one["accuracy"] for one in found]
        print(precision, accuracies)  # noqa: T201 (for whoever looks at it by night)
        means[precision] = float(np.mean(accuracies))
    for precision in ("float16", "bfloat16"):
        assert means[precision] >= means["float32"] - 0.005, means


@pytest.mark.share(6)
@uncompiled()
def test_averaged_weights_are_what_is_written(tmp_path: Path, photos: Path) -> None:
    """An average with a momentum near 1 has hardly moved; statistics are of it, and not zero."""
    trained(tmp_path / "run", data=photos, ema=0.9999, epochs=2)
    keras.utils.set_random_seed(0)
    first = rl.ResNet.from_variant("tiny", classes=3)
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    for before, after in zip(first.trainable_weights, model.trainable_weights, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-3)
    statistics = [w for w in model.weights if "moving_mean" in w.path]
    assert all(np.abs(np.array(w)).max() > 0.0 for w in statistics)


GOLDEN = Path(__file__).parent.parent / "golden" / "run"


def digits_of_three(folder: Path) -> Path:
    """What the run in `tests/golden/run` was trained on, and what that release did not see."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    for i, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(label) / f"{i:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((grey * 255 / 16).round().astype("uint8")).save(file)
    for name in ("0/more/extra.png", "1/extra.webp"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(folder / name)
    return folder


@pytest.mark.share(6)
@uncompiled()
def test_a_run_of_the_release_before_is_read_evaluated_and_predicted_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photos = digits_of_three(tmp_path / "photos")
    with (GOLDEN / "history.csv").open(encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    model = GOLDEN / "model.keras"
    code, out, err = run(capsys, "evaluate", model, "--data", photos, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["images"] == 107
    assert result["loss"] == pytest.approx(float(last["test_loss"]), rel=1e-4)
    assert result["accuracy"] == pytest.approx(float(last["test_accuracy"]))
    code, out, err = run(capsys, "predict", model, photos / "0", "--json", "--top", 1)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 179
    settings = tmp_path / "settings.toml"
    settings.write_bytes((GOLDEN / "settings.toml").read_bytes())
    monkeypatch.setattr(finishing, "check_in_new_process", lambda *_: "checked")
    output = tmp_path / "run"
    arguments = ["--data", photos, "--output", output, "--epochs", 1, "--batch-size", 64]
    assert run(capsys, "train", "--config", settings, *arguments)[0] == 0
    said = model_run(output)["settings"]
    assert (said["recipe"], said["learning_rate"]) == ("digits", 0.1)
