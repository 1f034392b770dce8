"""`Preprocessing`: from raw images of any size to what a network's weights expect."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers import _resampling, _shapes
from resnet_layers.layers._settled import Settled

# The name of the layer of networks that `train` made: its images were resized in whole numbers.
SQUARES = "squares"
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="resnet_layers")
class Preprocessing(Settled, keras.layers.Layer):
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
        resizing: `"shorter_side"`, as above; or `"fit"`, by which `train` reads images: the middle
            square by itself, without what lies beside it, in whole numbers, as `PIL.ImageOps.fit`
            (by 1 of 255 some pixels differ: 2 % of them where an image is enlarged, since Pillow
            rounds halves by weights of 22 bits; 25 % in one of 700×31, whose columns it takes
            first).
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
        resizing: str = "shorter_side",
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
        self.resizing = checks.choice("resizing", resizing, ("shorter_side", "fit"))
        if self.resizing == "fit" and (self.crop_pct != 1 or not isinstance(self.image_size, int)):
            raise ValueError(
                "`resizing` must be 'shorter_side' where the result is no whole square, with "
                f"crop_pct=1.0. Received: resizing='fit', image_size={image_size!r}, "
                f"crop_pct={crop_pct!r}"
            )
        self.built = True  # there are no variables

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if _resampling.is_foreign(inputs):  # in `tf.data`, where Keras would convert it
            return self._compute(_resampling.TensorFlow(), inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        return self._compute(keras.ops, inputs)

    def _compute(self, ops: Any, inputs: Any) -> Any:
        self._check_shape(inputs.shape)
        x = ops.cast(inputs, "float32")
        height, width = ops.shape(x)[-3:-1]
        rows, columns = self._axes(ops, height, width)
        # Bicubic weights overshoot at edges; Pillow cuts that off after each axis. Images first:
        # LiteRT's converter breaks the other order where their size is known, and not their number.
        x = self._as_pixels(ops, ops.einsum("...hic,oi->...hoc", x, columns))
        x = self._as_pixels(ops, ops.einsum("...iwc,oi->...owc", x, rows))
        x = (x / 255.0 - ops.convert_to_tensor(self.mean)) / ops.convert_to_tensor(self.std)
        if self.channels == "bgr":
            x = ops.flip(x, axis=-1)
        if self.data_format == "channels_first":
            x = ops.moveaxis(x, -1, -3)
        return ops.cast(x, self.compute_dtype)

    def _as_pixels(self, ops: Any, x: Any) -> Any:
        """Numbers from 0 to 255, whole ones where the images of training were."""
        if self.resizing == "fit":
            x = ops.floor(x + 0.5001)  # halves go up, also where a sum is a little too small
        return ops.clip(x, 0.0, 255.0)

    def _axes(self, ops: Any, height: Any, width: Any) -> list[Any]:
        """For each axis a matrix from the pixels of the image to those of the result."""
        if self.resizing == "fit" and isinstance(self.image_size, int):
            middle = _resampling.where(ops, height < width, height, width)
            return [
                _resampling.of_middle(ops, size, middle, self.image_size, self.interpolation)
                for size in (height, width)
            ]
        sizes = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        # The factor of the resizing as a fraction, so that all that follows is exact.
        targets = [math.floor(size / self.crop_pct) for size in sizes]
        if targets[0] == targets[1]:
            shorter = _resampling.where(ops, height < width, height, width)
            resized = [targets[0] * size // shorter for size in (height, width)]
        else:
            by_height = height * targets[1] < width * targets[0]
            over = _resampling.where(ops, by_height, height, width)
            under = _resampling.where(ops, by_height, targets[0], targets[1])
            resized = [_resampling.nearest(ops, size * under, over) for size in (height, width)]
        return [
            _resampling.of_whole(ops, before, after, size, self.interpolation)
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
        _shapes.known_rank(self, shape, (None, None, 3))
        if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape[-3:]:
            raise ValueError(
                f"The input of Preprocessing '{self.name}' must have the axes (batch, height, "
                "width, 3), or the same without the batch, none but the batch empty. "
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
            "resizing": self.resizing,
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
        resizing="fit",
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
    config = described.get("config")
    if isinstance(config, dict) and config.get("name") == SQUARES:  # before there was an argument
        described = {**described, "config": {"resizing": "fit", **config}}
    name = described.get("registered_name") or described["class_name"]
    kind = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    # Before anything is made of it: the class of a file could be any of Keras'.
    if not (isinstance(kind, type) and issubclass(kind, Preprocessing)):
        raise TypeError(
            f"`preprocessing` must be the config of a Preprocessing. Received: {name!r}"
        )
    if not isinstance(config, dict):
        raise TypeError(
            f"The config of `preprocessing` must be a mapping. Received: config={config!r}"
        )
    return keras.saving.deserialize_keras_object(described)
