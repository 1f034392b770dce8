"""How the maps go through the layers of this package."""

from collections.abc import Sequence
from typing import Any

from resnet_layers.analysis.following import Following, handles
from resnet_layers.layers.blocks import ConvBlock, ResidualBlock
from resnet_layers.layers.conv_norm import ConvNorm, NormAct
from resnet_layers.layers.head import ClassifierHead
from resnet_layers.layers.primitives.attention import (
    EfficientChannelAttention,
    SqueezeExcitation,
)
from resnet_layers.layers.stage import ResNetStage
from resnet_layers.layers.stem import Stem
from resnet_layers.networks import walks
from resnet_layers.networks.model import ResNet
from resnet_layers.networks.operations import Path

Inputs = Sequence[int]


@handles(ResNet)
def _resnet(following: Following, path: Path, model: Any, inputs: Inputs) -> int:
    (x,) = inputs
    for name, part in named_parts(model):
        x = following.follow((*path, name), part, [x])
    return x


def named_parts(model: ResNet) -> list[tuple[str, Any]]:
    """The parts of a network by their places, which need not be their names."""
    stages = [(f"stage{i}", stage) for i, stage in enumerate(model.stages, start=1)]
    parts = [("stem", model.stem), *stages, ("norm", model.norm), ("head", model.head)]
    return [(name, part) for name, part in parts if part is not None]


@handles(Stem)
def _stem(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check(following, layer, inputs)
    return walks.of_stem(following.walk, path, inputs[0], layer._geometry)


@handles(ResNetStage)
def _stage(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return following.sequence(path, layer.block_layers, inputs)


@handles(ResidualBlock)
def _block(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check(following, layer, inputs)
    converts = isinstance(layer, ConvBlock)
    return walks.of_block(following.walk, path, inputs[0], layer._geometry, converts)


@handles(ConvNorm)
def _conv_norm(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check(following, layer, inputs)
    unit = walks.unit_of(layer)
    return walks.of_unit(following.walk, path, inputs[0], unit)


@handles(NormAct)
def _norm_act(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    style = layer.style
    return walks.of_normalization(following.walk, path, inputs[0], style, style.activation)


@handles(ClassifierHead)
def _head(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check(following, layer, inputs)
    names = ("classes", "pooling", "hidden_units", "activation")
    arguments = {name: getattr(layer, name) for name in names}
    return walks.of_head(following.walk, path, inputs[0], **arguments)


@handles(SqueezeExcitation)
def _squeeze_excitation(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check(following, layer, inputs)
    return walks.of_attention(following.walk, path, inputs[0], squeezed=layer.squeezed)


@handles(EfficientChannelAttention)
def _efficient_attention(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return walks.of_attention(following.walk, path, inputs[0], kernel_size=layer.kernel_size)


def _check(following: Following, layer: Any, inputs: Inputs) -> None:
    """Has a layer say in words that a shape does not suit it."""
    layer.compute_output_shape(following.keras_shape(inputs[0]))
