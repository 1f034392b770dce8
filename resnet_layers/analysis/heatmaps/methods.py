"""How each method makes a map: of a stage's output and gradient, or of the model's answers."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers.analysis.gradients import gradient
from resnet_layers.analysis.heatmaps import scores

Array = NDArray[np.float32]
_EPSILON = 1e-6  # of pytorch-grad-cam, as of `scaled`
_STEPS = 32  # of the path of integrated gradients
_LARGEST = 2.0**22  # that scores are multiplied by in float16
_PATCHES = 8  # positions of an occluding square along each side, which is two steps wide


def grad_cam(maps: Array, gradients: Array) -> Array:
    """`relu(Σ_k mean(∂y/∂A_k) A_k)`, (N, h, w), of maps A, (N, h, w, channels).

    Reference:
        Selvaraju et al., Grad-CAM, 2017, section 3.
    """
    weights = gradients.mean((1, 2), keepdims=True)
    return np.maximum((weights * maps).sum(-1), 0)


def grad_cam_plus_plus(maps: Array, gradients: Array) -> Array:
    """`relu(Σ_k w_k A_k)`, where w_k weighs positive gradients pixel by pixel.

    Reference:
        Chattopadhay et al., Grad-CAM++, 2018, equation 19.
    """
    squared = gradients**2
    whole = maps.sum((1, 2), keepdims=True)
    shares = squared / (2 * squared + whole * squared * gradients + _EPSILON)
    weights = (np.maximum(gradients, 0) * shares).sum((1, 2), keepdims=True)
    return np.maximum((weights * maps).sum(-1), 0)


def hires_cam(maps: Array, gradients: Array) -> Array:
    """`relu(Σ_k ∂y/∂A_k A_k)`, pixel by pixel.

    Reference:
        Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020, section 3.
    """
    return np.maximum((gradients * maps).sum(-1), 0)


OF_STAGES = {
    "grad_cam": grad_cam,
    "grad_cam++": grad_cam_plus_plus,
    "hires_cam": hires_cam,
}


def is_half(layer: Any) -> bool:
    """Whether something of it computes in float16, whose few small numbers gradients get lost in.

    So a score is multiplied by some number, and its gradients divided.
    """
    dtypes = (one.compute_dtype for one in layer._flatten_layers())
    return any(keras.backend.standardize_dtype(one) == "float16" for one in dtypes)


def integrated_gradients(model: Any, images: Array, classes: Any, pixels: tuple[int, int]) -> Array:
    """`(x - x₀) ∫ ∂y/∂x`, from the image's mean colour x₀ to the image: what adds to the score.

    Args:
        model: The classifier.
        images: As it takes them.
        classes: Index of each image's class.
        pixels: Axes of height and width.

    Returns:
        The sum over the channels, positive and negative, (N, H, W), which sums to the difference
        of the scores of x and x₀.

    Reference:
        Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, section 3.
    """
    start, scale = blank(images, pixels), _LARGEST if is_half(model) else 1.0

    def by_image(times: float, at: Any) -> Array:
        def score(x: Any) -> tuple[Any, None]:
            return times * scores.of(model(x, training=False), classes), None

        return floats(gradient(score, at)[0]) / np.float32(times)

    total = np.zeros_like(images)
    for i in range(_STEPS):
        share = np.float32((i + 0.5) / _STEPS)
        at = ops.convert_to_tensor(start + share * (images - start))
        found = by_image(scale, at)
        while scale > 1 and not np.isfinite(found).all():
            scale /= 2**6
            found = by_image(scale, at)
        total += found
    channels = ({1, 2, 3} - set(pixels)).pop()
    summed: Array = ((images - start) * total / _STEPS).sum(channels)
    return summed


def occlusion(model: Any, images: Array, classes: Any, pixels: tuple[int, int]) -> Array:
    """What a class loses, on the average, where a square of the mean colour hides a pixel.

    Arguments are those of `integrated_gradients`.

    Returns:
        (N, H, W), negative where the class gains.

    Reference:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
    """
    height, width = (images.shape[axis] for axis in pixels)
    colour = blank(images, pixels)
    rows = np.arange(len(images))
    whole = scores.logits(model, images)[rows, classes]
    total: Array = np.zeros((len(images), height, width), np.float32)
    count: Array = np.zeros((height, width), np.float32)
    for top, bottom in _squares(height):
        for left, right in _squares(width):
            hidden = images.copy()
            place: list[Any] = [slice(None)] * 4
            place[pixels[0]], place[pixels[1]] = slice(top, bottom), slice(left, right)
            hidden[tuple(place)] = colour[tuple(place)]
            lost = whole - scores.logits(model, hidden)[rows, classes]
            total[:, top:bottom, left:right] += lost[:, None, None]
            count[top:bottom, left:right] += 1
    found: Array = total / count
    return found


def _squares(side: int) -> list[tuple[int, int]]:
    """Where squares begin and end along a side: each step is half of a square.

    >>> _squares(4)
    [(0, 2), (1, 3), (2, 4)]
    """
    step = max(1, side // _PATCHES)
    last = max(side - 2 * step, 0)
    begins = sorted({*range(0, last, step), last})
    return [(begin, min(begin + 2 * step, side)) for begin in begins]


OF_IMAGES = {"integrated_gradients": integrated_gradients, "occlusion": occlusion}


def blank(images: Array, pixels: tuple[int, int]) -> Array:
    """Each image in its mean colour."""
    found: Array = np.broadcast_to(images.mean(pixels, keepdims=True), images.shape)
    return found


def scaled(maps: Array, size: tuple[int, int] | None = None) -> Array:
    """Maps from 0 to 1, resized bilinearly, as pytorch-grad-cam does it."""
    found = _to_one(maps)
    if size is not None and size != found.shape[1:]:
        resized = ops.image.resize(
            found[..., None], size, interpolation="bilinear", data_format="channels_last"
        )
        found = np.asarray(ops.convert_to_numpy(resized), np.float32)[..., 0]
    return np.clip(_to_one(found), 0, 1)


def _to_one(maps: Array) -> Array:
    low = maps.min((1, 2), keepdims=True)
    found: Array = (maps - low) / (np.float32(1e-7) + (maps - low).max((1, 2), keepdims=True))
    return found


def floats(tensor: Any) -> Array:
    """A tensor of any precision, as float32."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), np.float32)
