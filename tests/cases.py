"""Every public class as data, with no argument at its default."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
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
    "use_bias": True,
    "padding": "same",
    "strides_on": "first",
    "shortcut": "C",
    "normalize_shortcut": False,
    "zero_init_last": True,
    "kernel_initializer": keras.initializers.HeUniform(seed=7),
    "kernel_regularizer": keras.regularizers.L2(1e-4),
}
# The same, but trainable throughout and alive from the start.
TRAINABLE = rl.BlockStyle(**{**STYLE, "normalization": "batch", "zero_init_last": False})
OPTION_A = TRAINABLE.replace(shortcut="A", padding="symmetric")
PLAIN = TRAINABLE.replace(shortcut="none", padding="symmetric", activation="gelu")


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


def _model_parts() -> dict[str, Any]:
    return {
        "stem": rl.Stem(4, kernel_size=3, strides=1, pooling=None, style=TRAINABLE),
        "stages": [
            rl.ResNetStage(4, 1, style=TRAINABLE),
            rl.ResNetStage(6, 2, strides=(2, 1), bottleneck=True, groups=2, style=OPTION_A),
        ],
        "head": rl.ClassifierHead(3, pooling="max", hidden_units=5, activation="softmax"),
    }


def _make_model(**arguments: Any) -> rl.ResNet:
    return rl.ResNet(**{**_model_parts(), **arguments})


_make_model.__signature__ = inspect.signature(rl.ResNet)  # type: ignore[attr-defined]

BLOCK = {"filters": 6, "bottleneck": True, "groups": 2, "group_width": 4}
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
        "stage",
        rl.ResNetStage,
        {**BLOCK, "blocks": 2, "strides": (2, 3), "style": TRAINABLE},
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
        },
        (2, 3, 5, 6),
    ),
    Case(
        "model",
        _make_model,
        {"input_shape": (None, 12, 4), "metadata": {"class_names": ["a", "b", "c"]}},
        (2, 9, 12, 4),
    ),
]
CASES_BY_NAME = {case.name: case for case in CASES}
