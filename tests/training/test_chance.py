"""Flips, colours and erased rectangles: what they do, how often, and within which ranges."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats

from resnet_layers.training import operations
from resnet_layers.training.chance import ColorJitter, Flip, RandomErasing, in_turn
from tests.data.augmentation.generate import images

PHOTO = images()["photo"]
SEEDS = np.stack([np.arange(1500), np.full(1500, 11)], axis=1)


def many(step: Any, image: Any, number: int = 1500) -> Any:
    """What a step makes of an image by so many seeds."""
    image = tf.constant(image)
    dataset = tf.data.Dataset.from_tensor_slices(SEEDS[:number])
    made = dataset.map(lambda seed: step(image, seed), num_parallel_calls=2).batch(number)
    return next(iter(made)).numpy()


def test_flips_are_as_often_as_asked_for_and_independent() -> None:
    image = np.arange(18, dtype="uint8").reshape(2, 3, 3)
    found = many(Flip(horizontal=0.5, vertical=0.25), image)
    shares = {
        (h, v): (found == image[::v, ::h]).all((1, 2, 3)).mean() for h in (1, -1) for v in (1, -1)
    }
    assert sum(shares.values()) == 1.0
    for (h, v), share in shares.items():
        assert abs(share - 0.5 * (0.25 if v < 0 else 0.75)) < 0.04, (h, v)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_flips_of_no_chance_do_nothing(dtype: str) -> None:
    found = many(Flip(horizontal=0.0), PHOTO.astype(dtype), 5)
    assert found.dtype == dtype
    assert (found == PHOTO).all()


@pytest.mark.share(6)
def test_brightness_is_uniform_and_cut_at_black() -> None:
    grey = np.full((1, 1, 3), 100, "uint8")
    found = many(ColorJitter(brightness=1.2, contrast=0.0, saturation=0.0), grey)[:, 0, 0, 0]
    assert stats.kstest(found / 220, "uniform").pvalue > 0.01  # factors from 0 to 2.2


def test_jitter_is_three_operations_in_any_order() -> None:
    jitter = ColorJitter(brightness=0.4, contrast=0.3, saturation=0.2)
    found = many(jitter, PHOTO, 8)
    orders = set()
    for seed, image in zip(SEEDS, found, strict=False):
        drawn = tf.random.stateless_uniform((10,), seed, alg="philox").numpy()
        order = tuple(int(place) for place in np.argsort(drawn[:3]))
        orders.add(order)
        reach = np.array([0.4, 0.3, 0.2], "float32")
        factors = 1 - reach + 2 * reach * drawn[3:6]
        expected = tf.constant(PHOTO)
        for place in order:
            kind = (operations.brightness, operations.contrast, operations.color)[place]
            expected = kind(expected, factors[place])
        assert np.abs(expected.numpy().astype(int) - image).max() <= 1
    assert len(orders) > 3


def pillow_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """As torchvision turns the hue of an image of Pillow."""
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    turned = np.asarray(hue).astype(int) + int(turn * 255)
    parts = (Image.fromarray((turned % 256).astype("uint8")), saturation, value)
    return np.asarray(Image.merge("HSV", parts).convert("RGB"))


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.003, 0.1, 0.37, 0.5])
def test_hue_is_turned_as_pillow_turns_it(turn: float) -> None:
    corners = np.array(np.meshgrid(*[[0, 1, 127, 128, 254, 255]] * 3)).T.reshape(-1, 6, 3)
    colours = np.random.default_rng(0).integers(0, 256, (200, 150, 3))
    for image in (PHOTO, corners.astype("uint8"), colours.astype("uint8")):
        found = operations.hue(tf.constant(image), turn).numpy()
        np.testing.assert_array_equal(found, pillow_hue(image, turn))


@pytest.mark.share(6)
def test_jitter_turns_the_hue_at_any_place_and_leaves_the_others_theirs() -> None:
    jitter = ColorJitter(0.4, 0.3, 0.2)
    turned = ColorJitter(0.4, 0.3, 0.2, hue=0.5)
    alone = many(ColorJitter(0.0, 0.0, 0.0, hue=0.5), PHOTO[:8, :8], 64)
    assert len({image.tobytes() for image in alone}) > 40
    np.testing.assert_array_equal(
        many(turned, PHOTO[:1, :1] * 0 + 90, 5), many(jitter, PHOTO[:1, :1] * 0 + 90, 5)
    )  # grey has no hue


def test_grey_and_blur_are_as_often_as_asked_for() -> None:
    tile = PHOTO[:9, :8]
    found = many(ColorJitter(jitter=0.0, grey=0.2, blur=0.4), tile)
    grey = (found == found[..., :1]).all((1, 2, 3))
    assert abs(grey.mean() - 0.2) < 0.04
    as_it_was = (found == tile).all((1, 2, 3))
    assert abs(as_it_was.mean() - 0.8 * 0.6) < 0.05  # a blur of 0.1 pixels can do nothing


def test_jitter_of_no_chance_does_nothing() -> None:
    assert (many(ColorJitter(jitter=0.0), PHOTO, 5) == PHOTO).all()


def boxes(found: Any) -> Any:
    """First and last row and column of what is no zero, and whether all within is none."""
    erased = (found != 0).any(-1)
    rows, columns = (np.where(erased.any(axis))[0] for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert erased[top:bottom, left:right].all()
    return top, bottom, left, right


@pytest.mark.share(3)
@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_one_rectangle_is_erased_as_timm_erases_it(mode: str) -> None:
    mean = (50.0, 60.0, 70.0)
    erase = RandomErasing(0.6, mode=mode, aspect=(0.3, 1.2), mean=mean, std=(1.0, 2.0, 3.0))
    found = many(erase, np.zeros((60, 80, 3), "float32"))
    rectangles = [boxes(one) for one in found]
    share = np.mean([box is not None for box in rectangles])
    assert abs(share - 0.6) < 0.04
    pairs = [(one, box) for one, box in zip(found, rectangles, strict=True) if box]
    heights = np.array([bottom - top for _, (top, bottom, _, _) in pairs])
    widths = np.array([right - left for _, (_, _, left, right) in pairs])
    areas, aspects = heights * widths / (60 * 80), heights / widths
    assert 0.015 < areas.min() < areas.max() < 0.35
    assert 0.27 < aspects.min() < 0.35
    assert 1.1 < aspects.max() < 1.4
    # Nearly all of the first attempts fit, so areas and places are uniform.
    assert stats.kstest(areas, stats.uniform(0.02, 1 / 3 - 0.02).cdf).pvalue > 0.001
    tops = np.array([box[0] for _, box in pairs])
    assert stats.kstest((tops + 0.5) / (60 - heights + 1), "uniform").pvalue > 0.001
    inside = [one[top:bottom, left:right] for one, (top, bottom, left, right) in pairs]
    colors = np.concatenate([part.reshape(-1, 3) for part in inside])
    firsts = np.array([part[0, 0] for part in inside])
    np.testing.assert_allclose(firsts.mean(0), mean, atol=0.3)
    deviation = [0.0] * 3 if mode == "const" else [1.0, 2.0, 3.0]
    np.testing.assert_allclose(firsts.std(0), deviation, atol=0.2)
    same = [(part == part[0, 0]).all() for part in inside]
    assert all(same) == (mode != "pixel")
    if mode == "pixel":
        np.testing.assert_allclose(colors.std(0), deviation, rtol=0.02)


def test_erased_integers_are_levels() -> None:
    erase = RandomErasing(1.0, area=(1.0, 1.0), aspect=(1.0, 1.0), mean=(0.0,) * 3, std=(90.0,) * 3)
    assert (many(erase, PHOTO, 4) == PHOTO).all()  # no such rectangle fits, so none is erased
    erase = RandomErasing(1.0, area=(0.2, 0.2), std=(90.0,) * 3)
    found = many(erase, np.full((20, 20, 3), 255, "uint8"), 50)
    share = (found == 0).mean()
    assert abs(share - 0.1) < 0.02  # half of the noise is below 0


@pytest.mark.share(6)
def test_several_rectangles_share_the_area() -> None:
    erase = RandomErasing(1.0, mode="const", area=(0.2, 0.2), count=4, mean=(1.0,) * 3)
    found = many(erase, np.zeros((50, 50, 3), "float32"), 300)[..., 0]
    share = found.mean((1, 2))
    assert share.max() < 0.23
    alone = np.mean([boxes_are_one(one) for one in found])
    assert 0.2 < alone < 0.4  # a quarter has one rectangle; several can touch


def boxes_are_one(erased: Any) -> bool:
    rows, columns = erased.any(1), erased.any(0)
    return bool(erased.sum() == rows.sum() * columns.sum())


def test_a_step_at_the_end_leaves_the_others_as_they_were() -> None:
    steps: list[Any] = [Flip(0.5), ColorJitter()]
    image = tf.constant(PHOTO)
    for seed in SEEDS[:5]:
        before = in_turn(steps, image, seed)
        after = in_turn([*steps, Flip(horizontal=1.0)], image, seed)
        np.testing.assert_array_equal(before.numpy()[:, ::-1], after)
