"""Every error of the layers: its type and its whole text."""

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.layers import _shapes
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.preprocessing import from_metadata
from tests.support.messages import ANY, Row, check, ids, missing

WING = "layers"


def unregistered(x: Any) -> Any:
    return x


class Unregistered(keras.initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return keras.ops.zeros(shape, dtype)


def built(layer: Any, *shape: int | None) -> Any:
    layer.build((None, *shape))
    return layer


def convolution(built: bool = False) -> Any:
    layer = rl.ConvNorm(4, 3, name="c")
    if built:
        layer.build((None, 8, 8, 3))
    return layer


class ForgetsToBuild(rl.Stem):
    def __init__(self) -> None:
        super().__init__(4, name="s")
        self.extra = keras.layers.Dense(2, name="extra")


def change_inside() -> None:
    layer = convolution(built=True)
    layer.normalization.momentum = 0.5
    layer.get_config()


def of_changes(changes: Any) -> Any:
    return rl.Stem.from_config({**rl.Stem(4).get_config(), "trainable_changes": changes})


def freeze_variable() -> None:
    layer = convolution(built=True)
    layer.normalization.gamma.trainable = False
    layer.get_config()


def change_config() -> None:
    regularizer = {"class_name": "L2", "config": {"l2": 0.5}}
    head: Any = rl.ClassifierHead(2, kernel_regularizer=regularizer)
    head.kernel_regularizer["config"]["l2"] = 9.0


def of_unknown_rank(layer: Any) -> None:
    @tf.function(input_signature=[tf.TensorSpec(None)], autograph=False)
    def call(x: Any) -> Any:
        return layer(x)

    call.get_concrete_function()


def load_into_what_is_not_built() -> None:
    built(ForgetsToBuild(), 8, 8, 3).load_own_variables({})


class TakesAnything(rl.Stem):
    def __init__(self, anything: Any) -> None:
        super().__init__(4)


ACTIVATION = (
    "`activation` must be None, a name that Keras knows, or a function registered with "
    "`keras.saving.register_keras_serializable`. Received: activation="
)
GLU = (
    "`activation` must have an output for each channel; glu has one for two. Received: activation="
)
LAYER = {"module": "keras.layers", "class_name": "PReLU", "config": {"shared_axes": [1, 2]}}
INITIALIZER = "must be a name, a config or an object that Keras can serialize. Received: "


def prepared_shape(*shape: int) -> Any:
    return rl.Preprocessing(name="prepare").compute_output_shape(shape)


PREPARED = (
    "The input of Preprocessing 'prepare' must have the axes (batch, height, width, 3), or the "
    "same without the batch, none but the batch empty. Received: input_shape="
)

SHAPE = (
    "`input_shape` must be (height, width, channels), without the batch: positive integers, or "
    "None for any height or width. Received: input_shape="
)
AXES = (
    "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none but "
    "the batch empty, and a known number of channels. Received: input_shape="
)

ERRORS: list[Row] = [
    (
        lambda: rl.Preprocessing(resizing="fit"),
        ValueError,
        "`resizing` must be 'shorter_side' where the result is no whole square, with crop_pct=1.0. "
        "Received: resizing='fit', image_size=224, crop_pct=0.875",
    ),
    # Attributes of what is made
    (
        lambda: setattr(convolution(), "filters", 5),
        AttributeError,
        "`filters` of ConvNorm 'c' must be given when the layer is made, since its file and its "
        "copies have nothing else. Make another layer, and a network with it by `model.replace`. "
        "Received: filters=5",
    ),
    (
        lambda: delattr(convolution(), "filters"),
        AttributeError,
        "`filters` of ConvNorm 'c' must be given when the layer is made, since its file and its "
        "copies have nothing else. Make another layer, and a network with it by `model.replace`. "
        "Received: del filters",
    ),
    (
        change_inside,
        ValueError,
        "`c/normalization.momentum` must be what the layer was made with, since files and copies "
        "of ConvNorm 'c' have nothing else. Undo the change, or make another layer, and a network "
        "with it by `model.replace`. Received: momentum=0.5",
    ),
    (
        freeze_variable,
        ValueError,
        "`c/normalization.gamma.trainable` must be what the layer was made with, since files and "
        "copies of ConvNorm 'c' have nothing else. Undo the change, or set `layer.trainable`. "
        "Received: gamma.trainable=False",
    ),
    (
        lambda: rl.BlockStyle(normalization="group", folded=True),
        ValueError,
        "`folded` must be False where `normalization` is not that of batches, since no kernel can "
        "hold another one. Received: folded=True, normalization='group'",
    ),
    # Numbers
    (
        lambda: rl.ConvNorm(0, 3),
        ValueError,
        "`filters` must be a positive integer. Received: filters=0",
    ),
    (
        lambda: rl.ConvNorm(-1, 3),
        ValueError,
        "`filters` must be a positive integer. Received: filters=-1",
    ),
    (
        lambda: rl.ConvNorm(2.0, 3),  # type: ignore[arg-type]
        TypeError,
        "`filters` must be a positive integer. Received: filters=2.0",
    ),
    (
        lambda: rl.IdentityBlock(True),
        TypeError,
        "`filters` must be a positive integer. Received: filters=True",
    ),
    (
        lambda: rl.ResNetStage(4, "2"),  # type: ignore[arg-type]
        TypeError,
        "`blocks` must be a positive integer. Received: blocks='2'",
    ),
    (
        lambda: rl.ResNetStage(4, 10**9),
        ValueError,
        "`blocks` must be at most 10000. Received: blocks=1000000000",
    ),
    (
        lambda: rl.ConvBlock(4, strides=0),
        ValueError,
        "`strides` must be a positive integer or a pair of them. Received: strides=0",
    ),
    (
        lambda: rl.ConvNorm(4, (3, 3, 3)),
        ValueError,
        "`kernel_size` must be a positive integer or a pair of them. "
        "Received: kernel_size=(3, 3, 3)",
    ),
    (
        lambda: rl.ConvNorm(4, (3, 0)),
        ValueError,
        "`kernel_size` must be a positive integer or a pair of them. Received: kernel_size=(3, 0)",
    ),
    (
        lambda: rl.ClassifierHead(2, dropout=1.0),
        ValueError,
        "`dropout` must be a number in [0, 1). Received: dropout=1.0",
    ),
    (
        lambda: rl.ClassifierHead(2, dropout="half"),  # type: ignore[arg-type]
        TypeError,
        "`dropout` must be a number in [0, 1). Received: dropout='half'",
    ),
    (
        lambda: rl.ClassifierHead(2, dropout=[]),  # type: ignore[arg-type]
        TypeError,
        "`dropout` must be a number in [0, 1). Received: dropout=[]",
    ),
    (
        lambda: rl.BlockStyle(epsilon=0),
        ValueError,
        "`epsilon` must be a positive number. Received: epsilon=0",
    ),
    (
        lambda: rl.BlockStyle(epsilon=float("nan")),
        ValueError,
        "`epsilon` must be a positive number. Received: epsilon=nan",
    ),
    (
        lambda: rl.BlockStyle(momentum=1),
        ValueError,
        "`momentum` must be a number in [0, 1). Received: momentum=1",
    ),
    (
        lambda: rl.BlockStyle(use_bias=1),  # type: ignore[arg-type]
        ValueError,
        "`use_bias` must be one of True, False, 'unnormalized'. Received: use_bias=1",
    ),
    # Choices and names
    (
        lambda: rl.BlockStyle(padding="valid"),
        ValueError,
        "`padding` must be one of 'symmetric', 'same'. Received: padding='valid'",
    ),
    (
        lambda: rl.BlockStyle(shortcut=["A"]),  # type: ignore[arg-type]
        ValueError,
        "`shortcut` must be one of 'A', 'B', 'C', 'D', 'none'. Received: shortcut=['A']",
    ),
    (
        lambda: rl.ConvNorm(4, 3, style="torchvison"),
        ValueError,
        "There is no style of that name; close names: 'torchvision'. Received: style='torchvison'",
    ),
    (
        lambda: rl.ConvNorm(4, 3, style="zzz"),
        ValueError,
        "There is no style of that name; close names: 'article', 'bit', 'cifar', 'keras', "
        "'keras_v2', 'timm_v2', 'torchvision', 'vgg'. Received: style='zzz'",
    ),
    (
        lambda: rl.ConvNorm(4, 3, style=3),
        TypeError,
        "`style` must be a name, a BlockStyle, or a config with fields of BlockStyle. "
        "Received: style=3",
    ),
    (
        lambda: rl.ConvNorm(4, 3, style={"paddding": "same"}),
        TypeError,
        "`style` must be a name, a BlockStyle, or a config with fields of BlockStyle. "
        "Received: style={'paddding': 'same'}",
    ),
    (
        lambda: rl.ConvNorm(4, 3, name="my unit"),
        ValueError,
        "`name` must be made of letters from a to z, digits, and `_`, `.`, `-` and `>`, since "
        "TensorFlow names scopes after it. Received: name='my unit'",
    ),
    # Styles
    (lambda: rl.ConvNorm(4, 3, activation="rellu"), ValueError, f"{ACTIVATION}'rellu'"),
    (lambda: rl.ConvNorm(4, 3, activation=3), TypeError, f"{ACTIVATION}3"),
    (
        lambda: rl.ConvNorm(4, 3, activation=keras.layers.LeakyReLU(name="leaky")),
        TypeError,
        f"{ACTIVATION}<LeakyReLU name=leaky, built=True>",
    ),
    *[
        (functools.partial(take, activation="glu"), ValueError, f"{GLU}'glu'")
        for take in (
            rl.BlockStyle,
            functools.partial(rl.ClassifierHead, 6),
            functools.partial(rl.ConvNorm, 4, 3),
            functools.partial(rl.ResNet.from_variant, "test_resnet"),
        )
    ],
    *[
        (functools.partial(take, style={"activation": "glu"}), ValueError, f"{GLU}'glu'")
        for take in (
            functools.partial(rl.ConvBlock, 4),
            functools.partial(rl.IdentityBlock, 4),
            functools.partial(rl.ResNetStage, 4, 1),
            functools.partial(rl.Stem, 4),
        )
    ],
    (
        lambda: rl.BlockStyle(activation="threshold"),
        ValueError,
        "`activation` must be a function of one tensor; a function of yours can give the other "
        "arguments. Received: activation='threshold'",
    ),
    (
        lambda: rl.BlockStyle(activation=keras.activations.glu),
        ValueError,
        f"{GLU}<function glu{ANY}",
    ),
    (
        lambda: rl.ConvNorm(4, 3, activation=LAYER),
        ValueError,
        f"{ACTIVATION}{LAYER}",
    ),
    (
        lambda: rl.BlockStyle(kernel_regularizer=LAYER),
        ValueError,
        f"`kernel_regularizer` {INITIALIZER}kernel_regularizer={LAYER}",
    ),
    (
        change_config,
        TypeError,
        "The config of an activation, an initializer or a regularizer must stay as it was given, "
        "since layers are made of it. Make another layer, and a network with it by "
        "`model.replace`. Received: a change of {'l2': 0.5}",
    ),
    (lambda: rl.BlockStyle(activation=lambda x: x), ValueError, f"{ACTIVATION}{ANY}"),
    (lambda: rl.BlockStyle(activation=unregistered), ValueError, f"{ACTIVATION}{ANY}"),
    (
        lambda: rl.BlockStyle(zero_init_last=True, shortcut="none"),
        ValueError,
        "`zero_init_last` must be False without shortcuts, where every block would output a "
        "constant, and without normalization, which has the scale. "
        "Received: zero_init_last=True, shortcut='none', normalization='batch'",
    ),
    (
        lambda: rl.BlockStyle(zero_init_last=True, normalization=None),
        ValueError,
        "`zero_init_last` must be False without shortcuts, where every block would output a "
        "constant, and without normalization, which has the scale. "
        "Received: zero_init_last=True, shortcut='B', normalization=None",
    ),
    (
        lambda: rl.BlockStyle(kernel_initializer=None),
        ValueError,
        f"`kernel_initializer` {INITIALIZER}kernel_initializer=None",
    ),
    (
        lambda: rl.BlockStyle(kernel_initializer="he_norm"),
        ValueError,
        f"`kernel_initializer` {INITIALIZER}kernel_initializer='he_norm'",
    ),
    (
        lambda: rl.BlockStyle(kernel_initializer=Unregistered()),
        ValueError,
        f"`kernel_initializer` {INITIALIZER}kernel_initializer={ANY}",
    ),
    (
        lambda: rl.BlockStyle(
            kernel_initializer=keras.initializers.HeNormal(seed=keras.random.SeedGenerator(1))
        ),
        ValueError,
        "The seed of `kernel_initializer` must be an integer or None. "
        f"Received: kernel_initializer={ANY}",
    ),
    (
        lambda: rl.BlockStyle(kernel_regularizer=3),
        ValueError,
        f"`kernel_regularizer` {INITIALIZER}kernel_regularizer=3",
    ),
    # Geometry
    (
        lambda: rl.ConvNorm(6, 3, groups=4),
        ValueError,
        "`filters` must be divisible by `groups`. Received: filters=6, groups=4",
    ),
    (
        lambda: rl.IdentityBlock(6, groups=4),
        ValueError,
        "`filters` must be divisible by `groups`. Received: filters=6, groups=4",
    ),
    (
        lambda: rl.ResNetStage(6, 1, bottleneck=True, groups=4),
        ValueError,
        "`filters` must be divisible by `groups`. Received: filters=6, groups=4",
    ),
    (
        lambda: rl.ConvNorm(4, 3, strides=2, dilation_rate=(1, 2)),
        ValueError,
        "`dilation_rate` must be 1 where `strides` is above 1. "
        "Received: strides=2, dilation_rate=(1, 2)",
    ),
    (
        lambda: rl.ResNetStage(4, 2, strides=2, projection=False),
        ValueError,
        "`strides` must be 1 without a projection, since an IdentityBlock keeps the shape. "
        "Received: strides=2, projection=False",
    ),
    # Input shapes
    (
        lambda: rl.ConvNorm(4, 3, name="c").build((None, 8, 3)),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), since its "
        "rank is 2; `rank`, of a style or a head, is 1 for signals, 2 for images and 3 for "
        "volumes. Received: input_shape=(None, 8, 3)",
    ),
    (
        lambda: convolution(built=True)(np.ones((8, 8, 3))),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), since its "
        "rank is 2; `rank`, of a style or a head, is 1 for signals, 2 for images and 3 for "
        "volumes. Received: input_shape=(8, 8, 3)",
    ),
    (
        lambda: of_unknown_rank(convolution(built=True)),
        ValueError,
        "The input of ConvNorm 'c' must have a known number of axes. What comes from "
        "`tf.py_function` or `tf.io.decode_image` gets one by "
        "`tf.ensure_shape(images, (None, None, None, 3))`. Received: input_shape=<unknown>",
    ),
    (
        lambda: rl.ConvNorm(4, 3, name="c").build(None),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none but "
        "the batch empty, and a known number of channels. Received: input_shape=None",
    ),
    (
        lambda: rl.ConvNorm(4, 3, name="c").compute_output_shape((1, 0, 8, 3)),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none but "
        "the batch empty, and a known number of channels. Received: input_shape=(1, 0, 8, 3)",
    ),
    (
        lambda: rl.ResNetStage(4, 1, name="s").compute_output_shape((None, 8, 8, None)),
        ValueError,
        "The input of ResNetStage 's' must have 4 axes (batch, height, width, channels), none but "
        "the batch empty, and a known number of channels. Received: input_shape=(None, 8, 8, None)",
    ),
    (
        lambda: built(rl.ConvBlock(4, name="b"), 8, 8, 3).compute_output_shape((1, 8, 8, 5)),
        ValueError,
        "The input of ConvBlock 'b' must have the 3 channels that it was built for. "
        "Received: input_shape=(1, 8, 8, 5)",
    ),
    (
        lambda: rl.ConvNorm(4, 3, groups=2, name="c").build((None, 8, 8, 3)),
        ValueError,
        "The input of ConvNorm 'c' must have a number of channels that `groups` divides. "
        "Received: input_shape=(None, 8, 8, 3), groups=2",
    ),
    (
        lambda: rl.IdentityBlock(16, name="b")(np.zeros((1, 4, 4, 8))),
        ValueError,
        "The input of IdentityBlock 'b' must have the 16 channels that the block makes, since its "
        "shortcut is the input itself; use ConvBlock where the number of channels changes. "
        "Received: input_shape=(1, 4, 4, 8), 8 channels",
    ),
    (
        lambda: rl.ConvBlock(4, style="cifar", name="b").build((None, 8, 8, 5)),
        ValueError,
        "The input of ConvBlock 'b' must have at most 4 channels, since a shortcut of option 'A' "
        "adds channels and cannot drop any. Received: input_shape=(None, 8, 8, 5)",
    ),
    (
        lambda: rl.ClassifierHead(2, pooling="avg2x2", name="h").build((None, None, 4, 8)),
        ValueError,
        "The input of ClassifierHead 'h' must have a known height and width for "
        "pooling='avg2x2'. Received: input_shape=(None, None, 4, 8)",
    ),
    # The model
    (
        lambda: rl.Stem.from_config({**rl.Stem(4).get_config(), "trainable_changes": {"7": False}}),
        ValueError,
        "`Stem` must make its sub-layers in its constructor, so that its config can say which of "
        "them train. Received: no sub-layer 7",
    ),
    (
        functools.partial(of_changes, {"0/0/0/0": False}),
        ValueError,
        "`Stem` must make its sub-layers in its constructor, so that its config can say which of "
        "them train. Received: no sub-layer 0/0/0/0",
    ),
    *(
        (
            functools.partial(of_changes, changes),
            ValueError,
            "`trainable_changes` must be a dict from the places of sub-layers, such as '0/1', to "
            f"True or False. Received: trainable_changes={changes!r}",
        )
        for changes in (
            {"0": "yes"},
            {"0": 1},
            {"0": None},
            {"-1": False},
            {"": True},
            {"0/": True},
            {"stem": False},
            {"²": False},
            [1],
            None,
            "0",
        )
    ),
    (
        load_into_what_is_not_built,
        ValueError,
        "The sub-layers of ForgetsToBuild 's' must be built before weights are loaded: build them "
        "in its `build`. Received: 'extra', which is not built",
    ),
    # Options of blocks and stages
    (
        lambda: rl.BlockStyle(preactivation=1),  # type: ignore[arg-type]
        TypeError,
        "`preactivation` must be True or False. Received: preactivation=1",
    ),
    (
        lambda: rl.BlockStyle(downsample="max_pool"),
        ValueError,
        "`downsample` must be 'strides' with shortcuts or anti-aliasing, which make the step, too. "
        "Received: downsample='max_pool', shortcut='B', anti_aliasing=None",
    ),
    (
        lambda: rl.BlockStyle(factorize=True),
        ValueError,
        "`factorize` must be False where `rank` is not 3, since only videos have space and time. "
        "Received: factorize=True, rank=2",
    ),
    (
        lambda: rl.Preprocessing(std=1.0),  # type: ignore[arg-type]
        TypeError,
        "`std` must be three numbers. Received: std=1.0",
    ),
    (
        lambda: rl.Preprocessing(std=(1.0, 1.0)),
        ValueError,
        "`std` must be three numbers. Received: std=(1.0, 1.0)",
    ),
    (
        lambda: rl.Preprocessing(mean=(0.0, 0.0, float("inf"))),
        ValueError,
        "`mean` must be a finite number. Received: mean=inf",
    ),
    (
        lambda: rl.BlockStyle(attention_ratio=0),
        ValueError,
        "`attention_ratio` must be a number in (0, 1]. Received: attention_ratio=0",
    ),
    (
        lambda: rl.ConvNorm(4, (3, 3), style={"rank": 3}),
        ValueError,
        "`kernel_size` must be a positive integer or three of them. Received: kernel_size=(3, 3)",
    ),
    (
        lambda: rl.IdentityBlock(4, widths=(4, 4, 4)),
        ValueError,
        "`widths` must have one number for each of the 2 convolutions of the body. "
        "Received: widths=(4, 4, 4)",
    ),
    (
        lambda: rl.IdentityBlock(5, style={"reduce_first": 2}),
        ValueError,
        "`filters` must be divisible by `style.reduce_first`. "
        "Received: filters=5, style.reduce_first=2",
    ),
    (
        lambda: rl.ResNetStage(4, 2, drop_path=[0.1]),
        ValueError,
        "`drop_path` must have one value for each of 2 blocks. Received: drop_path=[0.1]",
    ),
    (
        lambda: rl.ResNetStage(4, 2, widths=4),  # type: ignore[arg-type]
        TypeError,
        "`widths` must have one value for each of 2 blocks. Received: widths=4",
    ),
    (
        lambda: rl.ResNetStage(4, 2, projection=False, first_dilation_rate=2),
        ValueError,
        "`first_dilation_rate` must be None without a projection, since an IdentityBlock has one "
        "rate. Received: first_dilation_rate=2, projection=False",
    ),
    (
        lambda: rl.Stem(4, style={"rank": 3, "factorize": True}),
        ValueError,
        "`hidden_filters` must be one number where a style factorizes convolutions: the channels "
        "between space and time. Received: hidden_filters=()",
    ),
    (
        lambda: rl.ResNetStage(4, 1, projection=False, style=rl.BlockStyle(shortcut="C")),
        ValueError,
        "`projection` must be True where a style has projections in all blocks. "
        "Received: projection=False, style.shortcut='C'",
    ),
    (
        lambda: TakesAnything(object()).get_config(),
        NotImplementedError,
        "`TakesAnything` must have a `get_config` and a `from_config` of its own, since an "
        f"argument of its constructor cannot be serialized: {ANY}",
    ),
    # Preprocessing
    (
        lambda: rl.Preprocessing(image_size=0),
        ValueError,
        "`image_size` must be a positive integer or a pair of them. Received: image_size=0",
    ),
    (
        lambda: rl.Preprocessing(crop_pct=1.5),
        ValueError,
        "`crop_pct` must be a number in (0, 1]. Received: crop_pct=1.5",
    ),
    (
        lambda: rl.Preprocessing(interpolation="area"),
        ValueError,
        "`interpolation` must be one of 'nearest', 'bilinear', 'bicubic', 'lanczos'. "
        "Received: interpolation='area'",
    ),
    (
        lambda: from_metadata(keras.saving.serialize_keras_object(keras.layers.Flatten(name="f"))),
        TypeError,
        "`preprocessing` must be the config of a Preprocessing. Received: 'Flatten'",
    ),
    *[
        (
            functools.partial(from_metadata, {"class_name": name, "config": {}}),
            TypeError,
            f"`preprocessing` must be the config of a Preprocessing. Received: {name!r}",
        )
        for name in ("x", 3, None, ["Preprocessing"])
    ],
    (
        lambda: from_metadata({"class_name": "resnet_layers>Preprocessing", "config": None}),
        TypeError,
        "The config of `preprocessing` must be a mapping. Received: config=None",
    ),
    (
        lambda: rl.Preprocessing(mean=0.5),  # type: ignore[arg-type]
        TypeError,
        "`mean` must be three numbers. Received: mean=0.5",
    ),
    (
        lambda: rl.Preprocessing(std=(1.0, 0.0, 1.0)),
        ValueError,
        "`std` must be a positive number. Received: std=0.0",
    ),
    (
        lambda: rl.Preprocessing(mean=(0.0, float("nan"), 1.0)),
        ValueError,
        "`mean` must be a finite number. Received: mean=nan",
    ),
    (
        lambda: rl.Preprocessing(channels="grb"),
        ValueError,
        "`channels` must be one of 'rgb', 'bgr'. Received: channels='grb'",
    ),
    (lambda: prepared_shape(8, 8), ValueError, f"{PREPARED}(8, 8)"),
    (lambda: prepared_shape(8, 8, 1), ValueError, f"{PREPARED}(8, 8, 1)"),
    (lambda: prepared_shape(2, 8, 8, 4), ValueError, f"{PREPARED}(2, 8, 8, 4)"),
    (lambda: prepared_shape(2, 0, 8, 3), ValueError, f"{PREPARED}(2, 0, 8, 3)"),
    (lambda: prepared_shape(1, 2, 8, 8, 3), ValueError, f"{PREPARED}(1, 2, 8, 8, 3)"),
    # Layers and shapes
    (
        lambda: _shapes.layer("stem", object()),
        TypeError,
        f"`stem` must be made of Keras 3 layers. Received: stem=<object {ANY}> "
        "(of type <class 'object'>)",
    ),
    (
        lambda: _shapes.layers("stages", []),
        TypeError,
        "`stages` must be a list of at least one layer. Received: stages=[]",
    ),
    (
        lambda: _shapes.layers("stages", "ab"),
        TypeError,
        "`stages` must be a list of at least one layer. Received: stages='ab'",
    ),
    (
        lambda: _shapes.batch_shape(convolution(), (None, 8, 3), Layout()),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), since its "
        "rank is 2; `rank`, of a style or a head, is 1 for signals, 2 for images and 3 for "
        "volumes. Received: input_shape=(None, 8, 3)",
    ),
    (
        lambda: _shapes.batch_shape(convolution(built=True), (None, 8, 8, 5), Layout()),
        ValueError,
        "The input of ConvNorm 'c' must have the 3 channels that it was built for. "
        "Received: input_shape=(None, 8, 8, 5)",
    ),
    (
        lambda: _shapes.input_shape((8, 8), Layout()),
        ValueError,
        f"{SHAPE}(8, 8), for a stem of rank 2",
    ),
    (lambda: _shapes.input_shape((8, 8, None), Layout()), ValueError, f"{SHAPE}(8, 8, None)"),
    (lambda: _shapes.input_shape((8, 0, 3), Layout()), ValueError, f"{SHAPE}(8, 0, 3)"),
    (lambda: _shapes.input_shape((8, "8", 3), Layout()), TypeError, f"{SHAPE}(8, '8', 3)"),
    (lambda: _shapes.input_shape(32, None), TypeError, f"{SHAPE}32"),
]


@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
