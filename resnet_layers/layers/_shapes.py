"""Checks of shapes and of layers: each returns the accepted value in its plain Python form."""

from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers._layout import Layout


def known_rank(layer: Any, shape: Any, axes: Sequence[Any]) -> None:
    """Refuses a tensor of TensorFlow that does not know how many axes it has."""
    if getattr(shape, "rank", 0) is None:
        shown = ", ".join(str(axis) if isinstance(axis, int) else "None" for axis in axes)
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have a known number of axes. "
            "What comes from `tf.py_function` or `tf.io.decode_image` gets one by "
            f"`tf.ensure_shape(images, ({shown}))`. Received: input_shape={shape}"
        )


def check_rank(layer: Any, shape: Any, layout: Layout) -> None:
    """Refuses a shape with more or fewer axes than the layout has."""
    known_rank(layer, shape, layout.shape(None, (None,) * layout.rank, 3))
    if shape is not None and len(shape) != layout.ndim:
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have {layout.ndim} axes "
            f"({', '.join(layout.names)}), since its rank is {layout.rank}; `rank`, of a style or "
            "a head, is 1 for signals, 2 for images and 3 for volumes. "
            f"Received: input_shape={tuple(shape)}"
        )


def batch_shape(layer: Any, shape: Any, layout: Layout) -> tuple[int | None, ...]:
    """The shape of a batch, with known channels that suit a built `layer`."""
    known = tuple(shape) if isinstance(shape, Sequence) else ()
    if known:
        check_rank(layer, known, layout)
    if len(known) != layout.ndim or layout.channels(known) is None or 0 in known[1:]:
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have {layout.ndim} axes "
            f"({', '.join(layout.names)}), none but the batch empty, and a known number of "
            f"channels. Received: input_shape={shape}"
        )
    axis = layout.channel_axis
    expected = layer.input_spec.axes.get(axis) if layer.built and layer.input_spec else None
    if expected not in (None, known[axis]):
        raise ValueError(
            f"The input of {type(layer).__name__} '{layer.name}' must have the {expected} channels "
            f"that it was built for. Received: input_shape={shape}"
        )
    return known


def cast(x: Any, dtype: str) -> Any:
    """The tensor in another dtype; itself, and no node of a functional model, if it has that."""
    return x if keras.backend.standardize_dtype(x.dtype) == dtype else keras.ops.cast(x, dtype)


def layer(name: str, value: Any) -> Any:
    """A Keras layer, given as it is or as the config of one."""
    if isinstance(value, dict) and "class_name" in value:
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, keras.Layer):
        raise TypeError(
            f"`{name}` must be made of Keras 3 layers. "
            f"Received: {name}={value!r} (of type {type(value)})"
        )
    return value


def layers(name: str, values: Any) -> list[Any]:
    """At least one Keras layer."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise TypeError(
            f"`{name}` must be a list of at least one layer. Received: {name}={values!r}"
        )
    return [layer(name, value) for value in values]


def input_shape(value: Any, layout: Layout | None) -> tuple[int | None, ...]:
    """The shape of one input, with unknown sizes as `None`; of any layout if that is unknown."""
    names = (layout or Layout()).names[1:]
    sizes = " or ".join(name for name in names if name != "channels")
    message = (
        f"`input_shape` must be ({', '.join(names)}), without the batch: positive integers, or "
        f"None for any {sizes}. Received: input_shape={value!r}"
    )
    try:
        shape = tuple(None if size is None else checks.integer("size", size) for size in value)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None
    ranks = (1, 2, 3) if layout is None else (layout.rank,)
    channels = -1 if layout is None or layout.channel_axis == -1 else 0
    if len(shape) - 1 not in ranks:
        rank = f", for a stem of rank {layout.rank}" if layout else ""
        raise ValueError(message + rank)
    if shape[channels] is None:
        raise ValueError(message)
    return shape
