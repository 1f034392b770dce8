"""Every error of the networks: its type and its whole text."""

import functools
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.messages import ANY, Row, check, ids, missing

WING = "networks"


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


def from_resnet18(**overrides: Any) -> None:
    rl.ResNet.from_variant("resnet18", **overrides)


def fold_what_forgets() -> None:
    model = ForgetsItsLayers(2)
    model(np.zeros((1, 4, 4, 3)))
    rl.fold_batch_norm(model)


class TakesAnything(rl.ResNet):
    def __init__(self, anything: Any) -> None:
        super().__init__(*parts())


class CallsTwice(rl.ResNet):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs, training) + super().call(inputs, training)


def replace_head() -> None:
    rl.ResNet(*parts()).head = rl.ClassifierHead(3)


def share_a_stage() -> None:
    stage = rl.ResNetStage(4, 1, name="twice")
    rl.ResNet(rl.Stem(4), [stage, stage])


ERRORS: list[Row] = [
    # Names
    (
        lambda: rl.ResNet.from_variant("resnet18", classes=2, name="_net"),
        ValueError,
        "`name` must be made of letters from a to z, digits, and `_`, `.`, `-` and `>`, and begin "
        "with a letter, a digit or `.`, since TensorFlow names scopes after it. "
        "Received: name='_net'",
    ),
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
    # Choices and names
    (
        lambda: rl.ResNet.from_variant("resnet50.a1_in1k"),
        ValueError,
        "`variant` must be a network's name without a training, 'resnet50'. "
        "Received: variant='resnet50.a1_in1k'",
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
        "or None for any height or width. Received: input_shape=(8, 8), for a stem of rank 2",
    ),
    (
        lambda: rl.ResNet(*parts(), input_shape=(8, 0, 3)),
        ValueError,
        "`input_shape` must be (height, width, channels), without the batch: positive integers, "
        "or None for any height or width. Received: input_shape=(8, 0, 3)",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", input_shape=32),  # type: ignore[arg-type]
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
        "`model.replace(head=head)`",
    ),
    (
        lambda: setattr(rl.ResNet(*parts()), "call", None),
        AttributeError,
        "`call` of a ResNet cannot be set, since its file and its copies would not have it: derive "
        "a class, or make a model of other layers by `model.replace`",
    ),
    (
        lambda: rl.functional_view(rl.ResNet(*parts())).layers[1].quantize("int8"),
        NotImplementedError,
        "`quantize` must be left to an exported model, since a view shares its layers' variables",
    ),
    (
        lambda: rl.functional_view(3),
        TypeError,
        "`model` must be a ResNet. Received: model=3",
    ),
    (
        lambda: setattr(rl.ResNet(*parts()), "dtype_policy", "float16"),
        AttributeError,
        "`dtype_policy` of a ResNet cannot be set, since its layers keep theirs. Make a model of "
        "another precision by `with_dtype`, or of other layers by `model.replace`",
    ),
    (
        lambda: rl.ResNet(*parts()).replace(heads=None, dtype="float16"),
        TypeError,
        "`replace` takes stem, stages, head, norm, input_shape, metadata, name. "
        "Received: 'dtype', 'heads'",
    ),
    (
        lambda: CallsTwice(*parts()).replace(head=None),
        TypeError,
        "`replace` needs a class that computes as ResNet does, since it makes a ResNet. "
        "Received: a CallsTwice, which has a `call` of its own",
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
        lambda: rl.ResNet.from_variant("resnet18", classes=10, head=None),
        ValueError,
        "`classes` and `classifier_activation` must be left out when `head` is given. "
        "Received: classes=10, classifier_activation=None",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", foo=3, quux=2),
        TypeError,
        "Overrides must be among activation, anti_aliasing, attention, attention_ratio, blocks, "
        "bottleneck, data_format, downsample, dtype, epsilon, factorize, filters, folded, "
        "group_width, groups, head, kernel_initializer, kernel_regularizer, kernel_size, "
        "metadata, momentum, "
        "name, normalization, normalize_shortcut, padding, preactivation, rank, reduce_first, "
        "rematerialize, shortcut, shortcut_kernel_size, standardize_kernels, stem, "
        "strided_block, strides, strides_on, style, trainable, use_bias, widths, zero_init_last. "
        "Received: foo, quux",
    ),
    (
        lambda: rl.ResNet.from_variant("resnet18", width=2),
        TypeError,
        "Overrides must be fields of a variant or of its style; close names: 'widths', "
        "'group_width'. Received: width=2",
    ),
    *[
        (
            functools.partial(from_resnet18, **{name: value}),
            TypeError,
            f"`{name}` must be given as {there}. Received: {name}={value!r}",
        )
        for name, value, there in (
            ("num_classes", 10, "`classes`"),
            ("include_top", False, "`head=None`, for a network without its classifier"),
            ("weights", "imagenet", "a tag of `ResNet.from_pretrained`"),
            ("pretrained", True, "a tag of `ResNet.from_pretrained`"),
            ("stride", 1, "`strides`"),
        )
    ],
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
        lambda: rl.ResNet34(shape=(None, None, 3)),  # type: ignore[arg-type]
        TypeError,
        "`shape` must be a list of positive integers. Received: shape=(None, None, 3)",
    ),
]


@pytest.mark.share(4)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
