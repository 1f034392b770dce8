"""Every error of heat maps and studies: its type and its whole text."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

import resnet_layers as rl
from resnet_layers._support.errors import InputError
from resnet_layers.analysis.heatmaps.maps import grad_cam
from resnet_layers.analysis.heatmaps.overlays import draw_maps, overlay
from resnet_layers.analysis.studies import settings
from resnet_layers.analysis.studies.contenders import Contender
from resnet_layers.analysis.studies.degradation import degradation
from resnet_layers.analysis.studies.parallel import in_processes
from resnet_layers.analysis.studies.settings import Degradation
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training import labelled
from tests.support.messages import Row


def small(**changes: Any) -> rl.ResNet:
    keywords = {"classes": 3, "blocks": (1, 1, 1), "name": "small", **changes}
    return rl.ResNet.from_variant("cifar_resnet20", **keywords)


def named() -> rl.ResNet:
    return small(metadata={"class_names": ["cat", "dog", "owl"]})


def images(*shape: int) -> Any:
    return np.ones(shape or (2, 16, 16, 3), "float32")


def around(last: Any) -> Any:
    """A functional model that goes on with what the network says."""
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, last(small()(inputs)), name="around")


class Probabilities(keras.Model):
    """What the network says, as probabilities that no layer of it makes."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.network = small()

    def call(self, inputs: Any) -> Any:
        return keras.ops.softmax(self.network(inputs))


def without_numbers() -> rl.ResNet:
    model = small()
    model(images())
    cast("Any", model.head).dense.kernel.assign(np.full((64, 3), np.nan))
    return model


def two() -> Any:
    other = rl.ResNet.from_variant("cifar_resnet20", 3, blocks=(1, 1, 1), name="other")
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, small()(inputs) + other(inputs), name="two")


def twice() -> Any:
    first = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    pooled = keras.layers.GlobalAveragePooling2D()(shared(shared(first)))
    return keras.Model(first, pooled)


class Again(keras.layers.Layer):
    """A convolution that is computed again, by no scope that could be left out."""

    def build(self, shape: Any) -> None:
        self.inside = keras.layers.Conv2D(3, 3, name="inside")
        self.inside.build(shape)

    def call(self, inputs: Any) -> Any:
        return keras.remat(self.inside.call)(inputs)

    def compute_output_shape(self, shape: Any) -> Any:
        return self.inside.compute_output_shape(shape)


def computed_again() -> Any:
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(Again()(inputs)))


class Flat(keras.Model):
    """A head for images of one size, of which the class says nothing."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.network = small().replace(head=None)
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(self.flat(self.network(inputs)))


def flat() -> Any:
    model = Flat(name="flat")
    model(images())
    return model


def of_whole_numbers() -> Any:
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    return keras.Model(inputs, small()(keras.layers.Rescaling(1 / 255)(inputs)), name="pixels")


class Same(keras.Model):
    """Two layers of one name."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.first, self.second = (keras.layers.Conv2D(3, 3, name="conv") for _ in range(2))
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, inputs: Any) -> Any:
        return self.pool(self.second(self.first(inputs)))


def with_its_own_call() -> Any:
    model = around(keras.layers.Identity())
    call = model.call
    model.call = lambda *inputs, **keywords: keras.ops.softmax(call(*inputs, **keywords))
    return model


def study(folder: str = "study", **changes: Any) -> Degradation:
    _, few = labelled.digits().split(seed=0, fraction=0.1)
    some, test = few.split(seed=0, fraction=0.3)
    prepare = for_squares(image_size=8, mean=(127.5,) * 3, std=(64.0,) * 3)
    keywords = {"depths": (8,), "shortcut_depths": (), "seeds": 2, "epochs": 1, **changes}
    return Degradation(images=some, test=test, prepare=prepare, output=Path(folder), **keywords)


def another_study() -> None:
    done = study()
    (done.output / "runs").mkdir(parents=True)
    settings.write(done.output / "study.json", {**done.described(), "epochs": 3})
    degradation(done)


def grown_study(**changes: Any) -> None:
    """Of other depths or seeds than the folder has."""
    done = study()
    (done.output / "runs").mkdir(parents=True)
    settings.write(done.output / "study.json", done.described())
    degradation(study(**changes))


def study_of_other_sizes() -> None:
    done = study()
    (done.output / "runs").mkdir(parents=True)
    settings.write(done.output / "study.json", done.described())
    degradation(dataclasses.replace(done, prepare=for_squares(4, (127.5,) * 3, (64.0,) * 3)))


def folder_for_settings() -> None:
    (Path("study") / "study.json").mkdir(parents=True)
    degradation(study())


def folder_for_a_run() -> None:
    done = study()
    done.run_file(done.contenders[0], 0).mkdir(parents=True)
    degradation(done)


def damaged_run() -> None:
    done = study()
    (done.output / "runs").mkdir(parents=True)
    for contender in done.contenders:
        for seed in range(done.seeds):
            done.run_file(contender, seed).write_text("{")
    degradation(done)


def run_of_another() -> None:
    done = study()
    (done.output / "runs").mkdir(parents=True)
    content = {"network": "plain-8", "seed": 0, "study": study(epochs=2).digest}
    settings.write(done.run_file(done.contenders[0], 0), content)
    degradation(done)


def process_fails() -> None:
    done = study()
    (done.output / "runs").mkdir(parents=True)
    (done.output / "runs" / "plain-8").touch()  # where a folder should be
    in_processes(done, 1)


ERRORS: list[Row] = [
    (
        lambda: grad_cam("resnet18", images()),
        TypeError,
        "`model` must be a Keras model. Received: model='resnet18'",
    ),
    (
        lambda: grad_cam(small(), images(), stage=cast("str", 3)),
        TypeError,
        "`stage` must be a name, or None. Received: stage=3",
    ),
    (
        lambda: grad_cam(small(), images()),
        ValueError,
        "`stage` must be one of 'stem', 'stage1', 'stage2', 'stage3', or None for the last. "
        "Received: stage='stage4'",
    ),
    (
        lambda: grad_cam(around(keras.layers.Identity()), images()),
        ValueError,
        "`stage` must be one of 'stem', 'stage1', 'stage2', 'stage3' in around, or None for the "
        "last. Received: stage='stage4'",
    ),
    (
        lambda: grad_cam(rl.functional_view(small()), images(), stage="stage2_block1_conv3"),
        ValueError,
        "`stage` must be one of 'stage2_block1_conv2_convolution', "
        "'stage2_block1_conv1_convolution', 'stage2_block1_conv2_normalization', "
        "'stage2_block1_conv1_normalization', 'stage3_block1_conv2_convolution', "
        "'stage3_block1_conv1_convolution', 'stage1_block1_conv2_convolution', "
        "'stage1_block1_conv1_convolution', 'stage3_block1_conv2_normalization', "
        "'stage3_block1_conv1_normalization' and 2 more in small, or None for the last. "
        "Received: stage='stage2_block1_conv3'",
    ),
    (
        lambda: grad_cam(keras.Model(x := keras.Input((4, 4, 3)), x, name="empty"), images()),
        ValueError,
        "`model` must have a ResNet or layers in it, whose maps can be looked at. Received: empty",
    ),
    (
        lambda: grad_cam(two(), images()),
        ValueError,
        "`model` must have one ResNet in it. Received: 'small', 'other' in two",
    ),
    (
        lambda: grad_cam(around(keras.ops.softmax), images(), stage=None),
        ValueError,
        "`model` must end in logits, or in a layer with an activation that can be left out. "
        "Received: around, which ends in an operation Softmax",
    ),
    (
        lambda: grad_cam(Probabilities(name="probable"), images(), stage="stage3"),
        ValueError,
        "`model` must end in logits, or in a layer with an activation that can be left out. "
        "Received: probable, whose outputs add up to 1",
    ),
    (
        lambda: grad_cam(with_its_own_call(), images(), stage="stage3"),
        ValueError,
        "`model` must end in logits, or in a layer with an activation that can be left out. "
        "Received: around, whose outputs add up to 1",
    ),
    (
        lambda: grad_cam(small(classes=1, classifier_activation="softmax"), images(), stage=None),
        ValueError,
        "`model` must have several outputs before a softmax, or end in a sigmoid. "
        "Received: small, whose only output is always 1",
    ),
    (
        lambda: grad_cam(flat(), images(2, 32, 32, 3), stage="stage3"),
        ValueError,
        "`images` must be what flat takes. Received: images of the shape (2, 32, 32, 3), with "
        "which it fails: Input 0 with name 'None' of layer 'dense' is incompatible with the layer: "
        "expected axis -1 of input shape to have value 1024, but received input with shape "
        "(1, 4096)",
    ),
    (
        lambda: grad_cam(flat(), images(2, 16, 16, 4), stage="stage3"),
        ValueError,
        "`images` must be what flat takes. Received: images of the shape (2, 16, 16, 4), with "
        "which it fails: Input 0 with name 'None' of layer 'stem' is incompatible with the layer: "
        "expected axis -1 of input shape to have value 3, but received input with shape "
        "(1, 16, 16, 4)",
    ),
    *[
        (
            lambda some=some: grad_cam(of_whole_numbers(), some, stage="stage3"),
            ValueError,
            "`images` must be whole numbers, which pixels takes as uint8. "
            "Received: others among them",
        )
        for some in (images() / 2, images() * -1, images() * 256)
    ],
    (
        lambda: grad_cam(
            of_whole_numbers(), images(), stage="stage3", method="integrated_gradients"
        ),
        ValueError,
        "`method` must be another one for a model of whole numbers, which has no gradients by its "
        "images. Received: method='integrated_gradients'",
    ),
    (
        lambda: grad_cam(Same(name="same"), images(), stage="conv"),
        ValueError,
        "`stage` must be the name of one layer. "
        "Received: stage='conv', as 2 layers of same are called",
    ),
    (
        lambda: grad_cam(small(metadata={"class_names": ["cat"] * 3}), images(), "cat", "stage3"),
        ValueError,
        "`classes` must be of numbers from 0 to 2. Received: 'cat'",
    ),
    (
        lambda: grad_cam(computed_again(), images(), stage="inside"),
        ValueError,
        "`stage` must be a layer that gradients come to from the score of a class: none do through "
        "`stop_gradient`, nor to the inside of `keras.remat`. Received: 'inside'",
    ),
    (
        lambda: grad_cam(around(lambda x: [x, x]), images(), stage="stage3"),
        ValueError,
        "`model` must have one output for each class. Received: 2 outputs apart",
    ),
    (
        lambda: grad_cam(without_numbers(), images(), stage="stage3"),
        ValueError,
        "`model` must give finite numbers, and gradients, for `images`. Received: NaN or infinity "
        "in the maps of small",
    ),
    (
        lambda: grad_cam(small(), images().astype("uint8"), stage=None),
        TypeError,
        "`images` must be floats as the network takes them, such as `preprocessing(model)` makes "
        "of pixels. Received: dtype=uint8",
    ),
    *[
        (
            lambda given=given: grad_cam(small(), given, stage=None),
            TypeError,
            f"`images` must be an array of real numbers. Received: {received}",
        )
        for given, received in [
            (None, "NoneType"),
            ([[1], [2, 3]], "list"),
            ("a.png", "str"),
            (np.full((2, 8, 8, 3), "a"), "dtype=<U1"),
            (np.zeros((2, 8, 8, 3), "complex64"), "dtype=complex64"),
        ]
    ],
    (
        lambda: grad_cam(small(), images(2, 0, 16, 3), stage=None),
        ValueError,
        "`images` must be of the shape (None, None, None, 3), which small takes. "
        "Received: (2, 0, 16, 3)",
    ),
    (
        lambda: grad_cam(small(), np.full((2, 16, 16, 3), 1e300), stage=None),
        ValueError,
        "`images` must be finite. Received: NaN or infinity among their pixels",
    ),
    (
        lambda: grad_cam(small(input_shape=(16, 16, 3)), images(2, 32, 32, 3), stage=None),
        ValueError,
        "`images` must be of the shape (None, 16, 16, 3), which small takes. "
        "Received: (2, 32, 32, 3)",
    ),
    (
        lambda: grad_cam(small(), images(16, 16, 3), stage=None),
        ValueError,
        "`images` must be of the shape (None, None, None, 3), which small takes. "
        "Received: (16, 16, 3)",
    ),
    (
        lambda: grad_cam(rl.ResNet.from_variant("r3d_18"), images(1, 4, 16, 16, 3)),
        ValueError,
        "`images` must have two axes of pixels. Received: shape=(1, 4, 16, 16, 3)",
    ),
    (
        lambda: grad_cam(small(), images() * np.nan, stage=None),
        ValueError,
        "`images` must be finite. Received: NaN or infinity among their pixels",
    ),
    (
        lambda: grad_cam(small().replace(head=None), images(), stage=None),
        ValueError,
        "`model` must have one output for each class. Received: outputs of the shape (2, 4, 4, 64)",
    ),
    (
        lambda: grad_cam(small(), images(), [1, 2, 0], stage=None),
        ValueError,
        "`classes` must be one class, or one for each of 2 images. Received: 3",
    ),
    (
        lambda: grad_cam(named(), images(), "cow", stage=None),
        ValueError,
        "`classes` must be of 'cat', 'dog', 'owl'. Received: 'cow'",
    ),
    (
        lambda: grad_cam(small(), images(), "cow", stage=None),
        ValueError,
        "`classes` must be of numbers from 0 to 2. Received: 'cow'",
    ),
    (
        lambda: grad_cam(small(), images(), [0, 1.5], stage=None),
        TypeError,
        "`classes` must be numbers or names of classes, or None. Received: 1.5",
    ),
    (
        lambda: grad_cam(small(), images(), 3, stage=None),
        ValueError,
        "`classes` must be numbers from 0 to 2, or names of classes. Received: 3",
    ),
    (
        lambda: grad_cam(small(), images(), stage=None, method=cast("Any", "cam")),
        ValueError,
        "`method` must be one of 'grad_cam', 'grad_cam++', 'hires_cam', 'integrated_gradients', "
        "'occlusion'. Received: method='cam'",
    ),
    (
        lambda: grad_cam(twice(), images(), stage="shared"),
        ValueError,
        "`stage` must be a layer that the model calls once. Received: 'shared', which it calls 2 "
        "times",
    ),
    (
        lambda: grad_cam(rl.functional_view(small()), images(), stage="head_pool"),
        ValueError,
        "`stage` must be a layer whose output is a map with two axes of pixels. "
        "Received: 'head_pool', whose output has the shape (2, 64)",
    ),
    (
        lambda: grad_cam(small(), images(2, 4, 4, 3), stage="stage3"),
        ValueError,
        "`stage` must have a map of several pixels, or there is nothing to tell apart; an earlier "
        "one, or larger images, have. Received: 'stage3', 1×1 pixels for images of 4×4",
    ),
    (
        lambda: overlay(images(2, 8, 8, 4), np.zeros((2, 8, 8))),
        ValueError,
        "`images` must be of the shape (N, height, width, 3), or with one channel. "
        "Received: images.shape=(2, 8, 8, 4)",
    ),
    (
        lambda: overlay(images(2, 8, 8, 3) > 0, np.zeros((2, 8, 8))),
        TypeError,
        "`images` must be numbers. Received: dtype=bool",
    ),
    *[
        (
            functools.partial(overlay, *given),
            TypeError,
            f"`{name}` must be numbers. Received: {received}",
        )
        for name, received, given in [
            ("images", "NoneType", (None, np.zeros((2, 8, 8)))),
            ("images", "list", ([[1], [2, 3]], np.zeros((2, 8, 8)))),
            ("images", "dtype=<U5", ("a.png", np.zeros((2, 8, 8)))),
            ("maps", "NoneType", (images(2, 8, 8, 3), None)),
            ("maps", "list", (images(2, 8, 8, 3), [[1], [2, 3]])),
            ("maps", "dtype=complex128", (images(2, 8, 8, 3), np.zeros((2, 8, 8)) * 1j)),
        ]
    ],
    *[
        (
            functools.partial(draw_maps, images(2, 8, 8, 3), np.zeros((2, 8, 8)), **{name: given}),
            TypeError,
            f"`{name}` must be a list of {what}, or None. Received: {name}={given!r}",
        )
        for name, what, wrong in [
            ("names", "texts", ([1, 2], "ab", 5, ["a", None], [["a"], ["b"]], {"a": 1, "b": 2})),
            ("certificates", "those of `grad_cam`", (5, [1, 2], "ab", [None, None])),
        ]
        for given in cast("tuple[Any, ...]", wrong)
    ],
    (
        lambda: overlay(images(2, 8, 8, 3) * 2, np.zeros((2, 8, 8))),
        ValueError,
        "`images` must be pixels, whole numbers from 0 to 255 or floats from 0 to 1. "
        "Received: others among them, dtype=float32",
    ),
    (
        lambda: overlay(images(2, 8, 8, 3), np.zeros((2, 4, 4))),
        ValueError,
        "`maps` must have the number, height and width of the images, (2, 8, 8). "
        "Received: maps.shape=(2, 4, 4)",
    ),
    (
        lambda: overlay(images(2, 8, 8, 3), np.full((2, 8, 8), 2)),
        ValueError,
        "`maps` must be from 0 to 1. Received: others among them",
    ),
    (
        lambda: draw_maps(images(2, 8, 8, 3), np.zeros((2, 8, 8)), ["cat"]),
        ValueError,
        "`names` must be one for each of 2 images. Received: 1",
    ),
    (
        lambda: Contender(depth=18),
        ValueError,
        "`depth` must be 6n + 2, such as 20, 32, 44, 56 or 110. Received: depth=18",
    ),
    (
        lambda: study(depths=()),
        ValueError,
        "`depths` must be one depth, or several. Received: none",
    ),
    (
        another_study,
        InputError,
        "The folder 'study' holds a study with other settings, which can only go on with its own: "
        "choose another. Received: epochs=1, there epochs=3",
    ),
    *[
        (
            functools.partial(grown_study, **{name: more}),
            InputError,
            "The folder 'study' holds a study with other settings, which can only go on with its "
            f"own: choose another. Received: {name}={received}, there {name}={there}",
        )
        for name, more, received, there in [
            ("depths", (8, 14), "[8, 14]", "[8]"),
            ("shortcut_depths", (8,), "[8]", "[]"),
            ("seeds", 3, "3", "2"),
        ]
    ],
    (
        study_of_other_sizes,
        InputError,
        "The folder 'study' holds a study with other settings, which can only go on with its own: "
        "choose another. Received: prepare.image_size=4, there prepare.image_size=8",
    ),
    (
        folder_for_settings,
        InputError,
        "'study/study.json' must not be a folder, since a file is written there",
    ),
    (
        folder_for_a_run,
        InputError,
        "'study/runs/plain-8-seed0.json' must not be a folder, since a file is written there",
    ),
    (
        damaged_run,
        InputError,
        "'study/runs/plain-8-seed0.json' is damaged: without it, the same command makes it again",
    ),
    (
        run_of_another,
        InputError,
        "'study/runs/plain-8-seed0.json' is no run of this study: without it, the same command "
        "makes it again",
    ),
    (
        process_fails,
        InputError,
        "A process of the study ended with 1; the same command goes on with what is left",
    ),
]
