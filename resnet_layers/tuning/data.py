"""What a search may be given to learn from, checked before the first network is trained."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner
import numpy as np

from resnet_layers._support import checks
from resnet_layers.training.arrays import is_tf_data
from resnet_layers.training.batches import Batches
from resnet_layers.training.mixing import check_weights
from resnet_layers.training.objective import Objective

_FatalValueError = keras_tuner.errors.FatalValueError


def check(fit: dict[str, Any], labels: Objective | None, augments: bool, mixes: bool) -> None:
    """Checks the keywords of `fit`, and makes arrays of lists of labels.

    A search would otherwise spend its trials on what cannot work, or learn from labels that mean
    nothing.

    Args:
        fit: Keywords of `keras.Model.fit`; changed.
        labels: What is to be learned, or `None` where a loss of the user's decides.
        augments: Whether a sample of the space may augment images.
        mixes: Whether a sample of the space may mix them.

    Raises:
        FatalValueError: If labels or weights of classes do not fit, or if weights meet mixup.
        FatalTypeError: If images come as something that cannot be augmented, or if weights of
            classes are no mapping of numbers.
    """
    x: Any = fit.get("x")
    y: Any = fit.get("y")
    with _fatal():
        classes = len(x.images.class_names) if isinstance(x, Batches) else None
        check_weights(fit.get("class_weight"), classes)
    if isinstance(x, Batches):
        _check_batches(x, fit, labels, mixes)
        _check_labels(x.images.labels, labels)
    held_out = fit.get("validation_data")
    if isinstance(held_out, Batches):
        _check_held_out(held_out)
        _check_labels(held_out.images.labels, labels)
        fit["validation_data"] = held_out.dataset()
    if is_tf_data(x):
        fit.setdefault("shuffle", False)  # or Keras warns that it does not shuffle it
        weighted = isinstance(x.element_spec, tuple) and len(x.element_spec) > 2
    else:
        weighted = fit.get("sample_weight") is not None
        weighted = weighted or (mixes and _is_pydataset(x) and len(x[0]) > 2)
    if mixes and weighted:
        raise _FatalValueError(
            "Weights of samples must be left out with mixup, which mixes the samples: fix it with "
            "mixup=False"
        )
    known = isinstance(x, Batches) or is_tf_data(x) or _is_pydataset(x)
    if augments and not (hasattr(x, "shape") or known):
        raise keras_tuner.errors.FatalTypeError(
            "Images must be arrays, Batches, a tf.data.Dataset or a keras.utils.PyDataset where "
            "they are augmented; others need augmentation='none' and mixup=False. "
            f"Received: x={type(x)}"
        )
    if y is not None:
        fit["y"] = y = _array(y)
        if hasattr(x, "shape") and x.shape[0] != len(y):
            raise _FatalValueError(
                f"There must be a label for each image. Received: {x.shape[0]} images, "
                f"{len(y)} labels"
            )
        _check_labels(y, labels)
    if isinstance(held_out, (tuple, list)) and len(held_out) > 1:
        fit["validation_data"] = (held_out[0], _array(held_out[1]), *held_out[2:])
        _check_labels(fit["validation_data"][1], labels)


def check_every(fit: dict[str, Any], every: Any) -> None:
    """Checks the steps between two checkpoints.

    Raises:
        FatalValueError: If they are less than one, or if images do not come as `Batches`.
        FatalTypeError: If it is no number.
    """
    if every is None:
        return
    with _fatal():
        checks.integer("checkpoint_every", every)
    if not isinstance(fit.get("x"), Batches):
        raise _FatalValueError(
            "`checkpoint_every` must be left out where images do not come as Batches, which can "
            f"begin at any step. Received: checkpoint_every={every}, x={type(fit.get('x'))}"
        )


@contextlib.contextmanager
def _fatal() -> Iterator[None]:
    """Around checks whose errors end a search, and not just a trial."""
    try:
        yield
    except TypeError as error:
        raise keras_tuner.errors.FatalTypeError(str(error)) from None
    except ValueError as error:
        raise _FatalValueError(str(error)) from None


def _check_batches(
    batches: Batches, fit: dict[str, Any], labels: Objective | None, mixes: bool
) -> None:
    for name in ("y", "sample_weight", "batch_size", "validation_split"):
        if fit.get(name) is not None and fit[name] != 0.0:
            raise _FatalValueError(
                f"`{name}` must be left out with Batches. Received: {name}={fit[name]!r}"
            )
    if batches.seed is None:
        raise _FatalValueError("`seed` of Batches to train on must be given. Received: seed=None")
    if mixes and batches.mixing is not None:
        raise _FatalValueError(
            "`mixing` of Batches must be left out where a sample may mix. Received: "
            f"mixing={batches.mixing}"
        )
    weights = fit.get("class_weight") or batches.class_weight
    if batches.images.several and weights is not None:
        raise _FatalValueError(
            "`class_weight` must be left out where an image has several classes. Received: "
            f"class_weight={weights}"
        )
    count = len(batches.images.class_names)
    if mixes and labels is not None and labels.classes != count:
        raise _FatalValueError(
            "Batches that a sample may mix must have as many classes as there are outputs. "
            f"Received: {count} classes, {labels.classes} outputs"
        )


def _check_held_out(batches: Batches) -> None:
    if batches.seed is not None:
        raise _FatalValueError(
            f"`seed` of Batches to validate on must be left out. Received: seed={batches.seed}"
        )
    if batches.leaves_out:  # the accuracy that chooses the winner would count them
        raise _FatalValueError(
            "Batches to validate on must have no images of weight 0, so neither `multiple` nor "
            f"`skip_damaged`. Received: multiple={batches.multiple}"
        )


def _is_pydataset(x: Any) -> bool:
    return isinstance(x, keras.utils.PyDataset)


def _array(labels: Any) -> Any:
    return np.asarray(labels) if isinstance(labels, (list, tuple)) else labels


def _check_labels(given: Any, labels: Objective | None) -> None:
    if labels is None:
        return
    values = np.asarray(given)
    found = _fault(values, labels)
    if found:
        if labels.one_of_several:
            wanted = f"indices of {labels.classes} classes, from 0, or one-hot rows"
        elif labels.classes == 1:
            wanted = "numbers from 0 to 1, one for each image"
        else:
            wanted = f"rows of {labels.classes} numbers from 0 to 1"
        raise _FatalValueError(f"Labels must be {wanted}. Received: {found}")


def _fault(values: Any, labels: Objective) -> str | None:
    """What is wrong with labels, if something is."""
    if values.dtype.kind not in "biuf":
        return f"an array of {values.dtype}"
    columns = 1 if values.ndim == 1 else values.shape[-1]
    rows = columns == labels.classes > 1
    if values.ndim > 2 or not (rows or (columns == 1 and not labels.multi_label)):
        return f"shape={values.shape}"
    if not values.size:
        return None
    low, high = values.min(), values.max()
    if rows or not labels.one_of_several:
        return None if 0 <= low <= high <= 1 else f"numbers from {low} to {high}"
    whole = bool(np.all(values == np.floor(values)))
    if whole and 0 <= low <= high < labels.classes:
        return None
    return f"indices from {low} to {high}" if whole else "numbers that are not whole"
