"""What a level of timm's means for each operation: its table of names.

A level is from 0 to 10, or higher where a policy says so; a sign is 1 or -1. Both are float64, so
that what timm cuts to whole numbers is cut alike.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from resnet_layers.training import operations


class Operation(NamedTuple):
    """An operation, what its number is at a level and sign, and whether it has pixels to fill."""

    function: Callable[..., Any]
    argument: Callable[[Any, Any], Any]
    fills: bool = False

    def apply(self, image: Any, level: Any, sign: Any, fill: tuple[int, int, int]) -> Any:
        """The image as the operation makes it; `fill` is the colour of what has no pixels."""
        rest = (fill,) if self.fills else ()
        return self.function(image, self.argument(level, sign), *rest)


def _none(level: Any, sign: Any) -> None:
    """For what is not more or less."""


def _share_of(most: float) -> Callable[[Any, Any], Any]:
    return lambda level, sign: sign * (level / 10.0 * most)


def _whole(level: Any, most: int) -> Any:
    return tf.cast(level / 10.0 * most, tf.int32)


def _enhancing(level: Any, sign: Any) -> Any:
    return level / 10.0 * 1.8 + 0.1


def _enhancing_more(level: Any, sign: Any) -> Any:
    return tf.maximum(1.0 + sign * (level / 10.0 * 0.9), 0.1)


def _within(least: float, most: float) -> Callable[[Any, Any], Any]:
    return lambda level, _: tf.clip_by_value(least + (most - least) * (level / 10.0), least, most)


def _desaturating(level: Any, sign: Any) -> Any:
    return 1.0 - _within(0.5, 1.0)(level, sign)


def _threshold(level: Any) -> Any:
    return tf.minimum(_whole(level, 256), 256)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": Operation(operations.auto_contrast, _none),
    "Equalize": Operation(operations.equalize, _none),
    "Invert": Operation(operations.invert, _none),
    "Rotate": Operation(operations.rotate, _share_of(30.0), fills=True),
    "Posterize": Operation(operations.posterize, lambda level, _: _whole(level, 4)),
    "PosterizeIncreasing": Operation(operations.posterize, lambda level, _: 4 - _whole(level, 4)),
    "Solarize": Operation(operations.solarize, lambda level, _: _threshold(level)),
    "SolarizeIncreasing": Operation(operations.solarize, lambda level, _: 256 - _threshold(level)),
    "SolarizeAdd": Operation(
        operations.solarize_add, lambda level, _: tf.minimum(_whole(level, 110), 128)
    ),
    "Color": Operation(operations.color, _enhancing),
    "ColorIncreasing": Operation(operations.color, _enhancing_more),
    "Contrast": Operation(operations.contrast, _enhancing),
    "ContrastIncreasing": Operation(operations.contrast, _enhancing_more),
    "Brightness": Operation(operations.brightness, _enhancing),
    "BrightnessIncreasing": Operation(operations.brightness, _enhancing_more),
    "Sharpness": Operation(operations.sharpness, _enhancing),
    "SharpnessIncreasing": Operation(operations.sharpness, _enhancing_more),
    "ShearX": Operation(operations.shear_x, _share_of(0.3), fills=True),
    "ShearY": Operation(operations.shear_y, _share_of(0.3), fills=True),
    "TranslateXRel": Operation(operations.translate_x, _share_of(0.45), fills=True),
    "TranslateYRel": Operation(operations.translate_y, _share_of(0.45), fills=True),
    "Desaturate": Operation(operations.color, _desaturating),
    "GaussianBlur": Operation(operations.gaussian_blur, _within(0.1, 2.0)),
}
