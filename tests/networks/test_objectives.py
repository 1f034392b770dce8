"""A loss that does not fit what a network ends with is never silent."""

import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.randomize import images
from tests.support.uncompiled import uncompiled

BY_NAME = [
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "categorical_focal_crossentropy",
    "CategoricalCrossentropy",
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.SparseCategoricalCrossentropy(),
]
FITTING: list[tuple[Any, Any]] = [
    *((keras.losses.SparseCategoricalCrossentropy(from_logits=True), a) for a in (None, "linear")),
    ("sparse_categorical_crossentropy", "softmax"),
    ("binary_crossentropy", "sigmoid"),
    ("mse", None),
    (lambda y, p: keras.ops.mean(p), None),
    ("sparse_categorical_crossentropy", "relu"),  # which is neither
]


def network(activation: Any) -> rl.ResNet:
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None)
    return rl.ResNet(stem, [rl.ResNetStage(4, 1)], rl.ClassifierHead(2, activation=activation))


def labels(loss: Any) -> np.ndarray:
    sparse = "sparse" in str(getattr(loss, "name", getattr(loss, "__name__", loss)))
    return np.array([0, 1]) if sparse else np.eye(2, dtype="float32")


@pytest.mark.share(4)
@pytest.mark.parametrize("loss", BY_NAME)
@uncompiled()
def test_losses_for_probabilities_warn_on_logits(loss: Any) -> None:
    model = network(None)
    model.compile("sgd", loss)
    x, y = images(2, 8, 8, 3), labels(loss)
    for run in (model.fit, model.evaluate):
        with pytest.warns(UserWarning, match=r"returns logits and the loss '\w+' takes probabil"):
            run(x, y, verbose=0)


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`:UserWarning")  # Keras' own
@uncompiled()
def test_losses_for_logits_warn_on_probabilities(tmp_path: Path) -> None:
    model = network("softmax")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = images(2, 8, 8, 3), np.array([0, 1])
    sentence = (
        "The network returns probabilities and the loss 'sparse_categorical_crossentropy' takes "
        "logits: give a loss with `from_logits=False`, such as "
        "`keras.losses.SparseCategoricalCrossentropy(from_logits=False)`"
    )
    with pytest.warns(UserWarning, match=re.escape(sentence)):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")  # compiled as it is
    with pytest.warns(UserWarning, match="returns probabilities"):
        keras.saving.load_model(tmp_path / "model.keras").evaluate(x, y, verbose=0)


@pytest.mark.share(4)
@pytest.mark.parametrize(("loss", "activation"), FITTING)
@uncompiled()
def test_losses_that_fit_are_silent(loss: Any, activation: Any) -> None:
    model = network(activation)
    model.compile("sgd", loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "Even though")
        model.fit(images(2, 8, 8, 3), labels(loss), verbose=0)
