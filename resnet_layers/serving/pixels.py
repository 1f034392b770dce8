"""Whether a model takes raw images, by what reaches its first weights of one in grey."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.networks.model import ResNet, computes_as_parts

# Grey is 128. What subtracts a mean alone, as Caffe's networks have it, leaves some 25 of it; what
# doubles prepared numbers, or subtracts the mean of such, leaves at least half.
_GREY, _PREPARED = 128.0, 40.0


def takes_pixels(model: Any, shape: tuple[int, ...]) -> bool:
    """Whether a model prepares raw images by itself, or takes whole numbers alone.

    Args:
        model: A built Keras model of one input.
        shape: Of images that it takes, with their number.
    """
    if any(isinstance(layer, Preprocessing) for layer in model._flatten_layers()):
        return True
    inputs = getattr(model, "inputs", None) or ()
    if any(not keras.backend.is_float_dtype(tensor.dtype) for tensor in inputs):
        return True
    grey = keras.ops.full((1, *shape[1:]), _GREY)
    return any(
        bool(keras.ops.all(keras.ops.abs(reached) <= _PREPARED))
        for reached in _reaching(model, grey)
    )


def _reaching(layer: Any, x: Any) -> Iterator[Any]:
    """What the first layers with weights in a layer take, if the layer takes `x`."""
    if not _learns(layer):
        yield layer(x, training=False)
    elif isinstance(layer, keras.Sequential):
        yield from _reaching_in_turn(layer.layers, x)
    elif isinstance(layer, ResNet) and computes_as_parts(layer):
        yield from _reaching_in_turn(layer._parts(), x)
    elif hasattr(layer, "_nodes_by_depth"):  # a graph
        operations, tensors = zip(*_first(layer), strict=True)
        front = keras.Model(layer.inputs, list(tensors), name="front")
        for operation, reached in zip(operations, front(x, training=False), strict=True):
            yield from _reaching(operation, reached)
    elif isinstance(layer, keras.Model) and any(map(_prepares, layer._flatten_layers())):
        yield keras.ops.zeros_like(x)  # in which order it calls its layers nobody knows
    else:
        yield x


def _reaching_in_turn(layers: list[Any], x: Any) -> Iterator[Any]:
    for layer in layers:
        if _learns(layer):
            yield from _reaching(layer, x)
            return
        x = layer(x, training=False)


def _first(model: Any) -> Iterator[tuple[Any, Any]]:
    """The operations with weights that come after none, and the tensors that they take."""
    later: set[int] = set()
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            comes_later = any(id(tensor) in later for tensor in node.input_tensors)
            learns = not node.is_input and _learns(node.operation)
            if learns and not comes_later:
                yield node.operation, node.input_tensors[0]
            if learns or comes_later:
                later.update(map(id, node.outputs))


def _learns(operation: Any) -> bool:
    """Whether it has weights other than what is known of images."""
    layers = operation._flatten_layers() if isinstance(operation, keras.Layer) else []
    known = [layer for layer in layers if isinstance(layer, keras.layers.Normalization)]
    return len(getattr(operation, "weights", ())) > sum(len(layer.weights) for layer in known)


def _prepares(layer: Any) -> bool:
    """Whether a layer brings pixels, 0 to 255, to the scale of 1."""
    if isinstance(layer, keras.layers.Rescaling):
        return bool(np.all(np.abs(layer.scale) < 0.05))
    if isinstance(layer, keras.layers.Normalization) and not layer.invert:
        variance = getattr(layer, "variance", None)  # once it is known
        return variance is not None and bool(keras.ops.all(variance > 20.0**2))
    return False
