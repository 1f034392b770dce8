"""RandAugment: names as timm reads them, and draws that depend on the image's seed alone."""

import functools
import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.training import levels
from resnet_layers.training.chance import ColorJitter, Flip, RandomErasing, in_turn
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.policies import RandAugment, parse
from tests.data.augmentation.generate import images
from tests.training.test_operations import READ

SEEDS = np.stack([np.arange(6000), np.full(6000, 3)], axis=1)


def draws(name: str) -> tuple[Any, Any, Any]:
    """Of 6000 seeds: numbers of operations, levels and signs, (6000, n) each."""
    dataset = tf.data.Dataset.from_tensor_slices(SEEDS).map(RandAugment(name).draw).batch(6000)
    numbers, strengths, signs = (part.numpy() for part in next(iter(dataset)))
    return numbers, strengths, signs


@pytest.mark.parametrize("name", READ["policies"])
def test_names_mean_what_they_mean_to_timm(name: str) -> None:
    theirs, ours = READ["policies"][name], parse(name)
    assert list(ours.names) == theirs["names"]
    if theirs["weights"] is None:
        assert ours.weights is None
    else:
        shares = np.array(ours.weights) / sum(ours.weights or ())
        np.testing.assert_allclose(shares, theirs["weights"], rtol=1e-12)
    assert str(ours.deviation) == theirs["deviation"]
    for field in ("number", "magnitude", "highest", "probability"):
        assert getattr(ours, field) == theirs[field]


def chi_square(counts: Any, expected: Any) -> float:
    """In standard deviations over its mean."""
    free = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - free) / math.sqrt(2 * free))


@pytest.mark.parametrize("name", ["rand-m9-mstd0.5-inc1", "rand-m6-n3-p0.8-t3a"])
def test_operations_are_drawn_for_each_image_equally_often(name: str) -> None:
    policy = parse(name)
    numbers, _, signs = draws(name)
    count = len(policy.names)
    idle = numbers == count
    assert abs(idle.mean() - (1 - policy.probability)) < 0.015
    for place in range(policy.number):
        found = np.bincount(numbers[:, place], minlength=count + 1)[:count]
        assert chi_square(found, found.sum() / count) < 4
    # Places of an image are independent: as many pairs are equal as of two dice.
    both = ~idle[:, :2].any(1)
    equal = numbers[both, 0] == numbers[both, 1]
    assert abs(equal.mean() - 1 / count) < 4 * math.sqrt(1 / count / both.sum())
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.03


@pytest.mark.share(2)
@pytest.mark.parametrize("name", ["rand-n2-p1-tweights", "rand-n3-p1-t3aw"])
def test_weighted_operations_come_once_and_as_often_as_numpy_draws_them(name: str) -> None:
    policy = parse(name)
    numbers, _, _ = draws(name)
    assert all(len(set(row)) == policy.number for row in numbers)
    shares = np.array(policy.weights) / sum(policy.weights or ())
    rng = np.random.default_rng(0)
    theirs = [rng.choice(len(shares), policy.number, replace=False, p=shares) for _ in range(18000)]
    expected = np.bincount(np.ravel(theirs), minlength=len(shares)) / 3
    assert chi_square(np.bincount(numbers.ravel(), minlength=len(shares)), expected) < 4
    first = np.bincount(numbers[:, 0], minlength=len(shares))
    assert chi_square(first, shares * len(numbers)) < 4


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "highest"),
    [
        ("rand-m9", 9.0, 0.0, 9.0),
        ("rand-m12", 10.0, 0.0, 10.0),  # cut, as by timm
        ("rand-m15-mstd0.5-mmax20", 15.0, 0.5, 20.0),
        ("rand-m8-mstd101", 4.0, 8 / math.sqrt(12), 8.0),
    ],
)
def test_levels_are_distributed_as_named(
    name: str, mean: float, deviation: float, highest: float
) -> None:
    numbers, strengths, signs = draws(name)
    if deviation:  # levels say nothing of signs and operations, nor of one another
        parts = [*strengths.T, *signs.T, *numbers.T]
        assert np.abs(np.corrcoef(parts) - np.eye(len(parts))).max() < 0.05
    assert abs(strengths.mean() - mean) < 0.06
    assert abs(strengths.std() - deviation) < 0.03
    assert 0.0 <= strengths.min() <= strengths.max() <= highest


def test_what_was_drawn_is_computed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str, operation: levels.Operation) -> levels.Operation:
        def function(*args: Any) -> Any:
            calls[name] += 1
            return operation.function(*args)

        return operation._replace(function=function)

    for name, operation in levels.OPERATIONS.items():
        monkeypatch.setitem(levels.OPERATIONS, name, counted(name, operation))
    augment = RandAugment("rand-m6-mstd2-n3", fill=(7, 8, 9))
    image = tf.constant(images()["photo"])
    for seed in SEEDS[:20]:
        expected = image
        drawn: Counter[str] = Counter()
        for number, level, sign in zip(*augment.draw(seed), strict=True):
            if number < 15:
                name = augment.policy.names[number]
                expected = levels.OPERATIONS[name].apply(expected, level, sign, (7, 8, 9))
                drawn[name] += 1
        calls.clear()
        np.testing.assert_array_equal(augment(image, seed), expected)
        assert calls == drawn


STEPS: dict[str, Any] = {
    "rand": RandAugment("rand-m9-mstd0.5-inc1-n3-p0.9"),
    "3aw": RandAugment("rand-m7-mstd0.5-t3aw-p1", fill=(1, 2, 3)),
    "flip": Flip(0.5, 0.5),
    "jitter": ColorJitter(jitter=0.8, grey=0.3, blur=0.5),
    "erase": RandomErasing(0.9, count=2, mean=(100.0, 90.0, 80.0), std=(40.0, 50.0, 60.0)),
}


def augmented(image: Any, seed: Any) -> Any:
    return in_turn([STEPS[name] for name in ("rand", "flip", "jitter", "erase")], image, seed)


def mixed(images: Any, labels: Any, seed: Any) -> Any:
    return Mixing(mixup=0.8, cutmix=1.0, mode="pair")(images, labels, seed)


@functools.cache
def in_parallel() -> tuple[Any, Any]:
    """What a parallel pipeline makes of copies of an image, each with its seed, and of pairs."""
    image = tf.constant(images()["photo"])
    dataset = tf.data.Dataset.from_tensor_slices(SEEDS[:20])
    dataset = dataset.map(lambda seed: augmented(image, seed), num_parallel_calls=4).batch(5)
    dataset = tf.data.Dataset.zip(dataset, tf.data.Dataset.from_tensor_slices(SEEDS[:4]))
    rows = tf.one_hot(tf.range(5), 5)
    dataset = dataset.map(lambda images, seed: (images, *mixed(images, rows, seed)))
    pixels, mixtures, labels = zip(*dataset, strict=True)
    return np.concatenate(pixels), (np.concatenate(mixtures), np.concatenate(labels))


def digest() -> str:
    pixels, (mixtures, labels) = in_parallel()
    whole = hashlib.sha256(pixels.tobytes() + mixtures.tobytes())
    return f"{whole.hexdigest()} {np.round(labels, 5).sum(0).round(3).tolist()}"


@pytest.mark.share(6)
def test_equal_seeds_give_equal_pixels_everywhere() -> None:
    image = tf.constant(images()["photo"])
    pixels, (mixtures, labels) = in_parallel()
    assert len({one.tobytes() for one in pixels}) == 20
    in_graph = tf.function(augmented)
    for number, (seed, found) in enumerate(zip(tf.constant(SEEDS[:8]), pixels, strict=False)):
        np.testing.assert_array_equal(in_graph(image, seed), found)
        if number < 2:
            np.testing.assert_array_equal(augmented(image, seed), found)
    batches = zip(*(np.split(part, 4) for part in (pixels, mixtures, labels)), strict=True)
    for seed, (before, after, rows) in zip(SEEDS, batches, strict=False):
        found, shares = mixed(tf.constant(before), tf.one_hot(tf.range(5), 5), seed)
        np.testing.assert_array_equal(found, after)
        np.testing.assert_array_equal(shares, rows)


@pytest.mark.slow
@pytest.mark.share(2)
def test_equal_seeds_give_equal_pixels_on_jax() -> None:
    code = "from tests.training.test_policies import digest; print(digest())"
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.splitlines()[-1:] == [digest()], process.stderr


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_what_a_step_makes_does_not_depend_on_the_image_beside(step: Any) -> None:
    """Nor on how often it was called: a value is a function, and equal values are equal."""
    few = tf.constant(images()["few"])
    before = step(images()["few"], (5, 6)).numpy()  # of an array as of a tensor
    step(tf.constant(images()["photo"]), (7, 8))
    np.testing.assert_array_equal(step(few, (5, 6)), before)
    assert hash(step) == hash(type(step)(**vars(step)))
    assert before.dtype == np.uint8
