"""Images from files and arrays: decoded, square, and normalized as one network wants them."""

import dataclasses
import functools
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.layers.preprocessing import SQUARES, Preprocessing, for_squares
from resnet_layers.shell import progress
from resnet_layers.shell.errors import InputError
from resnet_layers.training.pictures import ImageSource, decoded, or_error, quiet, square

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    def fit(
        cls, parts: Iterable[NDArray[np.uint8]], data_format: str = "channels_last"
    ) -> "Reader":
        """The preprocessing for training on such images: squares, one or some at a time."""
        count, size, total, total_of_squares = 0, 0, np.zeros(3), np.zeros(3)
        for part in parts:
            size, pixels = part.shape[-2], part.reshape(-1, 3)
            count += len(pixels)
            total += pixels.sum(0, dtype=np.float64)
            total_of_squares += np.square(pixels, dtype=np.float64).sum(0)  # 8 bytes a pixel
        mean = total / count
        variance = total_of_squares / count - mean**2
        # Images of one colour have no deviation to divide by.
        std = np.sqrt(np.maximum(variance, 1.0))
        layer = for_squares(size, mean.tolist(), std.tolist())
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

        def prepared(source: ImageSource) -> NDArray[np.float32]:
            if not self.takes_squares:
                return keras.ops.convert_to_numpy(self.layer(np.asarray(decoded(source))))[None]
            pixels = square(source, self.image_size, self.layer.interpolation)
            return self.normalize(pixels[None])

        one = functools.partial(or_error, prepared)
        with quiet(), ThreadPoolExecutor() as pool:
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

    one = functools.partial(or_error, lambda source: square(source, image_size, interpolation))
    count = progress.Count(len(sources), verbose)
    wrong: list[str] = []
    pool = ThreadPoolExecutor()
    try:
        with quiet():
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


def verbosity() -> int:
    """A bar that moves on a terminal, one line for each step of the work elsewhere."""
    return 1 if sys.stdout is not None and sys.stdout.isatty() else 2
