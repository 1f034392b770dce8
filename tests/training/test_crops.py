"""Random parts of images, and images moved by whole pixels."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from resnet_layers.training.crops import INTERPOLATIONS, PadAndCrop, RandomResizedCrop, cut
from resnet_layers.training.pictures import square

ONE_PIXEL = (1.0, 1.0)


def boxes(crop: RandomResizedCrop, height: int, width: int, count: int) -> Any:
    """Those of so many seeds, (count, 4)."""
    seeds = tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], axis=1)
    drawn = tf.function(lambda: tf.map_fn(lambda s: crop.box(height, width, s), seeds, tf.int32))
    return drawn().numpy()


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    seed=st.integers(0, 2**63 - 1),
    least=st.floats(0.01, 1.0),
    ratio=st.floats(0.1, 10.0),
)
def test_parts_lie_in_the_image(
    height: int, width: int, seed: int, least: float, ratio: float
) -> None:
    crop = RandomResizedCrop(8, scale=(least, 1.0), ratio=(min(ratio, 1.0), max(ratio, 1.0)))
    top, left, tall, wide = crop.box(height, width, (seed, seed)).numpy()
    assert 0 <= top <= top + tall <= height
    assert 0 <= left <= left + wide <= width
    assert min(tall, wide) >= 1


def test_shares_and_aspects_are_those_that_are_asked_for() -> None:
    """As torchvision draws them, but for the few that do not fit at first."""
    crop = RandomResizedCrop(8, scale=(0.1, 0.3), ratio=(0.5, 2.0))
    found = boxes(crop, 400, 500, 2000)
    shares = found[:, 2] * found[:, 3] / (400 * 500)
    assert 0.098 < shares.min() < 0.103
    assert 0.297 < shares.max() < 0.302
    assert abs(shares.mean() - 0.2) < 0.005
    logs = np.log(found[:, 3] / found[:, 2])
    assert abs(logs.mean()) < 0.04
    assert abs(logs.std() - 2 * math.log(2) / math.sqrt(12)) < 0.03
    for place, side, length in ((0, 400, 2), (1, 500, 3)):
        relative = found[:, place] / (side - found[:, length])
        assert relative.min() >= 0.0
        assert relative.max() <= 1.0
        assert abs(relative.mean() - 0.5) < 0.03
        assert {0, side} & set(np.r_[found[:, place], found[:, place] + found[:, length]])


@pytest.mark.parametrize(
    ("sides", "middle"),
    [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10)), ((10, 12), (0, 0, 10, 12))],
)
def test_what_never_fits_is_the_middle_within_the_ratio(
    sides: tuple[int, int], middle: tuple[int, ...]
) -> None:
    """Where a part of all pixels would have to be larger than one side."""
    crop = RandomResizedCrop(8, scale=ONE_PIXEL, ratio=(3 / 4, 4 / 3))
    found = {tuple(box) for box in boxes(crop, *sides, 30)}
    assert tuple(middle) in found
    if sides != (10, 12):
        assert found == {tuple(middle)}


def test_equal_seeds_take_equal_parts_whatever_the_batch() -> None:
    crop = RandomResizedCrop(6)
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    one, again, other = (crop(image, seed).numpy() for seed in ((3, 4), (3, 4), (3, 5)))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_parts_are_resized_as_pillow_does(interpolation: str) -> None:
    """With its antialiasing, to whole numbers, within one level."""
    image = np.random.default_rng(0).integers(0, 256, (61, 61, 3), dtype=np.uint8)
    crop = RandomResizedCrop(24, scale=ONE_PIXEL, ratio=ONE_PIXEL, interpolation=interpolation)
    difference = np.abs(crop(image, (0, 0)).numpy().astype(int) - square(image, 24, interpolation))
    assert difference.max() <= (2 if interpolation == "lanczos" else 1)  # it overshoots twice


@pytest.mark.share(8)
@pytest.mark.parametrize("mode", ["constant", "edge"])
@pytest.mark.parametrize(("size", "reach"), [(1, 1), (7, 1), (16, 1), (47, 2), (64, 4)])
def test_padded_images_are_moved_as_a_whole(size: int, reach: int, mode: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (150, size, size, 3), dtype=np.uint8)
    move = PadAndCrop(reach, mode)
    moved = [move(image, (7, i)).numpy() for i, image in enumerate(images)]
    pad: Any = {"mode": mode} if mode == "edge" else {"mode": mode, "constant_values": 0}
    offsets = list(product(range(2 * reach + 1), repeat=2))

    def place(before: Any, after: Any) -> Any:
        padded = np.pad(before, [(reach, reach), (reach, reach), (0, 0)], **pad)
        found = [o for o in offsets if np.array_equal(cut(padded, (*o, size, size)), after)]
        return found[0]

    seen = {place(*pair) for pair in zip(images, moved, strict=True)}
    if size > 1:
        assert {one for one, _ in seen} == {other for _, other in seen} == set(range(2 * reach + 1))
