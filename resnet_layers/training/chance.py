"""Random changes of one image that need no policy: flips, colours, erased rectangles.

Each is a value that, called with an image and its seed, two integers, is a pure function of both.
Keras' layers draw from a generator that they keep, and some of them once for a batch.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_layers._support import checks

_ATTEMPTS = 10  # of a rectangle that lies in the image, as timm has it


def in_turn(steps: Sequence[Callable[[Any, Any], Any]], image: Any, seed: Any) -> Any:
    """The image after all steps, each with a seed of its own; one at the end changes no other's."""
    import tensorflow as tf

    for place, step in enumerate(steps):
        image = step(image, tf.random.fold_in(seed, place, alg="philox"))
    return image


def uniform(shape: Any, seed: Any, **keywords: Any) -> Any:
    """Numbers in [0, 1), which do not depend on the device."""
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, seed, alg="philox", **keywords)


@dataclass(frozen=True)
class Flip:
    """An image mirrored at random; `tf.image` mirrors with a probability of one half alone.

    Args:
        horizontal: Probability that left and right change places, in [0, 1].
        vertical: Probability that top and bottom do, in [0, 1].

    Raises:
        TypeError: If an argument is no number.
        ValueError: If a probability is out of range, or what it is called with is no image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.chance import Flip
    >>> Flip(horizontal=1.0)(tf.constant([[[1, 1, 1], [2, 2, 2]]]), seed=(0, 0)).numpy()
    array([[[2, 2, 2],
            [1, 1, 1]]], dtype=int32)
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        for name in ("horizontal", "vertical"):
            probability(name, getattr(self, name))

    def __call__(self, image: Any, seed: Any) -> Any:
        import tensorflow as tf

        image = as_image(image)
        for axis, share in enumerate((self.vertical, self.horizontal)):
            mirrored = functools.partial(tf.reverse, image, [axis])
            image = _perhaps(uniform((2,), seed)[axis] < share, mirrored, image)
        return image


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue changed in any order, then grey and blur at random.

    Factors are uniform in [1 - s, 1 + s] and at least 0, turns of the hue in [-h, h], and
    operations are Pillow's, as torchvision's `ColorJitter` has it; timm's `create_transform` uses
    that where no policy is named. The blur is Pillow's, of 0.1 to 2 pixels, where torchvision sums
    23 of them.

    Args:
        brightness: s of brightness, at least 0.
        contrast: s of contrast, at least 0.
        saturation: s of saturation, at least 0.
        hue: h of hue, in [0, 0.5], where 1 is the whole circle.
        jitter: Probability that these happen, in [0, 1].
        grey: Probability that an image becomes grey, in [0, 1].
        blur: Probability that it is blurred, in [0, 1].

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range, or what it is called with is no such image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.chance import ColorJitter
    >>> image = tf.constant([[[200, 100, 0]]], tf.uint8)
    >>> ColorJitter(jitter=0.0, grey=1.0)(image, seed=(0, 0)).numpy().ravel()
    array([118, 118, 118], dtype=uint8)
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0
    jitter: float = 1.0
    grey: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            checks.not_negative(name, getattr(self, name))
        if checks.not_negative("hue", self.hue) > 0.5:
            raise ValueError(f"`hue` must be a number in [0, 0.5]. Received: hue={self.hue!r}")
        for name in ("jitter", "grey", "blur"):
            probability(name, getattr(self, name))

    def __call__(self, image: Any, seed: Any) -> Any:
        from resnet_layers.training import operations

        image = as_image(image, levels=True)
        drawn = uniform((10,), seed)
        jittered = functools.partial(self._jittered, image, drawn[:3], drawn[3:6], seed)
        image = _perhaps(drawn[6] < self.jitter, jittered, image)
        image = _perhaps(
            drawn[7] < self.grey, functools.partial(operations.color, image, 0.0), image
        )
        radius = 0.1 + 1.9 * drawn[8]
        blurred = functools.partial(operations.gaussian_blur, image, radius)
        return _perhaps(drawn[9] < self.blur, blurred, image)

    def _jittered(self, image: Any, order: Any, drawn: Any, seed: Any) -> Any:
        import tensorflow as tf

        from resnet_layers.training import operations

        reach = tf.constant([self.brightness, self.contrast, self.saturation])
        low = tf.maximum(1.0 - reach, 0.0)
        factors = low + (1.0 + reach - low) * drawn
        kinds: list[Any] = [operations.brightness, operations.contrast, operations.color]
        if self.hue:  # whose numbers are drawn apart, so that those of the others stay
            place, turn = tf.unstack(uniform((2,), tf.random.fold_in(seed, 0, alg="philox")))
            order = tf.concat([order, [place]], 0)
            factors = tf.concat([factors, [self.hue * (2.0 * turn - 1.0)]], 0)
            kinds.append(operations.hue)
        for place in tf.unstack(tf.argsort(order)):
            branches = [functools.partial(kind, image, factors[place]) for kind in kinds]
            image = tf.switch_case(place, branches)
        return image


@dataclass(frozen=True)
class RandomErasing:
    r"""Rectangles of an image filled with noise or one colour.

    The area of each is $H W u / n$ with $u$ uniform in `area` and $n$ the number of rectangles,
    its height through its width is log-uniform in `aspect`, and its place is uniform. Keras'
    layer draws the probability as well, and has neither the noise nor several rectangles.

    Args:
        chance: Probability that anything is erased, in [0, 1].
        mode: `"pixel"`, a colour for each pixel, `"rand"`, one for each rectangle, or `"const"`,
            the mean.
        area: Smallest and largest share of the image, in (0, 1].
        aspect: Smallest and largest height through width, positive.
        count: Most rectangles in an image, positive; their number is uniform from 1 to that.
        mean: Of the colours, for each of red, green and blue, in units of the image.
        std: Standard deviation of the normal noise, in units of the image. The defaults are for
            images that have been normalized; for levels from 0 to 255 give the data set's.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or what it is called with is no such image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.chance import RandomErasing
    >>> erase = RandomErasing(chance=1.0, mode="const", area=(0.5, 0.5), aspect=(1.0, 1.0))
    >>> erase(tf.ones((10, 10, 3)), seed=(0, 0)).numpy()[..., 0].sum()  # 7 x 7 are erased
    np.float32(51.0)

    Reference:
        Zhong et al., Random erasing data augmentation, 2017, https://arxiv.org/abs/1708.04896;
        modes and numbers are those of timm 1.0.31
    """

    chance: float = 0.25
    mode: str = "pixel"
    area: tuple[float, float] = (0.02, 1 / 3)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    count: int = 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        probability("chance", self.chance)
        checks.choice("mode", self.mode, ("pixel", "rand", "const"))
        checks.integer("count", self.count)
        checks.three("mean", self.mean, checks.finite)
        checks.three("std", self.std, checks.not_negative)
        for name, check in (("area", checks.share), ("aspect", checks.positive)):
            ascending(name, getattr(self, name), check)

    def __call__(self, image: Any, seed: Any) -> Any:
        image = as_image(image)
        drawn = uniform((2,), seed)
        erased = functools.partial(self._erased, image, drawn[1], seed)
        return _perhaps(drawn[0] < self.chance, erased, image)

    def _erased(self, image: Any, drawn: Any, seed: Any) -> Any:
        import tensorflow as tf

        count = tf.floor(drawn * self.count) + 1.0
        for number in range(self.count):
            own = tf.random.fold_in(seed, number + 1, alg="philox")
            place, noise = tf.unstack(tf.random.split(own, alg="philox"))
            top, left, height, width = self._box(image, count, place)
            wanted = number < tf.cast(count, tf.int32)
            filled = functools.partial(self._filled, image, top, left, height, width, noise)
            image = _perhaps(wanted, filled, image)
        return image

    def _box(self, image: Any, count: Any, seed: Any) -> tuple[Any, Any, Any, Any]:
        """Of the first of ten that lies in the image; of no size if there is none."""
        import tensorflow as tf

        size = tf.cast(tf.shape(image)[:2], tf.float32)
        drawn = uniform((_ATTEMPTS, 2), seed)
        (least, most), (low, high) = self.area, map(math.log, self.aspect)
        areas = (least + (most - least) * drawn[:, 0]) * size[0] * size[1] / count
        aspects = tf.exp(low + (high - low) * drawn[:, 1])
        boxes = tf.round(tf.sqrt(tf.stack([areas * aspects, areas / aspects], axis=1)))
        fits = tf.reduce_all(boxes < size, axis=1)
        box = tf.where(tf.reduce_any(fits), boxes[tf.argmax(tf.cast(fits, tf.int32))], 0.0)
        corner = tf.floor(
            uniform((2,), tf.random.fold_in(seed, 0, alg="philox")) * (size - box + 1.0)
        )
        top, left, height, width = tf.unstack(tf.cast(tf.concat([corner, box], 0), tf.int32))
        return top, left, height, width

    def _filled(self, image: Any, top: Any, left: Any, height: Any, width: Any, seed: Any) -> Any:
        import tensorflow as tf

        rows, columns = tf.range(tf.shape(image)[0]), tf.range(tf.shape(image)[1])
        inside = ((rows >= top) & (rows < top + height))[:, None, None]
        inside &= ((columns >= left) & (columns < left + width))[:, None]
        shape = (height, width, 3) if self.mode == "pixel" else (1, 1, 3)
        std = 0.0 if self.mode == "const" else tf.constant(self.std)
        noise = tf.random.stateless_normal(shape, seed, alg="philox")
        colours = tf.constant(self.mean) + std * noise
        if self.mode == "pixel":
            below, beside = tf.size(rows) - top - height, tf.size(columns) - left - width
            colours = tf.pad(colours, [[top, below], [left, beside], [0, 0]])
        if image.dtype.is_integer:
            colours = tf.round(tf.clip_by_value(colours, 0.0, 255.0))
        return tf.where(inside, tf.cast(colours, image.dtype), image)


def as_image(image: Any, levels: bool = False) -> Any:
    """One image of three channels as a tensor; with `levels` it must be of those from 0 to 255."""
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    if image.shape.rank != 3 or image.shape[-1] != 3 or (levels and image.dtype != tf.uint8):
        kind = "uint8, (H, W, 3)" if levels else "(H, W, 3)"
        raise ValueError(
            f"`image` must be one image, {kind}. Received: image={image.shape} of "
            f"{image.dtype.name}"
        )
    return image


def _perhaps(condition: Any, changed: Callable[[], Any], image: Any) -> Any:
    """What a function returns, which is not called in vain, or the image; of one shape."""
    import tensorflow as tf

    made = tf.cond(condition, changed, functools.partial(tf.identity, image))
    return tf.ensure_shape(made, image.shape)


def probability(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    number = checks.not_negative(name, value)
    if number > 1.0:
        raise ValueError(f"`{name}` must be a number in [0, 1]. Received: {name}={value!r}")
    return number


def ascending(name: str, values: Any, check: Callable[[str, Any], float]) -> None:
    """Two numbers, of which the second is not less."""
    message = f"`{name}` must be two numbers, the smaller one first. Received: {name}={values!r}"
    if not isinstance(values, (list, tuple)):
        raise TypeError(message)
    if len(values) != 2 or check(name, values[0]) > check(name, values[1]):
        raise ValueError(message)
