"""Images from files and arrays: decoded, square, and normalized as one network wants them."""

import dataclasses
import os
import stat
import struct
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.layers.preprocessing import SQUARES, Preprocessing, for_squares
from resnet_layers.shell import progress
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.orientation import upright
from resnet_layers.shell.pixels import rgb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

# An image: the path of a JPEG or PNG file, or an array of uint8, grey, RGB or RGBA.
ImageSource = str | Path | NDArray[np.uint8]

ENDINGS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Reader:
    """Image files as a network takes them.

    Args:
        layer: The network's preprocessing. Where it is that of `train`, Pillow resizes the images
            to squares of whole numbers, as it did for training; otherwise the layer does.

    Example:

    >>> from resnet_layers.layers.preprocessing import for_squares
    >>> prepare = Reader(for_squares(image_size=8, mean=(0.0,) * 3, std=(255.0,) * 3))
    >>> prepare([np.full((20, 30), 255, np.uint8)]).shape
    (1, 8, 8, 3)
    """

    layer: Preprocessing

    @classmethod
    def fit(cls, squares: NDArray[np.uint8], data_format: str = "channels_last") -> "Reader":
        """The preprocessing for training on such images, (N, size, size, 3)."""
        axes = (0, 1, 2)
        total, total_of_squares = np.zeros((2, 3))
        for part in np.array_split(squares, -(-len(squares) // 64)):  # 8 bytes for each pixel
            total += part.sum(axes, dtype=np.float64)
            total_of_squares += np.square(part, dtype=np.float64).sum(axes)
        count = squares.size // 3
        mean = total / count
        variance = total_of_squares / count - mean**2
        # Images of one colour have no deviation to divide by.
        std = np.sqrt(np.maximum(variance, 1.0))
        layer = for_squares(squares.shape[1], mean.tolist(), std.tolist())
        return cls(Preprocessing(**{**layer.get_config(), "data_format": data_format}))

    @property
    def image_size(self) -> Any:
        """Height and width in pixels."""
        return self.layer.image_size

    @property
    def takes_squares(self) -> bool:
        """Whether it is the preprocessing of `train`."""
        return self.layer.name == SQUARES

    def __call__(self, sources: Sequence[ImageSource]) -> NDArray[np.float32]:
        """Paths or arrays to what the network takes, (N, *image_size, 3), or channels first."""
        if self.takes_squares:
            return self.normalize(self.squares(sources))
        found = list(self.each(sources))
        refuse([str(image) for image in found if isinstance(image, InputError)])
        return np.concatenate([image for image in found if not isinstance(image, InputError)])

    def each(self, sources: Sequence[ImageSource]) -> "Iterator[NDArray[np.float32] | InputError]":
        """The same one by one, (1, *image_size, 3); in place of one that cannot be read, why."""

        def one(source: ImageSource) -> NDArray[np.float32] | InputError:
            try:
                if not self.takes_squares:
                    prepared = self.layer(np.asarray(_decoded(source)))
                    return keras.ops.convert_to_numpy(prepared)[None]
                pixels = square(source, self.image_size, self.layer.interpolation)
                return self.normalize(pixels[None])
            except InputError as error:
                return error

        with _quiet(), ThreadPoolExecutor() as pool:
            # Threads are Pillow's alone.
            yield from pool.map(one, sources) if self.takes_squares else map(one, sources)

    def squares(self, sources: Sequence[ImageSource], verbose: int = 0) -> NDArray[np.uint8]:
        """All images as squares of whole numbers, (N, size, size, 3)."""
        return read(sources, self.image_size, self.layer.interpolation, verbose)

    def normalize(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels to numbers with mean 0 and deviation 1 over the training images."""
        mean, std = (np.array(v) * 255 for v in (self.layer.mean, self.layer.std))
        centred = squares.astype(np.float32) - mean.astype(np.float32)
        prepared = np.divide(centred, std.astype(np.float32), dtype=np.float32)
        if self.layer.channels == "bgr":
            prepared = prepared[..., ::-1]
        return (
            prepared if self.layer.data_format == "channels_last" else np.moveaxis(prepared, -1, 1)
        )


def square(
    source: ImageSource, image_size: int, interpolation: str = "bilinear"
) -> NDArray[np.uint8]:
    """The middle of an image as a square of RGB pixels.

    The shorter side becomes `image_size`, the longer one is cut evenly at both ends. Files are
    turned as their EXIF orientation says. Grey, palette and CMYK become RGB, 16 bits a channel
    become 8 by scale, and transparent pixels show a white ground.

    Args:
        source: Path of a JPEG or PNG file; or an array of uint8, `(height, width)` or
            `(height, width, channels)` with 1, 3 or 4 channels.
        image_size: Height and width of the result in pixels, positive.
        interpolation: How pixels are resized: `"nearest"`, `"bilinear"`, `"bicubic"` or
            `"lanczos"`.

    Returns:
        uint8, `(image_size, image_size, 3)`.

    Raises:
        InputError: If a file cannot be read.
        ValueError: If an array is none of these.

    Example:

    >>> square(np.full((2, 6), 7, np.uint8), 4)[0, 0]
    array([7, 7, 7], dtype=uint8)
    """
    from PIL import Image, ImageOps

    method = Image.Resampling[interpolation.upper()]
    return np.asarray(ImageOps.fit(_decoded(source), (image_size, image_size), method))


def _decoded(source: ImageSource) -> "Image":
    return rgb(_from_array(source)) if isinstance(source, np.ndarray) else _from_file(source)


def read(
    sources: Sequence[ImageSource],
    image_size: int,
    interpolation: str = "bilinear",
    verbose: int = 0,
) -> NDArray[np.uint8]:
    """All images as squares, (N, image_size, image_size, 3), decoded on all cores.

    Args:
        sources: As of `square`.
        image_size: Height and width of the results in pixels, positive.
        interpolation: As of `square`.
        verbose: As of `keras.Model.fit`: 0 for silence, 1 for a progress bar, 2 for lines.

    Returns:
        uint8, `(N, image_size, image_size, 3)`.

    Raises:
        InputError: If files cannot be read, with a line for each, or if memory is too small.
        ValueError: If an array is no image.
    """
    shape = (len(sources), image_size, image_size, 3)
    try:
        squares = np.empty(shape, np.uint8)
    except (MemoryError, ValueError):
        raise InputError(
            f"There is not enough memory for {shape[0]} images of {image_size}×{image_size} "
            f"pixels, {np.prod(shape, dtype=float) / 2**30:.1f} GiB"
        ) from None

    def one(source: ImageSource) -> NDArray[np.uint8] | InputError:
        try:
            return square(source, image_size, interpolation)
        except InputError as error:
            return error

    count = progress.Count(len(sources), verbose)
    wrong: list[str] = []
    pool = ThreadPoolExecutor()
    try:
        with _quiet():
            for i, image in enumerate(pool.map(one, sources)):
                if isinstance(image, InputError):
                    wrong.append(str(image))
                else:
                    squares[i] = image
                count.add()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    refuse(wrong)
    return squares


def refuse(wrong: Sequence[str]) -> None:
    """Says of all images that cannot be read what is wrong, a line for each.

    Raises:
        InputError: If there are any.
    """
    if wrong:
        raise InputError(checks.some(wrong, str, "\n"))


def shorter_side(source: ImageSource) -> int:
    """The smaller of height and width in pixels, without decoding the image."""
    if isinstance(source, np.ndarray):
        return min(source.shape[:2])
    with _quiet(), _opened(source) as image:
        return min(image.size)


def verbosity() -> int:
    """A bar that moves on a terminal, one line for each step of the work elsewhere."""
    return 1 if sys.stdout is not None and sys.stdout.isatty() else 2


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
    with _opened(path) as image:
        if image.format == "PNG":  # whose decoder leaves its checksums out
            image.verify()
    with _opened(path) as image:  # `verify` has closed it
        return upright(rgb(image), image)


@contextmanager
def _opened(path: str | Path) -> "Iterator[Image]":
    """An open image file; whatever its decoder raises becomes one sentence."""
    from PIL import Image, UnidentifiedImageError

    name = printable(path)
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe may never end
            raise InputError(f"The image '{name}' cannot be read: Not a file")
        # Not every format that Pillow knows: some of them run other programs.
        with open(path, "rb") as file, Image.open(file, formats=("JPEG", "PNG")) as image:
            yield image
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"'{name}' is not a JPEG or PNG image") from None
    except Image.DecompressionBombError:
        raise InputError(f"The image '{name}' cannot be read: it has too many pixels") from None
    except MemoryError:
        raise InputError(f"The image '{name}' cannot be read: there is not enough memory") from None
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InputError(f"The image '{name}' cannot be read: {reason}") from error


@contextmanager
def _quiet() -> "Iterator[None]":
    """Without Pillow's warnings of odd metadata and of large images, which are read all the same.

    It is entered once around all threads, since warning filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
