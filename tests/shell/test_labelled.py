"""Labelled images: how folders are read, how images are split and put into batches."""

import os
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell import labelled
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader, read
from resnet_layers.shell.labelled import Labelled, digits, folder
from resnet_layers.training.augmentation import shifted
from resnet_layers.training.batches import Batches


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


def test_folder_leaves_out_what_is_no_image_of_a_class(tmp_path: Path) -> None:
    for name in ["cat/a.png", "cat/.b.png", "cat/c.txt", "cat/d", "cat/more/e.png", "f.png"]:
        touch(tmp_path / name)
    touch(tmp_path / ".hidden" / "a.png")
    touch(tmp_path / "cat" / "g.png" / "h.png")
    assert folder(tmp_path).names == ["cat/a.png"]


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


def numbered(count: int, size: int = 8) -> tuple[Any, Any, Any]:
    """Images whose every pixel is their own number, and a preprocessing that keeps it."""
    labels = np.arange(count)
    squares = np.broadcast_to(labels[:, None, None, None], (count, size, size, 3)).astype(np.uint8)
    return squares, labels, Reader(for_squares(size, (0,) * 3, (1,) * 3)).normalize


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("seed", [None, 0])
def test_batches_hold_every_image_once_with_its_label(batch_size: int, seed: int | None) -> None:
    squares, labels, normalize = numbered(65)
    batches = Batches(squares, labels, normalize, batch_size, seed)
    parts = [batches[i] for i in range(len(batches))]
    assert len(parts) == -(-65 // batch_size)
    found = np.concatenate([part[1] for part in parts])
    assert sorted(found) == list(range(65))
    assert (found.tolist() == list(range(65))) is (seed is None)
    for x, y in parts:
        assert x.dtype == np.float32
        assert np.array_equal(x, np.broadcast_to(y[:, None, None, None], x.shape))
    sizes = {len(part[1]) for part in parts}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_batches_of_training_follow_seed_and_epoch() -> None:
    arguments = numbered(40)

    def orders(seed: int) -> list[list[int]]:
        batches = Batches(*arguments, 64, seed)
        found = []
        for _ in range(3):
            found.append(batches[0][1].tolist())
            batches.on_epoch_end()
        return found

    first = orders(0)
    assert first == orders(0)
    assert len({tuple(order) for order in [*first, *orders(1)]}) == 6


@pytest.mark.parametrize(("size", "reach"), [(1, 1), (7, 1), (16, 1), (47, 2), (64, 4)])
def test_shifts_move_whole_images_and_continue_the_border(size: int, reach: int) -> None:
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (200, size, size, 3), dtype=np.uint8)
    moved = shifted(squares, rng)
    assert moved.shape == squares.shape
    offsets = range(-reach, reach + 1)

    def displaced(image: Any, down: int, right: int) -> Any:
        at = np.arange(size)
        rows, columns = np.clip(at + down, 0, size - 1), np.clip(at + right, 0, size - 1)
        return image[rows][:, columns]

    seen = [
        next(o for o in product(offsets, offsets) if np.array_equal(after, displaced(before, *o)))
        for before, after in zip(squares, moved, strict=True)
    ]
    if size > 1:
        assert {down for down, _ in seen} == {right for _, right in seen} == set(offsets)


def test_test_images_are_never_shifted() -> None:
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    normalize = Reader.fit(squares).normalize
    x, _ = Batches(squares, np.arange(5), normalize, 64)[0]
    assert np.array_equal(x, normalize(squares))


def test_images_of_many_folders_are_those_on_disk(tmp_path: Path) -> None:
    for i in range(6):
        path = touch(tmp_path / f"class {i % 2}" / f"{i}.png")
        Image.fromarray(np.full((3, 3), i, np.uint8)).save(path)
    data = labelled.folder(tmp_path)
    assert read(data.sources, 2)[:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]
