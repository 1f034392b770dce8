"""Mixup and cutmix: what they mix, in which shares, and labels in the same ones."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from resnet_layers.training.mixing import MODES, Mixing, smoothed, weighted

SEEDS = [(number, 23) for number in range(400)]
ROWS = np.eye(6, dtype="float32")


def batch(number: int = 6, height: int = 12, width: int = 17) -> Any:
    """Image i is of ones in channel i alone, so that mixtures tell their shares."""
    pixels = np.eye(number, dtype="float32")[:, None, None, :]
    return np.broadcast_to(pixels, (number, height, width, number)).copy()


def mixtures(mix: Mixing, number: int = 6, times: int = 400) -> tuple[Any, Any]:
    images, rows = tf.constant(batch(number)), tf.one_hot(tf.range(number), number)
    anything = [tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 2), tf.TensorSpec(2, tf.int32)]
    in_graph = tf.function(mix.__call__, input_signature=anything)
    made = [in_graph(images, rows, tf.constant(seed)) for seed in SEEDS[:times]]
    images, rows = (np.stack([one[part].numpy() for one in made]) for part in (0, 1))
    return images, rows


@pytest.mark.share(8)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("alphas", [(0.2, 0.0), (0.0, 1.0), (0.8, 1.0)])
@pytest.mark.parametrize("number", [6, 5])
def test_labels_are_mixed_as_pixels_are(
    mode: str, alphas: tuple[float, float], number: int
) -> None:
    """By a law that holds for both: shares of channels are shares of images."""
    images, rows = mixtures(Mixing(*alphas, mode=mode), number, times=40)
    np.testing.assert_allclose(images.mean((2, 3)), rows, atol=1e-5)
    np.testing.assert_allclose(rows.sum(-1), 1.0, atol=1e-6)
    for i in range(number):  # with the image at the other end, and no other
        others = [j for j in range(number) if j not in (i, number - 1 - i)]
        assert not images[:, i][..., others].any()


@pytest.mark.share(3)
@pytest.mark.parametrize("mode", MODES)
def test_what_draws_for_itself_has_its_own_share(mode: str) -> None:
    _, rows = mixtures(Mixing(mixup=1.0, mode=mode), times=20)
    kept = np.array([[row[i, i] for i in range(6)] for row in rows])
    different = [len(set(np.round(one, 5))) for one in kept]
    assert set(different) == {{"batch": 1, "pair": 3, "elem": 6}[mode]}
    if mode == "pair":
        np.testing.assert_array_equal(kept[:, :3], kept[:, :2:-1])


@pytest.mark.share(4)
@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0])
def test_mixup_has_the_distribution_of_the_article(alpha: float) -> None:
    _, rows = mixtures(Mixing(mixup=alpha, mode="pair"))
    shares = rows[:, [0, 1, 2], [0, 1, 2]].ravel().astype("float64")
    assert np.isfinite(shares).all()
    if alpha >= 0.2:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001
    assert abs(shares.mean() - 0.5) < 0.06
    np.testing.assert_allclose(shares.std(), stats.beta(alpha, alpha).std(), atol=0.03)


@pytest.mark.share(6)
def test_cutmix_is_one_rectangle_of_whole_pixels_with_the_share_of_the_article() -> None:
    mix = Mixing(cutmix=1.0)
    images, rows = tf.constant(batch(2, 300, 200)), tf.constant(np.eye(2, dtype="float32"))
    in_graph = tf.function(lambda seed: mix(images, rows, seed))
    whole, shares = [], []
    for seed in SEEDS:
        mixed, labels = in_graph(tf.constant(seed))
        cut = mixed.numpy()[0, :, :, 1]
        assert set(np.unique(cut)) <= {0.0, 1.0}
        rows_, columns = cut.any(1), cut.any(0)
        height, width = rows_.sum(), columns.sum()
        assert cut.sum() == height * width
        assert float(labels[0, 0]) == pytest.approx(1 - height * width / (300 * 200), abs=1e-6)
        shares.append(height * width)
        ends = rows_[0] or rows_[-1] or columns[0] or columns[-1]
        if not ends and width:  # not cut off by the border, so of the image's shape
            least, most = height / 300, (height + 1) / 300  # of its share of both sides
            assert max(least, width / 200) < min(most, (width + 1) / 200)
            whole.append(height * width)
    assert len(whole) > 50
    # By simulation of timm's `rand_bbox`, whose rectangles are cut off at the border as well.
    rng = np.random.default_rng(5)
    theirs = [timm_area(rng, 300, 200) for _ in range(4000)]
    assert stats.ks_2samp(shares, theirs).pvalue > 0.001


def timm_area(rng: np.random.Generator, height: int, width: int) -> int:
    """Of timm's `rand_bbox`, with the article's alpha."""
    ratio = np.sqrt(1 - rng.beta(1.0, 1.0))
    area = 1
    for size in (height, width):
        length, centre = int(size * ratio), int(rng.integers(0, size))
        first, last = centre - length // 2, centre + (length + 1) // 2
        area *= int(np.clip(last, 0, size) - np.clip(first, 0, size))
    return area


@pytest.mark.share(6)
def test_switch_and_chance_are_shares_of_batches() -> None:
    images, _ = mixtures(Mixing(mixup=4.0, cutmix=1.0, chance=0.6, switch=0.25))
    alone = np.array([one[0, ..., 0].min() == 1.0 for one in images])
    mixed = np.array([0 < one[0, ..., 0].max() < 0.999 for one in images])
    assert abs(alone.mean() - 0.4) < 0.08
    assert abs(mixed.mean() - 0.6 * 0.75) < 0.08


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16", "bfloat16"])
def test_images_and_labels_keep_their_types(dtype: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 5, 6, 3))
    exact, labels = Mixing(mixup=1.0)(tf.constant(pixels, "float32"), tf.eye(4), (1, 2))
    images, rows = Mixing(mixup=1.0)(tf.cast(pixels, dtype), tf.cast(tf.eye(4), "float16"), (1, 2))
    assert images.dtype == dtype
    assert rows.dtype == "float16"
    apart = np.abs(tf.cast(images, "float32").numpy() - exact.numpy()).max()
    assert apart <= {"uint8": 0.5, "float32": 0.0, "float16": 0.1, "bfloat16": 1.0}[dtype]
    np.testing.assert_allclose(rows, labels, atol=1e-3)


def test_without_alphas_nothing_is_mixed() -> None:
    images, rows = mixtures(Mixing(), times=2)
    assert (images == batch()).all()
    assert (rows == ROWS).all()


def test_smoothing_is_that_of_keras_and_timm() -> None:
    np.testing.assert_allclose(smoothed(ROWS, 0.1), ROWS * 0.9 + 0.1 / 6, rtol=1e-6)
    several = np.array([[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(smoothed(several, 0.2, several=True), [[0.9, 0.1, 0.9]])
    np.testing.assert_allclose(smoothed(several.T, 0.2), [[0.9], [0.1], [0.9]])


def test_weights_are_mixed_as_labels_are() -> None:
    mixed = np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]], "float32")
    np.testing.assert_allclose(weighted(mixed, {0: 4.0, 2: 3.0}), [1.75, 3.0])
    np.testing.assert_allclose(weighted(mixed[:, :1], {1: 5.0}), [2.0, 1.0])
