"""The number that a map explains: what a classifier says of a class, before its activation."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line, lacks_memory
from resnet_layers.analysis.heatmaps import watching
from resnet_layers.layers.head import ClassifierHead, ending, last_activation
from resnet_layers.networks.model import ResNet

_AT_ONCE = (2**21, 256)  # pixels, and images at most


@contextlib.contextmanager
def as_logits(model: Any) -> Iterator[None]:
    """Around calls of a model: its last activation is left out, in which gradients are lost.

    Raises:
        ValueError: If the model ends in an activation that is not that of a layer.
    """
    last = ending(model)
    if last is None or last_activation(model) == "linear":
        yield
        return
    if not isinstance(last, keras.layers.Layer):
        raise ValueError(
            "`model` must end in logits, or in a layer with an activation that can be left out. "
            f"Received: {model.name}, which ends in an operation {type(last).__name__}"
        )
    with _replaced(last):
        yield


def check_answer(model: Any, images: NDArray[np.float32]) -> None:
    """Tries one image where nothing says what a model takes, or which activation is its last.

    Raises:
        ValueError: If the model does not take the image, or gives probabilities, in which gradients
            may be lost.
    """
    is_known = ending(model) is not None
    if is_known and last_activation(model) == "softmax" and _outputs(model) == 1:
        raise ValueError(
            "`model` must have several outputs before a softmax, or end in a sigmoid. "
            f"Received: {model.name}, whose only output is always 1"
        )
    if is_known and (isinstance(model, ResNet) or None not in _known(model)):
        return
    try:
        outputs = model(ops.convert_to_tensor(images[:1]), training=False)
    except Exception as error:  # of Keras, TensorFlow or JAX, or of somebody's own
        if lacks_memory(error):
            raise
        raise ValueError(
            f"`images` must be what {model.name} takes. "
            f"Received: images of the shape {images.shape}, with which it fails: {_reason(error)}"
        ) from error
    outputs = _only(outputs)
    found = np.asarray(ops.convert_to_numpy(outputs), np.float32)
    if not is_known and found.size > 1 and found.min() >= 0 and abs(found.sum() - 1) < 1e-3:
        raise ValueError(
            "`model` must end in logits, or in a layer with an activation that can be left out. "
            f"Received: {model.name}, whose outputs add up to 1"
        )


def _reason(error: Exception) -> str:
    """What went wrong; Keras says in bold what, and around it where."""
    bold = re.search("\x1b\\[1m(.+?)\x1b", str(error), re.DOTALL)
    return first_line(ValueError(bold[1]) if bold else error)


def _outputs(model: Any) -> Any:
    """How many numbers a model gives for an image, if it says."""
    shape = getattr(model, "output_shape", None)
    return shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else None


def _only(outputs: Any) -> Any:
    if isinstance(outputs, list | tuple | dict):
        raise ValueError(
            f"`model` must have one output for each class. Received: {len(outputs)} outputs apart"
        )
    return outputs


def _replaced(last: Any) -> Any:
    layer = last.dense if isinstance(last, ClassifierHead) else last
    name = "activation" if hasattr(layer, "activation") else "call"  # of `Softmax`
    return watching.replaced(layer, name, watching.here(_as_it_is, getattr(layer, name)))


def _as_it_is(inputs: Any, *_: Any, **__: Any) -> Any:
    return inputs


def logits(model: Any, images: Any) -> NDArray[np.float32]:
    """Outputs without their activation, (N, classes), some images at a time."""
    found = []
    with as_logits(model):
        for some in groups(images):
            outputs = _only(model(ops.convert_to_tensor(images[some]), training=False))
            found.append(np.asarray(ops.convert_to_numpy(outputs), np.float32))
    return np.concatenate(found)


def groups(images: NDArray[np.float32]) -> list[slice]:
    """As many images at a time as take little memory."""
    pixels = images[0].size // min(images.shape[1:])
    many = max(1, min(_AT_ONCE[0] // pixels, _AT_ONCE[1]))
    return [slice(start, start + many) for start in range(0, len(images), many)]


def of(outputs: Any, classes: Any) -> Any:
    """The sum of one output of each image, as float32."""
    return ops.sum(ops.take_along_axis(ops.cast(outputs, "float32"), classes[:, None], axis=1))


def check_images(model: Any, images: Any) -> NDArray[np.float32]:
    """Images as an array of floats, which the model takes.

    Raises:
        TypeError: If they are no numbers, or whole ones that the model does not take.
        ValueError: If the model does not take their shape, or if some are not finite.
    """
    try:
        array = np.asarray(ops.convert_to_numpy(images))
    except (TypeError, ValueError):  # rows of other lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biufV":  # V is bfloat16
        received = f"dtype={array.dtype}" if array.ndim else type(images).__name__
        raise TypeError(f"`images` must be an array of real numbers. Received: {received}")
    whole = whole_numbers(model)
    if whole is None and array.dtype.kind in "biu":
        raise TypeError(
            "`images` must be floats as the network takes them, such as `preprocessing(model)` "
            f"makes of pixels. Received: dtype={array.dtype}"
        )
    known = (None, *_known(model))
    if not checks.fits(array.shape, known) or 0 in array.shape:
        raise ValueError(
            f"`images` must be of the shape {known}, which {model.name} takes. "
            f"Received: {array.shape}"
        )
    if array.ndim != 4:
        raise ValueError(f"`images` must have two axes of pixels. Received: shape={array.shape}")
    with np.errstate(over="ignore"):  # to infinity
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("`images` must be finite. Received: NaN or infinity among their pixels")
    if whole is not None and not (
        (array == np.rint(array)).all()
        and np.iinfo(whole).min <= array.min()
        and array.max() <= np.iinfo(whole).max
    ):
        raise ValueError(
            f"`images` must be whole numbers, which {model.name} takes as {whole}. "
            "Received: others among them"
        )
    return array


def whole_numbers(model: Any) -> str | None:
    """The dtype of the only input of a model that takes whole numbers; otherwise `None`."""
    inputs: Any = getattr(model, "inputs", None) or ()
    dtype = keras.backend.standardize_dtype(inputs[0].dtype) if len(inputs) == 1 else "float32"
    return dtype if keras.backend.is_int_dtype(dtype) else None


def _known(model: Any) -> tuple[int | None, ...]:
    shape = getattr(model, "input_shape", None)
    if shape is None or isinstance(shape, list | dict):
        return (None, None, None)
    # Keras may know a batch by the first one; a `ResNet` leaves it out.
    is_whole = len(shape) in (4, 5) and not hasattr(model, "stages")
    return tuple(shape[1:] if is_whole else shape)


def chosen(model: Any, classes: Any, images: Any) -> NDArray[np.int64]:
    """The index of a class for each image, as of `check_classes`."""
    found = check_classes(model, classes, logits(model, images))
    return np.asarray(ops.convert_to_numpy(found))


def one_each(classes: Any, count: int) -> list[Any] | None:
    """A class for each image, of those that are given for all or for each.

    Raises:
        ValueError: If there are others than images.
    """
    if classes is None:
        return None
    if hasattr(classes, "shape") and not isinstance(classes, np.ndarray | np.generic):
        classes = ops.convert_to_numpy(classes)
    if isinstance(classes, np.ndarray) and not classes.ndim:
        classes = classes[()]
    several = isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str)
    given = list(classes) if several else [classes] * count
    if len(given) != count:
        raise ValueError(
            f"`classes` must be one class, or one for each of {count} images. "
            f"Received: {len(given)}"
        )
    return given


def check_classes(model: Any, classes: Any, outputs: Any) -> Any:
    """Index of a class for each image; the largest output for `None`.

    Raises:
        TypeError: If a class is neither a number nor a name.
        ValueError: If there is no such class, which lists those that there are, or if the model
            is no classifier.
    """
    shape = tuple(_only(outputs).shape)
    if len(shape) != 2 or shape[1] < 1:
        raise ValueError(
            f"`model` must have one output for each class. Received: outputs of the shape {shape}"
        )
    given = one_each(classes, shape[0])
    if given is None:
        return ops.argmax(outputs, -1)
    names = _names(model, shape[1])
    return np.array([_index(one, names, shape[1]) for one in given], np.int64)


def _names(model: Any, count: int) -> list[str]:
    """Those of the model, or else of the `ResNet` in it, if they fit its outputs."""
    for one in (model, *(each for each in model._flatten_layers() if isinstance(each, ResNet))):
        metadata = getattr(one, "metadata", None)
        names: Any = metadata.get("class_names") if isinstance(metadata, dict) else None
        if checks.are_distinct_names(names) and len(names) == count:
            return list(names)
    return []


def _index(value: Any, names: list[str], count: int) -> int:
    if isinstance(value, str):
        if value in names:
            return names.index(value)
        there = checks.some(names) if names else f"numbers from 0 to {count - 1}"
        raise ValueError(f"`classes` must be of {there}. Received: {value!r}")
    if isinstance(value, bool | np.bool) or not isinstance(value, int | np.integer):
        raise TypeError(
            f"`classes` must be numbers or names of classes, or None. Received: {value!r}"
        )
    if not 0 <= value < count:
        raise ValueError(
            f"`classes` must be numbers from 0 to {count - 1}, or names of classes. "
            f"Received: {value}"
        )
    return int(value)
