"""Sheets of what a network has learnt: the kernels of a convolution, and the maps of an image."""

import math
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.scene import Image, Scene, Text, width_of
from resnet_layers.networks.model import ResNet

_TILE, _SPACE, _MARGIN, _TOP = 44.0, 4.0, 16.0, 46.0
# As many kernels or maps as a sheet has, and in a row of it.
_MOST, _ROW = 64, 8
_FEW = 5  # names that are listed


def draw_kernels(model: Any, layer: str | None = None) -> Picture:
    """Draws the kernels of a convolution on images, such as the first one of a network.

    Each kernel is scaled by its largest number, and grey is 0: `1/2 + k / (2 max|k|)`. One with
    what is no number is black.

    Args:
        model: A `ResNet`, or any other built Keras model with a `Conv2D`.
        layer: Place of a `Conv2D`, such as `"stem/conv/convolution"`; `None` for the first.

    Returns:
        A `Picture` of at most 64 kernels.

    Raises:
        ValueError: If there is no such layer, or if its kernels do not read one channel or three.
        TypeError: If `model` is no Keras model.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=10)
    >>> draw_kernels(model)
    <Picture of stem/conv/convolution of resnet18>

    Reference:
        Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012,
        figure 3.
    """
    _check_model(model)
    kernels: dict[str, Any] = {}
    for found in model._flatten_layers():
        if isinstance(found, keras.layers.Conv2D) and found.built:
            kernels.setdefault(_place(found.kernel, model), found.kernel)
    name = _known(layer, kernels, model)
    kernel = keras.ops.convert_to_numpy(kernels[name]).astype("float32")
    if kernel.shape[2] not in (1, 3):
        raise ValueError(
            "`layer` must read one channel or three, which are drawn as colours. "
            f"Received: layer='{name}', whose kernels have {kernel.shape[2]}"
        )
    largest = np.abs(kernel).max((0, 1, 2), keepdims=True)
    scaled = 0.5 + _quotient(kernel, 2 * largest)
    tiles = [np.broadcast_to(scaled[..., i], (*kernel.shape[:2], 3)) for i in _first(kernel)]
    return _sheet(tiles, f"{name} of {model.name}", kernel.shape[-1], "kernel")


def draw_features(model: Any, image: Any, layer: str | None = None) -> Picture:
    """Draws the maps that a network makes of an image, a tile for each channel.

    Each map is scaled to its own smallest and largest number; one with what is no number is black.

    Args:
        model: A `ResNet`, or any other Keras model whose layers are connected, of images.
        image: What the model is given, prepared as in its training: an image, or a batch with one.
        layer: Of a `ResNet`, `"stem"` or a stage, as of `features`; otherwise the name of a layer
            that makes maps. `None` for the first.

    Returns:
        A `Picture` of at most 64 maps.

    Raises:
        ValueError: If there is no such layer, or if `image` does not suit the model.
        TypeError: If `model` is no Keras model.

    Example:

    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> draw_features(model, np.ones((32, 32, 3)), layer="stage2")
    <Picture of stage2 of cifar_resnet20>
    """
    _check_model(model)
    ours = isinstance(model, ResNet)
    if not ours and len(getattr(model, "inputs", None) or ()) != 1:
        raise ValueError(
            "`model` must be a ResNet, or a functional or Sequential model with one input. "
            f"Received: model={model!r}"
        )
    stages = [f"stage{i}" for i in range(1, len(model.stages) + 1)] if ours else []
    layers = {} if ours else {found.name: found for found in model.layers if _makes_maps(found)}
    name = _known(layer, ["stem", *stages] if ours else layers, model)
    batch = _batch(model, image)
    if ours:
        maps, data_format = model.features(batch)[name], model.stem.layout.data_format
    else:
        maps = keras.Model(model.inputs[0], layers[name].output)(batch, training=False)
        formats = [getattr(found, "data_format", None) for found in (layers[name], *model.layers)]
        data_format = next(filter(None, formats), "channels_last")
    array = keras.ops.convert_to_numpy(maps)[0].astype("float32")
    if array.ndim != 3:
        raise ValueError(
            "`model` must be of images with two axes of pixels. "
            f"Received: {model.name}, whose maps have the shape {array.shape}"
        )
    if data_format == "channels_first":
        array = np.moveaxis(array, 0, -1)
    low, high = array.min((0, 1)), array.max((0, 1))
    scaled = _quotient(array - low, high - low)
    from matplotlib import colormaps

    tiles = [colormaps["viridis"](scaled[..., i])[..., :3] for i in _first(array)]
    return _sheet(tiles, f"{name} of {model.name}", array.shape[-1], "map")


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")


def _known(layer: str | None, names: Collection[str], model: Any) -> str:
    """The name of a layer that there is; the first one for `None`."""
    if not isinstance(layer, str | None):
        raise TypeError(f"`layer` must be a name, or None. Received: layer={layer!r}")
    if not names:
        raise ValueError(
            "`model` must have built layers of maps with two axes of pixels. "
            f"Received: {model.name}, in which none is found"
        )
    if layer is None:
        return next(iter(names))
    if layer not in names:
        listed = list(names)
        if len(names) > _FEW:
            listed = get_close_matches(layer, names, n=_FEW) or listed[:_FEW]
        some = " or ".join([checks.some(listed), *["others"] * (len(listed) < len(names))])
        raise ValueError(
            f"`layer` must be one of those of {model.name}: {some}. Received: layer={layer!r}"
        )
    return layer


def _quotient(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Values in units of the last axis's own; what is no number makes its whole tile so."""
    with np.errstate(invalid="ignore"):
        return np.where(by == 0, 0, values / np.where(by == 0, 1, by))


def _place(variable: Any, model: Any) -> str:
    """Where the layer of a kernel is, by the path of the kernel."""
    path = str(variable.path).removeprefix(f"{model.name}/")
    return path.removesuffix("/kernel") if path.endswith("/kernel") else ""


def _makes_maps(layer: Any) -> bool:
    """Whether a layer of a functional model has one output, of pixels."""
    shape = getattr(getattr(layer, "output", None), "shape", ())
    return len(shape) == 4 and not isinstance(layer, keras.layers.InputLayer)


def _batch(model: Any, image: Any) -> np.ndarray:
    """A batch with one image, as the model takes it."""
    try:
        array = np.asarray(image)
    except ValueError:  # rows of other lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"`image` must be an array of real numbers. Received: {type(image).__name__}"
        )
    known = model.input_shape if isinstance(model, ResNet) else model.input_shape[1:]
    single = array[0] if array.ndim == len(known) + 1 and len(array) == 1 else array
    if not checks.fits(single.shape, known) or 0 in single.shape:
        raise ValueError(
            f"`image` must have the shape {tuple(known)}, where None is any size, or be a batch "
            f"with one such image. Received: image.shape={array.shape}"
        )
    return single[None]


def _first(array: np.ndarray) -> range:
    """The last axis, as far as a sheet shows it."""
    return range(min(array.shape[-1], _MOST))


def _sheet(tiles: list[np.ndarray], title: str, count: int, what: str) -> Picture:
    """Tiles of colours between 0 and 1 in rows, below a title."""
    plural = f"{count} {what}{'s' * (count != 1)}"
    shown = plural if count == len(tiles) else f"first {len(tiles)} of {plural}"
    if spoilt := sum(not np.isfinite(tile).all() for tile in tiles):
        shown += f"; {spoilt} black, with what is no number"
    rows, columns = math.ceil(len(tiles) / _ROW), min(len(tiles), _ROW)
    longest = max(tiles[0].shape[:2])
    height, width = (_TILE * size / longest for size in tiles[0].shape[:2])
    wide = max(columns * (width + _SPACE), width_of(title, 12), width_of(shown, 9))
    scene = Scene(wide + 2 * _MARGIN, _TOP + rows * (height + _SPACE) + _MARGIN, title)
    scene.shapes.append(Text(_MARGIN, 18, title, 12, bold=True))
    scene.shapes.append(Text(_MARGIN, 34, shown, 9, colour="pale"))
    for i, tile in enumerate(tiles):
        x = _MARGIN + (i % _ROW) * (width + _SPACE)
        y = _TOP + (i // _ROW) * (height + _SPACE)
        colours = 255 * tile if np.isfinite(tile).all() else np.zeros(tile.shape)
        scene.shapes.append(Image(x, y, width, height, np.uint8(np.rint(colours))))
    return Picture(scene)
