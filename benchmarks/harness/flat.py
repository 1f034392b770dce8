"""The networks of the comparisons written flat: the functional API and stock layers alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

# (height, width, channels) in, a model out. Layers take Keras' global policy of precision.
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A basic block or a bottleneck, with what ResNeXt and SE networks change in it.

    Args:
        bottleneck: Whether there are three convolutions, the last with four times the filters.
        groups: Number of groups of the 3×3 convolution.
        width: Its channels, as a multiple of the filters.
        attention: Whether there is squeeze-and-excitation, by a sixteenth.
    """

    bottleneck: bool = False
    groups: int = 1
    width: int = 1
    attention: bool = False

    def __call__(self, x: Any, filters: int, strides: int, *, name: str) -> Any:
        channels = filters * (4 if self.bottleneck else 1)
        shortcut = x
        if x.shape[-1] != channels or strides > 1:
            shortcut = _conv_norm(
                x, channels, 1, strides, activate=False, name=f"{name}_projection"
            )
        return self.add(x, shortcut, filters, strides, name=name)

    def add(self, x: Any, shortcut: Any, filters: int, strides: int, *, name: str) -> Any:
        """The body beside a shortcut that is there."""
        if self.bottleneck:
            width = filters * self.width
            x = _conv_norm(x, width, 1, name=f"{name}_conv1")
            x = _conv_norm(x, width, 3, strides, groups=self.groups, name=f"{name}_conv2")
            x = _conv_norm(x, 4 * filters, 1, activate=False, name=f"{name}_conv3")
        else:
            x = _conv_norm(x, filters, 3, strides, name=f"{name}_conv1")
            x = _conv_norm(x, filters, 3, activate=False, name=f"{name}_conv2")
        if self.attention:
            x = _squeeze_excitation(x, name=f"{name}_attention")
        return layers.ReLU()(layers.Add()([x, shortcut]))


BASIC = Block()
BOTTLENECK = Block(bottleneck=True)
RESNEXT = Block(bottleneck=True, groups=32, width=2)
SE_BOTTLENECK = Block(bottleneck=True, attention=True)


def identity_block(shape: Shape) -> keras.Model:
    """A bottleneck that keeps the shape, and the means over its pixels."""
    inputs = keras.Input(shape)
    return _with_means(inputs, BOTTLENECK(inputs, shape[-1] // 4, 1, name="block"))


def conv_block(shape: Shape) -> keras.Model:
    """A bottleneck that halves the map and doubles the channels, and the means."""
    inputs = keras.Input(shape)
    return _with_means(inputs, BOTTLENECK(inputs, shape[-1] // 2, 2, name="block"))


def stage(shape: Shape) -> keras.Model:
    """Four bottlenecks, the first as in `conv_block`, and the means."""
    x = inputs = keras.Input(shape)
    for j in range(1, 5):
        x = BOTTLENECK(x, shape[-1] // 2, 2 if j == 1 else 1, name=f"block_block{j}")
    return _with_means(inputs, x)


def resnet18(shape: Shape, classes: int) -> keras.Model:
    """torchvision's ResNet-18."""
    return _imagenet(BASIC, (2, 2, 2, 2), shape, classes)


def resnet50(shape: Shape, classes: int) -> keras.Model:
    """torchvision's ResNet-50."""
    return _imagenet(BOTTLENECK, (3, 4, 6, 3), shape, classes)


def resnext50(shape: Shape, classes: int) -> keras.Model:
    """torchvision's ResNeXt-50, 32 groups of 4 channels."""
    return _imagenet(RESNEXT, (3, 4, 6, 3), shape, classes)


def seresnet50(shape: Shape, classes: int) -> keras.Model:
    """timm's SE-ResNet-50."""
    return _imagenet(SE_BOTTLENECK, (3, 4, 6, 3), shape, classes)


def cifar_resnet20(shape: Shape, classes: int, blocks: int = 3) -> keras.Model:
    """The article's network of 20 layers for small images, with shortcuts of option A."""
    inputs = keras.Input(shape)
    x = _conv_norm(inputs, 16, 3, name="stem_conv")
    for i, filters in enumerate((16, 32, 64), start=1):
        for j in range(1, blocks + 1):
            strides = 2 if i > 1 and j == 1 else 1
            shortcut = x if strides == 1 else _pad_channels(x, filters)
            x = BASIC.add(x, shortcut, filters, strides, name=f"stage{i}_block{j}")
    return keras.Model(inputs, _head(x, classes))


def _imagenet(
    block: Callable[..., Any], blocks: tuple[int, ...], shape: Shape, classes: int
) -> keras.Model:
    inputs = keras.Input(shape)
    x = _conv_norm(inputs, 64, 7, strides=2, name="stem_conv")
    x = layers.ZeroPadding2D(1)(x)  # zero is no new maximum after ReLU
    x = layers.MaxPooling2D(3, strides=2)(x)
    for i, (filters, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        for j in range(1, count + 1):
            x = block(x, filters, 2 if i > 1 and j == 1 else 1, name=f"stage{i}_block{j}")
    return keras.Model(inputs, _head(x, classes))


def _conv_norm(
    x: Any,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    groups: int = 1,
    activate: bool = True,
    *,
    name: str,
) -> Any:
    """Convolution with symmetric padding, batch normalization with torch's numbers, ReLU."""
    if strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2)(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        groups=groups,
        use_bias=False,
        name=f"{name}_convolution",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normalization")(x)
    return layers.ReLU()(x) if activate else x


def _squeeze_excitation(x: Any, *, name: str) -> Any:
    channels = x.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Dense(channels // 16, activation="relu", name=f"{name}_squeeze")(weights)
    weights = layers.Dense(channels, activation="sigmoid", name=f"{name}_excite")(weights)
    return layers.Multiply()([x, weights])


def _pad_channels(x: Any, filters: int) -> Any:
    """Every second pixel, and zeros for the new channels; no layer of Keras does this."""
    return ops.pad(x[:, ::2, ::2, :], [(0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])])


def _head(x: Any, classes: int) -> Any:
    return layers.Dense(classes, name="head_dense")(layers.GlobalAveragePooling2D()(x))


def _with_means(inputs: Any, x: Any) -> keras.Model:
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
