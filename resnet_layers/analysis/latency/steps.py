"""What a network asks of a machine when it is served: folded, with activations in convolutions."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from resnet_layers.networks.operations import IMAGE, Operation, Walk

# Channels of an input below which kernels have no use for a whole vector.
_FEW = 16
_NORMALIZATIONS = ("batch_normalization", "frozen_batch_normalization")
_FUSED = ("addition", *_NORMALIZATIONS)  # which an activation after them is computed with


class Step(NamedTuple):
    """An operation of a served network, for one image.

    Args:
        path: Where it is.
        kind: Which of the fitted kinds.
        operations: 2 × multiply-adds.
        weights: Numbers of its kernel.
        maps: Numbers that it reads and writes.
    """

    path: tuple[str, ...]
    kind: str
    operations: float
    weights: float
    maps: float


def steps_of(walk: Walk) -> Iterator[Step]:
    """What is left to do at each call.

    Batch normalization behind a convolution is in its kernel, an activation behind a convolution or
    a sum in that one's loop; kernels are standardized already.
    """
    readers = [0] * len(walk.operations)
    for operation in walk:
        for index in operation.inputs:
            if index != IMAGE:
                readers[index] += 1
    folded: set[int] = set()  # what is a convolution still, for what follows
    for i, operation in enumerate(walk):
        first = operation.inputs[0] if operation.inputs else IMAGE
        alone = first != IMAGE and readers[first] == 1
        before = walk.operations[first].kind if first != IMAGE else ""
        convolved = alone and (before == "convolution" or first in folded)
        if operation.kind in _NORMALIZATIONS and convolved:
            folded.add(i)
            continue
        if operation.kind == "activation" and (convolved or (alone and before in _FUSED)):
            continue
        if operation.kind == "reshape":
            continue
        yield _step(walk, operation)


def _step(walk: Walk, operation: Operation) -> Step:
    read = sum(map(walk.elements, operation.inputs))
    kind = operation.kind
    weights = 0.0
    if kind == "convolution":
        kind, weights = _convolution(walk, operation)
    elif kind == "dense":
        weights = operation.weights
    elif kind == "global_pooling":
        kind = "means"
    maps = read + operation.elements
    return Step(operation.path, kind, 2.0 * operation.macs, weights, maps)


def groups_of(walk: Walk, convolution: Operation) -> int:
    """How many groups a convolution has."""
    window = math.prod(each.size for each in convolution.windows or ())
    channels, filters = walk.shape(convolution.inputs[0])[-1], convolution.shape[-1]
    kernel = convolution.macs / math.prod(convolution.shape[:-1])
    return round(window * channels * filters / kernel)


def _convolution(walk: Walk, operation: Operation) -> tuple[str, float]:
    """Its kind, and the numbers of its kernel."""
    pixels = operation.shape[:-1]
    channels = walk.shape(operation.inputs[0])[-1]
    window = math.prod(each.size for each in operation.windows or ())
    kernel = operation.macs / math.prod(pixels)
    if not pixels:  # of attention, over channels
        return "dense", kernel
    if len(pixels) == 3:
        return ("volume" if window > 1 else "volume_pointwise"), kernel
    if groups_of(walk, operation) > 1:
        return "grouped", kernel
    if channels < _FEW:
        return "shallow", kernel
    return ("spatial" if window > 1 else "pointwise"), kernel
