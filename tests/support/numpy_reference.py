"""ResNet parts in plain NumPy, slow and in float64, to check the layers' numbers against.

Weights come as nested dicts: `weights["conv1"]["normalization"]["gamma"]`. What a function does
follows from its arguments and the style, never from which weights are there. In training,
moving statistics are updated in place.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import resnet_layers as rl

Array = np.ndarray
Weights = dict[str, Any]
Pair = tuple[int, int]


def weights_of(layer: Any) -> Weights:
    """The variables of a layer as nested dicts, without the layer's own name."""
    tree: Weights = {}
    for variable in layer.weights:
        *folders, name = variable.path.split("/")[1:]
        values = keras.ops.convert_to_numpy(variable).astype("float64")
        functools.reduce(lambda node, key: node.setdefault(key, {}), folders, tree)[name] = values
    return tree


def padding_of(size: int, kernel: int, stride: int, dilation: int, padding: str) -> Pair:
    """Pixels before and after one axis of `size` pixels."""
    extent = (kernel - 1) * dilation + 1
    if padding == "symmetric":  # torch: whatever the size and the stride
        return ((extent - 1) // 2, (extent - 1) // 2)
    missing = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return (missing // 2, missing - missing // 2)


def windows(
    x: Array, kernel: Pair, strides: Pair, dilation: Pair, padding: str, value: float
) -> dict[Pair, Array]:
    """For each position in the kernel, the pixels that it meets: (B, h, w, C)."""
    pads = [
        padding_of(x.shape[1 + i], kernel[i], strides[i], dilation[i], padding) for i in range(2)
    ]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=value)
    height, width = (
        (padded.shape[1 + i] - (kernel[i] - 1) * dilation[i] - 1) // strides[i] + 1
        for i in range(2)
    )
    rows, columns = np.arange(height) * strides[0], np.arange(width) * strides[1]
    return {
        (i, j): padded[:, rows + i * dilation[0]][:, :, columns + j * dilation[1]]
        for i, j in itertools.product(range(kernel[0]), range(kernel[1]))
    }


def convolve(
    x: Array,
    weights: Weights,
    *,
    strides: Pair = (1, 1),
    dilation: Pair = (1, 1),
    groups: int = 1,
    padding: str = "symmetric",
    use_bias: bool = False,
) -> Array:
    """Convolution: each group of output channels reads its own group of input channels."""
    kernel = weights["kernel"]
    outputs = []
    for inputs, part in zip(
        np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True
    ):
        met = windows(inputs, kernel.shape[:2], strides, dilation, padding, 0.0)
        outputs.append(sum(pixels @ part[position] for position, pixels in met.items()))
    return np.concatenate(outputs, axis=-1) + (weights["bias"] if use_bias else 0.0)


def batch_normalize(
    x: Array, weights: Weights, *, epsilon: float, momentum: float, training: bool = False
) -> Array:
    """Batch normalization; as in Keras 3, the biased variance of the batch moves the average."""
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    if training:
        mean = np.mean(x, axis=(0, 1, 2))
        variance = np.mean((x - mean) ** 2, axis=(0, 1, 2))
        for name, new in (("moving_mean", mean), ("moving_variance", variance)):
            weights[name] = momentum * weights[name] + (1 - momentum) * new
    return weights["gamma"] * (x - mean) / np.sqrt(variance + epsilon) + weights["beta"]


def max_pool(x: Array, kernel: int, stride: int, padding: str) -> Array:
    """Max-pooling whose padding is never the maximum."""
    met = windows(x, (kernel, kernel), (stride, stride), (1, 1), padding, -math.inf)
    return np.max(list(met.values()), axis=0)


def average_pool(x: Array, size: int) -> Array:
    """Average pooling with Keras' "same": only pixels of the image count."""
    arguments = ((size, size), (size, size), (1, 1), "same")
    pixels, inside = (
        np.sum(list(windows(values, *arguments, 0.0).values()), axis=0)
        for values in (x, np.ones_like(x))
    )
    return pixels / inside


ACTIVATIONS: dict[Any, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0))),
    "tanh": np.tanh,
}


def conv_norm(
    x: Array,
    weights: Weights,
    style: rl.BlockStyle,
    *,
    activation: Any = None,
    normalize: bool = True,
    training: bool = False,
    **geometry: Any,
) -> Array:
    """Convolution, normalization, activation."""
    x = convolve(
        x,
        weights["convolution"],
        padding=style.padding,
        use_bias=style.use_bias is True,
        **geometry,
    )
    if normalize and style.normalization:
        x = batch_normalize(
            x,
            weights["normalization"],
            epsilon=style.epsilon,
            momentum=style.momentum,
            training=training and style.normalization == "batch",
        )
    return ACTIVATIONS[activation](x)


def block(
    x: Array,
    weights: Weights,
    style: rl.BlockStyle,
    *,
    projection: bool,
    strides: Pair = (1, 1),
    bottleneck: bool = False,
    groups: int = 1,
    training: bool = False,
) -> Array:
    """A residual block: `projection` is whether it is a `ConvBlock`."""
    hidden: dict[str, Any] = {"activation": style.activation, "training": training}
    if bottleneck:
        on_first = style.strides_on == "first"
        steps = (strides, (1, 1)) if on_first else ((1, 1), strides)
        y = conv_norm(x, weights["conv1"], style, strides=steps[0], **hidden)
        y = conv_norm(y, weights["conv2"], style, strides=steps[1], groups=groups, **hidden)
        y = conv_norm(y, weights["conv3"], style, training=training)
    else:
        y = conv_norm(x, weights["conv1"], style, strides=strides, groups=groups, **hidden)
        y = conv_norm(y, weights["conv2"], style, groups=groups, training=training)

    if style.shortcut == "none":
        return ACTIVATIONS[style.activation](y)
    if not projection:
        shortcut = x
    elif style.shortcut == "A":
        shortcut = np.zeros_like(y)
        shortcut[..., : x.shape[-1]] = x[:, :: strides[0], :: strides[1]]
    else:
        shortcut = conv_norm(
            x,
            weights["projection"],
            style,
            strides=strides,
            normalize=style.normalize_shortcut,
            training=training,
        )
    return ACTIVATIONS[style.activation](y + shortcut)


def stage(
    x: Array,
    weights: Weights,
    style: rl.BlockStyle,
    *,
    blocks: int,
    strides: Pair = (1, 1),
    projection: bool = True,
    **keywords: Any,
) -> Array:
    """Blocks in sequence; with option C every block projects."""
    for i in range(blocks):
        x = block(
            x,
            weights[f"block{i + 1}"],
            style,
            projection=(projection and i == 0) or style.shortcut == "C",
            strides=strides if i == 0 else (1, 1),
            **keywords,
        )
    return x


def stem(
    x: Array,
    weights: Weights,
    style: rl.BlockStyle,
    *,
    strides: Pair,
    pooling: str | None,
    training: bool = False,
) -> Array:
    """Convolution, normalization, activation, max-pooling."""
    x = conv_norm(
        x,
        weights["conv"],
        style,
        activation=style.activation,
        strides=strides,
        training=training,
    )
    return max_pool(x, 3, 2, style.padding) if pooling else x


def classifier_head(
    x: Array, weights: Weights, *, pooling: str, hidden: bool = False, softmax: bool = False
) -> Array:
    """Pooling, dense layers, and perhaps probabilities."""
    pools: dict[str, Callable[[Array], Array]] = {
        "avg": lambda x: x.mean(axis=(1, 2)),
        "max": lambda x: x.max(axis=(1, 2)),
        "avg2x2": lambda x: average_pool(x, 2).reshape(len(x), -1),
    }
    x = pools[pooling](x)
    if hidden:
        x = np.maximum(x @ weights["hidden"]["kernel"] + weights["hidden"]["bias"], 0.0)
    x = x @ weights["dense"]["kernel"] + weights["dense"]["bias"]
    if softmax:
        x = np.exp(x - x.max(axis=-1, keepdims=True))
        x /= x.sum(axis=-1, keepdims=True)
    return x
