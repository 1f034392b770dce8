"""Every error of training: its type and its whole text."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers import training
from resnet_layers._support.errors import InputError
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training import Unfreeze, freeze_until, labels, layer_decay, schedules, train
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import ColorJitter, Flip, RandomErasing
from resnet_layers.training.crops import RandomResizedCrop
from resnet_layers.training.fitting import DamagedError
from resnet_layers.training.headers import Header
from resnet_layers.training.labelled import Labelled, digits
from resnet_layers.training.mixing import Mixing, smoothed
from resnet_layers.training.policies import RandAugment
from resnet_layers.training.recipes import Recipe
from tests.support.messages import ANY, Row, check, ids, missing
from tests.training.checkpoint_messages import CHECKPOINTS
from tests.training.device_messages import DEVICES, shared
from tests.training.fitting import PREPARE, coloured, settings
from tests.training.messages import IMAGES as IMAGES_AND_FOLDERS
from tests.training.test_labelled import counted

WING = "training"
POLICY = (
    "`augment` must be `rand` and, joined by `-` and each once at most: m9 (magnitude), "
    "n2 (operations for an image, at most 100, or as many as tweights or t3aw has), p0.5 "
    "(probability of each, at most 1), mstd0.5 (deviation of the magnitude, uniform above "
    "100), mmax10 (highest magnitude, at least 1), inc0 or inc1 (severity rises with the "
    "magnitude), tweights, t3a or t3aw (timm's sets of operations). Received: augment="
)
WRONG: list[Any] = [
    *("augmix-m3", "original", "v0", "3a", "", "rand-", "rand-m", "rand-m9.5", "rand-m-9"),
    *("rand-n0", "rand-n101", "rand-n16-tweights", "rand-p1.5", "rand-p.5", "rand-mstdinf"),
    *("rand-mmax0", "rand-inc2", "rand-tnone", "rand-w0", "rand-m9-m8", "Rand-m9", "rand-m9 "),
]
IMAGES, ROWS = tf.zeros((4, 2, 2, 3)), tf.eye(4)


RECIPE: Any = {"source": "nowhere", "epochs": 1, "batch_size": 1, "learning_rate": 1.0}


def network(classes: int = 2, activation: str | None = None) -> rl.ResNet:
    stem = rl.Stem(2, kernel_size=3, pooling=None)
    return rl.ResNet(
        stem, [rl.ResNetStage(2, 1)], rl.ClassifierHead(classes, activation=activation)
    )


def several() -> Labelled:
    """Images that may have several of three classes."""
    images = coloured()
    return dataclasses.replace(images, labels=images.rows())


def named_recipe() -> None:
    name: Any = "a1"
    training.Settings(model=network(3), images=coloured(), prepare=PREPARE, recipe=name)


def batches(**given: Any) -> Batches:
    """Four of them in an epoch, without a seed those of an evaluation."""
    return Batches(coloured(), PREPARE, 8, **given)


def first() -> rl.Preprocessing:
    return rl.Preprocessing(**{**PREPARE.get_config(), "data_format": "channels_first"})


def fit(model: rl.ResNet, callback: Any) -> None:
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, tf.zeros(4), callbacks=[callback], verbose=0)


def built(optimizer: Any) -> Any:
    optimizer.build([keras.Variable(0.0)])
    return optimizer


def exhaust(**given: Any) -> None:
    """A training whose steps memory is too small for."""

    def fit(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rl.ResNet, "fit", fit)
        train(settings(**given))


def train_without_a_class() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "lost", lambda self: "cat")
        train(settings())


def train_with_a_wrong_file() -> None:
    Path("a.png").write_bytes(b"")
    images = coloured()
    sources: Any = [Path("a.png"), *images.sources[1:]]
    found = [Header(9, 9, False, 1) for _ in sources]
    train(settings(images=dataclasses.replace(images, sources=sources), headers=found))


def compile_a_graph_on_jax() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "jax")
        train(settings(compile="graph"))


TOO_LARGE = "There was not enough memory for a step with {} images of 8×8 pixels: {}"
HALF = "`{}` takes about half of it for the same update"


def policy(name: Any) -> Callable[[], RandAugment]:
    return lambda: RandAugment(name)


def mix(images: Any, labels: Any) -> Callable[[], Any]:
    return lambda: Mixing(mixup=0.2)(images, labels, (0, 0))


def called(step: Any, image: Any) -> Callable[[], Any]:
    return lambda: step(image, (0, 0))


def of(kind: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    return lambda: kind(**arguments)


ERRORS: list[Row] = [
    # A training
    (
        lambda: settings(epochs=0),
        ValueError,
        "`epochs` must be a positive integer. Received: epochs=0",
    ),
    (
        lambda: settings(compile="jit"),
        ValueError,
        "`compile` must be one of 'auto', 'xla', 'graph'. Received: compile='jit'",
    ),
    (
        compile_a_graph_on_jax,
        InputError,
        "`compile` must be 'xla' or 'auto' on other backends than TensorFlow. Received: "
        "compile='graph', on jax",
    ),
    (
        lambda: train(settings({"accumulate": 9})),
        InputError,
        "`accumulate` must be at most the number of steps, 8. Received: accumulate=9",
    ),
    *DEVICES,
    (
        lambda: train(settings({"freeze_until": "head"})),
        InputError,
        "`model` must be frozen as the recipe has it, which `freeze_until(model, 'head')` does. "
        "Received: parts before 'head' that train",
    ),
    (
        lambda: train(settings({"precision": "float16"})),
        InputError,
        "`model` must compute in the precision of the recipe, as `with_dtype(model, "
        "'mixed_float16')` does. Received: a model in float32",
    ),
    (
        lambda: train(settings(learning_rate=1e30)),
        InputError,
        "The loss is no longer a number in epoch 1, step 2: `learning_rate` must be smaller. "
        "Received: learning_rate=1e+30",
    ),
    *[
        (
            lambda name=name, value=value: settings(**{name: value}),
            TypeError,
            f"`{name}` must be a {kind}. Received: {name}={value!r}",
        )
        for name, value, kind in (
            ("model", "m", "ResNet"),
            ("images", None, "Labelled"),
            ("prepare", None, "Preprocessing"),
            ("validation", [1], "Labelled, or None"),
            ("output", "run", "Path, or None"),
        )
    ],
    (
        named_recipe,
        TypeError,
        "`recipe` must be a Recipe. Received: recipe='a1'",
    ),
    (
        lambda: settings(seed=-1),
        ValueError,
        "`seed` must be an integer of at least 0. Received: seed=-1",
    ),
    (
        lambda: settings(layer_decay=2.0),
        ValueError,
        "`layer_decay` must be a number in (0, 1]. Received: layer_decay=2.0",
    ),
    *[
        (
            lambda name=name, value=value: settings({name: value}, layer_decay=0.5),
            ValueError,
            f"`layer_decay` must not come with `{name}`. Received: layer_decay=0.5, {name}={value}",
        )
        for name, value in (("ema", 0.9), ("accumulate", 2), ("global_clipnorm", 1.0))
    ],
    *[
        (lambda given=given: train(settings(**given)), InputError, text)
        for given, text in (
            (
                {"images": coloured(0)},
                "`repeats` must be at most the number of images. Received: repeats=1, 0 images",
            ),
            (
                {"recipe": {"repeats": 31}},
                "`repeats` must be at most the number of images. Received: repeats=31, 30 images",
            ),
            (
                {"model": network(2)},
                "`model` must have one output for each of 3 classes. Received: "
                "output_shape=(None, 2)",
            ),
            (
                {"validation": coloured(9, 2)},
                "`validation` must have the classes of `images`, in the same order",
            ),
            (
                {"model": network(3, "softmax"), "images": several()},
                "`model` must end in logits or a sigmoid where images have several classes. "
                "Received: a softmax",
            ),
            (
                {"class_weight": {3: 1.0}},
                "`class_weight` must have indices of classes of images that have one each. "
                "Received: {3: 1.0}",
            ),
            (
                {"class_weight": {0: 0.0, 1: 0, 2: 0.0}},
                "`class_weight` must be above 0 for one class at least. Received: "
                "class_weight={0: 0.0, 1: 0, 2: 0.0}",
            ),
            (
                {"prepare": first()},
                "`prepare` must make images with channels_last, as the network takes them. "
                "Received: data_format='channels_first'",
            ),
        )
    ],
    (
        train_without_a_class,
        DamagedError,
        "Too many images are damaged: none is left of 'cat'",
    ),
    (
        train_with_a_wrong_file,
        DamagedError,
        "'a.png' is not a JPEG, PNG, WebP, BMP or GIF image",
    ),
    *[
        (
            lambda given=given: exhaust(**given),
            InputError,
            TOO_LARGE.format(*said),
        )
        for given, said in (
            ({"batch_size": 65}, (65, HALF.format("--batch-size 33 --accumulate 2"))),
            (
                {"recipe": {"accumulate": 3}},
                (8, HALF.format("--batch-size 4 --accumulate 6")),
            ),
            ({"layer_decay": 0.5}, (8, HALF.format("--batch-size 4"))),
            (
                {"batch_size": 20, "multiple": 8},
                (20, HALF.format("--batch-size 16 --accumulate 2")),
            ),
            (
                {"multiple": 8},
                (8, "more devices, smaller images or a smaller network take less"),
            ),
            ({"batch_size": 1}, (1, "smaller images or a smaller network take less")),
        )
    ],
    (
        lambda: shared(2, exhaust),
        InputError,
        TOO_LARGE.format(8, "`--batch-size 4` takes about half of it"),
    ),
    *IMAGES_AND_FOLDERS,
    *CHECKPOINTS,
    *[(policy(name), ValueError, f"{POLICY}{name!r}") for name in WRONG],
    (policy(None), TypeError, f"{POLICY}None"),
    (
        of(RandAugment, name="rand", fill=(0, 256, 0)),
        ValueError,
        "`fill` must be levels from 0 to 255. Received: fill=256",
    ),
    (
        of(RandAugment, name="rand", fill=(0, 0.5, 0)),
        TypeError,
        "`fill` must be an integer of at least 0. Received: fill=0.5",
    ),
    *[
        (
            of(kind, **{name: 1.5}),
            ValueError,
            f"`{name}` must be a number in [0, 1]. Received: {name}=1.5",
        )
        for kind, names in (
            (Flip, ("horizontal", "vertical")),
            (ColorJitter, ("jitter", "grey", "blur")),
            (RandomErasing, ("chance",)),
            (Mixing, ("chance", "switch")),
        )
        for name in names
    ],
    *[
        (
            of(kind, **{name: -1.0}),
            ValueError,
            f"`{name}` must be a number of at least 0. Received: {name}=-1.0",
        )
        for kind, names in (
            (ColorJitter, ("brightness", "contrast", "saturation", "hue")),
            (Mixing, ("mixup", "cutmix")),
        )
        for name in names
    ],
    (
        of(ColorJitter, hue=0.75),
        ValueError,
        "`hue` must be a number in [0, 0.5]. Received: hue=0.75",
    ),
    (
        of(RandomErasing, mode="noise"),
        ValueError,
        "`mode` must be one of 'pixel', 'rand', 'const'. Received: mode='noise'",
    ),
    (
        of(RandomErasing, count=0),
        ValueError,
        "`count` must be a positive integer. Received: count=0",
    ),
    *[
        (
            of(RandomErasing, **{name: value}),
            kind,
            f"`{name}` must be two numbers, the smaller one first. Received: {name}={value!r}",
        )
        for name in ("area", "aspect")
        for value, kind in ((0.5, TypeError), ((0.5, 0.1), ValueError), ((0.5,), ValueError))
    ],
    (
        of(RandomErasing, area=(0.5, 1.5)),
        ValueError,
        "`area` must be a number in (0, 1]. Received: area=1.5",
    ),
    (
        of(RandomErasing, std=(1.0, -1.0, 1.0)),
        ValueError,
        "`std` must be a number of at least 0. Received: std=-1.0",
    ),
    (
        of(Mixing, mode="half"),
        ValueError,
        "`mode` must be one of 'batch', 'pair', 'elem'. Received: mode='half'",
    ),
    *[
        (
            mix(images, labels),
            ValueError,
            "Images to mix must be (N, H, W, C), and their labels rows of a float type, "
            f"(N, classes). Received: images={images.shape}, labels={labels.shape} of "
            f"{labels.dtype.name}",
        )
        for images, labels in (
            (IMAGES, tf.constant([0, 1, 2, 3])),
            (IMAGES, tf.constant([0.0, 1.0, 1.0, 0.0])),
            (IMAGES, tf.cast(ROWS, tf.int64)),
            (IMAGES[0], ROWS),
        )
    ],
    *[
        (
            called(step, image),
            ValueError,
            f"`image` must be one image, {kind}. Received: image={image.shape} of "
            f"{image.dtype.name}",
        )
        for step, kind, images in (
            (RandAugment("rand"), "uint8, (H, W, 3)", (IMAGES[0], tf.zeros((2, 2, 1), tf.uint8))),
            (ColorJitter(), "uint8, (H, W, 3)", (IMAGES[0], IMAGES)),
            (RandomErasing(), "(H, W, 3)", (IMAGES, IMAGES[0, ..., :1])),
            (Flip(), "(H, W, 3)", (IMAGES, ROWS)),
        )
        for image in images
    ],
    *[
        (
            lambda call=call: call(keras.Sequential([], name="none")),
            TypeError,
            "`model` must be a ResNet. Received: model=<Sequential name=none, built=False>",
        )
        for call in (
            lambda model: freeze_until(model, "head"),
            lambda model: layer_decay(model, keras.optimizers.SGD(), 0.5),
        )
    ],
    (
        lambda: freeze_until(network(), "stage5"),
        ValueError,
        "`part` must be one of 'stem', 'stage1', 'head'. Received: part='stage5'",
    ),
    (
        lambda: fit(network(), Unfreeze({"norm": 1})),
        ValueError,
        "`part` must be one of 'stem', 'stage1', 'head'. Received: part='norm'",
    ),
    (
        lambda: Unfreeze({"head": 0}),
        ValueError,
        "`schedule['head']` must be a positive integer. Received: schedule['head']=0",
    ),
    (
        lambda: layer_decay(network(), keras.optimizers.SGD(), 0.0),
        ValueError,
        "`decay` must be a number in (0, 1]. Received: decay=0.0",
    ),
    *[
        (
            lambda optimizer=optimizer: layer_decay(network(), optimizer, 0.5),
            TypeError,
            "`optimizer` must be one of keras.optimizers that takes all variables. "
            f"Received: optimizer={ANY}",  # an address, which differs between workers
        )
        for optimizer in ("sgd", keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))
    ],
    *[
        (
            lambda optimizer=optimizer: layer_decay(network(), optimizer, 0.5),
            ValueError,
            f"`optimizer` must {what}, since each part gets a copy of it. "
            f"Received: optimizer={ANY}",
        )
        for what, optimizer in (
            ("not be built", built(keras.optimizers.SGD())),
            ("have no `global_clipnorm`", keras.optimizers.SGD(global_clipnorm=1.0)),
        )
    ],
    *[
        (
            lambda call=call, weight=weight: call({0: 2.0, 1: weight}),
            ValueError,
            "`class_weight[1]` must be a number of at least 0. Received: "
            f"class_weight[1]={weight!r}",
        )
        for call in (
            lambda weights: settings(class_weight=weights),
            lambda weights: batches(class_weight=weights),
            lambda weights: batches().changed((), None, weights),
        )
        for weight in (-1.0, math.nan, math.inf)
    ],
    (
        lambda: batches(class_weight={3: 1.0}),
        ValueError,
        "`class_weight` must have indices of 3 classes. Received: class_weight={3: 1.0}",
    ),
    (
        lambda: settings(class_weight=[1.0, 2.0, 1.0]),
        TypeError,
        "`class_weight` must be a mapping from indices of classes to their weights. Received: "
        "class_weight=[1.0, 2.0, 1.0]",
    ),
    (
        lambda: batches(headers=[Header(9, 9, False, 1)]),
        ValueError,
        "`headers` must be one for each image. Received: 1 headers, 30 images",
    ),
    *[
        (
            call,
            ValueError,
            "`epoch` must be 0 where there is no seed, since an evaluation has one epoch. "
            "Received: epoch=1",
        )
        for call in (lambda: batches().batch(1, 0), lambda: batches().order(1))
    ],
    *[
        (
            lambda call=call, seed=seed: call(batches(seed=seed)),
            ValueError,
            f"`{name}` must be an integer of at least 0. Received: {name}=-1",
        )
        for seed in (0, None)
        for name, call in (
            ("epoch", lambda made: made.batch(-1, 0)),
            ("epoch", lambda made: made.order(-1)),
            ("step", lambda made: made.batch(0, -1)),
            ("start", lambda made: made.dataset(-1)),
            ("start", lambda made: list(made.damaged(-1))),
            ("steps", lambda made: list(made.damaged(0, -1))),
        )
    ],
    *[
        (
            lambda seed=seed: batches(seed=seed).batch(0, 4),
            ValueError,
            "`step` must be less than the number of steps of an epoch, 4. Received: step=4",
        )
        for seed in (0, None)
    ],
    *[
        (
            call,
            ValueError,
            "`start` must be at most the number of steps of an evaluation, 4. Received: start=5",
        )
        for call in (lambda: batches().dataset(5), lambda: list(batches().damaged(5)))
    ],
    *[
        (
            lambda seed=seed: Batches(counted(0), PREPARE, 8, seed=seed).dataset(),
            ValueError,
            "`images` must be one or more, to have batches. Received: none",
        )
        for seed in (0, None)
    ],
    *[
        (
            lambda value=value: coloured().split(0, value),
            kind,
            f"`fraction` must be {what}. Received: fraction={value!r}",
        )
        for what, kind, values in (
            ("a number in (0, 1)", ValueError, (0.0, 1.0, 2.0, -1, math.nan)),
            ("a number in (0, 1)", TypeError, ("half",)),
        )
        for value in values
    ],
    (
        lambda: Batches(coloured(), PREPARE, 8, seed=0, repeats=31),
        ValueError,
        "`repeats` must be at most the number of images. Received: repeats=31, 30 images",
    ),
    *[
        (
            lambda rows=rows: dataclasses.replace(coloured(2, classes=2), labels=np.array(rows)),
            ValueError,
            "`labels` must be indices of 2 classes, or rows of as many 0 or 1. Received: "
            f"labels={rows}",
        )
        for rows in ([[0, 2], [1, 0]], [[0.5, 0.0], [1.0, 0.0]], [[math.nan, 0.0], [1.0, 0.0]])
    ],
    (
        lambda: coloured().split(-1),
        ValueError,
        "`seed` must be an integer of at least 0. Received: seed=-1",
    ),
    (
        lambda: coloured().split(2**32),
        ValueError,
        "`seed` must be below 2**32. Received: seed=4294967296",
    ),
    *[
        (
            lambda kind=kind: kind(label_smoothing=1.5),
            ValueError,
            "`label_smoothing` must be a number in [0, 1]. Received: label_smoothing=1.5",
        )
        for kind in (labels.CategoricalCrossentropy, labels.BinaryCrossentropy)
    ],
    (
        of(labels.MeanAveragePrecision, classes=2, num_thresholds=2.5),
        TypeError,
        "`num_thresholds` must be an integer of at least 2. Received: num_thresholds=2.5",
    ),
    *[
        (
            lambda made=made, given=given: made(*given),
            ValueError,
            f"`{name}` must be {what}",
        )
        for made in schedules.SCHEDULES.values()
        for given, name, what in (
            ((-1.0, 9), "learning_rate", "a positive number. Received: learning_rate=-1.0"),
            ((1.0, 0), "steps", "a positive integer. Received: steps=0"),
            ((1.0, 9, 1.0), "warmup", "a number in [0, 1). Received: warmup=1.0"),
        )
    ],
    (
        lambda: schedules.WarmUpCosine(1.0),
        ValueError,
        "`warmup` must be a number in [0, 1). Received: warmup=1.0",
    ),
    (
        lambda: Recipe(**RECIPE).rate(-4),
        ValueError,
        "`batch_size` must be a positive integer. Received: batch_size=-4",
    ),
    (
        lambda: settings(epochs=10**7),
        ValueError,
        "`epochs` must be at most 1000000. Received: epochs=10000000",
    ),
    (
        of(Unfreeze, schedule="head"),
        TypeError,
        "`schedule` must be a mapping from parts to epochs. Received: schedule='head'",
    ),
    (
        lambda: Batches(digits(), for_squares(8, (0,) * 3, (1,) * 3), 4, crop=RandomResizedCrop(9)),
        ValueError,
        "`crop` must be of the size of `prepare`. Received: crop.size=9, prepare.image_size=8",
    ),
    (
        lambda: Recipe(**RECIPE, global_clipnorm=0.0),
        ValueError,
        "`global_clipnorm` must be a positive number. Received: global_clipnorm=0.0",
    ),
    (
        lambda: Recipe(**RECIPE, ema=1.0),
        ValueError,
        "`ema` must be a number in (0, 1). Received: ema=1.0",
    ),
    (
        lambda: Recipe(**RECIPE, ema=0.5, grow_from=8),
        ValueError,
        "`ema` must be None where images grow. Received: ema=0.5, grow_from=8",
    ),
    (
        lambda: smoothed(ROWS, 1.0),
        ValueError,
        "`smoothing` must be a number in [0, 1). Received: smoothing=1.0",
    ),
]


@pytest.mark.share(6)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


@pytest.mark.share(4)
def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
