"""`Preprocessing`: from raw images of any size to what a network's weights expect."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts

# The name of the layer of networks that `train` made: its images were resized in whole numbers.
SQUARES = "squares"
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="resnet_layers")
class Preprocessing(keras.layers.Layer):
    """`(crop(resize(x)) / 255 - mean) / std`, as timm and torchvision evaluate their networks.

    The image is resized so that its shorter side is `floor(image_size / crop_pct)`, with
    antialiasing, and its centre is cut out. Pillow, which torch's users resize with, rounds to
    whole numbers twice on the way; this layer does not, and can differ from it by about 1/255.
    With `"bicubic"`, single pixels at hard edges of tall images can differ by more: Pillow 13 takes
    some of these columns first, and cuts off what overshoots after each axis.

    Args:
        image_size: Height and width of the result in pixels: a positive integer or a pair.
        crop_pct: Share of the resized image that the cut keeps along its shorter side, in (0, 1].
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos"`.
        mean: For red, green and blue, what is subtracted, on the scale from 0 to 1.
        std: For red, green and blue, what it is divided by then, above 0.
        channels: Order of the channels in the result, `"rgb"` or `"bgr"`.
        data_format: `"channels_last"` or `"channels_first"` in the result.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, 3)`, or `(height, width, 3)` for a single image: red, green and
        blue from 0 to 255, as integers or floats.

    Output shape:
        `(batch, *image_size, 3)`, or without the batch; `(batch, 3, *image_size)` with channels
        first.

    Raises:
        ValueError: If a value is out of range, or the input has not 3 channels.
        TypeError: If a value has the wrong type.

    Example:

    >>> prepare = Preprocessing(image_size=8)
    >>> prepare(keras.ops.ones((2, 20, 30, 3), "uint8")).shape
    TensorShape([2, 8, 8, 3])

    Reference:
        timm 1.0 `data/transforms_factory.py` (evaluation); Pillow `Image.resize` (filters).
    """

    def __init__(
        self,
        *,
        image_size: IntOrInts = 224,
        crop_pct: float = 0.875,
        interpolation: str = "bilinear",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channels: str = "rgb",
        data_format: str = "channels_last",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # whole numbers up to 255 do not fit into bfloat16 after resizing
        self.image_size = checks.sizes("image_size", image_size, 2)
        self.crop_pct = checks.share("crop_pct", crop_pct)
        self.interpolation = checks.choice("interpolation", interpolation, INTERPOLATIONS)
        self.mean = checks.three("mean", mean, checks.finite)
        self.std = checks.three("std", std, checks.positive)
        self.channels = checks.choice("channels", channels, ("rgb", "bgr"))
        self.data_format = checks.choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.built = True  # there are no variables

    def call(self, inputs: Any) -> Any:
        self._check_shape(inputs.shape)
        x = ops.cast(inputs, "float32")
        height, width = ops.shape(x)[-3:-1]
        rows, columns = self._axes(height, width)
        # Bicubic weights overshoot at edges; Pillow cuts that off after each axis.
        x = ops.clip(ops.einsum("oi,...hic->...hoc", columns, x), 0.0, 255.0)
        x = ops.clip(ops.einsum("oi,...iwc->...owc", rows, x), 0.0, 255.0)
        x = (x / 255.0 - ops.convert_to_tensor(self.mean)) / ops.convert_to_tensor(self.std)
        if self.channels == "bgr":
            x = ops.flip(x, axis=-1)
        if self.data_format == "channels_first":
            x = ops.moveaxis(x, -1, -3)
        return ops.cast(x, self.compute_dtype)

    def _axes(self, height: Any, width: Any) -> list[Any]:
        """For each axis a matrix from the pixels of the image to those of the result."""
        sizes = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        # The factor of the resizing as a fraction, so that all that follows is exact.
        targets = [math.floor(size / self.crop_pct) for size in sizes]
        if targets[0] == targets[1]:
            shorter = _where(height < width, height, width)
            resized = [targets[0] * size // shorter for size in (height, width)]
        else:
            by_height = height * targets[1] < width * targets[0]
            over = _where(by_height, height, width)
            under = _where(by_height, targets[0], targets[1])
            resized = [_nearest(size * under, over) for size in (height, width)]
        return [
            _resampling(before, after, size, self.interpolation)
            for before, after, size in zip((height, width), resized, sizes, strict=True)
        ]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_shape(input_shape)
        sizes = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        shape = (*sizes, 3) if self.data_format == "channels_last" else (3, *sizes)
        return (*input_shape[:-3], *shape)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def _check_shape(self, shape: Any) -> None:
        if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape:
            raise ValueError(
                f"The input of Preprocessing '{self.name}' must have the axes (batch, height, "
                "width, 3), or the same without the batch, none of them empty. "
                f"Received: input_shape={tuple(shape)}"
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "crop_pct": self.crop_pct,
            "interpolation": self.interpolation,
            "mean": self.mean,
            "std": self.std,
            "channels": self.channels,
            "data_format": self.data_format,
        }


def for_keras_applications(preactivation: bool) -> Preprocessing:
    """What the ImageNet weights of keras.applications' ResNets expect.

    Args:
        preactivation: Whether they are those of ResNetV2, with numbers from -1 to 1. The others
            want blue, green and red, less the mean of ImageNet, from 0 to 255.

    Example:

    >>> for_keras_applications(preactivation=False).channels
    'bgr'
    """
    if preactivation:
        return Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)
    mean = tuple(value / 255 for value in (123.68, 116.779, 103.939))
    return Preprocessing(mean=mean, std=(1 / 255,) * 3, channels="bgr")


def for_squares(
    image_size: int, mean: Sequence[float], std: Sequence[float], interpolation: str = "bilinear"
) -> Preprocessing:
    """What networks expect that were trained on the middle squares of images, uncut.

    Args:
        image_size: Side of the squares in pixels.
        mean: Of red, green and blue, on the scale of pixels, from 0 to 255.
        std: Likewise, above 0.
        interpolation: How images were resized.
    """
    return Preprocessing(
        image_size=checks.integer("image_size", image_size),
        crop_pct=1.0,
        interpolation=interpolation,
        mean=[value / 255 for value in mean],
        std=[value / 255 for value in std],
        name=SQUARES,
    )


def from_metadata(described: Any) -> Preprocessing:
    """The layer that the metadata of a model describe.

    Args:
        described: Its config; or the arguments of `for_squares`, which `train` wrote before it
            wrote configs.

    Raises:
        TypeError: If it is neither.
        ValueError: If a value is out of range.
    """
    if not isinstance(described, dict) or "class_name" not in described:
        return for_squares(**described)
    layer = keras.saving.deserialize_keras_object(described)
    if not isinstance(layer, Preprocessing):
        raise TypeError(
            f"`preprocessing` must be the config of a Preprocessing. Received: {layer!r}"
        )
    return layer


def _where(condition: Any, a: Any, b: Any) -> Any:
    """One of two sizes, which may be known only when the graph runs."""
    return (a if condition else b) if isinstance(condition, bool) else ops.where(condition, a, b)


def _nearest(number: Any, divisor: Any) -> Any:
    """Python's `round(number / divisor)`: halves become even."""
    up = (2 * number + divisor) // (2 * divisor)
    return _where((2 * number + divisor) % (2 * divisor) == 0, up // 2 * 2, up)


def _triangle(x: Any) -> Any:
    return ops.maximum(1.0 - ops.abs(x), 0.0)


def _cubic(x: Any) -> Any:
    """Keys 1981, with a = -0.5."""
    x = ops.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))


def _lanczos(x: Any) -> Any:
    """Three lobes of the sine."""
    x = ops.abs(x)
    return ops.where(x < 3.0, _sinc(x) * _sinc(x / 3.0), 0.0)


def _sinc(x: Any) -> Any:
    angle = math.pi * ops.maximum(x, 1e-7)
    return ops.where(x < 1e-7, 1.0, ops.sin(angle) / angle)


def _box(x: Any) -> Any:
    """The pixel that a centre lies in; halves belong to the later one."""
    return ops.cast(ops.logical_and(x > -0.5, x <= 0.5), "float32")


_FILTERS: dict[str, Callable[[Any], Any]] = {
    "nearest": _box,
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}


def _resampling(before: Any, after: Any, size: int, interpolation: str) -> Any:
    """The matrix (size, before) that resizes to `after` pixels and keeps the `size` in the middle.

    The filter is as wide as a pixel of the smaller image, so that shrinking averages.
    """
    rest = after - size
    start = rest // 2 + (rest % 2) * (rest // 2 % 2)  # Python's round(rest / 2)
    pixels = 2 * ops.arange(before, dtype="int32") + 1
    centres = 2 * (ops.arange(size, dtype="int32") + start) + 1
    # Distances in whole numbers, since float32 has no fractions of pixels in large images.
    distances = pixels[None, :] * after - centres[:, None] * before
    # The nearest pixel is as wide as a pixel of the image itself.
    larger = 2 * (after if interpolation == "nearest" else _where(after < before, before, after))
    weights = _FILTERS[interpolation](ops.cast(distances, "float32") / ops.cast(larger, "float32"))
    # Far pixels of long images overflow, and can seem near: a rough distance tells them.
    scale = ops.cast(before, "float32") / ops.cast(after, "float32")
    rough = ops.cast(pixels, "float32")[None, :] - ops.cast(centres, "float32")[:, None] * scale
    weights = ops.where(ops.abs(rough) < 7.0 * ops.maximum(scale, 1.0), weights, 0.0)
    return weights / ops.sum(weights, axis=1, keepdims=True)
