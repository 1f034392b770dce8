"""How the maps go through Keras' layers, and those of this package that stand for one of them."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from resnet_layers.analysis.following import Following, handles
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.layers.primitives import normalization
from resnet_layers.layers.primitives.batch_normalization import FrozenBatchNormalization
from resnet_layers.layers.primitives.convolution import StandardizesKernel
from resnet_layers.networks import walks
from resnet_layers.networks.operations import Operation, Path, Window

Inputs = Sequence[int]

_NORMALIZATIONS: dict[type, tuple[str, bool]] = {  # kind, and whether statistics are kept
    layers.BatchNormalization: ("batch_normalization", True),
    FrozenBatchNormalization: ("frozen_batch_normalization", True),
    layers.GroupNormalization: ("group_normalization", False),
    layers.LayerNormalization: ("layer_normalization", False),
    layers.RMSNormalization: ("rms_normalization", False),
    layers.UnitNormalization: ("unit_normalization", False),
    normalization.GroupNormalization: ("group_normalization", False),
    normalization.EvoNormS0: ("evonorm_s0", False),
    normalization.FilterResponseNormalization: ("filter_response_normalization", False),
}


@handles(*_NORMALIZATIONS)
def _normalization(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    kind, keeps = next(_NORMALIZATIONS[c] for c in type(layer).__mro__ if c in _NORMALIZATIONS)
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    shape = following.keras_shape(inputs[0])
    channels = math.prod(shape[axis] or 1 for axis in axes)
    initial = getattr(layer, "initial", None)
    each = len(initial) if initial else sum(getattr(layer, k, True) for k in ("scale", "center"))
    if kind in ("rms_normalization", "unit_normalization"):
        each = 1 if kind == "rms_normalization" else 0
    return following.walk.add(
        Operation(
            path,
            kind,
            tuple(inputs),
            following.walk.shape(inputs[0]),
            weights=each * channels,
            statistics=2 * channels if keeps else 0,
            sees_all=not keeps,
        )
    )


@handles(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _convolution(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check_channels(following, layer, inputs[0], -2, layer.groups)
    windows, pixels = _places(following, inputs[0], layer)
    x = following.walk.convolution(
        path,
        inputs[0],
        layer.filters,
        windows,
        pixels,
        groups=layer.groups,
        bias=layer.use_bias,
        standardized=isinstance(layer, StandardizesKernel),
    )
    return _activated(following, path, layer, x)


@handles(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    windows, pixels = _places(following, inputs[0], layer)
    channels = following.walk.shape(inputs[0])[-1]
    filters = channels * layer.depth_multiplier
    x = following.walk.convolution(
        path, inputs[0], filters, windows, pixels, groups=channels, bias=layer.use_bias
    )
    return _activated(following, path, layer, x)


@handles(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    walk = following.walk
    windows, pixels = _places(following, inputs[0], layer)
    channels = walk.shape(inputs[0])[-1]
    filters = channels * layer.depth_multiplier
    x = walk.convolution((*path, "depthwise"), inputs[0], filters, windows, pixels, groups=channels)
    ones = [Window(1)] * len(pixels)
    x = walk.convolution((*path, "pointwise"), x, layer.filters, ones, pixels, bias=layer.use_bias)
    return _activated(following, path, layer, x)


@handles(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    *pixels, channels = following.walk.shape(inputs[0])
    kernel = channels * layer.filters * math.prod(_spread(layer.kernel_size, len(pixels)))
    weights = kernel + (layer.filters if layer.use_bias else 0)
    counts = {"weights": weights, "macs": kernel * math.prod(pixels), "bias": layer.use_bias}
    x = following.makes("convolution", path, layer, inputs, **counts, sees_all=True)
    return _activated(following, path, layer, x)


@handles(layers.Dense)
def _dense(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    _check_channels(following, layer, inputs[0], 0)
    x = following.walk.dense(path, inputs[0], layer.units, bias=layer.use_bias)
    return _activated(following, path, layer, x)


@handles(
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
)
def _pooling(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    windows, pixels = _places(following, inputs[0], layer)
    return following.walk.pooling(path, inputs[0], windows, pixels)


@handles(
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    *(layers.GlobalAveragePooling3D, layers.GlobalMaxPooling1D),
    *(layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
)
def _global_pooling(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    if not layer.keepdims:
        return following.walk.all_pixels(path, inputs[0])
    return following.makes("global_pooling", path, layer, inputs, sees_all=True)


@handles(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def _padding(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    pads = layer.padding
    return following.walk.padding(path, inputs[0], [pads] if isinstance(pads[0], int) else pads)


@handles(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
def _cropping(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    cuts = layer.cropping
    cuts = [cuts] if isinstance(cuts[0], int) else cuts
    return following.walk.padding(path, inputs[0], [(-before, -after) for before, after in cuts])


@handles(layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum)
def _addition(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return _elementwise(following, "addition", path, inputs)


@handles(layers.Multiply)
def _product(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return _elementwise(following, "product", path, inputs)


@handles(layers.Concatenate)
def _concatenate(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    shape = layer.compute_output_shape([following.keras_shape(i) for i in inputs])
    walked = following.walked_shape(shape)
    return following.walk.add(Operation(path, "concatenation", tuple(inputs), walked))


@handles(
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax),
    layers.Rescaling,
)
def _pointwise(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    if getattr(layer, "activation", None) is keras.activations.linear:
        return inputs[0]
    return following.makes("activation", path, layer, inputs)


@handles(layers.Normalization)
def _scaling(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    statistics = layer.count_params() if layer.built else 0
    return following.makes("scaling", path, layer, inputs, statistics=statistics)


@handles(layers.PReLU)
def _prelu(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    shape, shared = following.keras_shape(inputs[0]), layer.shared_axes or ()
    sizes = enumerate(shape[1:], start=1)
    weights = math.prod(size or 1 for axis, size in sizes if axis not in shared)
    return following.makes("activation", path, layer, inputs, weights=weights)


@handles(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector)
def _reshape(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    if isinstance(layer, layers.Flatten):
        return following.walk.flatten(path, inputs[0])
    kind = "reshape" if isinstance(layer, layers.Reshape) else "rearrangement"
    return following.makes(kind, path, layer, inputs, sees_all=True)


@handles(
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.Resizing, Preprocessing),
)
def _resizing(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return following.makes("resizing", path, layer, inputs, sees_all=True)


@handles(keras.Sequential)
def _sequential(following: Following, path: Path, model: Any, inputs: Inputs) -> int:
    return following.sequence(path, model.layers, inputs)


@handles(
    *(layers.InputLayer, layers.Identity, layers.ActivityRegularization, layers.Masking),
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
    *(layers.AlphaDropout, layers.GaussianDropout, layers.GaussianNoise),
    *(layers.RandomFlip, layers.RandomRotation, layers.RandomTranslation, layers.RandomZoom),
    *(layers.RandomContrast, layers.RandomBrightness),
)
def _nothing(following: Following, path: Path, layer: Any, inputs: Inputs) -> int:
    return inputs[0]


def _activated(following: Following, path: Path, layer: Any, x: int) -> int:
    """The activation that a layer has of its own."""
    if layer.activation in (None, keras.activations.linear):
        return x
    return following.walk.pointwise((*path, "activation"), "activation", x)


def _elementwise(following: Following, kind: str, path: Path, inputs: Inputs) -> int:
    """What is broadcast, the largest input first."""
    walk = following.walk
    shape = np.broadcast_shapes(*(walk.shape(index) for index in inputs))
    largest_first = tuple(sorted(inputs, key=walk.elements, reverse=True))
    return walk.add(Operation(path, kind, largest_first, tuple(map(int, shape))))


def _spread(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _places(following: Following, x: int, layer: Any) -> tuple[list[Window], list[int]]:
    """The windows of a convolution or a pooling of Keras, and the pixels that it makes."""
    lengths = following.walk.shape(x)[:-1]
    rank = len(lengths)
    sizes = _spread(getattr(layer, "kernel_size", None) or layer.pool_size, rank)
    strides = _spread(layer.strides, rank)
    rates = _spread(getattr(layer, "dilation_rate", 1), rank)
    windows, pixels = [], []
    for length, place in zip(lengths, zip(sizes, strides, rates, strict=True), strict=True):
        window = Window(*place)
        if layer.padding == "same":
            window = walks.same_window(length, *place)
            pixels.append(-(-length // window.stride))
        elif layer.padding == "causal":
            window = window._replace(before=window.span - 1)
            pixels.append(-(-length // window.stride))
        else:
            pixels.append(max((length - window.span) // window.stride + 1, 0))
        windows.append(window)
    if 0 in pixels:
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must be at least as large as its "
            f"windows. Received: input_shape={following.keras_shape(x)}"
        )
    return windows, pixels


def _check_channels(following: Following, layer: Any, x: int, axis: int, groups: int = 1) -> None:
    """Refuses a shape of which a built layer has no kernel."""
    if not layer.built:
        return
    built = layer.kernel.shape[axis] * groups
    shape = following.keras_shape(x)
    if following.walk.shape(x)[-1] != built:
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have the {built} channels "
            f"that it was built for. Received: input_shape={shape}"
        )
