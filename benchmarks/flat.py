"""The networks of the comparisons written flat: the functional API and stock layers alone."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops


def resnet18(input_shape: tuple[int | None, ...], classes: int) -> keras.Model:
    """torchvision's ResNet-18."""
    return _imagenet(_basic, (2, 2, 2, 2), input_shape, classes)


def resnet50(input_shape: tuple[int | None, ...], classes: int) -> keras.Model:
    """torchvision's ResNet-50."""
    return _imagenet(_bottleneck, (3, 4, 6, 3), input_shape, classes)


def cifar_resnet20(input_shape: tuple[int | None, ...], classes: int) -> keras.Model:
    """The article's network of 20 layers for small images, with shortcuts of option A."""
    inputs = keras.Input(input_shape)
    x = _conv_norm(inputs, 16, 3, name="stem_conv")
    for i, filters in enumerate((16, 32, 64), start=1):
        for j in range(1, 4):
            strides = 2 if i > 1 and j == 1 else 1
            shortcut = x if strides == 1 else _pad_channels(x, filters)
            x = _basic(x, filters, strides, shortcut, name=f"stage{i}_block{j}")
    return keras.Model(inputs, _head(x, classes))


def _imagenet(
    block: Callable[..., Any],
    blocks: tuple[int, ...],
    input_shape: tuple[int | None, ...],
    classes: int,
) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = _conv_norm(inputs, 64, 7, strides=2, name="stem_conv")
    x = layers.ZeroPadding2D(1)(x)  # zero is no new maximum after ReLU
    x = layers.MaxPooling2D(3, strides=2)(x)
    for i, (filters, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        for j in range(1, count + 1):
            strides = 2 if i > 1 and j == 1 else 1
            name = f"stage{i}_block{j}"
            output_filters = filters * (4 if block is _bottleneck else 1)
            shortcut = x
            if x.shape[-1] != output_filters:
                shortcut = _conv_norm(
                    x, output_filters, 1, strides, activate=False, name=f"{name}_projection"
                )
            x = block(x, filters, strides, shortcut, name=name)
    return keras.Model(inputs, _head(x, classes))


def _basic(x: Any, filters: int, strides: int, shortcut: Any, name: str) -> Any:
    x = _conv_norm(x, filters, 3, strides, name=f"{name}_conv1")
    x = _conv_norm(x, filters, 3, activate=False, name=f"{name}_conv2")
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _bottleneck(x: Any, filters: int, strides: int, shortcut: Any, name: str) -> Any:
    x = _conv_norm(x, filters, 1, name=f"{name}_conv1")
    x = _conv_norm(x, filters, 3, strides, name=f"{name}_conv2")
    x = _conv_norm(x, 4 * filters, 1, activate=False, name=f"{name}_conv3")
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _conv_norm(
    x: Any, filters: int, kernel_size: int, strides: int = 1, activate: bool = True, *, name: str
) -> Any:
    """Convolution with symmetric padding, batch normalization with torch's numbers, ReLU."""
    if strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2)(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        name=f"{name}_convolution",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normalization")(x)
    return layers.ReLU()(x) if activate else x


def _pad_channels(x: Any, filters: int) -> Any:
    """Every second pixel, and zeros for the new channels; no layer of Keras does this."""
    return ops.pad(x[:, ::2, ::2, :], [(0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])])


def _head(x: Any, classes: int) -> Any:
    return layers.Dense(classes, name="head_dense")(layers.GlobalAveragePooling2D()(x))
