"""Recipes: that each builds and takes a step, and that their parts are what they say."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training import making, schedules
from resnet_layers.training.averages import recalibrate
from resnet_layers.training.chance import ColorJitter, Flip, RandomErasing
from resnet_layers.training.crops import PadAndCrop, RandomResizedCrop
from resnet_layers.training.labels import BinaryCrossentropy
from resnet_layers.training.making import make_batches, make_loss, make_optimizer
from resnet_layers.training.policies import RandAugment
from resnet_layers.training.recipes import (
    LOSSES,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    Recipe,
)
from tests.support.randomize import randomize
from tests.support.uncompiled import uncompiled
from tests.training.test_batches import labelled, picture

PREPARE = for_squares(16, (124.0, 116.0, 104.0), (58.0, 57.0, 57.0))
IMAGES = labelled([picture(24, 32, i) for i in range(6)])


def network(**overrides: Any) -> rl.ResNet:
    stem = rl.Stem(4, kernel_size=3, pooling=None)
    return rl.ResNet(stem, [rl.ResNetStage(4, 2, **overrides)], rl.ClassifierHead(3))


@pytest.mark.share(8)
@pytest.mark.parametrize("name", RECIPES)
@uncompiled()
def test_every_recipe_builds_and_takes_a_step(name: str) -> None:
    recipe = RECIPES[name]
    batches = make_batches(recipe, IMAGES, PREPARE, 3, seed=0)
    model = network(drop_path=recipe.drop_path)
    model.compile(
        make_optimizer(recipe, recipe.rate(3), len(batches)), make_loss(recipe, from_logits=True)
    )
    before = model.get_weights()
    logs = model.fit(
        batches.dataset(), steps_per_epoch=len(batches), epochs=1, shuffle=False, verbose=0
    )
    assert math.isfinite(logs.history["loss"][0])
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.share(6)
def test_every_field_of_a_recipe_reaches_what_is_made_of_it() -> None:
    recipe = Recipe(
        source="nowhere",
        epochs=3,
        batch_size=3,
        learning_rate=0.5,
        optimizer="adamw",
        weight_decay=0.25,
        global_clipnorm=0.75,
        warmup=0.0,
        scale=(0.25, 0.75),
        padding=1 / 8,
        padding_mode="edge",
        flip=0.25,
        augment="rand-m3",
        jitter=0.5,
        erasing=0.125,
        repeats=2,
        mixup=0.5,
        cutmix=0.75,
        smoothing=0.0625,
        loss="sigmoid",
        ema=0.875,
        accumulate=2,
    )
    batches = make_batches(recipe, IMAGES, PREPARE, 3, seed=7, size=24, class_weight={0: 2.0})
    assert batches.augment == (
        PadAndCrop(3, "edge"),
        Flip(0.25),
        RandAugment("rand-m3", (124, 116, 104)),
        ColorJitter(0.5, 0.5, 0.5),
        RandomErasing(0.125, mean=(124.0, 116.0, 104.0), std=(58.0, 57.0, 57.0)),
    )
    assert (batches.seed, batches.repeats, batches.class_weight) == (7, 2, {0: 2.0})
    assert batches.batch(0, 0)[0].shape == (3, 24, 24, 3)
    assert batches._decoding.crop == RandomResizedCrop(24, (0.25, 0.75))
    assert batches.mixing is not None
    assert (batches.mixing.mixup, batches.mixing.cutmix) == (0.5, 0.75)
    loss = make_loss(recipe, from_logits=True)
    assert isinstance(loss, BinaryCrossentropy)
    assert loss.smoothing == 0.0625
    optimizer: Any = make_optimizer(recipe, 0.5, 12)
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.25, 0.75)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.875**0.5)
    assert optimizer.gradient_accumulation_steps == 2
    rates = [float(optimizer._learning_rate(step)) for step in (0, 6, 12)]
    np.testing.assert_allclose(rates, [0.5, 0.25, 0.0], atol=1e-7)
    plain = dataclasses.replace(recipe, mixup=0.0, cutmix=0.0, augment=None, erasing=0.0)
    assert make_batches(plain, IMAGES, PREPARE, 3, seed=7).mixing is None


def test_names_of_recipes_are_those_that_something_is_made_of() -> None:
    """They are there before Keras is, which what they name needs."""
    assert tuple(making.OPTIMIZERS) == OPTIMIZERS
    assert tuple(schedules.SCHEDULES) == SCHEDULES
    assert tuple(making.LOSSES) == LOSSES
    for precision in PRECISIONS[1:]:
        keras.dtype_policies.get(f"mixed_{precision}")


def test_rates_suit_the_batch() -> None:
    sgd = RECIPES["cifar"]
    assert sgd.rate(128) == 0.1
    assert sgd.rate(32) == pytest.approx(0.025)
    assert dataclasses.replace(sgd, accumulate=4).rate(32) == 0.1
    assert RECIPES["a2"].rate(512) == pytest.approx(2.5e-3)


def test_images_grow_as_they_did_for_ffcv() -> None:
    """Sizes of each epoch by its `get_resolution`, which interpolates and rounds to 32."""
    recipe = RECIPES["ffcv16"]
    sizes = [recipe.size_in(epoch, 16, 192) for epoch in range(16)]
    assert sizes == [160] * 12 + [192] * 4
    assert [recipe.size_in(epoch, 16, 256) for epoch in range(16)] == [
        *[160] * 12,
        192,
        *[256] * 3,
    ]
    odd = dataclasses.replace(recipe, grow_from=48)
    assert [odd.size_in(epoch, 16, 104) for epoch in range(10, 15)] == [48, 48, 64, 104, 104]
    assert {odd.size_in(epoch, 16, 40) for epoch in range(16)} == {40}
    assert {RECIPES["a3"].size_in(epoch, 4, 100) for epoch in range(4)} == {100}
    at_once = dataclasses.replace(recipe, grow=(0.5, 0.5))
    assert [at_once.size_in(epoch, 4, 192) for epoch in range(4)] == [160, 160, 192, 192]


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_schedules_rise_in_a_line_and_fall_as_their_name_says(warmup: float) -> None:
    steps, rising = 80, int(80 * warmup)
    made = {name: schedules.SCHEDULES[name](2.0, steps, warmup) for name in SCHEDULES}
    rates = {
        name: np.array([float(schedule(step)) for step in range(steps + 1)])
        for name, schedule in made.items()
    }
    for name, values in rates.items():
        assert values[rising] == pytest.approx(2.0), name
        assert np.all(np.diff(values[rising:]) <= 1e-7), name
        assert np.all(np.diff(values[:rising]) > 0), name
        again = type(made[name]).from_config(made[name].get_config())
        assert float(again(7)) == pytest.approx(values[7])
    share = np.linspace(0.0, 1.0, steps - rising + 1)
    np.testing.assert_allclose(rates["linear"][rising:], 2.0 * (1.0 - share), atol=1e-6)
    cosine = 1.0 + np.cos(np.pi * share)
    np.testing.assert_allclose(rates["cosine"][rising:], cosine, atol=1e-6)
    assert rates["steps"][39] == pytest.approx(2.0)
    assert rates["steps"][41:60] == pytest.approx(0.2)
    assert rates["steps"][61:] == pytest.approx(0.02)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_loss_is_a_question_for_each_class(smoothing: float) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    labels = np.array([0, 3, 4, 1])
    rows = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    expected = -(rows * np.log(p) + (1 - rows) * np.log(1 - p)).mean()
    loss = BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    again = BinaryCrossentropy.from_config(loss.get_config())
    for one in (loss, again):
        assert float(one(labels, logits)) == pytest.approx(expected, rel=1e-5)
        assert float(one(np.eye(5)[labels], logits)) == pytest.approx(expected, rel=1e-5)


def test_recalibrated_statistics_are_the_means_over_the_batches() -> None:
    model = randomize(network())
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(4, 16, 16, 3)).astype("float32") for _ in range(3)]
    inner = {layer.name: layer for layer in model.stem._flatten_layers()}
    norm, convolution = inner["normalization"], inner["convolution"]
    frozen = model.stages[0]
    frozen.trainable = False
    kept = [np.array(weight) for weight in frozen.weights]
    momentum = norm.momentum
    assert recalibrate(model, images) == 3
    assert norm.momentum == momentum
    for before, after in zip(kept, frozen.weights, strict=True):
        assert np.array_equal(before, after)
    padded = [np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]) for x in images]  # as the stem does it
    convolved = [keras.ops.convert_to_numpy(convolution(x)) for x in padded]
    means = np.mean([x.mean((0, 1, 2)) for x in convolved], 0)
    variances = np.mean([x.var((0, 1, 2)) for x in convolved], 0)
    np.testing.assert_allclose(norm.moving_mean, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variances, rtol=1e-3)
    assert recalibrate(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), []) == 0


@pytest.mark.share(6)
@uncompiled()
def test_the_rate_falls_over_all_steps_also_where_gradients_add_up() -> None:
    """Keras asks the schedule at each step, and not at each update."""
    recipe = dataclasses.replace(RECIPES["digits"], accumulate=3, warmup=0.0)
    model = network()
    model.compile(make_optimizer(recipe, 1.0, 12), make_loss(recipe, from_logits=True))
    rates: list[float] = []
    noted = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_, **__: rates.append(float(model.optimizer.learning_rate))
    )
    batches = make_batches(recipe, IMAGES, PREPARE, 1, seed=0)
    model.fit(
        batches.dataset(),
        steps_per_epoch=6,
        epochs=2,
        callbacks=[noted],
        shuffle=False,
        verbose=0,
    )
    expected = (1.0 + np.cos(np.pi * np.arange(12) / 12)) / 2
    np.testing.assert_allclose(rates, expected, atol=1e-6)
