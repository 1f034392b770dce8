"""What an evaluation tells of its probabilities, and the files that people look at."""

import csv
import errno
import html
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

import resnet_layers as rl
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell import classifier, errors, images, several, sheet
from resnet_layers.shell.evaluation import MOST_SHOWN, Evaluation
from resnet_layers.training import history
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from tests.shell.test_command_line import refusal, run
from tests.support.randomize import randomize
from tests.training.test_batches import labelled, picture

CLASSES = ["cat", "<b>dog</b>", "owl & eule"]


def evaluation(number: int = 60, classes: int = 3, seed: int = 0) -> Evaluation:
    rng = np.random.default_rng(seed)
    names = CLASSES if classes == 3 else [f"class {i}" for i in range(classes)]
    rows = rng.dirichlet(np.full(classes, 0.4), number).astype(np.float32)
    labels = rng.integers(0, classes, number)
    return Evaluation(
        sources=[picture(20, 30, i) for i in range(number)],
        names=[f"<i>{i}.png" for i in range(number)],
        labels=labels,
        class_names=names,
        probabilities=rows,
        loss=float(-np.log(rows[np.arange(number), labels]).mean()),
    )


class Checked(HTMLParser):
    """A page whose tags all end, with its texts and pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[bytes] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "img":
            source = dict(attrs)["src"]
            assert source.startswith("data:image/jpeg;base64,")
            self.pictures.append(source)
        elif tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """One that is over at once."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_confusion_is_counted_by_hand() -> None:
    found = evaluation()
    expected = np.zeros((3, 3), int)
    for label, row in zip(found.labels, found.probabilities, strict=True):
        expected[label, row.argmax()] += 1
    assert np.array_equal(found.confusion(), expected)
    assert np.trace(expected) / 60 == pytest.approx(found.accuracy)


def test_calibration_error_is_that_of_the_formula() -> None:
    found = evaluation(500)
    total = 0.0
    sure, right = found.probabilities.max(-1), found.predicted == found.labels
    for low in np.arange(10) / 10:
        some = (sure >= low) & (sure < low + 0.1)
        if some.any():
            total += some.sum() * abs(right[some].mean() - sure[some].mean())
    assert found.calibration_error() == pytest.approx(total / 500, abs=1e-6)
    assert sum(count for _, _, count in found.calibration()) == 500


def test_the_surest_errors_come_first() -> None:
    found = evaluation(200)
    places = found.most_wrong()
    assert len(places) == MOST_SHOWN
    assert all(found.predicted[i] != found.labels[i] for i in places)
    shares = [found.probabilities[i].max() for i in places]
    assert shares == sorted(shares, reverse=True)
    wrong = found.predicted != found.labels
    assert shares[0] == found.probabilities[wrong].max()


@pytest.mark.parametrize("classes", [3, 40])
def test_the_page_is_whole_and_says_what_was_found(tmp_path: Path, classes: int) -> None:
    found = evaluation(300, classes)
    found.write_page(tmp_path / "a.html", "a <title>")
    content = (tmp_path / "a.html").read_text(encoding="utf-8")
    page = Checked(content)
    said = " ".join(page.texts)
    assert "a <title>" in said
    for name in found.class_names:
        assert (name in said) or classes == 40
    assert len(page.pictures) == MOST_SHOWN
    assert f"{found.accuracy:.2%}" in said
    assert "<i>" not in content
    assert html.escape(found.names[found.most_wrong()[0]]) in content
    assert "http" not in content.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")


def test_a_page_of_what_is_all_right_says_so(tmp_path: Path) -> None:
    found = evaluation(1)
    sure = np.eye(3, dtype=np.float32)[found.labels]
    perfect = Evaluation(**{**vars(found), "probabilities": sure})
    perfect.write_page(tmp_path / "a.html", "one")
    assert "None." in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_the_page_of_several_labels_is_whole_and_says_what_was_found(tmp_path: Path) -> None:
    found = evaluation(200)
    rng = np.random.default_rng(0)
    rows = rng.random((200, 3)).astype(np.float32)
    labels = (rng.random((200, 3)) < rows).astype(np.uint8)
    both = {"labels": labels, "probabilities": rows}
    more = several.Evaluation(**{**vars(found), **both})
    more.write_page(tmp_path / "a.html", "a <title>")
    page = Checked((tmp_path / "a.html").read_text(encoding="utf-8"))
    said = " ".join(page.texts)
    precision = average_precision_score(labels, rows, average="macro")
    assert f"mean average precision {precision:.2%}" in said
    assert len(page.pictures) == MOST_SHOWN
    assert "missed, " in said
    assert "answered, " in said
    place = more.most_wrong()[0]
    assert np.abs(rows - labels).max() == np.abs(rows - labels)[place].max()
    assert more.calibration_error() < 0.05  # the labels were drawn by these probabilities
    nothing = several.Evaluation(**{**vars(more), "labels": np.zeros_like(labels)})
    assert nothing.result["mean_average_precision"] == 0.0


def test_a_sheet_shows_the_first_batch_as_the_network_sees_it(tmp_path: Path) -> None:
    prepare = for_squares(8, (120.0, 110.0, 100.0), (60.0, 50.0, 40.0))
    other = rl.Preprocessing(
        **{**prepare.get_config(), "channels": "bgr", "data_format": "channels_first"}
    )
    some = labelled([picture(20, 30, i) for i in range(5)])
    for i, layer in enumerate((prepare, other)):
        batches = Batches(some, layer, 8, seed=0, augment=[Flip()])
        sheet.write(tmp_path / f"{i}.png", batches)
    sheets = [np.asarray(Image.open(tmp_path / f"{i}.png")) for i in range(2)]
    assert np.array_equal(sheets[0], sheets[1])
    assert sheets[0].shape == (20, 30, 3)
    order = Batches(some, prepare, 8, seed=0).order(0)
    first = images.read([some.sources[order[0]]], 8)[0]
    assert any(np.array_equal(sheets[0][:8, :8], one) for one in (first, first[:, ::-1]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a network with random weights."""
    layer = for_squares(8, (120.0,) * 3, (60.0,) * 3)
    described = keras.saving.serialize_keras_object(layer)
    metadata = {"class_names": CLASSES, "preprocessing": described}
    network = rl.ResNet.from_variant(
        "test_resnet", classes=3, stem={"filters": 8}, metadata=metadata
    )
    path = tmp_path_factory.mktemp("model") / "model.keras"
    randomize(network).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(6):
        path = tmp_path / "photos" / CLASSES[i % 3].replace("/", "") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(20, 30, i)).save(path)
    return tmp_path / "photos"


@pytest.mark.share(2)
@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_features_are_the_means_of_the_last_map(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path, ending: str
) -> None:
    (photos / "cat" / "bad.png").write_bytes(b"")
    output = tmp_path / f"a.{ending}"
    code, out, err = run(capsys, "predict", model, photos, "--features", output)
    assert (code, "bad.png" in err) == (1, True)
    assert out.startswith("Wrote features of 6 images, ")
    if ending == "npz":
        content = np.load(output)
        names, table = content["paths"].tolist(), content["features"]
    else:
        with output.open(encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        names, table = [row[0] for row in rows], np.array([row[1:] for row in rows], "float32")
    assert names == sorted(str(path) for path in photos.rglob("[0-9].png"))
    found = classifier.load(model)
    maps = keras.ops.convert_to_numpy(found.model.replace(head=None)(found.reader(names)))
    np.testing.assert_allclose(table, maps.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_features_are_refused_where_they_cannot_be(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    start = "resnet-layers: "
    arguments = ("predict", model, "a.png", "--features")
    for name in ("a.txt", "a", "a.NPZ", "a.csv.gz"):
        assert refusal(capsys, *arguments, name) == (
            f"{start}The name of the output must end in one of '.npz', '.csv'. Received: '{name}'"
        )
    for name in ("model.onnx", "model.tflite", "model"):
        other = tmp_path / name
        other.touch()
        assert refusal(capsys, "predict", other, "a.png", "--features", "a.csv") == (
            f"{start}`--features` must come with the network itself, a .keras file, since what "
            f"`export` wrote has no features to ask for. Received: '{other}'"
        )
    for more in (["--csv"], ["--json"], ["--top", 3]):
        assert refusal(capsys, *arguments, "a.csv", *more) == (
            f"{start}`--features` must not come with `--json`, `--csv` or `--top`"
        )
    assert refusal(capsys, "evaluate", model, "--report", "a.txt") == (
        f"{start}The name of the output must end in '.html'. Received: 'a.txt'"
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("evaluate", "none.keras", "--report"), "a.html"),
        (("predict", "none.keras", "a.png", "--features"), "a.npz"),
        (("explain", "none.keras", "a.png", "--output"), "a.png"),
        (("convert", "none.safetensors", "--output"), "a.keras"),
        (("draw", "vgg19", "--output"), "a.svg"),
    ],
    ids=str,
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    name: str,
) -> None:
    output = tmp_path / name
    output.mkdir()
    wrong = f"resnet-layers: '{output}' cannot be written: "
    assert refusal(capsys, *command, output) == f"{wrong}Is a directory"
    output.rmdir()

    def refuses(folder: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(errors, "check_writable", refuses)
    assert refusal(capsys, *command, output) == f"{wrong}Permission denied"


def test_evaluate_writes_the_page_of_any_model_and_folder(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    for i in range(6):
        path = tmp_path / "photos" / "cat" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(20, 30, i)).save(path)
    report = tmp_path / "a.html"
    arguments = ("--data", tmp_path / "photos", "--all", "--json", "--report", report)
    code, out, err = run(capsys, "evaluate", model, *arguments)
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert set(result) == {"images", "loss", "accuracy"}
    assert f"{result['accuracy']:.2%}" in " ".join(
        Checked(report.read_text(encoding="utf-8")).texts
    )


def test_history_is_in_the_order_of_a_table(tmp_path: Path) -> None:
    logs = {"data_wait": 0.5, "val_loss": 4, "accuracy": 2, "val_accuracy": 5.0, "loss": 1}
    row = history.row(logs)
    assert list(row) == ["loss", "accuracy", "val_loss", "val_accuracy", "data_wait"]
    history.write(tmp_path / "a.csv", [row, row])
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        "1,1.0,2.0,4.0,5.0,0.5",
        "2,1.0,2.0,4.0,5.0,0.5",
    ]
    history.write_test(tmp_path / "a.json", {"images": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"images": 1}
