"""Every public class as data, with no argument at its default."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

import resnet_layers as rl


@keras.saving.register_keras_serializable("resnet_layers_tests")
def double_relu(x: Any) -> Any:
    """An activation that users could have written."""
    return 2.0 * keras.ops.relu(x)


# No field at its default; `zero_init_last` excludes `shortcut="none"`.
STYLE = {
    "activation": double_relu,
    "normalization": "frozen_batch",
    "epsilon": 1e-3,
    "momentum": 0.8,
    "folded": True,
    "preactivation": True,
    "use_bias": "unnormalized",
    "standardize_kernels": True,
    "padding": "same",
    "strides_on": "first",
    "strided_block": "last",
    "reduce_first": 2,
    "factorize": True,
    "shortcut": "C",
    "normalize_shortcut": False,
    "shortcut_kernel_size": 3,
    "attention": "eca",
    "attention_ratio": 0.25,
    "anti_aliasing": "blur",
    "zero_init_last": True,
    "kernel_initializer": keras.initializers.HeUniform(seed=7),
    "kernel_regularizer": keras.regularizers.L2(1e-4),
    "rank": 3,
    "data_format": "channels_first",
}
# All of it at once, but trainable throughout, alive from the start, and of moderate numbers.
VIDEO = rl.BlockStyle(**STYLE).replace(
    normalization="batch", folded=False, zero_init_last=False, standardize_kernels=False
)
# The same for images, without what changes the kind of network.
TRAINABLE = VIDEO.replace(
    preactivation=False,
    use_bias=True,
    strided_block="first",
    reduce_first=1,
    factorize=False,
    shortcut_kernel_size=1,
    attention=None,
    anti_aliasing=None,
    rank=2,
    data_format="channels_last",
)
OPTION_A = TRAINABLE.replace(shortcut="A", padding="symmetric")
PLAIN = TRAINABLE.replace(shortcut="none", padding="symmetric", activation="gelu")
MAX_POOL = PLAIN.replace(downsample="max_pool")
POOLED = OPTION_A.replace(
    shortcut="D", attention="se", anti_aliasing="average", normalization="group"
)
DILATED = POOLED.replace(strides_on="3x3")
FIRST = OPTION_A.replace(shortcut="B", shortcut_kernel_size=3, data_format="channels_first")
SIGNAL = VIDEO.replace(rank=1, factorize=False, normalization="evonorm_s0", shortcut="B")
FRN = POOLED.replace(normalization="frn", preactivation=True, anti_aliasing="blur")


@dataclass(frozen=True)
class Case:
    """One layer: its class, arguments away from their defaults, and an input."""

    name: str
    layer: Callable[..., Any]
    arguments: dict[str, Any]
    input_shape: tuple[int, ...]

    def create(self, **changes: Any) -> Any:
        """A new instance."""
        return self.layer(**{**self.arguments, **changes})

    @cached_property
    def example(self) -> Any:
        """One instance for all that only ask what it is made of: neither built nor changed."""
        return self.create()


def _model_parts() -> dict[str, Any]:
    return {
        "stem": rl.Stem(4, kernel_size=3, strides=1, pooling=None, style=TRAINABLE),
        "stages": [
            rl.ResNetStage(4, 1, style=TRAINABLE),
            rl.ResNetStage(6, 2, strides=(2, 1), bottleneck=True, groups=2, style=OPTION_A),
        ],
        "head": rl.ClassifierHead(3, pooling="max", hidden_units=5, activation="softmax"),
    }


def _video_parts() -> dict[str, Any]:
    return {
        "stem": rl.Stem(4, strides=1, hidden_filters=(5,), pooling=None, style=VIDEO),
        "stages": [rl.ResNetStage(4, 2, strides=(1, 2, 2), style=VIDEO)],
        "norm": rl.NormAct(VIDEO),
        "head": rl.ClassifierHead(3, rank=3, data_format="channels_first"),
    }


def _make_model(**arguments: Any) -> rl.ResNet:
    return rl.ResNet(**{**_model_parts(), **arguments})


def _make_video_model(**arguments: Any) -> rl.ResNet:
    return rl.ResNet(**{**_video_parts(), **arguments})


for _make in (_make_model, _make_video_model):
    _make.__signature__ = inspect.signature(rl.ResNet)  # type: ignore[attr-defined]

BLOCK = {"filters": 6, "bottleneck": True, "groups": 2, "group_width": 4}
# Rates so small that no test meets a block without its body.
NEW = {**BLOCK, "kernel_size": 5, "dilation_rate": 2, "widths": (4, 8, 20), "drop_path": 1e-6}
FACTORIZED = {**NEW, "kernel_size": (3, 5, 5), "widths": (4, 6, 8, 20)}
CASES = [
    Case(
        "conv_norm_strided",
        rl.ConvNorm,
        {
            "filters": 6,
            "kernel_size": (3, 5),
            "strides": (2, 3),
            "groups": 2,
            "activation": "tanh",
            "style": TRAINABLE,
        },
        (2, 9, 11, 4),
    ),
    Case(
        "conv_norm_folded",
        rl.ConvNorm,
        {"filters": 6, "kernel_size": 3, "strides": 2, "style": TRAINABLE.replace(folded=True)},
        (2, 9, 11, 4),
    ),
    Case(
        "conv_norm_dilated",
        rl.ConvNorm,
        {
            "filters": 6,
            "kernel_size": 3,
            "dilation_rate": (2, 1),
            "groups": 3,
            "activation": double_relu,
            "style": PLAIN,
        },
        (2, 9, 11, 3),
    ),
    Case(
        "conv_norm_standardized",
        rl.ConvNorm,
        {
            "filters": 6,
            "kernel_size": 3,
            "strides": (2, 1, 2),
            "style": VIDEO.replace(standardize_kernels=True),
        },
        (2, 3, 4, 5, 6),
    ),
    Case("identity_block", rl.IdentityBlock, {**BLOCK, "style": TRAINABLE}, (2, 7, 6, 24)),
    Case(
        "identity_block_basic",
        rl.IdentityBlock,
        {"filters": 6, "groups": 3, "group_width": 5, "style": PLAIN},
        (2, 7, 6, 6),
    ),
    Case(
        "conv_block",
        rl.ConvBlock,
        {**BLOCK, "strides": (1, 3), "style": TRAINABLE},
        (2, 7, 6, 4),
    ),
    Case("conv_block_a", rl.ConvBlock, {**BLOCK, "strides": 3, "style": OPTION_A}, (2, 7, 6, 4)),
    Case("conv_block_none", rl.ConvBlock, {**BLOCK, "strides": 3, "style": PLAIN}, (2, 7, 6, 4)),
    Case(
        "conv_block_max_pool",
        rl.ConvBlock,
        {**BLOCK, "strides": (2, 3), "style": MAX_POOL},
        (2, 7, 6, 4),
    ),
    Case("identity_block_pooled", rl.IdentityBlock, {**NEW, "style": POOLED}, (2, 7, 6, 20)),
    Case(
        "identity_block_video",
        rl.IdentityBlock,
        {**FACTORIZED, "style": VIDEO},
        (2, 20, 3, 5, 4),
    ),
    Case(
        "conv_block_pooled",
        rl.ConvBlock,
        {**BLOCK, "strides": (2, 1), "style": POOLED},
        (2, 7, 6, 4),
    ),
    Case(
        "conv_block_pooled_dilated",
        rl.ConvBlock,
        {**NEW, "strides": 1, "first_dilation_rate": 1, "style": DILATED},
        (2, 7, 6, 4),
    ),
    Case(
        "conv_block_video",
        rl.ConvBlock,
        {**FACTORIZED, "strides": (1, 2, 2), "dilation_rate": 1, "style": VIDEO},
        (2, 4, 3, 5, 4),
    ),
    Case(
        "conv_block_channels_first",
        rl.ConvBlock,
        {**BLOCK, "strides": (1, 3), "style": FIRST},
        (2, 4, 7, 6),
    ),
    Case("conv_block_frn", rl.ConvBlock, {**BLOCK, "strides": 3, "style": FRN}, (2, 7, 6, 4)),
    Case("conv_block_signal", rl.ConvBlock, {**BLOCK, "strides": 3, "style": SIGNAL}, (2, 4, 7)),
    Case(
        "stage_strided_last",
        rl.ResNetStage,
        {
            "filters": 6,
            "blocks": 3,
            "strides": 2,
            "kernel_size": (1, 3, 3),
            "widths": (None, (4, 6, 5, 6), None),
            "drop_path": (0.0, 1e-6, 1e-6),
            "style": VIDEO.replace(shortcut="B", reduce_first=1),
        },
        (2, 4, 3, 5, 4),
    ),
    Case(
        "stage_dilated",
        rl.ResNetStage,
        {**BLOCK, "blocks": 2, "dilation_rate": 2, "first_dilation_rate": 1, "style": DILATED},
        (2, 7, 6, 4),
    ),
    Case(
        "stage",
        rl.ResNetStage,
        {**BLOCK, "blocks": 2, "strides": (2, 3), "rematerialize": True, "style": TRAINABLE},
        (2, 7, 6, 4),
    ),
    Case(
        "stage_without_projection",
        rl.ResNetStage,
        {**BLOCK, "blocks": 2, "projection": False, "style": OPTION_A},
        (2, 7, 6, 24),
    ),
    Case(
        "stem",
        rl.Stem,
        {
            "filters": 6,
            "kernel_size": (5, 3),
            "strides": (1, 2),
            "pooling": None,
            "style": TRAINABLE,
        },
        (2, 9, 11, 4),
    ),
    Case(
        "stem_deep",
        rl.Stem,
        {
            "filters": 6,
            "kernel_size": 3,
            "hidden_filters": (4, 8),
            "pooling": "conv",
            "style": POOLED,
        },
        (2, 9, 11, 4),
    ),
    Case(
        "stem_video",
        rl.Stem,
        {
            "filters": 6,
            "kernel_size": (3, 5, 5),
            "strides": (1, 2, 2),
            "hidden_filters": (5,),
            "pooling": "zero_padded_max",
            "style": VIDEO,
        },
        (2, 3, 4, 9, 11),
    ),
    Case(
        "preprocessing",
        rl.Preprocessing,
        {
            "image_size": (6, 8),
            "crop_pct": 0.75,
            "interpolation": "bicubic",
            "mean": (0.5, 0.25, 0.125),
            "std": (0.25, 0.5, 0.75),
            "channels": "bgr",
            "data_format": "channels_first",
        },
        (2, 9, 11, 3),
    ),
    Case(
        "preprocessing_fit",
        rl.Preprocessing,
        {"image_size": 6, "crop_pct": 1.0, "interpolation": "lanczos", "resizing": "fit"},
        (2, 9, 11, 3),
    ),
    Case(
        "conv_block_folded",
        rl.ConvBlock,
        {**BLOCK, "strides": 3, "style": FRN.replace(normalization="batch", folded=True)},
        (2, 7, 6, 4),
    ),
    Case("norm_act", rl.NormAct, {"style": FRN}, (2, 9, 11, 4)),
    Case("norm_act_video", rl.NormAct, {"style": VIDEO}, (2, 4, 3, 5, 4)),
    Case("stem_pooled", rl.Stem, {"filters": 6, "kernel_size": 5, "style": PLAIN}, (2, 9, 11, 4)),
    Case(
        "head",
        rl.ClassifierHead,
        {
            "classes": 5,
            "pooling": "avg2x2",
            "hidden_units": 7,
            "dropout": 0.25,
            "activation": "softmax",
            "kernel_regularizer": "l2",
        },
        (2, 3, 5, 6),
    ),
    Case(
        "head_hidden",
        rl.ClassifierHead,
        {"classes": 5, "pooling": "max2x2", "hidden_units": (7, 6, 4), "dropout": 0.25},
        (2, 3, 5, 6),
    ),
    Case(
        "head_video",
        rl.ClassifierHead,
        {"classes": 5, "pooling": "max", "rank": 3, "data_format": "channels_first"},
        (2, 6, 3, 4, 5),
    ),
    Case(
        "model_video",
        _make_video_model,
        {"input_shape": (3, None, None, 12)},
        (2, 3, 4, 9, 12),
    ),
    Case(
        "model",
        _make_model,
        {"input_shape": (None, 12, 4), "metadata": {"class_names": ["a", "b", "c"]}},
        (2, 9, 12, 4),
    ),
]
CASES_BY_NAME = {case.name: case for case in CASES}
