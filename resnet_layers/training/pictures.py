"""Pictures from files and arrays, as red, green and blue: what `train` and `predict` both see."""

import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError, printable
from resnet_layers.training.crops import INTERPOLATIONS
from resnet_layers.training.orientation import upright
from resnet_layers.training.pixels import rgb

if TYPE_CHECKING:
    from PIL.Image import Image

Read = TypeVar("Read")
# An image: the path of a file, or an array of uint8, grey, RGB or RGBA.
ImageSource = str | Path | NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def square(
    source: ImageSource, image_size: int, interpolation: str = "bilinear"
) -> NDArray[np.uint8]:
    """The middle of an image as a square of RGB pixels.

    The shorter side becomes `image_size`, the longer one is cut evenly at both ends. Of an
    animation it is the first picture. Files are turned as their EXIF orientation says. Grey,
    palette and CMYK become RGB, 16 bits a channel become 8 by scale, and transparent pixels show
    a white ground.

    Args:
        source: Path of a file; or an array of uint8, `(height, width)` or
            `(height, width, channels)` with 1, 3 or 4 channels.
        image_size: Height and width of the result in pixels, positive.
        interpolation: How pixels are resized: `"nearest"`, `"bilinear"`, `"bicubic"` or
            `"lanczos"`.

    Returns:
        uint8, `(image_size, image_size, 3)`.

    Raises:
        InputError: If a file cannot be read.
        TypeError: If an argument has the wrong type.
        ValueError: If an array is none of these, or if another argument is out of range.

    Example:

    >>> square(np.full((2, 6), 7, np.uint8), 4)[0, 0]
    array([7, 7, 7], dtype=uint8)
    """
    from PIL import Image, ImageOps

    checks.integer("image_size", image_size)
    checks.choice("interpolation", interpolation, INTERPOLATIONS)
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(ImageOps.fit(decoded(source), (image_size, image_size), method))


def decoded(source: ImageSource) -> "Image":
    """The whole of an image, upright.

    Raises:
        InputError: If a file cannot be read.
        ValueError: If an array is no image.
    """
    return rgb(_from_array(source)) if isinstance(source, np.ndarray) else _from_file(source)


def shorter_side(source: ImageSource) -> int:
    """The smaller of height and width in pixels, without decoding the image."""
    if isinstance(source, np.ndarray):
        return min(source.shape[:2])
    with quiet(), opened(source) as image:
        return min(image.size)


def or_error(read: Callable[[ImageSource], Read], source: ImageSource) -> Read | InputError:
    """What a function makes of an image; in place of one that cannot be read, why."""
    try:
        return read(source)
    except InputError as error:
        return error


def _from_array(array: NDArray[Any]) -> "Image":
    from PIL import Image

    channels = array.shape[2] if array.ndim == 3 else 1
    fits = array.ndim in (2, 3) and channels in (1, 3, 4) and array.size
    if array.dtype != np.uint8 or not fits:
        raise ValueError(
            "An image must be an array of uint8 of shape (height, width) or (height, width, "
            "channels) with 1, 3 or 4 channels, and not empty. "
            f"Received: dtype={array.dtype}, shape={array.shape}"
        )
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def _from_file(path: str | Path) -> "Image":
    with opened(path) as image:
        if image.format == "PNG":  # whose decoder leaves its checksums out
            image.verify()
    with opened(path) as image:  # `verify` has closed it
        return upright(rgb(image), image)


@contextmanager
def opened(path: str | Path) -> "Iterator[Image]":
    """An open image file; whatever its decoder raises becomes one sentence."""
    from PIL import Image, UnidentifiedImageError

    name = printable(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"The image '{name}' cannot be read: it is a folder")
        if not stat.S_ISREG(mode):  # a pipe may never end
            raise InputError(f"The image '{name}' cannot be read: Not a file")
        # Not every format that Pillow knows: some of them run other programs.
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            yield image
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"'{name}' is not a JPEG, PNG, WebP, BMP or GIF image") from None
    except Image.DecompressionBombError:
        raise InputError(f"The image '{name}' cannot be read: it has too many pixels") from None
    except MemoryError:
        raise InputError(f"The image '{name}' cannot be read: there is not enough memory") from None
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InputError(f"The image '{name}' cannot be read: {reason}") from error


@contextmanager
def quiet() -> "Iterator[None]":
    """Without Pillow's warnings of odd metadata and of large images, which are read all the same.

    It is entered once around all threads, since warning filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
