"""The random resized crop: chosen from an image's size, so that no more of a file is decoded."""

import math
from dataclasses import dataclass
from typing import Any

from resnet_layers._support import checks
from resnet_layers.training.chance import as_image, ascending, uniform

_ATTEMPTS = 10  # torchvision's and timm's
_METHODS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos": "lanczos3",
}
INTERPOLATIONS = tuple(_METHODS)


@dataclass(frozen=True)
class RandomResizedCrop:
    r"""A random part of an image, resized to a square; Keras has no such layer.

    The part has the share $s \sim \mathrm{U}(\text{scale})$ of the pixels and the aspect
    $\log r \sim \mathrm{U}(\log \text{ratio})$,

    $$w = \mathrm{round}\sqrt{s\,W H\,r}, \qquad h = \mathrm{round}\sqrt{s\,W H / r},$$

    and a uniform place. It is the first of ten that fits into the image, or else the middle, as
    large as the ratio lets it be.

    Args:
        size: Height and width of the result in pixels, positive.
        scale: Least and largest share of the pixels, in (0, 1].
        ratio: Least and largest width over height, positive.
        interpolation: How pixels are resized, with antialiasing: `"nearest"`, `"bilinear"`,
            `"bicubic"` or `"lanczos"`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or what it is called with is no image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.crops import RandomResizedCrop
    >>> crop = RandomResizedCrop(size=8, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    >>> crop(tf.zeros((20, 20, 3), tf.uint8), seed=(0, 7)).shape
    TensorShape([8, 8, 3])
    >>> crop.box(20, 20, seed=(0, 7)).numpy()[2:]  # half of the height, half of the width
    array([10, 10], dtype=int32)

    Reference:
        Szegedy et al., Going deeper with convolutions, 2014, section 6; the rule is that of
        torchvision's `RandomResizedCrop`
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        checks.integer("size", self.size)
        ascending("scale", self.scale, checks.share)
        ascending("ratio", self.ratio, checks.positive)
        checks.choice("interpolation", self.interpolation, INTERPOLATIONS)

    def box(self, height: Any, width: Any, seed: Any) -> Any:
        """Top, left, height and width of the part, int32 (4,), from the image's size in pixels."""
        import tensorflow as tf

        sides = tf.cast(tf.stack([height, width]), tf.float32)
        drawn = uniform((_ATTEMPTS, 4), seed)
        (least, most), (low, high) = self.scale, map(math.log, self.ratio)
        area = (least + (most - least) * drawn[:, 0]) * sides[0] * sides[1]
        aspect = tf.exp(low + (high - low) * drawn[:, 1])
        boxes = tf.round(tf.sqrt(tf.stack([area / aspect, area * aspect], axis=1)))
        fits = tf.reduce_all((boxes >= 1.0) & (boxes <= sides), axis=1)
        corners = tf.floor(drawn[:, 2:] * (sides - boxes + 1.0))
        # A product of 32 bits can be rounded up to the first pixel that is outside.
        random = tf.concat([tf.minimum(corners, sides - boxes), boxes], axis=1)
        first = random[tf.argmax(tf.cast(fits, tf.int32))]
        found = tf.where(tf.reduce_any(fits), first, self._middle(sides))
        return tf.cast(found, tf.int32)

    def _middle(self, sides: Any) -> Any:
        import tensorflow as tf

        low, high = self.ratio
        heights = tf.stack([sides[0], tf.round(sides[1] / low)])
        widths = tf.stack([sides[1], tf.round(sides[0] * high)])
        box = tf.maximum(tf.stack([tf.reduce_min(heights), tf.reduce_min(widths)]), 1.0)
        return tf.concat([tf.floor((sides - box) / 2.0), box], axis=0)

    def resized(self, part: Any) -> Any:
        """The part in the result's size, uint8."""
        import tensorflow as tf

        sides, method = (self.size, self.size), _METHODS[self.interpolation]
        pixels = tf.cast(part, tf.float32)
        large = tf.image.resize(pixels, sides, method=method, antialias=True)
        whole = tf.cast(tf.round(tf.clip_by_value(large, 0.0, 255.0)), tf.uint8)
        return tf.ensure_shape(whole, (*sides, 3))

    def __call__(self, image: Any, seed: Any) -> Any:
        """Of an image, uint8 (H, W, 3), uint8 (size, size, 3), as its seed says, two integers."""
        import tensorflow as tf

        image = as_image(image, levels=True)
        height, width, _ = tf.unstack(tf.shape(image))
        return self.resized(cut(image, self.box(height, width, seed)))


def cut(image: Any, box: Any) -> Any:
    """The part of an image, (H, W, 3), in a box of `RandomResizedCrop.box`."""
    top, left, height, width = (box[i] for i in range(4))
    return image[top : top + height, left : left + width]


@dataclass(frozen=True)
class PadAndCrop:
    """An image moved at random by at most `padding` pixels, both ways; its size stays.

    Keras' `RandomCrop` has one place for a whole batch, and `RandomTranslation` moves by parts of
    pixels, which blurs.

    Args:
        padding: Most pixels, at least 0.
        mode: What there is where the image has moved away: `"constant"`, which is black, or
            `"edge"`, the pixels of its border.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or what it is called with is no image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.crops import PadAndCrop
    >>> PadAndCrop(padding=4)(tf.zeros((32, 32, 3), tf.uint8), seed=(0, 7)).shape
    TensorShape([32, 32, 3])

    Reference:
        He et al., Deep residual learning for image recognition, 2015, section 4.2
    """

    padding: int = 4
    mode: str = "constant"

    def __post_init__(self) -> None:
        checks.integer("padding", self.padding, minimum=0)
        checks.choice("mode", self.mode, ("constant", "edge"))

    def __call__(self, image: Any, seed: Any) -> Any:
        import tensorflow as tf

        image = as_image(image)
        moved, drawn = image, uniform((2,), seed)
        for axis in (0, 1):
            number = tf.cast(tf.floor(drawn[axis] * (2 * self.padding + 1)), tf.int32)
            size = tf.shape(image)[axis]
            places = tf.range(size) + number - self.padding
            moved = tf.gather(moved, tf.clip_by_value(places, 0, size - 1), axis=axis)
            if self.mode == "constant":
                inside = tf.cast((places >= 0) & (places < size), image.dtype)
                moved *= tf.reshape(inside, (-1, 1, 1) if axis == 0 else (-1, 1))
        return tf.ensure_shape(moved, image.shape)
