"""What image files say of themselves, before any of them is decoded."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from resnet_layers._support.errors import InputError
from resnet_layers.training.orientation import orientation
from resnet_layers.training.pictures import ImageSource, decoded, opened, quiet
from resnet_layers.training.pixels import LARGEST

if TYPE_CHECKING:
    from PIL.Image import Image

_TAIL = 4096  # bytes behind which no file goes on after its end
_AT_ONCE = 1024


class Header(NamedTuple):
    """Sides of a picture in pixels, and how its file has it.

    `partial` says that its decoder can be asked for a part of it, as that of a plain JPEG can; the
    sides are then those of the picture as it is seen, and the last number is its orientation.
    """

    height: int
    width: int
    partial: bool
    orientation: int


def headers(sources: Sequence[ImageSource]) -> Iterator[Header | InputError]:
    """The header of each image, or what is wrong with it, in their order.

    A file whose end is not that of its format is decoded as a whole, which says what is missing.

    Args:
        sources: Files and arrays.
    """
    with quiet(), ThreadPoolExecutor() as pool:
        for start in range(0, len(sources), _AT_ONCE):  # Ctrl-C waits for no more than these
            yield from pool.map(_header, sources[start : start + _AT_ONCE])


def _header(source: ImageSource) -> Header | InputError:
    if isinstance(source, np.ndarray):
        return Header(source.shape[0], source.shape[1], partial=False, orientation=1)
    try:
        with opened(source) as image:
            whole = _ends(image, image.fp)  # type: ignore[attr-defined]
            header = _read(image)
        if not whole:
            decoded(source)
    except InputError as error:
        return error
    return header


def _read(image: "Image") -> Header:
    jpeg = image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")
    turn = orientation(image) if jpeg else 1  # to ask others may decode them
    width, height = image.size
    if turn >= 5:
        width, height = height, width
    return Header(height, width, jpeg and width * height <= LARGEST, turn)


def _ends(image: "Image", file: IO[bytes]) -> bool:
    """Whether the file has an end, which is cheaper to look at than to decode."""
    size, place = os.fstat(file.fileno()).st_size, file.tell()
    try:
        file.seek(0)
        head = file.read(8)
        file.seek(max(0, size - _TAIL))
        tail = file.read().rstrip(b"\0")
    finally:
        file.seek(place)
    if image.format in ("JPEG", "MPO"):
        return b"\xff\xd9" in tail
    if image.format == "GIF":
        return tail.endswith(b";")
    if image.format == "WEBP":  # it begins with its number of bytes
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if image.format == "BMP":
        return 0 < int.from_bytes(head[2:6], "little") <= size
    return b"IEND" in tail
