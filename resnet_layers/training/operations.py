"""Operations on one image, equal to Pillow's as timm calls them: what RandAugment chooses from.

Each takes an image, uint8 (H, W, 3), and a number, and returns an image of the same shape. They
are plain TensorFlow, for `tf.data` on every backend of Keras.

TensorFlow has some of them under other laws: `tf.image` has other weights of grey and a contrast
around each channel's mean, and `ImageProjectiveTransformV3` blends one level of fill into the
border. Keras' layers draw their numbers by themselves. Much is written for rows, (H, 3 W), since
TensorFlow is several times faster where the last axis is long.
"""

import math
from typing import Any

import tensorflow as tf

# Grey, as ITU-R 601-2 has it, in whole numbers of 1 / 65536.
_LUMA = (19595, 38470, 7471)


def auto_contrast(image: Any, _: Any = None) -> Any:
    """Each channel stretched from 0 to 255; a channel of one level stays."""
    rows = _rows(image)
    low, high = (
        tf.cast(find(tf.reshape(find(rows, 0), (-1, 3)), 0), tf.float64)
        for find in (tf.reduce_min, tf.reduce_max)
    )
    some = high > low
    scale = tf.where(some, 255.0 / tf.maximum(high - low, 1.0), 1.0)
    offset = tf.where(some, -low * scale, 0.0)
    width = tf.shape(image)[1]
    stretched = tf.cast(rows, tf.float64) * tf.tile(scale, [width]) + tf.tile(offset, [width])
    return tf.reshape(tf.cast(stretched, tf.uint8), tf.shape(image))


def equalize(image: Any, _: Any = None) -> Any:
    """Each channel's levels moved so that they are used equally often."""
    channels = tf.tile(tf.range(0, 768, 256), [tf.shape(image)[1]])
    places = tf.reshape(tf.cast(_rows(image), tf.int32) + channels, [-1])
    none = tf.zeros([0], tf.int32)
    counts = tf.raw_ops.DenseBincount(input=places, size=768, weights=none, binary_output=False)
    counts = tf.reshape(counts, (3, 256))
    highest = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), 1)
    step = (tf.reduce_sum(counts, 1) - tf.gather(counts, highest, batch_dims=1)) // 255
    sums = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((step[:, None] // 2 + sums) // tf.maximum(step, 1)[:, None], 255)
    levels = tf.cast(tf.where(step[:, None] > 0, table, tf.range(256)), tf.uint8)
    return tf.reshape(tf.gather(tf.reshape(levels, [-1]), places), tf.shape(image))


def invert(image: Any, _: Any = None) -> Any:
    """The negative."""
    return 255 - image


def posterize(image: Any, bits: Any) -> Any:
    """Only the highest `bits` of each level, from 0 to 8; beyond these as at the end."""
    lost = tf.clip_by_value(8 - tf.cast(bits, tf.int32), 0, 8)
    return tf.bitwise.bitwise_and(image, tf.cast(256 - tf.bitwise.left_shift(1, lost), tf.uint8))


def solarize(image: Any, threshold: Any) -> Any:
    """The negative of all levels from `threshold` on, which is from 0 to 256."""
    threshold = tf.cast(threshold, tf.int32)
    above = tf.cast(image >= tf.cast(tf.minimum(threshold, 255), tf.uint8), tf.uint8)
    bits = tf.cast(tf.where(threshold < 256, 255, 0), tf.uint8)
    return tf.bitwise.bitwise_xor(image, above * bits)


def solarize_add(image: Any, number: Any) -> Any:
    """A `number` from 0 to 128 more, where the level is below 128."""
    return image + tf.cast(image < 128, tf.uint8) * tf.cast(number, tf.uint8)


def color(image: Any, factor: Any) -> Any:
    """Away from grey: 0 is grey, 1 the image, more than that beyond it."""
    return _blend(_grey(image), image, factor)


def contrast(image: Any, factor: Any) -> Any:
    """Away from the mean of grey, rounded, which 0 is."""
    grey = tf.cast(_grey(image), tf.int64)
    number = tf.size(grey, tf.int64)
    mean = (2 * tf.reduce_sum(grey) + number) // (2 * number)
    return _blend(mean, image, factor)


def hue(image: Any, turn: Any) -> Any:
    """Colours turned by a share of the circle, from -0.5 to 0.5, in Pillow's levels of hue."""
    levels = tf.cast(image, tf.float32)
    value = tf.reduce_max(levels, -1)
    chroma = value - tf.reduce_min(levels, -1)
    some = tf.maximum(chroma, 1.0)
    away = (value[..., None] - levels) / some[..., None]
    red, green, blue = tf.unstack(tf.cast(away, tf.float64), axis=-1)
    r, g, _ = tf.unstack(levels, axis=-1)
    angle = tf.where(
        r == value, blue - green, tf.where(g == value, 2.0 + red - blue, 4.0 + green - red)
    )
    angle = tf.cast(tf.cast(angle, tf.float32), tf.float64)  # rounded where Pillow rounds
    turned = tf.cast((angle / 6.0 + 1.0) % 1.0, tf.float32)
    angle = tf.where(chroma > 0.0, _level(turned), 0.0)
    saturation = _level(chroma / tf.maximum(value, 1.0)) / 255.0
    angle = (angle + tf.cast(tf.cast(turn * 255.0, tf.int32), tf.float32)) % 256.0 * 6.0 / 255.0
    sector = tf.floor(angle)
    part = angle - sector
    low, falling, rising = (
        tf.floor(value * (1.0 - saturation * share) + 0.5) for share in (1.0, part, 1.0 - part)
    )
    sector = tf.cast(sector, tf.int32) % 6
    sectors = (  # of red, green and blue
        (value, falling, low, low, rising, value),
        (rising, value, value, falling, low, low),
        (low, low, rising, value, value, falling),
    )
    channels = [tf.gather(tf.stack(six, -1), sector, batch_dims=2) for six in sectors]
    return tf.cast(tf.stack(channels, -1), tf.uint8)


def _level(share: Any) -> Any:
    """A share as a level, in double precision as in C."""
    return tf.cast(tf.floor(tf.cast(share, tf.float64) * 255.0), tf.float32)


def brightness(image: Any, factor: Any) -> Any:
    """Away from black, which 0 is."""
    return _blend(0, image, factor)


def sharpness(image: Any, factor: Any) -> Any:
    """Away from a mean of nine pixels, the middle one five times; the border has no such mean."""
    height, width = _size(image)
    pixels = tf.cast(_rows(image), tf.float32)
    padded = tf.pad(pixels, [[1, 1], [3, 3]])
    three = padded[:-2] + padded[1:-1] + padded[2:]
    nine = three[:, :-6] + three[:, 3:-3] + three[:, 6:]
    smooth = tf.floor((nine + 4.0 * pixels) / 13.0 + 0.5)
    y, x = tf.range(height)[:, None], tf.range(3 * width) // 3
    inner = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
    start = pixels + tf.cast(inner, tf.float32) * (smooth - pixels)
    return tf.reshape(_blend(start, pixels, factor), tf.shape(image))


def gaussian_blur(image: Any, radius: Any) -> Any:
    """A blur of standard deviation `radius` pixels, from 0 to 2: Pillow's three boxes each way."""
    variance = tf.cast(radius, tf.float32) ** 2 / 3.0
    whole = tf.floor((tf.sqrt(12.0 * variance + 1.0) - 1.0) / 2.0)  # 0, or 1 from 1.42 on
    part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance)
    reach = whole + part / (6.0 * (variance - (whole + 1.0) ** 2))
    # Pillow counts in 24 bits. Halves are frequent, and follow its rounding of the weights.
    full = tf.cast(2.0**24 / (2.0 * reach + 1.0), tf.int64)
    rest = (2**24 - (2 * tf.cast(whole, tf.int64) + 1) * full) // 2
    near = tf.where(whole > 0, full, rest)
    far = tf.where(whole > 0, rest, tf.zeros_like(rest))
    weights = [tf.cast(weight, tf.float64) / 2**24 for weight in (far, near, full, near, far)]
    rows = tf.cast(_rows(image), tf.float64)  # whole numbers of 2**-24 stay exact
    for axis in (1, 1, 1, 0, 0, 0):
        rows = tf.floor(_five(rows, weights, axis) + 0.5)
    return tf.reshape(tf.cast(rows, tf.uint8), tf.shape(image))


def rotate(image: Any, degrees: Any, fill: Any) -> Any:
    """Turned to the left around the middle of the image."""
    height, width = _size(image, tf.float64)
    angle = tf.cast(degrees, tf.float64) * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = width / 2.0, height / 2.0
    return _moved(image, (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y), fill)


def shear_x(image: Any, factor: Any, fill: Any) -> Any:
    """Rows moved to the left, by `factor` pixels more each."""
    return _moved(image, (1.0, factor, 0.0, 0.0, 1.0, 0.0), fill)


def shear_y(image: Any, factor: Any, fill: Any) -> Any:
    """Columns moved upwards, by `factor` pixels more each."""
    return _moved(image, (1.0, 0.0, 0.0, factor, 1.0, 0.0), fill)


def translate_x(image: Any, share: Any, fill: Any) -> Any:
    """Moved to the left, by a share of the width."""
    return _shifted(image, share, fill, axis=1)


def translate_y(image: Any, share: Any, fill: Any) -> Any:
    """Moved upwards, by a share of the height."""
    return _shifted(image, share, fill, axis=0)


def _rows(image: Any) -> Any:
    """As (H, 3 W)."""
    return tf.reshape(image, (tf.shape(image)[0], -1))


def _size(image: Any, dtype: Any = tf.int32) -> tuple[Any, Any]:
    height, width, _ = tf.unstack(tf.cast(tf.shape(image), dtype))
    return height, width


def _grey(image: Any) -> Any:
    """Levels of grey, (H, W, 1), rounded."""
    red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=-1)
    weighted = red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2] + 2**15
    return tf.bitwise.right_shift(weighted, 16)[..., None]


def _blend(start: Any, image: Any, factor: Any) -> Any:
    """From `start`, which 0 is, through the image, which 1 is; cut to whole levels downwards."""
    start, pixels = tf.cast(start, tf.float32), tf.cast(image, tf.float32)
    blended = start + tf.cast(factor, tf.float32) * (pixels - start)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)


def _wider(rows: Any, axis: int, pixels: int) -> Any:
    """Rows, (H, 3 W), whose border goes on outwards for so many pixels at both ends of an axis."""
    first, last = (rows[:, :3], rows[:, -3:]) if axis else (rows[:1], rows[-1:])
    return tf.concat([*[first] * pixels, rows, *[last] * pixels], axis)


def _five(rows: Any, weights: Any, axis: int) -> Any:
    """The weighted sum of five neighbours along an axis of rows, (H, 3 W)."""
    wider, size = _wider(rows, axis, 2), tf.shape(rows)[axis]
    if axis:
        return sum(wider[:, 3 * i : 3 * i + size] * weight for i, weight in enumerate(weights))
    return sum(wider[i : i + size] * weight for i, weight in enumerate(weights))


def _shifted(image: Any, share: Any, fill: Any, axis: int) -> Any:
    """Moved against an axis, by a share of it: what `_moved` does, for whole rows at once."""
    size = tf.shape(image)[axis]
    distance = tf.cast(share, tf.float64) * tf.cast(size, tf.float64)
    whole = tf.floor(distance)
    part, whole = tf.cast(distance - whole, tf.float32), tf.cast(whole, tf.int32)
    rows = _wider(tf.cast(_rows(image), tf.float32), axis, 1)
    unit = 3 if axis else 1
    rows = tf.roll(rows, -unit * whole, axis)
    here, after = (rows[:, 3:-3], rows[:, 6:]) if axis else (rows[1:-1], rows[2:])
    moved = tf.cast(here + part * (after - here), tf.uint8)
    places = tf.cast(tf.range(size), tf.float64) + 0.5 + distance
    inside = (places >= 0.0) & (places < tf.cast(size, tf.float64))
    inside = tf.repeat(inside, 3)[None] if axis else inside[:, None]
    return tf.reshape(_filled(moved, inside, fill), tf.shape(image))


def _filled(rows: Any, inside: Any, fill: Any) -> Any:
    """Rows, (H, 3 W), and `fill` outside; by bits, many times faster than by `tf.where`."""
    fills = tf.tile(tf.cast(fill, tf.uint8), [tf.shape(rows)[1] // 3])
    kept = tf.cast(inside, tf.uint8) * tf.constant(255, tf.uint8)
    return fills ^ ((rows ^ fills) & kept)


def _moved(image: Any, matrix: Any, fill: Any) -> Any:
    """Each pixel from the place `(a x + b y + c, d x + e y + f)`, or `fill` where that is outside.

    Places are of the pixels' middles, half a pixel from their corners; between them Pillow and
    TensorFlow interpolate alike. TensorFlow has one number for what is outside, and blends it into
    the border, so the border goes on outwards first.
    """
    a, b, c, d, e, f = (tf.cast(number, tf.float64) for number in matrix)
    height, width = _size(image, tf.float64)
    x = tf.floor(tf.range(3.0 * width, dtype=tf.float64) / 3.0) + 0.5
    y = tf.range(height, dtype=tf.float64)[:, None] + 0.5
    across, down = a * x + b * y + c, d * x + e * y + f
    inside = (across >= 0.0) & (across < width) & (down >= 0.0) & (down < height)
    of_corners = (a, b, c + (a + b - 1.0) / 2.0, d, e, f + (d + e - 1.0) / 2.0, 0.0, 0.0)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.cast(tf.stack(of_corners), tf.float32)[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.reshape(_filled(_rows(moved[0]), inside, fill), tf.shape(image))
