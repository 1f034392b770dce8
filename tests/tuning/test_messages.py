"""Every error of the search space: its type and its whole text."""

import dataclasses
import os
from pathlib import Path
from typing import Any, cast
from unittest import mock

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.errors import FatalTypeError, FatalValueError
from keras_tuner.src import utils
from keras_tuner.src.engine.tuner_utils import SaveBestEpoch, TunerCallback

import resnet_layers as rl
from resnet_layers import training
from resnet_layers.training import labelled
from resnet_layers.training.mixing import Mixing
from resnet_layers.tuning import HyperResNet, Range, build_model, repairs, state
from resnet_layers.tuning.budget import OverBudgetError
from resnet_layers.tuning.parts import KINDS
from tests.support.measured import MACHINE
from tests.support.messages import ANY, Row, check, ids, missing
from tests.support.uncompiled import uncompiled
from tests.training.resuming import PREPARE
from tests.tuning.test_space import ONE

WING = "tuning"
NOWHERE = "nowhere/oracle.json"
SHAPE = (8, 8, 3)


KEYWORDS = ("validation_data", "class_weight", "callbacks", "checkpoint_every", "validation_split")


def fit(*data: Any, **changes: Any) -> None:
    keywords = {name: changes.pop(name) for name in KEYWORDS if name in changes}
    hypermodel = HyperResNet(**{"classes": 3, "input_shape": SHAPE, **ONE, **changes})
    model = rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))
    hp = keras_tuner.HyperParameters()
    hypermodel.fit(hp, model, *data, **keywords)


def batches(
    classes: int = 3, class_names: int = 3, several: bool = False, **options: Any
) -> training.Batches:
    """Fourteen images."""
    digits = labelled.digits()
    images = digits.select(np.flatnonzero(digits.labels < classes)[:14])
    images = dataclasses.replace(images, class_names=digits.class_names[:class_names])
    if several:
        images = dataclasses.replace(images, labels=np.eye(3)[images.labels])
    return training.Batches(images, PREPARE, **{"seed": 0, "batch_size": 4, **options})


def of_several() -> training.Batches:
    return batches(several=True)


def of_a_trial() -> None:
    """As keras-tuner would do it, in the folder of a trial."""
    objective = keras_tuner.Objective("val_accuracy", "max")
    saver = SaveBestEpoch(objective, "trial_0/checkpoint.weights.h5")
    hypermodel, hp = HyperResNet(3, SHAPE, **ONE), keras_tuner.HyperParameters()
    with uncompiled():
        hypermodel.fit(hp, hypermodel.build(hp), batches(), callbacks=[saver])


def without_a_folder() -> None:
    Path("trial_0").touch()
    of_a_trial()


def with_a_checkpoint_that_cannot_be_read() -> None:
    """It stays, since it may be whole."""
    path = Path("trial_0/checkpoints/epoch-00000-step-0000002.safetensors")
    path.mkdir(parents=True)
    try:
        of_a_trial()
    finally:
        assert path.exists()


def with_a_full_disk() -> None:
    full = OSError(28, os.strerror(28))
    with mock.patch.object(training.checkpoints, "write", side_effect=full):
        of_a_trial()


def written_nowhere() -> None:
    repairs.repair()
    utils.save_json(NOWHERE, {})


def of_another_tuner() -> None:
    theirs = keras_tuner.oracles.RandomSearchOracle("val_loss").get_state()
    with mock.patch.object(state, "read_json", return_value=theirs):
        state.read_oracle(keras_tuner.oracles.HyperbandOracle("val_loss"), Path(NOWHERE))


def weighted(images: Any, **keywords: Any) -> None:
    hypermodel = HyperResNet(3, SHAPE, **{**ONE, "mixup": [False, True]})
    model = rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))
    hypermodel.fit(keras_tuner.HyperParameters(), model, images, **keywords)


def weighted_dataset() -> None:
    import tensorflow as tf

    data = (np.ones((2, *SHAPE)), np.zeros(2), np.ones(2))
    weighted(tf.data.Dataset.from_tensor_slices(data).batch(2))


class WeightedBatches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return IMAGES, np.zeros(2), np.ones(2)


def over_budget_in_a_grid() -> None:
    """As `keras_tuner.GridSearch` would do it."""
    hypermodel = HyperResNet(3, SHAPE, max_parameters=6000, **{**ONE, "width": [8, 64]})
    tuner = object.__new__(keras_tuner.GridSearch)
    callback = TunerCallback(tuner, None)
    hp = keras_tuner.HyperParameters()
    hp.values = {"width": 64}
    model = hypermodel.build(hp)
    assert hp.values["width"] == 8
    try:
        hypermodel.fit(hp, model, np.ones((2, *SHAPE)), np.zeros(2), callbacks=[callback])
    finally:
        assert hp.values["width"] == 64


def fixed_above_the_budget() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("width", 64)
    try:
        HyperResNet(3, SHAPE, max_parameters=6000, **{**ONE, "width": [8, 16]}).build(hp)
    finally:
        assert hp.values["width"] == 64


def built_above_the_budget() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values = {"width": 64}
    build_model(hp, 3, SHAPE, max_parameters=6000, **{**ONE, "width": [8, 64]})


IMAGES = np.ones((2, *SHAPE))


def with_a_later_keras_tuner() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_tuner, "__version__", "1.5.0")
        HyperResNet(3, SHAPE)


ERRORS: list[Row] = [
    (
        with_a_later_keras_tuner,
        ImportError,
        "`HyperResNet` needs keras-tuner 1.4, from 1.4.8 on. Received: keras-tuner 1.5.0",
    ),
    (lambda: Range(2, 1), ValueError, "`high` must be above `low`. Received: low=2, high=1"),
    (
        lambda: Range(0, 1, log=True),
        ValueError,
        "`low` must be above 0 where `log` is True. Received: low=0.0",
    ),
    (
        lambda: HyperResNet(["a", "b"], SHAPE),  # type: ignore[arg-type]
        TypeError,
        "`classes` must be a positive integer. Received: classes=['a', 'b']",
    ),
    (
        lambda: HyperResNet(0, SHAPE),
        ValueError,
        "`classes` must be a positive integer. Received: classes=0",
    ),
    (
        lambda: HyperResNet(3, (8, 8)),
        ValueError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, or "
        "None for any height or width. Received: input_shape=(8, 8), for a stem of rank 2",
    ),
    (
        lambda: HyperResNet(3, (0, 8, 3)),
        ValueError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, or "
        "None for any height or width. Received: input_shape=(0, 8, 3)",
    ),
    (
        lambda: HyperResNet(3, SHAPE, preset="small"),
        ValueError,
        "There is no preset of that name; close names: 'small-images'. Received: preset='small'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, depth=3),
        TypeError,
        f"Parts of the space must be among {', '.join(KINDS)}. Received: depth",
    ),
    (
        lambda: HyperResNet(3, SHAPE, stem="9x9"),
        ValueError,
        "`stem` must be one of 'small', '7x7', 'deep'. Received: stem='9x9'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, stem=Range(1, 2)),
        ValueError,
        "`stem` must be one or several of 'small', '7x7', 'deep'. "
        "Received: stem=Range(low=1, high=2, log=False)",
    ),
    (
        lambda: HyperResNet(3, SHAPE, width=[]),
        ValueError,
        "`width` must have one value or more. Received: width=[]",
    ),
    (
        lambda: HyperResNet(3, SHAPE, width=[8, 8]),
        ValueError,
        "`width` must have different values. Received: width=[8, 8]",
    ),
    (
        lambda: HyperResNet(3, SHAPE, width=[8, 0]),
        ValueError,
        "`width` must be a positive integer. Received: width=0",
    ),
    (
        lambda: HyperResNet(3, SHAPE, dropout=Range(0, 1)),
        ValueError,
        "`dropout` must be a number in [0, 1). Received: dropout=1",
    ),
    (
        lambda: HyperResNet(3, SHAPE, weight_decay=-1),
        ValueError,
        "`weight_decay` must be a number of at least 0. Received: weight_decay=-1",
    ),
    (
        lambda: HyperResNet(3, SHAPE, weight_decay="a"),
        TypeError,
        "`weight_decay` must be a number of at least 0. Received: weight_decay='a'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, blocks={1: 2, 2: 2}),
        ValueError,
        "`blocks` must have a value for each of 1, 2, 3, or one for all. "
        "Received: blocks={1: 2, 2: 2}",
    ),
    (
        lambda: HyperResNet(3, SHAPE, groups=[1, 3]),
        ValueError,
        "`width` must be divisible by `groups`. Received: width=32, groups=3",
    ),
    (
        lambda: HyperResNet(3, SHAPE, groups=Range(1, 3)),
        ValueError,
        "`groups` must be one or several numbers, no range, where there are groups, since they "
        "divide the width. Received: groups=Range(low=1, high=3, log=False)",
    ),
    (
        lambda: HyperResNet(3, SHAPE, classifier_activation="sigmoid"),
        ValueError,
        "`classifier_activation` must be one of None, 'softmax'. "
        "Received: classifier_activation='sigmoid'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, max_parameters=-1),
        ValueError,
        "`max_parameters` must be a positive number. Received: max_parameters=-1",
    ),
    (
        lambda: HyperResNet(3, (None, None, 3), max_macs=1e9),
        ValueError,
        "`max_macs` must be None where the size of images is unknown. Received: max_macs=1e+09, "
        "input_shape=(None, None, 3), image_size=None",
    ),
    (
        lambda: HyperResNet(3, (None, None, 3), max_milliseconds=5),
        ValueError,
        "`max_milliseconds` must be None where the size of images is unknown. Received: "
        "max_milliseconds=5, input_shape=(None, None, 3), image_size=None",
    ),
    (
        lambda: HyperResNet(3, SHAPE, machine=cast("Any", "mine"), **ONE),
        TypeError,
        "`machine` must be a Machine or None. Received: machine='mine'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, max_milliseconds=1e-3, machine=MACHINE, **ONE),
        ValueError,
        "The budget must let the smallest network of the space through, which has 5099 parameters "
        f"and takes 142896 multiply-adds and {ANY} milliseconds. Received: max_milliseconds=0.001",
    ),
    (
        lambda: HyperResNet(3, SHAPE, max_parameters=1000, max_macs=1e9, **ONE),
        ValueError,
        "The budget must let the smallest network of the space through, which has 5099 parameters "
        "and takes 142896 multiply-adds. Received: max_parameters=1000.0, max_macs=1000000000.0",
    ),
    (
        lambda: HyperResNet(3, SHAPE, learning_rate={"sgd": 0.1, "adamw": 0.1, "admaw": 0.1}),
        ValueError,
        "`learning_rate` must have a value for each of 'sgd', 'adamw', or one for all. "
        "Received: learning_rate={'sgd': 0.1, 'adamw': 0.1, 'admaw': 0.1}",
    ),
    (
        lambda: HyperResNet(3, SHAPE, blocks=[2, 2, 2]),
        ValueError,
        "`blocks` must have different values; {1: …, 2: …} gives each stage its own. "
        "Received: blocks=[2, 2, 2]",
    ),
    (
        lambda: HyperResNet(3, SHAPE, metrics="accuracy"),
        TypeError,
        "`metrics` must be a list of names and metrics. Received: metrics='accuracy'",
    ),
    (
        lambda: HyperResNet(3, SHAPE, seed=2**32),
        ValueError,
        "`seed` must be below 2**32. Received: seed=4294967296",
    ),
    (
        lambda: fit(IMAGES, np.array([0, 3])),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. "
        "Received: indices from 0 to 3",
    ),
    (
        lambda: fit(IMAGES, np.array([[1], [-1]])),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. "
        "Received: indices from -1 to 1",
    ),
    (
        lambda: fit(IMAGES, [0, 0.5]),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. "
        "Received: numbers that are not whole",
    ),
    (
        lambda: fit(IMAGES, np.eye(2)),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. Received: shape=(2, 2)",
    ),
    (
        lambda: fit(IMAGES, ["a", "b"]),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. Received: an array of <U1",
    ),
    (
        lambda: fit(IMAGES, np.array([0, 1]), validation_data=(IMAGES, np.array([0, 9]))),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. "
        "Received: indices from 0 to 9",
    ),
    (
        lambda: fit(IMAGES, np.array([0, 2]), classes=1),
        FatalValueError,
        "Labels must be numbers from 0 to 1, one for each image. Received: numbers from 0 to 2",
    ),
    (
        lambda: fit(IMAGES, np.array([0, 2]), multi_label=True),
        FatalValueError,
        "Labels must be rows of 3 numbers from 0 to 1. Received: shape=(2,)",
    ),
    (
        lambda: fit(IMAGES, [0, 1, 2]),
        FatalValueError,
        "There must be a label for each image. Received: 2 images, 3 labels",
    ),
    (
        lambda: fit(iter([]), mixup=[False, True]),
        FatalTypeError,
        "Images must be arrays, Batches, a tf.data.Dataset or a keras.utils.PyDataset where they "
        "are augmented; others need augmentation='none' and mixup=False. "
        "Received: x=<class 'list_iterator'>",
    ),
    (
        lambda: fit(IMAGES, None, mixup=True, multi_label=True, class_weight={0: 2.0}),
        FatalValueError,
        "Weights of classes must be left out with mixup where an image has several: fix it with "
        "mixup=False",
    ),
    *[
        (
            call,
            FatalValueError,
            "Weights of samples must be left out with mixup, which mixes the samples: fix it with "
            "mixup=False",
        )
        for call in (
            weighted_dataset,
            lambda: weighted(WeightedBatches()),
            lambda: weighted(IMAGES, y=np.zeros(2), sample_weight=np.ones(2)),
        )
    ],
    *[
        (call, OverBudgetError, "Over budget: 298819 parameters, 8368512 multiply-adds")
        for call in (over_budget_in_a_grid, fixed_above_the_budget, built_above_the_budget)
    ],
    (
        lambda: fit(batches(seed=None)),
        FatalValueError,
        "`seed` of Batches to train on must be given. Received: seed=None",
    ),
    (
        lambda: fit(batches(mixing=Mixing(0.2)), mixup=[False, True]),
        FatalValueError,
        "`mixing` of Batches must be left out where a sample may mix. Received: "
        f"mixing={Mixing(0.2)}",
    ),
    (
        lambda: fit(batches(class_names=4), mixup=[False, True]),
        FatalValueError,
        "Batches that a sample may mix must have as many classes as there are outputs. "
        "Received: 4 classes, 3 outputs",
    ),
    (
        lambda: fit(of_several(), multi_label=True, class_weight={0: 2.0}),
        FatalValueError,
        "`class_weight` must be left out where an image has several classes. Received: "
        "class_weight={0: 2.0}",
    ),
    (
        lambda: fit(batches(), validation_split=0.5),
        FatalValueError,
        "`validation_split` must be left out with Batches. Received: validation_split=0.5",
    ),
    (
        lambda: fit(batches(), validation_data=batches()),
        FatalValueError,
        "`seed` of Batches to validate on must be left out. Received: seed=0",
    ),
    (
        lambda: fit(batches(), validation_data=batches(seed=None, multiple=4, batch_size=8)),
        FatalValueError,
        "Batches to validate on must have no images of weight 0, so neither `multiple` nor "
        "`skip_damaged`. Received: multiple=4",
    ),
    (
        lambda: fit(batches(classes=4, class_names=4)),
        FatalValueError,
        "Labels must be indices of 3 classes, from 0, or one-hot rows. Received: indices from 0 to "
        "3",
    ),
    *[
        (
            lambda images=images: fit(*images, class_weight={0: -2.0}),
            FatalValueError,
            "`class_weight[0]` must be a number of at least 0. Received: class_weight[0]=-2.0",
        )
        for images in ((batches(),), (IMAGES, np.zeros(2)))
    ],
    (
        lambda: fit(batches(), class_weight={3: 1.0}),
        FatalValueError,
        "`class_weight` must have indices of 3 classes. Received: class_weight={3: 1.0}",
    ),
    (
        lambda: fit(batches(), class_weight=[1.0] * 3),
        FatalTypeError,
        "`class_weight` must be a mapping from indices of classes to their weights. Received: "
        "class_weight=[1.0, 1.0, 1.0]",
    ),
    (
        lambda: fit(batches(), checkpoint_every=0),
        FatalValueError,
        "`checkpoint_every` must be a positive integer. Received: checkpoint_every=0",
    ),
    (
        lambda: fit(batches(), checkpoint_every=0.5),
        FatalTypeError,
        "`checkpoint_every` must be a positive integer. Received: checkpoint_every=0.5",
    ),
    (
        lambda: fit(IMAGES, np.zeros(2), checkpoint_every=2),
        FatalValueError,
        "`checkpoint_every` must be left out where images do not come as Batches, which can begin "
        "at any step. Received: checkpoint_every=2, x=<class 'numpy.ndarray'>",
    ),
    (
        without_a_folder,
        state.SaveError,
        "[Errno 20] Not a directory: 'trial_0/checkpoints'",
    ),
    (
        with_a_checkpoint_that_cannot_be_read,
        state.SaveError,
        f"[Errno {ANY}] {ANY}: 'trial_0/checkpoints'",
    ),
    (
        with_a_full_disk,
        state.SaveError,
        "[Errno 28] No space left on device: 'trial_0/checkpoints'",
    ),
    (
        written_nowhere,
        state.SaveError,
        f"[Errno 2] No such file or directory: '{NOWHERE}'",
    ),
    (
        of_another_tuner,
        RuntimeError,
        "A search goes on with the kind of tuner that it began with. Received: "
        f"'{NOWHERE}' without 'hyperband_iterations', which HyperbandOracle writes",
    ),
]


@pytest.mark.share(4)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


@pytest.mark.share(4)
def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
