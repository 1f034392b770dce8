"""Every error of the parts and the model: its type and its whole text."""

import ast
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.tuning import HyperResNet

PACKAGE = Path(rl.__file__).parent
# What is about the shell, the installation or published weights has tests of its own.
ELSEWHERE = ("__main__", "_environment", "preprocessing_layer", "pretrained")
MODULES = [path for path in PACKAGE.glob("*.py") if path.stem not in ELSEWHERE]


def unregistered(x: Any) -> Any:
    return x


class Unregistered(keras.initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return keras.ops.zeros(shape, dtype)


def built(layer: Any, *shape: int | None) -> Any:
    layer.build((None, *shape))
    return layer


def parts() -> tuple[Any, ...]:
    return rl.Stem(4, name="stem"), [rl.ResNetStage(4, 1, name="stage1")], rl.ClassifierHead(2)


class ForgetsItsLayers(keras.Model):
    def __init__(self, count: int = 1) -> None:
        super().__init__(name="mine")
        self.units = [rl.ConvNorm(4, 1) for _ in range(count)]

    def call(self, x: Any) -> Any:
        for unit in self.units:
            x = unit(x)
        return x

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls()


def fold_what_forgets() -> None:
    model = ForgetsItsLayers(2)
    model(np.zeros((1, 4, 4, 3)))
    rl.fold_batch_norm(model)


class TakesAnything(rl.ResNet):
    def __init__(self, anything: Any) -> None:
        super().__init__(*parts())


class ForgetsToBuild(rl.Stem):
    def __init__(self) -> None:
        super().__init__(4, name="s")
        self.extra = keras.layers.Dense(2, name="extra")


def load_into_what_is_not_built() -> None:
    built(ForgetsToBuild(), 8, 8, 3).load_own_variables({})


def replace_head() -> None:
    rl.ResNet(*parts()).head = rl.ClassifierHead(3)


def share_a_stage() -> None:
    stage = rl.ResNetStage(4, 1, name="twice")
    rl.ResNet(rl.Stem(4), [stage, stage])


ACTIVATION = (
    "`activation` must be None, a name that Keras knows, or a function registered with "
    "`keras.saving.register_keras_serializable`. Received: activation="
)
INITIALIZER = "must be a name, a config or an object that Keras can serialize. Received: "
ANY = "<anything>"  # stands for an address in a repr

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Models that are remade
    (
        lambda: rl.fold_batch_norm("resnet18"),
        TypeError,
        "`model` must be a Keras model. Received: model='resnet18'",
    ),
    (
        lambda: rl.with_dtype(None, "float32"),
        TypeError,
        "`model` must be a Keras model. Received: model=None",
    ),
    (
        lambda: rl.fold_batch_norm(keras.Sequential([rl.Stem(4)], name="mine")),
        ValueError,
        "`model` must be built: call it once, or give it an input shape. "
        "Received: model=<Sequential 'mine'>",
    ),
    (
        fold_what_forgets,
        ValueError,
        "`model` must have configs that make its layers again. Received: ForgetsItsLayers 'mine' "
        "with 2 layers, whose config makes 1",
    ),
    (
        lambda: rl.with_dtype(rl.ResNet(*parts()), None),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype=None",
    ),
    (
        lambda: rl.with_dtype(rl.ResNet(*parts()), "bf16"),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype='bf16'",
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
        "'keras_v2', 'timm_v2', 'torchvision'. Received: style='zzz'",
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
        lambda: rl.ResNet.from_variant("resnet35"),
        ValueError,
        "There is no variant of that name; close names: 'resnet50', 'resnet34', "
        "'resnetrs350', 'resnet50t', 'resnet50s'. Received: variant='resnet35'",
    ),
    (
        lambda: rl.ResNet.from_variant(50),  # type: ignore[arg-type]
        TypeError,
        "`variant` must be a name. Received: variant=50",
    ),
    # Styles
    (lambda: rl.ConvNorm(4, 3, activation="rellu"), ValueError, f"{ACTIVATION}'rellu'"),
    (lambda: rl.ConvNorm(4, 3, activation=3), TypeError, f"{ACTIVATION}3"),
    (
        lambda: rl.ConvNorm(4, 3, activation=keras.layers.LeakyReLU(name="leaky")),
        TypeError,
        f"{ACTIVATION}<LeakyReLU name=leaky, built=True>",
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
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none of them "
        "empty, and a known number of channels. Received: input_shape=(None, 8, 3)",
    ),
    (
        lambda: rl.ConvNorm(4, 3, name="c").build(None),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none of them "
        "empty, and a known number of channels. Received: input_shape=None",
    ),
    (
        lambda: rl.ConvNorm(4, 3, name="c").compute_output_shape((1, 0, 8, 3)),
        ValueError,
        "The input of ConvNorm 'c' must have 4 axes (batch, height, width, channels), none of them "
        "empty, and a known number of channels. Received: input_shape=(1, 0, 8, 3)",
    ),
    (
        lambda: rl.ResNetStage(4, 1, name="s").compute_output_shape((None, 8, 8, None)),
        ValueError,
        "The input of ResNetStage 's' must have 4 axes (batch, height, width, channels), none of "
        "them empty, and a known number of channels. Received: input_shape=(None, 8, 8, None)",
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
        lambda: rl.ResNet("stem", [rl.ResNetStage(4, 1)]),
        TypeError,
        "`stem` must be made of Keras 3 layers. Received: stem='stem' (of type <class 'str'>)",
    ),
    (
        lambda: rl.ResNet(rl.Stem(4), [3]),
        TypeError,
        "`stages` must be made of Keras 3 layers. Received: stages=3 (of type <class 'int'>)",
    ),
    (
        lambda: rl.ResNet(rl.Stem(4), []),
        TypeError,
        "`stages` must be a list of at least one layer. Received: stages=[]",
    ),
    (
        lambda: rl.ResNet(*parts(), input_shape=(8, 8)),
        ValueError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, "
        "or None for any height or width. Received: input_shape=(8, 8)",
    ),
    (
        lambda: rl.ResNet(*parts(), input_shape=(8, 0, 3)),
        ValueError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, "
        "or None for any height or width. Received: input_shape=(8, 0, 3)",
    ),
    (
        lambda: rl.ResNet34(shape=32),  # type: ignore[arg-type]
        TypeError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, "
        "or None for any height or width. Received: input_shape=32",
    ),
    (
        lambda: rl.ResNet(*parts(), metadata={"a": object}),
        TypeError,
        "`metadata` must be a mapping of what JSON can hold. "
        "Received: metadata={'a': <class 'object'>}",
    ),
    (
        lambda: rl.ResNet(*parts(), dtype="mixed_float16"),
        ValueError,
        "`dtype` must be the stem's policy; give it to the stem, the stages and the head. "
        'Received: dtype=<DTypePolicy "mixed_float16">, stem.dtype_policy=<DTypePolicy "float32">',
    ),
    (
        share_a_stage,
        ValueError,
        "The parts of a ResNet must be different layers, since a file stores each one by itself. "
        "Received: stages=['twice', 'twice']",
    ),
    (
        replace_head,
        AttributeError,
        "`head` of a ResNet cannot be replaced. Make a model of the same layers: "
        "`ResNet(model.stem, model.stages, head, norm=model.norm)`",
    ),
    (
        lambda: TakesAnything(object()).get_config(),
        NotImplementedError,
        "`TakesAnything` must have a `get_config` and a `from_config` of its own, since an "
        f"argument of its constructor cannot be serialized: {ANY}",
    ),
    (
        lambda: rl.ResNet(*parts()).quantize("int8"),
        NotImplementedError,
        "`quantize` must be left to an exported model, since Keras quantizes no convolutions",
    ),
    (
        lambda: rl.Stem.from_config({**rl.Stem(4).get_config(), "trainable_changes": {"7": False}}),
        ValueError,
        "`Stem` must make its sub-layers in its constructor, so that its config can say which of "
        "them train. Received: no sub-layer 7",
    ),
    (
        load_into_what_is_not_built,
        ValueError,
        "The sub-layers of ForgetsToBuild 's' must be built before weights are loaded: build them "
        "in its `build`. Received: 'extra', which is not built",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", classes=10, head=None),
        ValueError,
        "`classes` and `classifier_activation` must be left out when `head` is given. "
        "Received: classes=10, classifier_activation=None",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", depth=3, width=2),
        TypeError,
        "Overrides must be among activation, anti_aliasing, attention, attention_ratio, blocks, "
        "bottleneck, data_format, dtype, epsilon, factorize, filters, folded, group_width, "
        "groups, head, kernel_initializer, kernel_regularizer, kernel_size, metadata, momentum, "
        "name, normalization, normalize_shortcut, padding, preactivation, rank, reduce_first, "
        "rematerialize, shortcut, shortcut_kernel_size, standardize_kernels, stem, "
        "strided_block, strides, strides_on, style, trainable, use_bias, widths, zero_init_last. "
        "Received: depth, width",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", strides=(1, 2)),
        ValueError,
        "`strides` must have one value for all stages or one for each. "
        "Received: strides=(1, 2), blocks=(2, 2, 2, 2)",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", output_stride=4),
        ValueError,
        "`output_stride` must be one of 8, 16, 32. Received: output_stride=4",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", output_stride=8, stem=keras.layers.Identity()),
        ValueError,
        "`output_stride` must be 32 with a stem of another class, whose strides are not known. "
        f"Received: output_stride=8, stem={ANY}",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", drop_path=1.5),
        ValueError,
        "`drop_path` must be a number in [0, 1). Received: drop_path=1.5",
    ),
    # Options of blocks and stages
    (
        lambda: rl.BlockStyle(preactivation=1),  # type: ignore[arg-type]
        TypeError,
        "`preactivation` must be True or False. Received: preactivation=1",
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
        lambda: rl.ResNet.from_variant("resnet18", blocks=(1, 1)),
        ValueError,
        "`blocks` and `filters` must have one number for each stage. "
        "Received: blocks=(1, 1), filters=(64, 128, 256, 512)",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", blocks=2),
        TypeError,
        "`blocks` must be a list of positive integers. Received: blocks=2",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", filters=(8, 0, 8, 8)),
        ValueError,
        "`filters` must be a list of positive integers. Received: filters=(8, 0, 8, 8)",
    ),
    (
        lambda: rl.ResNet.from_variant("resnext50_32x4d", filters=(64, 100, 128, 256)),
        ValueError,
        "`group_width` must grow by whole channels with `filters`. "
        "Received: group_width=4, filters=(64, 100, 128, 256)",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", stem=None),
        TypeError,
        "`stem` must be made of Keras 3 layers. Received: stem=None (of type <class 'NoneType'>)",
    ),
    (
        lambda: rl.ResNetStage(4, 1, projection=False, style=rl.BlockStyle(shortcut="C")),
        ValueError,
        "`projection` must be True where a style has projections in all blocks. "
        "Received: projection=False, style.shortcut='C'",
    ),
    (
        lambda: HyperResNet(3, (8, 8, 3), weight_decay=-1),
        ValueError,
        "`weight_decay` must be a number of at least 0. Received: weight_decay=-1",
    ),
    (
        lambda: rl.ResNet34(shape=(None, None, 3)),  # type: ignore[arg-type]
        ValueError,
        "The input of ClassifierHead 'head' must have a known height and width for "
        "pooling='avg2x2'. Received: input_shape=(None, None, None, 512)",
    ),
]


def _raised(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011, the caller compares type and text
        call()
    return caught.value


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=lambda v: v if v is str else "")
def test_error_has_type_and_whole_text(
    call: Callable[[], Any], kind: type[Exception], text: str
) -> None:
    error = _raised(call)
    assert type(error) is kind
    if ANY not in text:
        assert str(error) == text
    assert re.fullmatch(re.escape(text).replace(re.escape(ANY), ".+"), str(error))


def test_every_raise_is_in_the_table() -> None:
    seen = set()
    for call, _, _ in ERRORS:
        frames = traceback.extract_tb(_raised(call).__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == PACKAGE]
        seen.add((Path(own[-1].filename).name, own[-1].lineno))
    missing = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Raise) or node.exc is None:  # the latter passes one on
                continue
            if ast.unparse(node)[6:] != "NotImplementedError":
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if not any((path.name, line) in seen for line in lines):
                    missing.append(f"{path.name}:{node.lineno}")
    assert missing == []
