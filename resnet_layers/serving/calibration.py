"""Calibration images: what int8 is quantized by, and what top-1 is compared on."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks

# Where the images come from a dataset without end.
MOST_IMAGES = 1000
# For the ranges of activations; NNCF's own default.
QUANTIZED_BY = 300
# As many images as run at a time.
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Images as a model takes them, in batches, and their classes if they are known.

    Args:
        batches: float32, `(N, *input_shape)` each.
        labels: The class of each image over all batches, or `None`.
    """

    batches: list[NDArray[np.float32]]
    labels: NDArray[np.int64] | None

    def single_images(self) -> Iterator[NDArray[np.float32]]:
        """Batches of one, as many as quantization takes, spread evenly over all of them."""
        count = min(len(self), QUANTIZED_BY)
        chosen = set(np.linspace(0, len(self) - 1, count).astype(int).tolist())
        single = (batch[i : i + 1] for batch in self.batches for i in range(len(batch)))
        return (image for i, image in enumerate(single) if i in chosen)

    def __len__(self) -> int:
        return sum(map(len, self.batches))


def gather(
    calibration: Any, input_shape: tuple[int | None, ...], classes: Any, pixels: bool = False
) -> Calibration:
    """Reads images from an array, a pair of arrays, or batches of either.

    Args:
        calibration: As of `export`.
        input_shape: Sizes in pixels, or `None` for any, and channels.
        classes: The number of classes, or `None` where outputs are no classes.
        pixels: Whether the model takes raw images, which may be integers.

    Raises:
        TypeError: If it is nothing of that, if images are integers, or if labels are no numbers.
        ValueError: If there are no images, if they do not have that shape, or if the labels do
            not fit them.
    """
    batches: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    read = 0
    for images, targets in _pairs(calibration):
        if not len(images):
            continue
        _check_images(images, input_shape, pixels)
        if targets is not None:
            labels.append(_indices(targets, len(images), classes)[: MOST_IMAGES - read])
        elif labels:
            _refuse_labels(f"none for {len(images)} images")
        kept = images[: MOST_IMAGES - read].astype(np.float32)
        read += len(kept)
        batches += [kept[i : i + BATCH_SIZE] for i in range(0, len(kept), BATCH_SIZE)]
        if read == MOST_IMAGES:
            break
    if not read:
        raise ValueError(f"`calibration` must have images. Received: {_summary(calibration)}")
    found = sum(map(len, labels))
    if found not in (0, read):
        _refuse_labels(f"{found} labels, {read} images")
    return Calibration(batches, np.concatenate(labels) if labels else None)


def _pairs(calibration: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Each batch with its labels, or with `None`."""
    if _is_array(calibration) or isinstance(calibration, tuple):
        calibration = [calibration]
    if not isinstance(calibration, Iterable) or isinstance(calibration, (str, bytes, dict)):
        raise TypeError(
            "`calibration` must be an array of images, a pair of images and labels, or batches of "
            f"either, such as a `tf.data.Dataset`. Received: {_summary(calibration)}"
        )
    for batch in calibration:
        images, *targets = batch if isinstance(batch, (tuple, list)) else (batch,)
        yield _array(images), _array(targets[0]) if targets else None


def _check_images(images: NDArray[Any], input_shape: tuple[int | None, ...], pixels: bool) -> None:
    floats = np.issubdtype(images.dtype, np.floating) or images.dtype.name == "bfloat16"
    if not floats and not (pixels and images.dtype.kind in "iu"):
        raise TypeError(
            "`calibration` must have the numbers that the model takes, as its preprocessing makes "
            f"them from pixels. Received: dtype={images.dtype}"
        )
    wanted = (None, *input_shape)
    if not checks.fits(images.shape, wanted):
        raise ValueError(
            f"`calibration` must have batches of shape {wanted}. Received: shape={images.shape}"
        )
    if not np.isfinite(images.astype(np.float32)).all():
        raise ValueError("`calibration` must be finite. Received: NaN or infinity")


def _indices(targets: NDArray[Any], count: int, classes: Any) -> NDArray[np.int64]:
    """Classes by their index, from indices or one-hot rows."""
    if targets.dtype.kind not in "iufb":
        raise TypeError(
            "The labels of `calibration` must be indices of classes, or one-hot rows. "
            f"Received: dtype={targets.dtype}"
        )
    if targets.ndim == 2 and targets.shape[1] > 1:
        if classes is not None and targets.shape[1] != classes:
            _refuse_labels(f"rows of {targets.shape[1]} for {classes} classes")
        targets = targets.argmax(-1)
    if targets.size != count:
        _refuse_labels(f"{targets.size} labels, {count} images")
    found = targets.reshape(-1).astype(np.int64)
    wrong = (found != targets.reshape(-1)) | (found < 0) | (found >= (classes or np.inf))
    if wrong.any():
        _refuse_labels(f"the label {targets.reshape(-1)[wrong][0]} for {classes} classes")
    return found


def _refuse_labels(received: str) -> None:
    raise ValueError(
        "`calibration` must have one label for each image, the index of one of the model's "
        f"classes. Received: {received}"
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _array(value: Any) -> NDArray[Any]:
    return keras.ops.convert_to_numpy(value) if _is_array(value) else np.asarray(value)


def _summary(calibration: Any) -> str:
    return f"calibration=<{type(calibration).__name__}>"
