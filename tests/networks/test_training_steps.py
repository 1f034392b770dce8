"""Training: statistics, freezing, precision, seeds, callbacks."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.randomize import (
    assert_same_weights,
    images,
    randomize,
    relative_difference,
    statistics,
    value,
)
from tests.support.uncompiled import uncompiled

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def tiny(**overrides: Any) -> rl.ResNet:
    return rl.ResNet.from_variant(
        "cifar_resnet20",
        classes=4,
        blocks=(1, 1),
        filters=(8, 16),
        stem={"filters": 8},
        **overrides,
    )


def four_colours(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of four visibly different classes, with noise."""
    rng = np.random.default_rng(seed)
    colours = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]], "float32")
    labels = np.arange(n) % 4
    noise = 0.5 * rng.standard_normal((n, 16, 16, 3))
    return (colours[labels][:, None, None] + noise).astype("float32"), labels


@pytest.mark.slow
@pytest.mark.share(2)
def test_evaluation_agrees_with_training_accuracy_at_the_default_momentum() -> None:
    x, y = four_colours(64)
    model = tiny()
    model.compile("adam", LOSS, metrics=["accuracy"])
    history = model.fit(x, y, epochs=12, batch_size=16, verbose=0).history
    _, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy >= 0.95
    assert abs(accuracy - history["accuracy"][-1]) <= 0.05


def test_frozen_batch_normalization_keeps_statistics_while_kernels_learn() -> None:
    model = randomize(tiny(normalization="frozen_batch"))
    assert model.get_config()["stages"][0]["config"]["style"]["normalization"] == "frozen_batch"
    x, y = four_colours(8)
    np.testing.assert_array_equal(value(model(x, training=True)), value(model(x, training=False)))
    model.compile("sgd", LOSS)
    frozen = {"gamma", "beta", "moving_mean", "moving_variance"}
    before = {v.path: value(v).copy() for v in model.weights}
    model.fit(x, y, epochs=1, verbose=0)
    for variable in model.weights:
        changed = (value(variable) != before[variable.path]).any()
        assert changed == (variable.name not in frozen), variable.path


def test_frozen_stage_is_untouched_by_ten_steps() -> None:
    model = randomize(tiny())
    model.stages[0].trainable = False
    before = model.stages[0].get_weights()
    others = model.stages[1].get_weights()
    x, y = four_colours(40)
    model.compile("sgd", LOSS)
    model.fit(x, y, batch_size=4, verbose=0)
    for a, b in zip(before, model.stages[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((a != b).any() for a, b in zip(others, model.stages[1].get_weights(), strict=True))


@pytest.mark.share(6)
def test_fit_moves_every_statistic_and_evaluate_none() -> None:
    model = randomize(tiny())
    x, y = four_colours(8)
    model.compile("sgd", LOSS)
    before = statistics(model)
    model.fit(x, y, verbose=0)
    after = statistics(model)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    for a, b in zip(after, statistics(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_of_one_image_and_of_one_pixel_stay_finite() -> None:
    model = tiny()
    x, y = four_colours(4)
    model.compile("sgd", LOSS)
    loss = model.fit(x, y, batch_size=1, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    pixel = rl.ConvNorm(3, 1, activation=None)
    beta = value(pixel(images(1, 1, 1, 3), training=True))
    np.testing.assert_allclose(beta, value(pixel.normalization.beta)[None, None, None], atol=1e-5)
    for model_or_layer in (model, pixel):
        assert all(np.isfinite(v).all() for v in map(value, model_or_layer.weights))
    assert all((value(v) >= 0).all() for v in model.weights if v.name == "moving_variance")


@pytest.mark.share(2)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_on_raw_images(policy: str) -> None:
    model = tiny(dtype=policy, epsilon=1e-9)
    x, y = four_colours(16)
    x = np.clip(128 + 100 * x, 0, 255)  # raw pixels
    x[..., 2] = 7  # a constant channel
    model.compile("sgd", LOSS)
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {v.dtype for v in model.weights} == {"float32"}
    assert all(np.isfinite(value(v)).all() for v in model.weights)
    assert model(x).dtype == "float32"


def test_mixed_precision_output_is_near_the_exact_one() -> None:
    exact = randomize(tiny())
    half = tiny(dtype="mixed_float16")
    half.set_weights(exact.get_weights())
    x = images(4, 16, 17, 3)
    assert relative_difference(half(x), exact(x)) < 2e-2


@pytest.mark.slow
@pytest.mark.share(2)
def test_runs_repeat_with_the_seed_and_differ_with_another() -> None:
    def run(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        model = tiny(head={"dropout": 0.5})
        model.compile("sgd", LOSS)
        model.fit(*four_colours(16), epochs=2, batch_size=8, verbose=0)
        return model.get_weights()

    first, again, other = run(1), run(1), run(2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("attention", ["se", "eca"])
@pytest.mark.parametrize("shortcut", ["B", "D"])
def test_regularizer_adds_the_penalty_of_every_kernel(attention: str, shortcut: str) -> None:
    options = {"attention": attention, "shortcut": shortcut, "head": {"hidden_units": 4}}
    model = tiny(kernel_regularizer=keras.regularizers.L2(0.01), **options)
    kernels = [v for v in model.weights if v.name == "kernel"]
    assert {v.regularizer is None for v in kernels} == {False}
    expected = sum(0.01 * float((value(v) ** 2).sum()) for v in kernels)
    model(images(1, 8, 8, 3))
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_zero_init_last_zeroes_one_scale_in_each_block_and_learns_it() -> None:
    model = tiny(zero_init_last=True, shortcut="B")
    scales = {v.path: v for v in model.weights if v.name == "gamma"}
    zeros = {path for path, v in scales.items() if not value(v).any()}
    assert zeros == {path for path in scales if "conv2/" in path}
    assert all((value(v) == 1).all() for path, v in scales.items() if path not in zeros)
    model.compile("sgd", LOSS)
    model.fit(*four_colours(8), verbose=0)
    assert all(value(scales[path]).any() for path in zeros)


@pytest.mark.slow
@pytest.mark.share(2)
@uncompiled()
def test_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    x, y = four_colours(16)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    def run(folder: Path, *callbacks: Any) -> rl.ResNet:
        keras.utils.set_random_seed(3)
        model = tiny()
        model.compile("adam", LOSS)
        backup = keras.callbacks.BackupAndRestore(folder)
        # The backup of an epoch is written before the interruption at its end.
        model.fit(x, y, epochs=4, shuffle=False, verbose=0, callbacks=[backup, *callbacks])
        return model

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", Stop())
    resumed = run(tmp_path / "stopped")
    assert_same_weights(resumed.optimizer.variables, whole.optimizer.variables)
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.share(2)
def test_averaged_weights_lie_between_start_and_end() -> None:
    model = tiny()
    start = [value(v).copy() for v in model.trainable_variables]
    # One step, since more of them need not go one way.
    model.compile(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5), LOSS)
    model.train_on_batch(*four_colours(16))
    end = [value(v).copy() for v in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for first, last, variable in zip(start, end, model.trainable_variables, strict=True):
        low, high = np.minimum(first, last), np.maximum(first, last)
        assert ((low <= value(variable)) & (value(variable) <= high)).all(), variable.path
    assert any((a != value(v)).any() for a, v in zip(start, model.trainable_variables, strict=True))


def test_dropout_of_the_head_acts_in_training_alone() -> None:
    head = rl.ClassifierHead(3, dropout=0.5)
    features = np.ones((4, 2, 2, 64), "float32")
    inference = value(head(features))
    np.testing.assert_array_equal(value(head(features, training=False)), inference)
    training = value(head(features, training=True))
    assert (training != inference).any()
    assert (value(head(features, training=True)) != training).any()
