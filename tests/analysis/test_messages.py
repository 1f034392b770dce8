"""Every error of the analysis: its type and its whole text."""

from typing import Any, cast

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.analysis.comparison import compare
from resnet_layers.analysis.drawing import draw
from resnet_layers.analysis.profile import profile
from resnet_layers.analysis.sheets import draw_features, draw_kernels
from resnet_layers.analysis.twins import plain_twin, vgg_twin
from tests.analysis import explaining_messages, latency_messages
from tests.support.messages import Row, check, ids, missing

WING = "analysis"


def built(layer: Any, shape: tuple[int | None, ...]) -> Any:
    layer.build(shape)
    return layer


def small() -> rl.ResNet:
    return rl.ResNet.from_variant("cifar_resnet20")


class Silent(keras.layers.Layer):
    """A layer that does not say what shape it makes."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


ERRORS: list[Row] = [
    (
        lambda: profile(18),
        TypeError,
        "`model` must be the name of a variant, or a Keras model or layer. Received: model=18",
    ),
    (
        lambda: profile("resnet5"),
        ValueError,
        "There is no variant of that name; close names: 'resnet50', 'resnet50t', 'resnet50s', "
        "'resnet50d', 'resnet50c'. Received: variant='resnet5'",
    ),
    (
        lambda: profile(keras.Sequential([keras.layers.Dense(2)], name="mine")),
        ValueError,
        "`input_shape` must be given, since Sequential 'mine' does not know it. "
        "Received: input_shape=None",
    ),
    (
        lambda: profile(
            keras.Model(
                [x := keras.Input((None, 4, 3)), y := keras.Input((4, 4, 3))],
                keras.layers.Add()([x, y]),
                name="two",
            )
        ),
        ValueError,
        "`model` must have inputs of known sizes where it has several. "
        "Received: two, with inputs of (None, 4, 3), (4, 4, 3)",
    ),
    (
        lambda: profile("resnet18", (224, 224)),
        ValueError,
        "`input_shape` must have the axes of the model, without the batch: (None, None, None), "
        "where None is any size. Received: input_shape=(224, 224)",
    ),
    (
        lambda: profile(rl.ResNet34(classes=10), (64, 64, 3)),
        ValueError,
        "`input_shape` must have the axes of the model, without the batch: (32, 32, 3), "
        "where None is any size. Received: input_shape=(64, 64, 3)",
    ),
    (
        lambda: profile("resnet18", (224, 0, 3)),
        ValueError,
        "`input_shape` must be a list of positive integers. Received: input_shape=(224, 0, 3)",
    ),
    (
        lambda: profile("resnet18", batch=0),
        ValueError,
        "`batch` must be a positive integer. Received: batch=0",
    ),
    (
        lambda: profile("resnet18", batch=2**63),
        ValueError,
        "`batch` must be below 2**63. Received: batch=9223372036854775808",
    ),
    (
        lambda: profile("resnet18", (2**63, 1, 3)),
        ValueError,
        "`input_shape` must have sizes below 2**63. "
        "Received: input_shape=(9223372036854775808, 1, 3)",
    ),
    (
        lambda: profile("resnet18", dtype="float12"),
        ValueError,
        "`dtype` must be one of 'float32', 'float16', 'bfloat16', 'float64', 'mixed_float16', "
        "'mixed_bfloat16'. Received: dtype='float12'",
    ),
    (
        lambda: profile("resnet18", dtype="int8_from_float32"),
        ValueError,
        "`dtype` must be one of 'float32', 'float16', 'bfloat16', 'float64', 'mixed_float16', "
        "'mixed_bfloat16'. Received: dtype='int8_from_float32'",
    ),
    (
        lambda: plain_twin("resnet18", shortcut="B"),
        ValueError,
        "`shortcut` must be left out, since a plain twin has none. Received: shortcut='B'",
    ),
    (
        lambda: profile("resnet18").part(3),  # type: ignore[arg-type]
        ValueError,
        "`name` must be that of a part, such as 'stem', 'stage1', 'stage2', 'stage3', 'stage4', "
        "'head'. Received: name=3",
    ),
    (
        lambda: profile("resnet18", convention="gmacs"),
        ValueError,
        "`convention` must be one of 'macs', 'paper', 'flops', 'timm', 'ptflops', 'xla'. "
        "Received: convention='gmacs'",
    ),
    (
        lambda: profile(keras.layers.Conv2D(2, 5, name="wide"), (4, 9, 3)),
        ValueError,
        "The input of Conv2D 'wide' must be at least as large as its windows. "
        "Received: input_shape=(None, 4, 9, 3)",
    ),
    (
        lambda: profile(
            keras.Sequential([keras.layers.Flatten(), built(keras.layers.Dense(2), (None, 12))]),
            (3, 3, 3),
        ),
        ValueError,
        "The input of Dense 'dense' must have the 12 channels that it was built for. "
        "Received: input_shape=(None, 27)",
    ),
    (
        lambda: profile(keras.Sequential([Silent(name="silent")]), (4, 4, 3)),
        ValueError,
        "`model` must be built where a layer does not say what shape it makes, as Silent 'silent' "
        "has no `compute_output_shape`. Received: input_shape=(None, 4, 4, 3)",
    ),
    (
        lambda: profile("resnet18").part("stage9"),
        ValueError,
        "`name` must be that of a part, such as 'stage4', 'stage3', 'stage2', 'stage1', "
        "'stem'. Received: name='stage9'",
    ),
    (
        lambda: profile("resnet18").part("body"),
        ValueError,
        "`name` must be that of a part, such as 'stem', 'stage1', 'stage2', 'stage3', 'stage4', "
        "'head'. Received: name='body'",
    ),
    (
        lambda: compare("resnet18"),
        TypeError,
        "`models` must be a list of models. Received: models='resnet18'",
    ),
    (
        lambda: compare([]),
        ValueError,
        "`models` must have at least one model. Received: models=[]",
    ),
    (
        lambda: plain_twin(keras.Sequential(name="mine")),
        TypeError,
        "`model` must be a name or a ResNet. Received: model=<Sequential name=mine, built=False>",
    ),
    (
        lambda: plain_twin(rl.ResNet.from_variant("cifar_resnet20"), classes=10),
        TypeError,
        "Overrides must be left out with a model, whose twin is as it is. Received: classes",
    ),
    (
        lambda: vgg_twin("resnet18", match="width"),
        ValueError,
        "`match` must be one of 'depth', 'parameters', 'macs'. Received: match='width'",
    ),
    (
        lambda: vgg_twin(rl.ResNet.from_variant("resnet18", head=None)),
        ValueError,
        "`model` must go from images to a vector, such as a number for each class, by maps whose "
        "steps are known. Received: resnet18, from (224, 224, 3) to (7, 7, 512)",
    ),
    (
        lambda: vgg_twin(rl.ResNet.from_variant("resnet18", blocks=(1,), filters=(64,))),
        ValueError,
        "`model` must have at least 8 layers with weights for the 2 poolings of its twin. "
        "Received: resnet18 with 4",
    ),
    (
        lambda: profile("resnet18").text(-1),
        ValueError,
        "`depth` must be an integer of at least 0. Received: depth=-1",
    ),
    (
        lambda: draw([]),
        ValueError,
        "`models` must have at least one model. Received: models=[]",
    ),
    (
        lambda: draw("resnet18", detail=cast(Any, "stages")),
        ValueError,
        "`detail` must be one of 'layers', 'blocks'. Received: detail='stages'",
    ),
    (
        lambda: draw("resnet18", horizontal=cast(Any, 1)),
        TypeError,
        "`horizontal` must be True or False. Received: horizontal=1",
    ),
    (
        lambda: draw("resnet18").save(3),
        TypeError,
        "`path` must be a path. Received: path=3",
    ),
    (
        lambda: draw("resnet18").save("resnet18.gif"),
        ValueError,
        "`path` must have a name that ends in .svg, .png, .pdf. Received: path='resnet18.gif'",
    ),
    (
        lambda: draw("resnet18").save("none/resnet18.svg"),
        ValueError,
        "`path` must be in a folder that exists. Received: path='none/resnet18.svg'",
    ),
    (
        lambda: draw("resnet18").save("resnet18.svg", theme=cast(Any, "blue")),
        ValueError,
        "`theme` must be one of 'light', 'dark'. Received: theme='blue'",
    ),
    (
        lambda: draw("resnet18").save("resnet18.svg", scale=0),
        ValueError,
        "`scale` must be a positive number. Received: scale=0",
    ),
    (
        lambda: draw("test_resnet").save("a.png", scale=1e-4),
        ValueError,
        "`scale` must make a PNG of 1 to 32767 pixels on each side. "
        "Received: scale=0.0001, which makes 0.058492×0.1248",
    ),
    (
        lambda: draw_features(keras.Model([x := keras.Input((8, 8, 3)), keras.Input((2,))], x), 1),
        ValueError,
        "`model` must be a ResNet, or a functional or Sequential model with one input. "
        "Received: model=<Functional name=functional, built=True>",
    ),
    (
        lambda: profile("resnet18").bars("stride"),
        ValueError,
        "`column` must be one of 'macs', 'params', 'activations', 'weight_bytes', 'live_bytes', "
        "'intensity'. Received: column='stride'",
    ),
    (
        lambda: profile("resnet18").bars(depth=0),
        ValueError,
        "`depth` must be a positive integer. Received: depth=0",
    ),
    (
        lambda: draw_kernels("resnet18"),
        TypeError,
        "`model` must be a Keras model. Received: model='resnet18'",
    ),
    (
        lambda: draw_kernels(small(), "stem/convolution"),
        ValueError,
        "`layer` must be one of those of cifar_resnet20: 'stem/conv/convolution', "
        "'stage3/block3/conv2/convolution', 'stage3/block3/conv1/convolution', "
        "'stage3/block2/conv2/convolution', 'stage3/block2/conv1/convolution' or others. "
        "Received: layer='stem/convolution'",
    ),
    (
        lambda: draw_kernels(small(), cast(Any, ["stem"])),
        TypeError,
        "`layer` must be a name, or None. Received: layer=['stem']",
    ),
    (
        lambda: draw_kernels(small(), "stage1/block1/conv1/convolution"),
        ValueError,
        "`layer` must read one channel or three, which are drawn as colours. "
        "Received: layer='stage1/block1/conv1/convolution', whose kernels have 16",
    ),
    (
        lambda: draw_kernels(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])),
        ValueError,
        "`model` must have built layers of maps with two axes of pixels. "
        "Received: sequential, in which none is found",
    ),
    (
        lambda: draw_features(small(), np.ones((32, 32, 3)), "stage4"),
        ValueError,
        "`layer` must be one of those of cifar_resnet20: 'stem', 'stage1', 'stage2', 'stage3'. "
        "Received: layer='stage4'",
    ),
    (
        lambda: draw_features(small(), "a.png"),
        TypeError,
        "`image` must be an array of real numbers. Received: str",
    ),
    (
        lambda: draw_features(small(), np.ones((2, 32, 32, 3))),
        ValueError,
        "`image` must have the shape (None, None, 3), where None is any size, or be a batch with "
        "one such image. Received: image.shape=(2, 32, 32, 3)",
    ),
    (
        lambda: draw_features(rl.ResNet.from_variant("r3d_18"), np.ones((4, 16, 16, 3))),
        ValueError,
        "`model` must be of images with two axes of pixels. "
        "Received: r3d_18, whose maps have the shape (4, 8, 8, 64)",
    ),
    *explaining_messages.ERRORS,
    *latency_messages.ERRORS,
]


@pytest.mark.share(4)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    keras.backend.clear_session()  # names of layers begin anew
    check(row)


@pytest.mark.share(4)
def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
