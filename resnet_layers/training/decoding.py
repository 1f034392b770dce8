"""Images decoded within `tf.data`: of a plain JPEG no more than the part that is wanted."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support.errors import InputError, printable
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.training import headers as _headers
from resnet_layers.training.crops import RandomResizedCrop, cut
from resnet_layers.training.headers import Header
from resnet_layers.training.pictures import ImageSource, decoded, square

# As many pixels, 2 of each of a JPEG's colours, change with what lies beside a part.
_MARGIN = 2
_UNKNOWN = Header(1, 1, partial=False, orientation=1)


class Decoding:
    """From the place of an image among others to its pixels, uint8 (size, size, 3).

    Args:
        sources: Files, or arrays.
        prepare: Which size they are brought to, and how.
        crop: The part that `image` takes; `None` for the middle square.
        found: Headers of the images, where they are known.
        skip: Whether what cannot be decoded is black, of weight 0 and in `left_out`.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        prepare: Preprocessing,
        crop: RandomResizedCrop | None,
        found: Sequence[Header] | None,
        skip: bool,
    ) -> None:
        size: Any = prepare.image_size
        self.shape: Any = (size, size, 3)
        self.sources, self.crop, self._how = sources, crop, prepare.interpolation
        self.skip, self.left_out = skip, dict[int, InputError]()
        arrays = [s for s in sources if isinstance(s, np.ndarray) and s.shape == self.shape]
        self._squares = np.stack(arrays) if arrays and len(arrays) == len(sources) else None
        if crop is None:
            return
        import tensorflow as tf

        if found is None:
            found = [
                _UNKNOWN if skip and isinstance(one, InputError) else _checked(one)
                for one in _headers.headers(sources)
            ]
        # Tensors, not constants of the graph, which could grow too large.
        self._headers = tf.constant(np.array(found, np.int32).reshape(-1, 4))
        names = [b"" if isinstance(s, np.ndarray) else os.fsencode(s) for s in sources]
        self._paths = tf.constant(names)

    def square(self, place: Any) -> tuple[Any, Any]:
        """The middle square, as `predict` sees it, and its weight: 0 if it is left out, else 1."""
        import tensorflow as tf

        if self._squares is not None:
            return tf.gather(self._squares, place), 1.0
        pixels, weight = self._by_pillow(self._square, place)
        return tf.ensure_shape(pixels, self.shape), weight

    def image(self, place: Any, seed: Any) -> tuple[Any, Any]:
        """A random part, or the middle square without a crop; and its weight."""
        import tensorflow as tf

        if self.crop is None:
            return self.square(place)
        crop = self.crop
        height, width, partial, orientation = tf.unstack(self._headers[place])

        def of_jpeg() -> tuple[Any, Any]:
            box = crop.box(height, width, seed)
            return decode_part(self._paths[place], height, width, orientation, box), 1.0

        def of_others() -> tuple[Any, Any]:
            pixels, weight = self._by_pillow(self._whole, place)
            pixels = tf.ensure_shape(pixels, (None, None, 3))
            sides = tf.shape(pixels)
            return cut(pixels, crop.box(sides[0], sides[1], seed)), weight

        # TensorFlow's decoder would end the step.
        by_part = tf.logical_and(partial > 0, not self.skip)
        pixels, weight = tf.cond(by_part, of_jpeg, of_others)
        return crop.resized(pixels), weight

    def _by_pillow(self, read: Any, place: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        def or_black(place: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Any]:
            try:
                return read(int(place)), np.float32(1.0)
            except InputError as error:
                if not self.skip:
                    raise
                self.left_out[int(place)] = error
                shape = self.shape if read == self._square else (1, 1, 3)
                return np.zeros(shape, np.uint8), np.float32(0.0)

        pixels, weight = tf.numpy_function(or_black, [place], [tf.uint8, tf.float32])
        return pixels, tf.ensure_shape(weight, ())

    def error(self, place: int) -> InputError | None:
        """What is wrong with an image now, or `None`."""
        source = self.sources[place]
        if isinstance(source, np.ndarray):
            return None
        try:
            decoded(source)
            if self.crop is None:
                return None
            then = Header(*self._headers[place].numpy().tolist())
            now = _checked(next(iter(_headers.headers([source]))))
        except InputError as error:
            return error
        if then != now:
            return InputError(f"The image '{printable(source)}' has changed since the start")
        return refused(source, now)

    def _square(self, place: int) -> NDArray[np.uint8]:
        return square(self.sources[place], self.shape[0], self._how)

    def _whole(self, place: int) -> NDArray[np.uint8]:
        return np.asarray(decoded(self.sources[place]))


def refused(source: str | os.PathLike[str], header: Header) -> InputError | None:
    """What TensorFlow's decoder refuses of a plain JPEG, and Pillow passes over; or `None`."""
    import tensorflow as tf

    if header.partial:
        whole = (0, 0, header.height, header.width)
        try:
            decode_part(os.fsencode(source), *whole[2:], header.orientation, tf.constant(whole))
        except tf.errors.OpError:
            return InputError(f"The image '{printable(source)}' cannot be read: it is damaged")
    return None


def decode_part(path: Any, height: Any, width: Any, orientation: Any, box: Any) -> Any:
    """The part of a JPEG file in a box of the picture as it is seen.

    Args:
        path: The file.
        height: Of the whole picture in pixels, as it is seen.
        width: Likewise.
        orientation: As EXIF has it, from 1 to 8.
        box: Top, left, height and width, as `RandomResizedCrop.box` has them.
    """
    import tensorflow as tf

    turned = orientation >= 5  # rows are columns in the file
    flips = (orientation - 1) % 4  # none; left and right; both; top and bottom
    sideways, upwards = (flips == 1) | (flips == 2), flips >= 2
    top, left, tall, wide = tf.unstack(box)
    top = tf.where(upwards, height - top - tall, top)
    left = tf.where(sideways, width - left - wide, left)
    corner = tf.where(turned, (left, top), (top, left))
    sides = tf.where(turned, (wide, tall), (tall, wide))
    whole = tf.where(turned, (width, height), (height, width))
    # Colours of half as many pixels are in pairs, which begin at even ones.
    start = tf.maximum(corner - _MARGIN, 0) // 2 * 2
    end = tf.minimum(corner + sides + _MARGIN, whole)
    pixels = tf.io.decode_and_crop_jpeg(
        tf.io.read_file(path),
        tf.concat([start, end - start], 0),
        channels=3,
        dct_method="INTEGER_ACCURATE",
    )
    pixels = cut(pixels, tf.concat([corner - start, sides], 0))
    pixels = tf.cond(turned, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(sideways, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cond(upwards, lambda: tf.reverse(pixels, [0]), lambda: pixels)


def _checked(header: Header | InputError) -> Header:
    if isinstance(header, InputError):
        raise InputError(str(header)) from header
    return header
