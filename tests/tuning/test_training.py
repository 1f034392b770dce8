"""How samples are trained: losses, metrics, optimizers, schedules, augmentation."""

import math
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from resnet_layers.training.arrays import augment
from resnet_layers.training.augmentation import Augmentation, MixUp
from resnet_layers.training.labels import CategoricalCrossentropy
from resnet_layers.training.schedules import WarmUpCosine
from resnet_layers.tuning import HyperResNet, build_model
from resnet_layers.tuning.parts import OPTIMIZERS
from tests.support.uncompiled import uncompiled
from tests.tuning.test_space import ONE

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(12, 8, 8, 3)).astype("float32")
INDICES = np.arange(12) % 3
# By task: arguments, labels, and the names of the metrics.
TASKS: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "binary": ({"classes": 1}, INDICES % 2, ["accuracy", "auc"]),
    "binary column": ({"classes": 1}, (INDICES % 2)[:, None], ["accuracy", "auc"]),
    "two classes": ({"classes": 2}, INDICES % 2, ["accuracy"]),
    "classes": ({"classes": 3}, INDICES, ["accuracy"]),
    "one-hot": ({"classes": 3}, np.eye(3)[INDICES], ["accuracy"]),
    "labels": (
        {"classes": 3, "multi_label": True},
        RNG.integers(0, 2, (12, 3)).astype("float32"),
        ["accuracy", "auc"],
    ),
}
task = pytest.mark.parametrize("name", TASKS)


def space(**changes: Any) -> HyperResNet:
    arguments = {"classes": 3, "input_shape": (8, 8, 3), **ONE, **changes}
    return HyperResNet(**arguments)


def trained(hypermodel: HyperResNet, *data: Any, **keywords: Any) -> tuple[Any, Any]:
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    return model, hypermodel.fit(hp, model, *data, **{"verbose": 0, **keywords})


@pytest.mark.share(8)
@task
@pytest.mark.parametrize("probabilities", [False, True])
def test_head_loss_and_metrics_fit_the_labels(name: str, probabilities: bool) -> None:
    arguments, labels, names = TASKS[name]
    one_of_several = arguments["classes"] > 1 and "multi_label" not in arguments
    activation = "softmax" if one_of_several else "sigmoid"
    hypermodel = space(**arguments, classifier_activation=activation if probabilities else None)
    with uncompiled() if probabilities else nullcontext():  # the names and numbers are the same
        model, history = trained(hypermodel, IMAGES, labels, validation_data=(IMAGES, labels))
    assert set(history.history) == {*names, "loss"} | {f"val_{n}" for n in (*names, "loss")}
    found = model.evaluate(IMAGES, labels, verbose=0, return_dict=True)
    outputs = model.predict(IMAGES, verbose=0).astype("float64")
    if one_of_several:
        right = outputs.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))
    else:
        right = (outputs > (0.5 if probabilities else 0.0)) == labels.reshape(outputs.shape)
    assert found["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["loss"] == pytest.approx(
        _loss(outputs, labels, one_of_several, probabilities), 1e-3
    )


def _loss(outputs: Any, labels: Any, one_of_several: bool, probabilities: bool) -> float:
    """The mean negative logarithm of the probability of what is true."""
    if one_of_several:
        rows = labels if labels.ndim == 2 else np.eye(outputs.shape[1])[labels]
        odds = outputs if probabilities else np.exp(outputs)
        return float(-np.log((odds * rows).sum(1) / odds.sum(1)).mean())
    rates = outputs if probabilities else 1 / (1 + np.exp(-outputs))
    true = labels.reshape(rates.shape)
    return float(-np.log(np.where(true == 1, rates, 1 - rates)).mean())


@pytest.mark.share(8)
@task
def test_mixup_and_shifts_train_on_any_labels(name: str) -> None:
    arguments, labels, names = TASKS[name]
    hypermodel = space(**arguments, mixup=True, augmentation="shift_flip", label_smoothing=0.1)
    model, history = trained(hypermodel, IMAGES, labels, validation_split=0.25, epochs=2)
    assert all(np.isfinite(history.history[f"val_{name}"]).all() for name in ("loss", *names))
    # What it learned on mixtures is evaluated on the labels as they are.
    expected = model.evaluate(IMAGES[9:], labels[9:], verbose=0, return_dict=True)
    assert history.history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-5)
    assert history.history["val_accuracy"][-1] == pytest.approx(expected["accuracy"])


@pytest.mark.slow
@pytest.mark.share(2)
def test_loss_and_metrics_can_be_given() -> None:
    metric = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    hypermodel = space(loss=keras.losses.SparseCategoricalCrossentropy(True), metrics=[metric])
    model, history = trained(hypermodel, IMAGES, INDICES)
    assert set(history.history) == {"loss", "top2"}
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)
    assert float(metric.result()) == 0.0  # each network has its own
    model, history = trained(space(loss="mse", classes=1, metrics=["mae"]), IMAGES, INDICES)
    error = model.evaluate(IMAGES, INDICES, verbose=0)[0]
    assert error == pytest.approx(
        np.mean((model.predict(IMAGES, verbose=0)[:, 0] - INDICES) ** 2), rel=1e-5
    )
    assert set(history.history) == {"loss", "mean_absolute_error"}


def test_label_smoothing_is_in_the_loss() -> None:
    model = build_model(
        keras_tuner.HyperParameters(), 3, (8, 8, 3), **{**ONE, "label_smoothing": 0.25}
    )
    assert isinstance(model.loss, CategoricalCrossentropy)
    assert model.loss.get_config()["label_smoothing"] == 0.25


@pytest.mark.share(8)
@pytest.mark.parametrize("reloaded", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_spares_normalization_and_biases(
    name: str, reloaded: bool, tmp_path: Path
) -> None:
    changes = {"optimizer": name, "learning_rate": 0.01, "weight_decay": 0.5, "attention": "se"}
    model = space(**changes).build(keras_tuner.HyperParameters())
    if reloaded:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    assert type(model.optimizer).__name__.lower() == name
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    zeros = [np.zeros(variable.shape, "float32") for variable in model.trainable_variables]
    model.optimizer.apply(zeros, model.trainable_variables)
    for variable in model.trainable_variables:
        kernel = "kernel" in variable.path
        # A step of LAMB is as long as the kernel, whatever its decay, where that is all of it.
        decay = 1.0 if name == "lamb" else 0.5
        expected = 2.0 * (1 - decay * 0.01) if kernel else 2.0
        np.testing.assert_allclose(variable, np.full(variable.shape, expected), rtol=1e-6)


@pytest.mark.parametrize("again", [False, True])
def test_weight_decay_under_a_scaled_loss(again: bool, tmp_path: Path) -> None:
    model = space(dtype="mixed_float16", weight_decay=0.5).build(keras_tuner.HyperParameters())
    if again:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    optimizer = model.optimizer.inner_optimizer
    for variable in model.trainable_variables:
        assert optimizer._use_weight_decay(variable) == ("kernel" in variable.path)


def test_momentum_of_sgd() -> None:
    optimizer = space().build(keras_tuner.HyperParameters()).optimizer
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


class Rates(keras.callbacks.Callback):
    """The learning rate of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(float(self.model.optimizer.learning_rate))


@pytest.mark.share(2)
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_schedule_is_a_line_and_then_a_cosine(warmup: float) -> None:
    rates = Rates()
    hypermodel = space(schedule="cosine", warmup=warmup)
    model, _ = trained(hypermodel, IMAGES, INDICES, batch_size=3, epochs=2, callbacks=[rates])
    done = np.arange(1, 9) / 8
    cosine = 0.05 * (1 + np.cos(np.pi * (done - warmup) / (1 - warmup))) / 2
    line = 0.05 * done / warmup if warmup else cosine
    np.testing.assert_allclose(rates.seen, np.where(done < warmup, line, cosine), atol=1e-8)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


@pytest.mark.share(6)
def test_schedule_goes_on_where_an_earlier_round_was() -> None:
    rates = Rates()
    hypermodel = space(schedule="cosine", warmup=0.1)
    keywords = {"batch_size": 6, "epochs": 4, "initial_epoch": 3, "callbacks": [rates]}
    trained(hypermodel, IMAGES, INDICES, **keywords)
    done = np.array([7, 8]) / 8
    expected = 0.05 * (1 + np.cos(np.pi * (done - 0.1) / 0.9)) / 2
    np.testing.assert_allclose(rates.seen, expected, atol=1e-8)


def test_schedule_of_unknown_length_steps_by_epochs() -> None:
    schedule = WarmUpCosine(0.0)
    schedule.set_params({"epochs": 4, "steps": None})
    schedule.on_epoch_begin(2)
    assert schedule._share(17) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)


@pytest.mark.share(6)
def test_constant_schedule_is_constant() -> None:
    rates = Rates()
    hypermodel = space(schedule="constant")
    trained(hypermodel, IMAGES, INDICES, batch_size=6, epochs=2, callbacks=[rates])
    np.testing.assert_allclose(rates.seen, 0.05)


def as_tf(images: Any, labels: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)


class Batches(keras.utils.PyDataset):
    def __init__(self, images: Any, labels: Any) -> None:
        super().__init__()
        self.images, self.labels, self.epochs = images, labels, 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        part = slice(4 * index, 4 * index + 4)
        return self.images[part], self.labels[part]

    def on_epoch_end(self) -> None:
        self.epochs += 1


@pytest.mark.share(4)
@pytest.mark.parametrize("dataset", [as_tf, Batches])
@pytest.mark.parametrize("mixup", [False, True])
def test_datasets_are_augmented(dataset: Any, mixup: bool) -> None:
    hypermodel = space(mixup=mixup, augmentation="shift")
    data = dataset(IMAGES, INDICES)
    _, history = trained(hypermodel, data, validation_data=dataset(IMAGES, INDICES), epochs=2)
    assert np.isfinite(history.history["val_loss"]).all()
    assert getattr(data, "epochs", 2) >= 2


def test_arrays_are_seen_once_an_epoch_in_a_new_order() -> None:
    keywords = {"x": np.arange(10.0)[:, None, None, None], "y": np.arange(10), "batch_size": 4}
    nothing = Augmentation("none", False, None, 0)
    batches = augment(keywords, nothing)["x"]
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 2]

    def order() -> list[float]:
        return [float(v) for i in range(3) for v in np.ravel(batches[i][0])]

    first = order()
    batches.on_epoch_end()
    assert sorted(first) == sorted(order()) == list(range(10))
    assert first != order()
    keywords = {**keywords, "shuffle": False, "sample_weight": np.arange(10) * 2}
    batches = augment(keywords, nothing)["x"]
    assert order() == list(range(10))
    assert list(batches[2][2]) == [16, 18]


def test_augmentation_moves_and_mirrors_images_only() -> None:
    images = np.zeros((64, 10, 10, 1), "float32")
    images[:, 4:6, 1:3] = 1.0  # a spot on the left
    shifted, labels = Augmentation("shift_flip", False, 3, seed=1)(images, INDICES[:1])
    centres = (np.asarray(shifted)[..., 0].sum(1) * np.arange(10)).sum(1) / np.asarray(shifted).sum(
        (1, 2, 3)
    )
    left, right = centres[centres < 5], centres[centres > 5]
    assert 16 < len(left) < 48
    assert np.ptp(left) > 0.5
    assert np.ptp(right) > 0.5
    assert labels is INDICES[:1] or (labels == INDICES[:1]).all()


def test_mixup_mixes_images_and_labels_alike() -> None:
    images = np.eye(3, dtype="float32")[INDICES].reshape(12, 1, 3, 1)
    mixed, labels = Augmentation("none", True, 3, seed=1)(images, INDICES)
    np.testing.assert_allclose(np.reshape(mixed, (12, 3)), labels, atol=1e-6)
    assert np.any((np.asarray(labels) > 0.01) & (np.asarray(labels) < 0.99))


def test_mixup_mixes_as_keras_does() -> None:
    options: Any = {"alpha": 0.2, "seed": 1, "data_format": "channels_last"}
    pairs = {"images": IMAGES, "labels": np.eye(3, dtype="float32")[INDICES]}
    expected = keras.layers.MixUp(**options)(pairs, training=True)
    found = MixUp(**options)(pairs, training=True)
    for name in pairs:
        np.testing.assert_array_equal(found[name], expected[name])


def _warnings_on_jax(code: str) -> str:
    code = f"""
import warnings, keras, numpy as np
from resnet_layers.training.augmentation import Augmentation
images, labels = np.ones((4, 8, 8, 3), "float32"), np.arange(4) % 3
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    {code}
print([str(warning.message) for warning in caught])
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
@pytest.mark.share(2)
def test_augmentation_warns_of_nothing_on_jax() -> None:
    assert _warnings_on_jax('Augmentation("shift_flip", True, 3, 1)(images, labels)') == "[]\n"


@pytest.mark.upstream
@pytest.mark.slow
def test_mixup_of_keras_warns_on_jax() -> None:
    pairs = '{"images": images, "labels": np.eye(3)[labels]}'
    assert "int64" in _warnings_on_jax(f"keras.layers.MixUp()({pairs}, training=True)")


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("where", [np.asarray, keras.ops.convert_to_tensor])
def test_weight_of_a_mixture_is_the_mixture_of_its_classes_weights(
    where: Any, binary: bool
) -> None:
    labels, weights = (INDICES % 2, {1: 3.0}) if binary else (INDICES, {0: 0.0, 1: 1.0, 2: 5.0})
    mix = Augmentation("none", True, None if binary else 3, 1, weights)
    _, rows, found = mix(where(IMAGES), where(labels.astype("float32" if binary else "int32")))
    rows = np.asarray(rows, "float64")
    rows = np.concatenate([1 - rows, rows], 1) if binary else rows
    assert ((rows > 0.01) & (rows < 0.99)).any()
    expected = rows @ np.array([1.0, 3.0] if binary else [0.0, 1.0, 5.0])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.share(3)
@pytest.mark.parametrize("dataset", [None, as_tf, Batches])
def test_a_class_of_no_weight_leaves_no_trace_with_mixup_either(dataset: Any) -> None:
    """With all weights at 0, a network that is trained is the one before."""
    hypermodel = space(mixup=True, weight_decay=0.0)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    before = [np.array(variable) for variable in model.trainable_variables]
    data = (IMAGES, INDICES) if dataset is None else (dataset(IMAGES, INDICES),)
    weights = dict.fromkeys(range(3), 0.0)
    history = hypermodel.fit(hp, model, *data, class_weight=weights, verbose=0).history
    assert history["loss"] == [0.0]
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("kind", "mixup"), [("flip", False), ("shift", False), ("none", True)])
def test_augmentation_draws_by_its_seed_alone(kind: str, mixup: bool) -> None:
    def draw(seed: int) -> tuple[Any, ...]:
        return Augmentation(kind, mixup, 3, seed)(IMAGES, INDICES)

    for first, second in zip(draw(1), draw(1), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (np.asarray(draw(1)[0]) != np.asarray(draw(2)[0])).any()


@pytest.mark.share(6)
def test_equal_seeds_train_equally() -> None:
    hypermodel = space(seed=3, mixup=True, augmentation="shift", dropout=0.3, drop_path=0.1)
    histories = [trained(hypermodel, IMAGES, INDICES, epochs=2)[1].history for _ in range(2)]
    assert histories[0] == histories[1]


@pytest.mark.share(6)
def test_training_ends_where_the_loss_is_no_number() -> None:
    hypermodel = space(learning_rate=1e30, schedule="constant")
    _, history = trained(hypermodel, IMAGES, INDICES, epochs=30)
    assert len(history.epoch) < 30


@pytest.mark.share(3)
@pytest.mark.parametrize("name", ["accuracy", "acc", "sparse_categorical_accuracy"])
def test_accuracy_by_name_is_right_with_mixup(name: str) -> None:
    hypermodel = space(mixup=True, metrics=[name])
    model, history = trained(hypermodel, IMAGES, INDICES, validation_data=(IMAGES, INDICES))
    right = np.mean(model.predict(IMAGES, verbose=0).argmax(1) == INDICES)
    assert history.history[f"val_{name}"][0] == pytest.approx(right)


@pytest.mark.share(2)
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_losses_by_name_take_logits(loss: str) -> None:
    model, _ = trained(space(loss=loss, mixup=True), IMAGES, INDICES)
    found = model.evaluate(IMAGES, INDICES, verbose=0)[0]
    outputs = model.predict(IMAGES, verbose=0).astype("float64")
    assert found == pytest.approx(_loss(outputs, INDICES, True, False), rel=1e-3)


def test_schedule_starts_from_the_rate_that_the_model_was_compiled_with() -> None:
    class Slow(HyperResNet):
        def compile_model(self, hp: Any, model: Any) -> None:
            super().compile_model(hp, model)
            model.optimizer.learning_rate = 0.5

    rates = Rates()
    arguments: dict[str, Any] = {**ONE, "schedule": "cosine", "warmup": 0.0}
    hypermodel = Slow(3, (8, 8, 3), **arguments)
    trained(hypermodel, IMAGES, INDICES, batch_size=6, epochs=1, callbacks=[rates])
    np.testing.assert_allclose(rates.seen, [0.25, 0.0], atol=1e-7)


def test_a_schedule_of_the_optimizer_is_left_alone() -> None:
    class Scheduled(HyperResNet):
        def compile_model(self, hp: Any, model: Any) -> None:
            rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
            model.compile(keras.optimizers.SGD(rate), self.labels.loss())

    rates = Rates()
    hypermodel = Scheduled(3, (8, 8, 3), **{**ONE, "schedule": "cosine"})
    trained(hypermodel, IMAGES, INDICES, batch_size=6, epochs=1, callbacks=[rates])
    np.testing.assert_allclose(rates.seen, [0.25, 0.125])


@pytest.mark.share(2)
@pytest.mark.parametrize("mixup", [False, True])
def test_labels_may_be_a_list(mixup: bool) -> None:
    labels = INDICES.tolist()
    hypermodel = space(mixup=mixup)
    _, history = trained(hypermodel, IMAGES, labels, validation_data=(IMAGES, labels))
    assert np.isfinite(history.history["val_loss"]).all()


def test_unknown_indices_of_a_dataset_do_not_go_unnoticed() -> None:
    _, history = trained(space(), as_tf(IMAGES, INDICES + 1), epochs=3)
    assert len(history.epoch) == 1
    assert np.isnan(history.history["loss"][0])


def test_batches_of_validation_are_those_of_training() -> None:
    keywords = {"x": IMAGES, "y": INDICES, "batch_size": 2, "validation_split": 0.25}
    found = augment(keywords, Augmentation("shift", False, 3, 0))
    assert found["validation_batch_size"] == 2
    assert len(found["validation_data"][0]) == 3
    assert len(found["x"]) == 5


def test_workers_of_a_dataset_go_on_working() -> None:
    batches = Batches(IMAGES, INDICES)
    batches.workers, batches.max_queue_size = 3, 7
    found = augment({"x": batches}, Augmentation("shift", False, 3, 0))["x"]
    assert (found.workers, found.max_queue_size) == (3, 7)


@pytest.mark.share(2)
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_optimizer_is_whole_in_a_checkpoint(dtype: str, tmp_path: Path) -> None:
    hypermodel = space(dtype=dtype)
    model, _ = trained(hypermodel, IMAGES, INDICES)
    model.save_weights(tmp_path / "best.weights.h5")
    again = hypermodel.build(keras_tuner.HyperParameters())
    again.load_weights(tmp_path / "best.weights.h5")  # a warning would be an error
    for mine, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
