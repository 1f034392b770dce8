"""Digits pasted at random places: images of which it is known where the answer is.

`python -m tests.analysis.pasted` writes the table of docs/heatmaps.md.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
from scipy import stats
from sklearn.datasets import load_digits

import resnet_layers as rl
from resnet_layers.analysis.heatmaps.maps import Method
from resnet_layers.analysis.studies.results import Interval

SIDE, DIGIT, CELL = 32, 8, 2  # pixels of an image, of a digit, and of a cell of the last map


def images(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Digits among their own pixels in disorder: images, classes, left upper corners, (N, 2).

    Since all places are equally bright, a network that has learnt nothing has no reason to look at
    the digit.
    """
    rng, digits = np.random.default_rng(seed), load_digits()
    chosen = rng.integers(0, len(digits.images), count)
    corners = rng.integers(0, SIDE - DIGIT + 1, (count, 2))
    found = rng.choice(digits.images.ravel() / 16, (count, SIDE, SIDE)).astype("float32")
    for image, i, (top, left) in zip(found, chosen, corners, strict=True):
        image[top : top + DIGIT, left : left + DIGIT] = digits.images[i] / 16
    pixels = np.repeat((found[..., None] - 0.3) / 0.38, 3, -1)
    return pixels, digits.target[chosen], corners


def network(seed: int) -> rl.ResNet:
    """With fresh weights; a cell of the last map is 2×2 pixels."""
    keras.utils.set_random_seed(seed)
    stages = [rl.ResNetStage(16, 1), rl.ResNetStage(32, 1, strides=2), rl.ResNetStage(64, 1)]
    return rl.ResNet(
        rl.Stem(16, kernel_size=3, strides=1, pooling=None), stages, rl.ClassifierHead(10)
    )


def train(model: rl.ResNet, count: int = 3000, epochs: int = 8) -> None:
    """With images of another seed than any test has."""
    steps = -(-count // 64)
    pixels, labels, _ = images(count, seed=12345)
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps * epochs)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(pixels, labels, batch_size=64, epochs=epochs, verbose=0)


def share_inside(maps: Any, corners: Any) -> tuple[Any, Any]:
    """The share of each map in the box of its digit, widened by a cell, and of the area in it."""
    masses, areas = [], []
    for one, (top, left) in zip(maps, corners, strict=True):
        box = [slice(max(at - CELL, 0), at + DIGIT + CELL) for at in (top, left)]
        masses.append(one[*box].sum() / max(one.sum(), 1e-9))
        areas.append(one[*box].size / one.size)
    return np.array(masses), np.array(areas)


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a network and a method, with intervals of 95 %.

    Args:
        times: How many times its share of the area the mass in the box is.
        margin: Half of its interval, by Student's t.
        passed: The share of maps that certificates accept.
        between: Its interval, Wilson's.
    """

    times: float
    margin: float
    passed: float
    between: tuple[float, float]


def tried(model: rl.ResNet, method: Method, count: int = 200) -> Found:
    """Maps of images that the network has not seen, and their certificates."""
    pixels, _, corners = images(count, seed=1)
    maps, certificates = rl.grad_cam(model, pixels, None, "stage3", method=method, certificate=True)
    masses, areas = share_inside(maps, corners)
    times = masses.mean() / areas.mean()
    passed = sum(one.passes for one in certificates)
    low, high = stats.binomtest(passed, count).proportion_ci(method="wilson")
    # Of a quotient of means, whose parts vary together.
    margin = Interval.of(list(masses - times * areas)).margin / areas.mean()
    return Found(float(times), float(margin), passed / count, (float(low), float(high)))


def row(method: str, trained: Found, fresh: Found) -> str:
    """A line of the table; certificates should accept the one's maps and reject the other's."""
    (low, high), (least, most) = trained.between, fresh.between
    cells = [
        f'`"{method}"`',
        f"{trained.passed:.1%} ({low:.1%} to {high:.1%})",
        f"{1 - fresh.passed:.1%} ({1 - most:.1%} to {1 - least:.1%})",
        *(f"{one.times:.2f} ± {one.margin:.2f}" for one in (trained, fresh)),
    ]
    return f"| {' | '.join(cells)} |".replace("%", " %")


def main() -> None:
    """Trains a network, and prints a line for each method."""
    trained, fresh = network(0), network(5)
    train(trained)
    names: list[Method] = ["grad_cam", "grad_cam++", "hires_cam"]
    for name in names:
        print(row(name, tried(trained, name), tried(fresh, name)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
