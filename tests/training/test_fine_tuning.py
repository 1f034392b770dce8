"""Fine-tuning: what trains, from which epoch on, at which rates; what the optimizer keeps."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.training import Unfreeze, freeze_until, layer_decay
from resnet_layers.training.schedules import WarmUpCosine
from tests.support.randomize import images, randomize, value

LOSS: Any = keras.losses.SparseCategoricalCrossentropy
PARTS = ("stem", "stage1", "stage2", "norm", "head")
X, Y = images(8, 6, 6, 3), np.arange(8) % 3
Arrays = dict[str, np.ndarray]


def network(dtype: str = "float32") -> rl.ResNet:
    keras.utils.set_random_seed(0)
    style = rl.BlockStyle(preactivation=True)
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None, style=style, dtype=dtype, name="stem")
    stages = [
        rl.ResNetStage(4, 1, style=style, dtype=dtype, name=name) for name in ("stage1", "stage2")
    ]
    norm = rl.NormAct(style=style, dtype=dtype, name="norm")
    head = rl.ClassifierHead(3, dtype=dtype, name="head")
    return randomize(rl.ResNet(stem, stages, head, norm=norm))


def compiled(model: rl.ResNet, optimizer: Any, eagerly: bool = True) -> rl.ResNet:
    loss = LOSS(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False, run_eagerly=eagerly)
    return model


def fit(model: rl.ResNet, last: int, first: int = 0, callbacks: Any = ()) -> None:
    model.fit(
        X, Y, batch_size=4, epochs=last, initial_epoch=first, shuffle=False, verbose=0,
        callbacks=list(callbacks),
    )  # fmt: skip


def weights(model: rl.ResNet) -> Arrays:
    return {variable.path: np.array(value(variable)) for variable in model.variables}


def changed(before: Arrays, after: Arrays) -> set[str]:
    """The parts of which a variable differs."""
    differ = {path for path in before if not np.array_equal(before[path], after[path])}
    return {path.partition("/")[0] for path in differ}


def state(optimizer: Any) -> Arrays:
    return {variable.path: np.array(value(variable)) for variable in optimizer.variables}


def excluding(model: rl.ResNet, kind: Any = keras.optimizers.SGD) -> Any:
    optimizer = kind(0.05, 0.9, weight_decay=0.5, name="it")
    optimizer.exclude_from_weight_decay(var_list=[model.trainable_variables[-1]])
    return optimizer


OPTIMIZERS: dict[str, Callable[[rl.ResNet], Any]] = {
    "sgd": lambda model: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, name="it"),
    "adamw": lambda model: keras.optimizers.AdamW(0.01, 0.1, name="it"),
    "schedule": lambda model: keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, 20), name="it"
    ),
    "excluded": excluding,
    "excluded from ours": lambda model: excluding(model, rl.training.optimizers.SGD),
    "layer decay": lambda model: layer_decay(
        model, keras.optimizers.SGD(0.05, 0.9, name="it"), 0.5
    ),
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


@pytest.mark.share(3)
@pytest.mark.parametrize("part", PARTS)
def test_parts_before_one_are_frozen_and_others_train(part: str) -> None:
    model = network()
    freeze_until(model, "stem")
    freeze_until(model, part)
    before = weights(model)
    fit(compiled(model, "sgd"), 1)
    assert changed(before, weights(model)) == set(PARTS[PARTS.index(part) :])
    freeze_until(model, "stem")
    paths = [variable.path for variable in model.metrics_variables]
    assert len(paths) == len(set(paths))  # a metric counts once


@optimizers
@pytest.mark.share(6)
def test_unfreezing_while_training_is_unfreezing_between_two_runs(optimizer: Any) -> None:
    both = []
    for by_callback in (False, True):
        model = network()
        freeze_until(model, "head")
        compiled(model, optimizer(model), eagerly=optimizer is not OPTIMIZERS["layer decay"])
        if by_callback:
            fit(model, 3, callbacks=[Unfreeze({"stage1": 3, "stage2": 2})])
        else:
            fit(model, 1)
            for epoch, part in ((1, "stage2"), (2, "stage1")):
                before = state(model.optimizer)
                freeze_until(model, part)
                after = state(model.optimizer)
                assert before.keys() <= after.keys()
                assert len(after) > len(before)
                assert all(np.array_equal(before[path], after[path]) for path in before)
                fit(model, epoch + 1, first=epoch)
        both.append((weights(model), state(model.optimizer)))
    for one, other in zip(*both, strict=True):
        assert one.keys() == other.keys()
        for path in one:
            np.testing.assert_array_equal(one[path], other[path], err_msg=path)


def averaging(model: rl.ResNet) -> Any:
    return keras.optimizers.Adam(0.01, use_ema=True, gradient_accumulation_steps=3)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS.values(), averaging], ids=[*OPTIMIZERS, "ema"])
@pytest.mark.share(7)
def test_what_trains_on_trains_as_it_would_have(optimizer: Any) -> None:
    """Compiling again in between, with nothing changed, changes nothing."""
    both = []
    for again in (False, True):
        model = network()
        compiled(model, optimizer(model))
        fit(model, 1)
        if again:
            freeze_until(model, "stem")
        fit(model, 2, first=1)
        both.append(weights(model))
    for path, one in both[0].items():
        np.testing.assert_array_equal(one, both[1][path], err_msg=path)


@pytest.mark.share(4)
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    "rate", [0.5, keras.optimizers.schedules.CosineDecay(0.5, 100)], ids=["rate", "schedule"]
)
def test_steps_fall_from_the_head_to_the_stem(rate: Any, dtype: str) -> None:
    steps = []
    for decay in (None, 0.5):
        model = network(dtype)
        plain = keras.optimizers.SGD(rate)
        compiled(model, plain if decay is None else layer_decay(model, plain, decay))
        before = weights(model)
        model.train_on_batch(X, Y)
        after = weights(model)
        steps.append({v.path: after[v.path] - before[v.path] for v in model.trainable_variables})
    factors = dict(zip(PARTS, (0.125, 0.25, 0.5, 1, 1), strict=True))
    for path, step in steps[0].items():
        expected = factors[path.partition("/")[0]] * step
        np.testing.assert_allclose(steps[1][path], expected, rtol=1e-3, atol=1e-6, err_msg=path)


def rates(callback: Any) -> list[float]:
    """Of the parts after two epochs, over that of the head."""
    model = network()
    optimizer = layer_decay(model, keras.optimizers.SGD(0.05), 0.5)
    fit(compiled(model, optimizer), 2, callbacks=[callback])
    *parts, head = (float(value(inner.learning_rate)) for inner in optimizer.optimizers)
    return [part / head for part in parts]


def test_what_is_frozen_inside_of_a_part_trains_again() -> None:
    model = network()
    inner = list(model.stages[0]._flatten_layers())[1]
    inner.trainable = False
    freeze_until(model, "stem")
    assert all(layer.trainable for layer in model._flatten_layers())
    model.stages[0].trainable = False
    inner.trainable = True
    freeze_until(model, "head")
    trained = [variable.path.partition("/")[0] for variable in model.trainable_variables]
    assert {*trained} == {"head"}


@pytest.mark.upstream
def test_keras_does_not_unfreeze_the_layers_of_a_model_that_is_not_frozen() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("not on this backend")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.layers[0].trainable = False
    model.trainable = True
    assert not model.layers[0].trainable


@pytest.mark.share(6)
def test_unfreezing_in_many_epochs_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tensorflow")
    before = list(logger.filters)
    model = network()
    freeze_until(model, "head")
    schedule = {"norm": 1, "stage2": 2, "stage1": 3, "stem": 4}
    with caplog.at_level(logging.WARNING, "tensorflow"):
        fit(compiled(model, "sgd"), 5, callbacks=[Unfreeze(schedule), Warns()])
    assert logger.filters == before
    assert [record.getMessage() for record in caplog.records] == ["something else"]


class Warns(keras.callbacks.Callback):
    """As TensorFlow does, within `fit`."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 4:
            logger = logging.getLogger("tensorflow")
            logger.warning("5 out of the last 5 calls triggered tf.function retracing.")
            logger.warning("something else")


@pytest.mark.share(6)
def test_callbacks_lower_each_rate_or_give_all_the_same_or_find_none() -> None:
    lower = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=1e9)
    assert rates(lower) == pytest.approx([0.5, 0.25, 0.125])
    same = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1)
    assert rates(same) == pytest.approx([1, 1, 1])
    with pytest.raises(AttributeError, match="Learning rate cannot be accessed"):
        rates(WarmUpCosine(0.1))


@pytest.mark.share(6)
def test_compiled_files_go_on_with_falling_rates(tmp_path: Path) -> None:
    both = []
    for reloaded in (False, True):
        model = network()
        schedule = keras.optimizers.schedules.CosineDecay(0.05, 20)
        optimizer = layer_decay(model, rl.training.optimizers.AdamW(schedule), 0.5)
        fit(compiled(model, optimizer), 1)
        if reloaded:
            model.save(tmp_path / "model.keras")
            model = keras.saving.load_model(tmp_path / "model.keras")
        fit(model, 2, first=1)
        both.append(weights(model))
    for path, one in both[0].items():
        np.testing.assert_array_equal(one, both[1][path], err_msg=path)


def digits(classes: range) -> Any:
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = np.isin(data.target, list(classes))
    x = (data.images[chosen, :, :, None] / 8 - 1).astype("float32")
    y = data.target[chosen] - classes.start
    return (x[::2], y[::2]), (x[1::2], y[1::2])


@pytest.mark.slow
@pytest.mark.share(2)
def test_known_weights_of_some_digits_are_a_better_start_for_the_others(tmp_path: Path) -> None:
    """At the same number of steps, and with the same rate."""

    def fresh() -> rl.ResNet:
        stem = rl.Stem(8, kernel_size=3, strides=1, pooling=None)
        stages = [rl.ResNetStage(8, 1), rl.ResNetStage(16, 1, strides=2)]
        return rl.ResNet(stem, stages, rl.ClassifierHead(5), input_shape=(8, 8, 1))

    def known() -> rl.ResNet:
        start = keras.saving.load_model(tmp_path / "start.keras")
        return start.replace(head=rl.ClassifierHead(5))

    def train(model: rl.ResNet, data: Any, rate: float, epochs: int) -> rl.ResNet:
        optimizer: Any = keras.optimizers.SGD(rate, momentum=0.9)
        model.compile(optimizer, LOSS(from_logits=True), metrics=["accuracy"])
        model.fit(*data, batch_size=32, epochs=epochs, verbose=0)
        return model

    low, high = digits(range(5)), digits(range(5, 10))
    train(fresh(), low[0], 0.05, 8).save(tmp_path / "start.keras")
    scores: dict[str, list[float]] = {}
    for seed in range(3):
        for make in (fresh, known):
            keras.utils.set_random_seed(seed)
            model = train(make(), high[0], 0.02, 3)
            scores.setdefault(make.__name__, []).append(model.evaluate(*high[1], verbose=0)[1])
    assert np.mean(scores["known"]) > np.mean(scores["fresh"]) + 0.03, scores


@pytest.mark.slow
@pytest.mark.share(2)
def test_all_of_it_on_jax() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
