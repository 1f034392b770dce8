"""How images are divided: into batches of a multiple, and a batch between processes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_layers.training import parts
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import Flip
from resnet_layers.training.mixing import Mixing
from tests.training.fitting import PREPARE, coloured


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 6), st.booleans())
def test_batches_divide(number: int, batch_size: int, multiple: int, fill: bool) -> None:
    batch_size = max(batch_size, multiple)
    if not fill and 0 < number < multiple:
        number = multiple
    sizes = parts.sizes(number, batch_size, multiple, fill=fill)
    assert all(size % multiple == 0 and 0 < size <= batch_size for size in sizes)
    assert max(sizes, default=0) - min(sizes, default=0) <= multiple
    assert abs(sum(sizes) - number) < multiple
    assert sum(sizes) >= number if fill else sum(sizes) <= number
    if multiple == 1:
        even = [len(part) for part in np.array_split(range(number), len(sizes) or 1)]
        assert sizes == even[: len(sizes)]


@given(st.integers(1, 30), st.integers(1, 6), st.booleans())
def test_parts_of_a_batch_are_a_bijection(share: int, count: int, paired: bool) -> None:
    size = share * count
    found = []
    for index in range(count):
        places, own = parts.rows(size, (index, count), paired=paired)
        assert len(own) == share
        assert share <= len(places) <= share + 2 * paired
        found += list(places[own])
        if paired:  # each has its partner beside it
            assert set(size - 1 - places) <= set(places)
    assert sorted(found) == list(range(size))
    assert count > 1 or found == list(range(size))


def rows(batches: list[Any]) -> Any:
    """The images of a step, whoever has read them, with labels and weights, in one order."""
    values = [np.concatenate(value) for value in zip(*batches, strict=True)]
    found = np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)
    return found[np.lexsort(found.T)]


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("mode", "multiple", "count"),
    [("batch", 3, 3), ("pair", 6, 2), ("elem", 4, 2)],
)
def test_all_parts_have_what_the_whole_has(mode: str, multiple: int, count: int) -> None:
    """At each step, from any step on, mixed with images of another part as well."""

    def batches(index: int, number: int) -> Batches:
        return Batches(
            coloured(35),
            PREPARE,
            9,
            seed=3,
            augment=[Flip(0.5)],
            mixing=Mixing(0.2, 1.0, mode=mode),
            multiple=multiple,
            part=(index, number),
            class_weight={0: 2.0},
        )

    whole, some = batches(0, 1), [batches(index, count) for index in range(count)]
    start = len(whole) - 1  # its epoch's last
    datasets = [one.dataset(start).take(3).as_numpy_iterator() for one in some]
    steps = whole.dataset(start).take(3).as_numpy_iterator()
    for expected, *found in zip(steps, *datasets, strict=True):
        assert len({len(part[0]) for part in found}) == 1
        np.testing.assert_array_equal(rows(found), rows([expected]))


def test_an_evaluation_in_parts_has_each_image_once() -> None:
    whole = Batches(coloured(35), PREPARE, 8, multiple=4)
    some = [Batches(coloured(35), PREPARE, 8, multiple=4, part=(i, 2)) for i in range(2)]
    datasets = [one.dataset().as_numpy_iterator() for one in some]
    weights = 0.0
    for expected, *found in zip(whole.dataset().as_numpy_iterator(), *datasets, strict=True):
        np.testing.assert_array_equal(rows(found), rows([expected]))
        weights += sum(part[2].sum() for part in found)
    assert weights == 35.0


@pytest.mark.share(6)
def test_damaged_images_are_left_out_with_what_is_mixed_with_them(tmp_path: Path) -> None:
    images = coloured(20)
    (tmp_path / "none.png").write_bytes(b"nothing")
    sources = [tmp_path / "none.png", *images.sources[1:]]
    images = dataclasses.replace(images, sources=sources)
    kept: Any = {"seed": 0, "multiple": 2, "mixing": Mixing(0.2), "skip_damaged": True}
    whole = Batches(images, PREPARE, 6, **kept)
    some = [Batches(images, PREPARE, 6, part=(i, 2), **kept) for i in range(2)]
    datasets = [one.dataset().take(len(whole)).as_numpy_iterator() for one in some]
    for expected, *found in zip(
        whole.dataset().take(len(whole)).as_numpy_iterator(), *datasets, strict=True
    ):
        np.testing.assert_array_equal(rows(found), rows([expected]))
