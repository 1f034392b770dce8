"""How the images of an epoch are divided: into batches, and a batch between processes."""

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError

_Places = NDArray[np.int64]


def sizes(number: int, batch_size: int, multiple: int, *, fill: bool) -> list[int]:
    """Of the batches of an epoch: as few as there can be, of nearly equal size."""
    checks.integer("batch_size", batch_size)
    if checks.integer("multiple", multiple) > batch_size:
        raise ValueError(
            "`multiple` must be at most `batch_size`. Received: "
            f"multiple={multiple}, batch_size={batch_size}"
        )
    if number and not fill and number < multiple:
        raise InputError(
            "`multiple` must be at most the number of images to train on. Received: "
            f"multiple={multiple}, {number} images"
        )
    parts = -(-number // multiple) if fill else number // multiple
    steps = -(-parts // (batch_size // multiple))
    split = np.array_split(np.arange(parts), steps) if steps else []
    return [len(part) * multiple for part in split]


def checked(part: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The number of a part, and of how many.

    Raises:
        ValueError: If there is no such part, or if batches of a multiple have none.
    """
    match part:
        case (int(index), int(count)) if 0 <= index < count and multiple % count == 0:
            return index, count
    raise ValueError(
        "`part` must be the number of a part, counted from 0, and that of all parts, which "
        f"`multiple` is a multiple of. Received: part={part!r}, multiple={multiple}"
    )


def rows(size: int, part: tuple[int, int], *, paired: bool) -> tuple[_Places, _Places]:
    """Where in a batch the images are that a part reads, and which of these are its own."""
    index, count = part
    places = np.arange(size)
    if count > 1:  # each image beside the one that it is mixed with
        places = np.where(places % 2, size - 1 - places // 2, places // 2)
    first, last = (i * size // count for i in (index, index + 1))
    begin, end = (first - first % 2, last + last % 2) if paired else (first, last)
    return places[begin:end], np.arange(first - begin, last - begin)
