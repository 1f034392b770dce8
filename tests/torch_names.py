"""The names and layouts that timm and torchvision give to the variables of a `ResNet`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import resnet_layers as rl

# Of a tensor with so many axes, in torch's layout: OIHW to HWIO, and (out, in) to (in, out).
TO_KERAS = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def conv_norm_names(layer: Any, conv: str, norm: str) -> Iterator[tuple[str, Any]]:
    """Names and variables of one convolution and its normalization."""
    yield f"{conv}.weight", layer.convolution.kernel
    for theirs, ours in NORMALIZATION.items():
        yield f"{norm}.{theirs}", getattr(layer.normalization, ours)


def named_variables(model: rl.ResNet) -> Iterator[tuple[str, Any]]:
    """Names and variables of a whole network."""
    yield from conv_norm_names(model.stem.conv, "conv1", "bn1")
    for s, stage in enumerate(model.stages, start=1):
        for b, block in enumerate(stage.block_layers):
            name = f"layer{s}.{b}"
            for i, layer in enumerate(block.body, start=1):
                yield from conv_norm_names(layer, f"{name}.conv{i}", f"{name}.bn{i}")
            if isinstance(block, rl.ConvBlock):
                downsample = f"{name}.downsample"
                yield from conv_norm_names(block.projection, f"{downsample}.0", f"{downsample}.1")
    head: Any = model.head
    yield "fc.weight", head.dense.kernel
    yield "fc.bias", head.dense.bias


def to_keras(tensor: np.ndarray) -> np.ndarray:
    """A tensor in Keras' layout."""
    return tensor.transpose(TO_KERAS[tensor.ndim])


def torch_shape(variable: Any) -> tuple[int, ...]:
    """The shape that a variable has in torch's layout."""
    axes = TO_KERAS[len(variable.shape)]
    return tuple(variable.shape[axes.index(i)] for i in range(len(axes)))
