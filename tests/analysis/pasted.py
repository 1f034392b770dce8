"""Digits pasted at random places: images of which it is known where the answer is."""

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

import resnet_layers as rl

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
