"""Maps on their images, as pixels and as a sheet with a row for each class."""

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import printable
from resnet_layers.analysis.heatmaps.certificates import Certificate
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.scene import Image, Scene, Text, width_of

_TILE, _SPACE, _MARGIN, _TOP, _LINE = 72.0, 4.0, 16.0, 44.0, 16.0
_PAIRS = 4  # in a row of a sheet
_COLOURS = "turbo"  # of matplotlib


def overlay(images: Any, maps: Any, opacity: float = 0.5) -> NDArray[np.uint8]:
    """Images with their maps on them, in colours from blue for 0 to red for 1.

    Args:
        images: Pixels, `(N, height, width, 3)`, or with one channel: whole numbers from 0 to 255,
            or floats from 0 to 1.
        maps: As `grad_cam` makes them, `(N, height, width)`.
        opacity: Share of the map in a pixel, in (0, 1].

    Returns:
        uint8, `(N, height, width, 3)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, or if numbers are out of range.

    Example:

    >>> overlay(np.zeros((2, 8, 8, 3), "uint8"), np.ones((2, 8, 8))).shape
    (2, 8, 8, 3)
    """
    checks.share("opacity", opacity)
    pixels = _pixels(images)
    array = _numbers("maps", maps, "biuf").astype(np.float32)
    if array.shape != pixels.shape[:3]:
        raise ValueError(
            "`maps` must have the number, height and width of the images, "
            f"{pixels.shape[:3]}. Received: maps.shape={array.shape}"
        )
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise ValueError("`maps` must be from 0 to 1. Received: others among them")
    from matplotlib import colormaps

    colours = colormaps[_COLOURS](array)[..., :3]
    mixed = (1 - opacity) * pixels / 255 + opacity * colours
    return np.rint(255 * mixed).astype(np.uint8)


def draw_maps(
    images: Any,
    maps: Any,
    names: Sequence[str] | None = None,
    certificates: Sequence[Certificate] | None = None,
    *,
    opacity: float = 0.5,
) -> Picture:
    """A sheet of images, each beside its map, class by class.

    Args:
        images: As of `overlay`.
        maps: As of `overlay`.
        names: What each map speaks for; maps of the same stand together. `None` for no names.
        certificates: Those of `grad_cam`: a map that fails is marked.
        opacity: As of `overlay`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes or lengths do not fit, or if numbers are out of range.

    Example:

    >>> draw_maps(np.zeros((2, 8, 8, 3), "uint8"), np.ones((2, 8, 8)), ["cat", "dog"])
    <Picture of 2 maps>
    """
    mixed = overlay(images, maps, opacity)
    pixels = _pixels(images).astype(np.uint8)
    words = _one_each("names", names, str, len(mixed), "texts")
    tried = _one_each("certificates", certificates, Certificate, len(mixed), "those of `grad_cam`")
    groups: dict[str, list[int]] = {}
    for i in range(len(mixed)):
        groups.setdefault(printable(words[i]) if words else "", []).append(i)
    height, width = (_TILE * size / max(mixed.shape[1:3]) for size in mixed.shape[1:3])
    pair = 2 * width + 4 * _SPACE
    row = height + _SPACE + _LINE * bool(tried)
    title = f"{len(mixed)} map{'s' * (len(mixed) != 1)}"
    scene = Scene(0.0, 0.0, title)
    scene.shapes.append(Text(_MARGIN, 18, title, 12, bold=True))
    y = _TOP
    for name, members in groups.items():
        if name:
            scene.shapes.append(Text(_MARGIN, y, name, 10, bold=True))
            y += _LINE
        for place, i in enumerate(members):
            x = _MARGIN + place % _PAIRS * pair
            top = y + place // _PAIRS * row
            scene.shapes.append(Image(x, top, width, height, pixels[i]))
            scene.shapes.append(Image(x + width + _SPACE, top, width, height, mixed[i]))
            if tried:
                word = "passes" if tried[i].passes else "fails"
                scene.shapes.append(Text(x, top + height + 8, word, 8, colour="pale"))
        y += math.ceil(len(members) / _PAIRS) * row + _SPACE
    columns = min(max(map(len, groups.values()), default=0), _PAIRS)
    widest = max([columns * pair, width_of(title, 12), *(width_of(name, 10) for name in groups)])
    return Picture(Scene(widest + 2 * _MARGIN, y + _MARGIN, title, scene.shapes))


def _one_each(name: str, values: Any, kind: type, count: int, what: str) -> list[Any]:
    """A list of as many values of a kind as there are images; an empty one for `None`."""
    if values is None:
        return []
    several = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes)
    found = list(values) if several else []
    if not several or not all(isinstance(one, kind) for one in found):
        raise TypeError(
            f"`{name}` must be a list of {what}, or None. Received: {name}={reprlib.repr(values)}"
        )
    if len(found) != count:
        raise ValueError(f"`{name}` must be one for each of {count} images. Received: {len(found)}")
    return found


def _numbers(name: str, values: Any, kinds: str = "iuf") -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of other lengths
        array = np.asarray(None)
    if array.dtype.kind not in kinds:
        received = type(values).__name__ if array.dtype.kind == "O" else f"dtype={array.dtype}"
        raise TypeError(f"`{name}` must be numbers. Received: {received}")
    return array


def _pixels(images: Any) -> NDArray[np.float32]:
    """Three channels from 0 to 255."""
    array = _numbers("images", images)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            "`images` must be of the shape (N, height, width, 3), or with one channel. "
            f"Received: images.shape={array.shape}"
        )
    most = 1 if array.dtype.kind == "f" else 255
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= most):
        raise ValueError(
            "`images` must be pixels, whole numbers from 0 to 255 or floats from 0 to 1. "
            f"Received: others among them, dtype={array.dtype}"
        )
    found = np.repeat(array, 3, -1) if array.shape[-1] == 1 else array
    return found.astype(np.float32) * (255 / most)
