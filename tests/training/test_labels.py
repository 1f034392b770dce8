"""Loss and accuracy on indices, one-hot rows and mixtures."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from resnet_layers.training.labels import (
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAveragePrecision,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)).astype("float32")
INDICES = np.array([0, 3, 1, 1, 2, 0])
ROWS = np.eye(4, dtype="float32")[INDICES]


@pytest.mark.parametrize("labels", [INDICES, INDICES[:, None], ROWS], ids=["B", "B1", "BC"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_keras_own_whatever_the_labels(labels: Any, smoothing: float) -> None:
    loss = CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    np.testing.assert_allclose(loss(labels, LOGITS), theirs(ROWS, LOGITS), rtol=1e-6)


def test_loss_without_smoothing_is_the_sparse_one() -> None:
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = CategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(ours(INDICES, LOGITS), theirs(INDICES, LOGITS), rtol=1e-6)


@pytest.mark.parametrize("index", [-1, 4, 400])
def test_loss_of_an_index_that_no_class_has_is_not_a_number(index: int) -> None:
    loss = CategoricalCrossentropy(from_logits=True, reduction=None)
    found = loss(np.array([0, index, 3]), LOGITS[:3])
    assert np.isnan(found).tolist() == [False, True, False]


@pytest.mark.parametrize("labels", [INDICES, INDICES[:, None], ROWS], ids=["B", "B1", "BC"])
def test_accuracy_counts_largest_numbers(labels: Any) -> None:
    metric = CategoricalAccuracy()
    metric.update_state(labels, LOGITS)
    assert float(metric.result()) == np.mean(LOGITS.argmax(1) == INDICES).astype("float32")
    metric.reset_state()
    metric.update_state(labels, LOGITS, sample_weight=np.array([1, 0, 0, 0, 0, 0]))
    assert float(metric.result()) == float(LOGITS[0].argmax() == INDICES[0])


def test_one_instance_takes_rows_and_then_indices() -> None:
    metric = CategoricalAccuracy()
    metric.update_state(ROWS, LOGITS)
    metric.update_state(INDICES, LOGITS)
    assert float(metric.result()) == np.mean(LOGITS.argmax(1) == INDICES).astype("float32")


@pytest.mark.parametrize(
    "made",
    [
        CategoricalCrossentropy(from_logits=True, label_smoothing=0.25, name="mine"),
        CategoricalAccuracy(name="mine", dtype="float32"),
        BinaryCrossentropy(label_smoothing=0.25, from_logits=True, name="mine"),
        MeanAveragePrecision(3, num_thresholds=50, from_logits=True, name="mine", dtype="float32"),
    ],
    ids=lambda made: type(made).__name__,
)
def test_config_round_trips(made: Any) -> None:
    config = keras.saving.serialize_keras_object(made)
    assert config["registered_name"] == f"resnet_layers>{type(made).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_average_precision_is_scikit_learns_where_thresholds_tell_all_apart() -> None:
    rng = np.random.default_rng(1)
    rows = (rng.random((200, 5)) < [0.5, 0.3, 0.1, 0.05, 0.0]).astype("float32")
    # Between neighbouring thresholds, of which there are enough.
    scores = (np.clip(0.3 * rows + 0.7 * rng.random((200, 5)), 0, 0.999) * 200).astype(int)
    found = average_precision_score(rows[:, :4], scores[:, :4] / 200, average="macro")
    logits = np.log((scores + 0.5) / (199.5 - scores)).astype("float32")
    metric = MeanAveragePrecision(5, num_thresholds=201, from_logits=True)
    for part in np.array_split(np.arange(200), 7):
        metric.update_state(rows[part], logits[part])
    assert float(metric.result()) == pytest.approx(found, abs=1e-5)


def test_average_precision_weighs_images_and_knows_nothing_of_none() -> None:
    metric = MeanAveragePrecision(2)
    assert float(metric.result()) == 0.0
    rows, scores = [[1, 0], [0, 1], [1, 1]], [[0.9, 0.8], [0.1, 0.4], [0.0, 0.0]]
    metric.update_state(rows, scores, sample_weight=[1, 1, 0])
    assert float(metric.result()) == pytest.approx(0.75)
    metric.reset_state()
    metric.update_state([0, 1], [[0.9, 0.1], [0.1, 0.9]])  # indices of classes
    assert float(metric.result()) == 1.0


@pytest.mark.share(6)
def test_compiled_model_evaluates_equally_after_reload(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
    metrics = [CategoricalAccuracy(name="accuracy")]
    model.compile("sgd", CategoricalCrossentropy(from_logits=True), metrics=metrics)
    x = RNG.normal(size=(6, 5)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    before = model.evaluate(x, INDICES, verbose=0)
    assert again.evaluate(x, INDICES, verbose=0) == before
    assert again.evaluate(x, ROWS, verbose=0) == before
