"""Labelled images: how folders are read, how images are split and put into batches."""

import dataclasses
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_layers._support.errors import InputError
from resnet_layers.shell.images import read
from resnet_layers.training import labelled, tables
from resnet_layers.training.labelled import Labelled, digits, folder, joined, parts, twins


def touch(path: Path) -> Path:
    """An empty file, which counts as an image until it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def counted(*counts: int) -> Labelled:
    """So many images of each class."""
    names = [f"class {i}" for i in range(len(counts))]
    labels = np.repeat(np.arange(len(counts)), counts)
    return Labelled(
        kind="folder",
        title="the folder 'photos'",
        sources=[np.full((2, 2), i % 256, np.uint8) for i in range(len(labels))],
        labels=labels,
        class_names=names,
        names=[str(i) for i in range(len(labels))],
    )


def test_digits_are_all_of_scikit_learns_images() -> None:
    data = digits()
    squares = read(data.sources, 8)
    assert squares.shape == (1797, 8, 8, 3)
    assert (squares.min(), squares.max()) == (0, 255)
    assert len(np.unique(squares)) == 17
    assert data.class_names == list("0123456789")
    assert len(set(data.names)) == len(data.labels) == 1797
    assert set(data.labels) == set(range(10))


def test_folder_sorts_classes_and_images_by_name(tmp_path: Path) -> None:
    for name in ["zebra/2.png", "zebra/10.JPG", "äpfel & birnen/a.jpeg", "Zoo/ü ü.PNG"]:
        touch(tmp_path / name)
    data = folder(tmp_path)
    assert data.class_names == ["Zoo", "zebra", "äpfel & birnen"]
    assert data.names == ["Zoo/ü ü.PNG", "zebra/10.JPG", "zebra/2.png", "äpfel & birnen/a.jpeg"]
    assert data.sources == [tmp_path / name for name in data.names]
    assert data.labels.tolist() == [0, 1, 1, 2]
    assert (data.kind, data.title) == ("folder", f"the folder '{tmp_path}'")


@dataclasses.dataclass
class Somewhere:
    """A path-like value that is neither text nor `Path`."""

    path: str

    def __fspath__(self) -> str:
        return self.path


def test_paths_may_be_of_any_kind(tmp_path: Path) -> None:
    for name in ("train/cat/a.png", "train/dog/a.png", "val/dog/b.png"):
        touch(tmp_path / name)
    table = tmp_path / "a.csv"
    table.write_text("path,label,split\na.png,cat,train\nb.png,cat,test\n")
    for path, found in (
        (tmp_path / "train", folder),
        (tmp_path, parts),
        (tmp_path / "train", tables.whole),
        (table, tables.whole),
        (tmp_path, tables.parts),
        (table, tables.parts),
        (table, tables.read),
        (table, tables.is_table),
    ):
        known = found(path)
        for other in (str(path), Somewhere(str(path))):
            assert repr(found(other)) == repr(known), (path, found)


def test_folder_leaves_out_what_is_no_image_of_a_class(tmp_path: Path) -> None:
    for name in ["cat/a.png", "cat/.b.png", "cat/c.txt", "cat/d", "cat/more/e.webp", "f.png"]:
        touch(tmp_path / name)
    touch(tmp_path / ".hidden" / "a.png")
    touch(tmp_path / "cat" / ".hidden" / "a.png")
    touch(tmp_path / "cat" / "g.png" / "h.gif")
    (tmp_path / "cat" / "round").symlink_to(tmp_path / "cat")
    assert folder(tmp_path).names == ["cat/a.png", "cat/g.png/h.gif", "cat/more/e.webp"]
    assert folder(tmp_path, flat=True).names == ["cat/a.png"]


def test_folder_follows_links_and_a_broken_one_is_an_unreadable_image(tmp_path: Path) -> None:
    target = touch(tmp_path / "elsewhere" / "a.png")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat").symlink_to(target.parent)
    (photos / "dog").mkdir()
    (photos / "dog" / "b.png").symlink_to(tmp_path / "nothing")
    data = folder(photos)
    assert data.names == ["cat/a.png", "dog/b.png"]
    with pytest.raises(InputError) as error:
        read(data.sources[1:], 8)
    path = photos / "dog" / "b.png"
    assert str(error.value) == f"The image '{path}' cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "counts",
    [(10, 10), (3, 2), (2, 2), (100, 2), (8, 2), (40, 3, 2), (500, 3, 40), (2,) * 50, (9, 2, 7)],
    ids=str,
)
def test_split_parts_each_class_and_keeps_every_image_once(counts: tuple[int, ...]) -> None:
    data = counted(*counts)
    train, test = data.split(seed=3)
    assert sorted([*train.names, *test.names]) == sorted(data.names)
    found = Counter(test.labels.tolist())
    assert [found[i] for i in range(len(counts))] == [max(1, round(0.2 * n)) for n in counts]
    assert set(train.labels) == set(range(len(counts)))
    for part in (train, test):
        assert part.names == [data.names[int(name)] for name in part.names]
        assert read(part.sources, 1)[:, 0, 0, 0].tolist() == [int(n) % 256 for n in part.names]
        assert part.labels.tolist() == [data.labels[int(name)] for name in part.names]


@pytest.mark.parametrize("seed", range(10))
def test_split_of_several_labels_parts_each_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    often = np.array([0.5, 0.3, 0.1, 0.02])
    rows = (rng.random((1000, 4)) < often).astype(np.uint8)
    data = dataclasses.replace(counted(250, 250, 250, 250), labels=rows)
    kept, held = data.split(seed, 0.1)
    assert sorted([*kept.names, *held.names]) == sorted(data.names)
    wanted = np.round(0.1 * data.counts())
    # What rarer classes bring along is not chosen, so it is not exact.
    assert np.all(held.counts() >= np.maximum(1, 0.75 * wanted))
    assert np.all(held.counts() <= 1.25 * wanted + 2)
    without = [np.sum(~some.rows().any(1)) for some in (data, held)]
    assert without[1] == pytest.approx(0.1 * without[0], abs=1)  # as many as they should be


def test_pipes_in_a_class_folder_are_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        touch(tmp_path / name / "1.png")
    os.mkfifo(tmp_path / "a" / "2.png")
    assert folder(tmp_path).names == ["a/1.png", "b/1.png"]


def test_split_follows_the_seed() -> None:
    data = digits()
    first, again, other = (data.split(seed)[1] for seed in (0, 0, 1))
    assert first.names == again.names
    assert first.names != other.names
    assert first.digest() == again.digest() != other.digest()


def test_split_of_the_digits_never_changes() -> None:
    """A model file names its test images by this; another value would lock old files out."""
    _, test = digits().split(0)
    assert test.digest() == "fab77a7543d6badf8c9ab5e5c51cab4afcbbd3699ca5d981e75ede53bcc291c9"


def test_digest_depends_on_names_alone() -> None:
    data = counted(3, 3)
    assert data.digest() == counted(2, 4).digest()
    assert data.digest() != counted(3, 4).digest()


def test_images_of_many_folders_are_those_on_disk(tmp_path: Path) -> None:
    for i in range(6):
        path = touch(tmp_path / f"class {i % 2}" / f"{i}.png")
        Image.fromarray(np.full((3, 3), i, np.uint8)).save(path)
    data = labelled.folder(tmp_path)
    assert read(data.sources, 2)[:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]


def written(path: Path, content: bytes) -> Path:
    touch(path).write_bytes(content)
    return path


def test_twins_are_files_with_equal_bytes(tmp_path: Path) -> None:
    long = bytes(range(256)) * 64
    contents = [long, b"a", long, b"b", long[:-1] + b"x", b"a", b"", long]
    sources = [written(tmp_path / f"{i}.png", content) for i, content in enumerate(contents)]
    assert twins(sources) == {0: [0, 2, 7], 2: [0, 2, 7], 7: [0, 2, 7], 1: [1, 5], 5: [1, 5]}
    shapes = [((2, 2), 0), ((2, 2), 1), ((2, 2), 0), ((4, 1), 0)]
    arrays = [np.full(shape, value, np.uint8) for shape, value in shapes]
    assert twins(arrays) == {0: [0, 2], 2: [0, 2]}
    assert twins([*sources[1:2], tmp_path / "none.png", tmp_path / "none.png"]) == {
        1: [1, 2],
        2: [1, 2],
    }


@pytest.mark.parametrize("seed", range(5))
def test_equal_files_stay_on_one_side(tmp_path: Path, seed: int) -> None:
    for i in range(40):
        written(tmp_path / "ab"[i % 2] / f"{i:02}.png", bytes([i // 4 % 7]))  # across classes, too
    data = folder(tmp_path)
    training, test = data.split(seed, 0.2, together=True)
    assert sorted([*training.names, *test.names]) == sorted(data.names)
    contents = [
        {Path(str(path)).read_bytes() for path in part.sources} for part in (training, test)
    ]
    assert not contents[0] & contents[1]
    for part in (training, test):
        assert set(part.labels) == {0, 1}


def test_without_equal_files_together_changes_nothing() -> None:
    data = digits()
    for fraction in (0.1, 0.2):
        names = [data.split(7, fraction, together=value)[1].names for value in (False, True)]
        assert names[0] == names[1]


def test_a_class_of_one_image_keeps_it_where_it_may() -> None:
    training, held = counted(5, 1).split(0, 0.5, every=False)
    assert set(training.labels) == {0, 1}
    assert set(held.labels) == {0}


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_that_is_split_already_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    for path in ("train/cat/1", "train/dog/2", f"{name}/dog/3", "test/cat/4", "test/dog/5"):
        touch(tmp_path / f"{path}.png")
    found = parts(tmp_path)
    assert found is not None
    assert list(found) == ["train", "validation", "test"]
    assert [part.class_names for part in found.values()] == [["cat", "dog"]] * 3
    assert [part.labels.tolist() for part in found.values()] == [[0, 1], [1], [0, 1]]
    whole = joined(found, "all")
    assert whole.title == "all"
    assert whole.names == [
        *("train/cat/1.png", "train/dog/2.png", "validation/dog/3.png"),
        *("test/cat/4.png", "test/dog/5.png"),
    ]
    assert whole.labels.tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    "names",
    [
        ["train/a.png", "test/a.png"],  # classes: vehicles, and what is no vehicle
        ["train/cat/a.png", "bus/dog/a.png"],
        ["train/cat/a.png"],
        ["val/cat/a.png", "test/cat/a.png"],
        ["train/cat/a.png", "val/cat/a.png", "valid/cat/a.png"],
    ],
)
def test_other_folders_are_classes(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        touch(tmp_path / name)
    assert parts(tmp_path) is None


@pytest.mark.parametrize("seed", range(20))
def test_copies_in_other_classes_never_take_a_class_its_last_image(seed: int) -> None:
    """A group of copies goes to one side whole, also what of it belongs to another class."""
    data = counted(6, 3)
    pixels = [np.full((2, 2), i, np.uint8) for i in (0, 1, 2, 3, 4, 5, 0, 0, 6)]
    data = dataclasses.replace(data, sources=pixels)
    for every in (True, False):
        training, held = data.split(seed, 0.3, together=True, every=every)
        assert set(training.labels) == {0, 1}
        assert not twins_across(training, held)


def twins_across(one: Labelled, other: Labelled) -> set[bytes]:
    contents = [{np.asarray(source).tobytes() for source in part.sources} for part in (one, other)]
    return contents[0] & contents[1]
