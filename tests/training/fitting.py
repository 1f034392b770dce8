"""A small training, for tests of `train` and of what it refuses."""

import dataclasses
from typing import Any

import numpy as np

import resnet_layers as rl
from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.recipes import Recipe

RECIPE = Recipe(source="nowhere", epochs=2, batch_size=8, learning_rate=0.1, scale=(0.5, 1.0))
PREPARE = for_squares(8, (127.5,) * 3, (64.0,) * 3)


def coloured(number: int = 30, classes: int = 3) -> Labelled:
    """Images of each class in a colour of its own, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % classes
    pixels = (
        rng.integers(0, 90, (number, 9, 9, 3)) + 160 * np.eye(3, dtype=int)[labels][:, None, None]
    )
    return Labelled(
        kind="folder",
        title="colours",
        sources=list(pixels.astype(np.uint8)),
        labels=labels,
        class_names=[f"class {i}" for i in range(classes)],
        names=[str(i) for i in range(number)],
    )


def network(classes: int = 3, **keywords: Any) -> rl.ResNet:
    """One that trains in no time."""
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    stages = [rl.ResNetStage(4, 1), rl.ResNetStage(8, 1, strides=2)]
    return rl.ResNet(
        stem, stages, rl.ClassifierHead(classes), input_shape=(None, None, 3), **keywords
    )


def settings(recipe: dict[str, Any] | None = None, **given: Any) -> training.Settings:
    """What trains it."""
    usual = {
        "model": network(),
        "images": coloured(),
        "prepare": PREPARE,
        "recipe": dataclasses.replace(RECIPE, **(recipe or {})),
    }
    return training.Settings(**{**usual, **given})
