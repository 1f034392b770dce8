"""What other libraries call the layers and variables of a ResNet: one table for each dialect."""

import dataclasses
import re
from typing import Any

# The names of a layer's variables in Keras, and what torch calls them.
TORCH_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "v": "v",
    "tau": "tau",
}
KERAS_VARIABLES = {name: name for name in TORCH_VARIABLES}
# torch counts the updates of moving statistics. Inference never reads the count, so files may
# leave it out; torch itself insists on it.
COUNTER = "num_batches_tracked"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names that one source gives.

    Args:
        title: Whose names they are.
        layers: The name of a layer for its role. Fields in braces count: `s` stages, `b` blocks
            and `i` convolutions, from 0 or as the digit behind them says; `slot` and `slot1` are
            places in a sequence of convolution, normalization and activation; `k1` counts a
            stage's convolutions from 1, and `place` what comes before one in VGG: convolutions,
            activations and poolings.
        parts: How the names of a part begin, as regular expressions.
        first_stage: The number of the first stage.
        variables: The name of a variable for that in Keras.
        separator: What stands between the names of layer and variable.
        pointwise: Roles of dense layers that are convolutions of one pixel there.
        styles: Names of the styles that the networks of this source have.
        varying: Fields of the style that the networks differ in, though not their names.
        told: Fields that its own networks can be told to have otherwise, with equal tensors.
        biased: Whether its convolutions have biases.
    """

    title: str
    layers: dict[str, str]
    parts: dict[str, str]
    first_stage: int
    variables: dict[str, str]
    separator: str
    pointwise: frozenset[str] = frozenset()
    styles: tuple[str, ...]
    varying: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    biased: bool = False

    @property
    def is_torch(self) -> bool:
        """Whether kernels have torch's layout."""
        return self.variables is TORCH_VARIABLES

    def part_of(self, name: str) -> str | None:
        """The part of a model that a tensor of this name belongs to."""
        for part, beginning in self.parts.items():
            match = re.match(beginning, name)
            if match and part == "stage":
                return f"stage{int(match[1]) - self.first_stage + 1}"
            if match:
                return part
        return None


TIMM = Dialect(
    title="timm",
    layers={
        "stem.convolution": "conv1",
        "stem.normalization": "bn1",
        "deep_stem_hidden.convolution": "conv1.{slot}",
        "deep_stem_hidden.normalization": "conv1.{slot1}",
        "deep_stem.convolution": "conv1.{slot}",
        "deep_stem.normalization": "bn1",
        "stem_pool.convolution": "maxpool.0",
        "stem_pool.normalization": "maxpool.1",
        "smoothed_stem_pool.convolution": "maxpool.0",
        "smoothed_stem_pool.normalization": "maxpool.2",
        "body.convolution": "layer{s}.{b}.conv{i1}",
        "body.normalization": "layer{s}.{b}.bn{i1}",
        "projection.convolution": "layer{s}.{b}.downsample.0",
        "projection.normalization": "layer{s}.{b}.downsample.1",
        "pooled_projection.convolution": "layer{s}.{b}.downsample.1",
        "pooled_projection.normalization": "layer{s}.{b}.downsample.2",
        "squeeze": "layer{s}.{b}.se.fc1",
        "excite": "layer{s}.{b}.se.fc2",
        "channel_attention": "layer{s}.{b}.se.conv",
        "classifier": "fc",
    },
    parts={"stem": r"(conv1|bn1|maxpool)\.", "stage": r"layer(\d+)\.", "head": r"fc\."},
    first_stage=1,
    variables=TORCH_VARIABLES,
    separator=".",
    pointwise=frozenset({"squeeze", "excite"}),
    styles=("torchvision",),
    varying=frozenset({"anti_aliasing"}),
    told=frozenset({"activation", "epsilon"}),  # act_layer, norm_layer
)

TIMM_V2 = Dialect(
    title="timm",
    layers={
        "stem.convolution": "stem.conv",
        "deep_stem_hidden.convolution": "stem.conv{i1}",
        "deep_stem_hidden.normalization": "stem.norm{i1}",
        "deep_stem.convolution": "stem.conv{i1}",
        "preactivation": "stages.{s}.blocks.{b}.norm1",
        "body.convolution": "stages.{s}.blocks.{b}.conv{i1}",
        "body.normalization": "stages.{s}.blocks.{b}.norm{i2}",
        "projection.convolution": "stages.{s}.blocks.{b}.downsample.conv",
        "pooled_projection.convolution": "stages.{s}.blocks.{b}.downsample.conv",
        "final_norm": "norm",
        "classifier": "head.fc",
    },
    parts={"stem": r"stem\.", "stage": r"stages\.(\d+)\.", "norm": r"norm\.", "head": r"head\."},
    first_stage=0,
    variables=TORCH_VARIABLES,
    separator=".",
    pointwise=frozenset({"classifier"}),
    styles=("timm_v2", "bit"),
    # act_layer, norm_layer, avg_down, conv_layer, stem_type
    told=frozenset({"activation", "epsilon", "shortcut", "standardize_kernels", "pooling"}),
)

TORCHVISION_VIDEO = Dialect(
    title="torchvision",
    layers={
        "stem.convolution": "stem.0",
        "stem.normalization": "stem.1",
        "deep_stem_hidden.convolution": "stem.{slot}",
        "deep_stem_hidden.normalization": "stem.{slot1}",
        "deep_stem.convolution": "stem.{slot}",
        "deep_stem.normalization": "stem.{slot1}",
        "body.convolution": "layer{s}.{b}.conv{i1}.0",
        "body.normalization": "layer{s}.{b}.conv{i1}.1",
        "space.convolution": "layer{s}.{b}.conv{i1}.0.0",
        "space.normalization": "layer{s}.{b}.conv{i1}.0.1",
        "time.convolution": "layer{s}.{b}.conv{i1}.0.3",
        "time.normalization": "layer{s}.{b}.conv{i1}.1",
        "projection.convolution": "layer{s}.{b}.downsample.0",
        "projection.normalization": "layer{s}.{b}.downsample.1",
        "classifier": "fc",
    },
    parts={"stem": r"stem\.", "stage": r"layer(\d+)\.", "head": r"fc\."},
    first_stage=1,
    variables=TORCH_VARIABLES,
    separator=".",
    styles=("torchvision",),
)

KERAS = Dialect(
    title="keras.applications",
    layers={
        "stem.convolution": "conv1_conv",
        "stem.normalization": "conv1_bn",
        "preactivation": "conv{s}_block{b1}_preact_bn",
        "body.convolution": "conv{s}_block{b1}_{i1}_conv",
        "body.normalization": "conv{s}_block{b1}_{i1}_bn",
        "projection.convolution": "conv{s}_block{b1}_0_conv",
        "projection.normalization": "conv{s}_block{b1}_0_bn",
        "final_norm": "post_bn",
        "classifier": "predictions",
    },
    # Whatever a network has behind its stages there, under any name, is its head.
    parts={"stem": r"conv1_", "stage": r"conv(\d+)_", "norm": r"post_", "head": r""},
    first_stage=2,
    variables=KERAS_VARIABLES,
    separator="/",
    styles=("keras",),
)
KERAS_V2 = dataclasses.replace(KERAS, styles=("keras_v2",))

TORCHVISION_VGG = Dialect(
    title="torchvision",
    layers={
        "deep_stem_hidden.convolution": "features.{place}",
        "deep_stem.convolution": "features.{place}",
        "stem.convolution": "features.{place}",
        "body.convolution": "features.{place}",
        "hidden_layer": "classifier.{slot}",
        "classifier": "classifier.{slot}",
    },
    # How many features a stage has is not in their names.
    parts={"head": r"classifier\."},
    first_stage=1,
    variables=TORCH_VARIABLES,
    separator=".",
    styles=("vgg",),
    biased=True,
)

KERAS_VGG = Dialect(
    title="keras.applications",
    layers={
        "deep_stem_hidden.convolution": "block1_conv{k1}",
        "deep_stem.convolution": "block1_conv{k1}",
        "stem.convolution": "block1_conv{k1}",
        "body.convolution": "block{s}_conv{k1}",
        "hidden_layer": "fc{i1}",
        "classifier": "predictions",
    },
    parts={"stem": r"block1_", "stage": r"block(\d+)_", "head": r""},
    first_stage=2,
    variables=KERAS_VARIABLES,
    separator="/",
    styles=("vgg",),
    biased=True,
)

_OF_KERAS_APPLICATIONS = re.compile(
    r"(.*/)?(conv1_conv|conv\d_block\d+_\d_conv|block\d_conv\d)/kernel(:0)?"
)


def looks_like_keras(names: Any) -> bool:
    """Whether tensors are named as in keras.applications."""
    return any(_OF_KERAS_APPLICATIONS.fullmatch(name) for name in names)
