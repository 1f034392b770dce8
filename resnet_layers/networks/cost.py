"""What a network takes, from its operations: parameters, multiply-adds, memory of its maps."""

import dataclasses
import math
from collections.abc import Sequence

from resnet_layers.networks import walks
from resnet_layers.networks.operations import IMAGE, Walk
from resnet_layers.networks.variant import Variant

# What may be written over its first input.
IN_PLACE = (
    *("activation", "addition", "product", "reshape"),
    *("batch_normalization", "frozen_batch_normalization"),
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network takes.

    Args:
        parameters: Numbers in all its variables, moving statistics included.
        macs: Multiply-adds of its convolutions and dense layers for one image.
    """

    parameters: int = 0
    macs: int = 0


def cost_of(row: Variant, classes: int, input_shape: Sequence[int]) -> Cost:
    """What the network of a row takes, worked out without a layer.

    Args:
        row: The network.
        classes: Number of outputs.
        input_shape: Pixels along each axis, then channels.
    """
    walk = walks.of_row(row, classes, input_shape)
    parameters = sum(operation.weights + operation.statistics for operation in walk)
    return Cost(parameters, sum(operation.macs for operation in walk))


def live_sets(walk: Walk) -> list[int]:
    """Numbers of feature maps that are kept while each operation runs, for one image.

    While an operation runs, its inputs, its output and what later ones read are there. What works
    number by number writes over its input, where nothing else reads that.
    """
    last = {index: i for i, operation in enumerate(walk) for index in operation.inputs}
    last |= dict.fromkeys(walk.outputs, len(walk.operations))
    alive = {IMAGE: math.prod(walk.image)}
    size, sizes = alive[IMAGE], []
    for i, operation in enumerate(walk):
        first = operation.inputs[0] if operation.inputs else None
        if operation.kind in IN_PLACE and first in alive and last[first] == i:
            size -= alive.pop(first)
        alive[i] = operation.elements
        size += operation.elements
        sizes.append(size)
        for index in {*operation.inputs, i}:
            if index in alive and last.get(index, len(walk.operations)) <= i:
                size -= alive.pop(index)
    return sizes
