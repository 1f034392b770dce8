"""The pixels of a picture in red, green and blue, in no more memory than they need."""

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 2**25  # pixels; a picture of more is read at a half of its sides, or a quarter
_TILE = 1024  # pixels of a side, a multiple of every factor
_one_at_a_time = threading.Lock()
_EIGHT_BITS = np.round(np.arange(2**16) / 257).astype(np.uint8)
# Pillow decodes a PNG file's samples to 8 bits, and leaves its transparent colour in the file's.
_TO_EIGHT_BITS = {"L;2": lambda v: 85 * v, "L;4": lambda v: 17 * v, "RGB;16B": lambda v: v >> 8}


def rgb(image: "Image") -> "Image":
    """Decodes what is open, or takes what is in memory.

    Grey, palette and CMYK become RGB, 16 bits a channel become 8 by scale, and transparent pixels
    show a white ground. Of more than `LARGEST` pixels, squares of 2, 4 or 8 on each side become one
    by their mean, which JPEG's decoder does itself; there is one such picture in memory at a time.
    """
    _match_key(image)
    factor = _factor(image.size)
    with _one_at_a_time if factor > 1 else contextlib.nullcontext():
        if factor > 1:  # which acts on JPEG alone
            image.draft(None, (max(image.width // factor, 1), max(image.height // factor, 1)))
        image.load()
        factor = _factor(image.size)
        return _reduced(image, factor) if factor > 1 else _rgb(image)


def _match_key(image: "Image") -> None:
    """Brings the transparent colour of a file that is not decoded yet to the bits of its pixels."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    change = _TO_EIGHT_BITS.get(str(tiles[0].args)) if tiles else None
    if key is not None and change:
        keys = tuple(map(change, key)) if isinstance(key, tuple) else change(key)
        image.info["transparency"] = keys


def _factor(size: tuple[int, int]) -> int:
    factor = 1
    while -(-size[0] // factor) * -(-size[1] // factor) > LARGEST:
        factor *= 2
    return factor


def _reduced(image: "Image", factor: int) -> "Image":
    """As `_rgb(image).reduce(factor)`, but for the memory."""
    from PIL import Image

    width, height = image.size
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for left, top in itertools.product(range(0, width, _TILE), range(0, height, _TILE)):
        tile = image.crop((left, top, min(left + _TILE, width), min(top + _TILE, height)))
        result.paste(_rgb(tile).reduce(factor), (left // factor, top // factor))
    return result


def _rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip at 255
        samples, key = np.asarray(image), image.info.get("transparency")
        image = Image.fromarray(_EIGHT_BITS[samples])
        if key is not None:
            image.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")
