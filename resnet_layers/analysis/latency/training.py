"""How long a step of training takes, and how much memory training needs, before it starts."""

from typing import NamedTuple

from resnet_layers.analysis.latency import prediction
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.analysis.latency.steps import groups_of
from resnet_layers.networks.operations import Walk

RUNTIME = "tf_saved_model"  # whose kernels training has, too
# Of a forward pass that is evaluated, beside a step with its two passes back.
FORWARD = 1 / 3


class Asked(NamedTuple):
    """What a step asks of a machine.

    Args:
        operations: 2 × multiply-adds of a forward pass, but for grouped convolutions.
        grouped: Those of grouped convolutions, whose gradients take longer.
        maps: Bytes that a forward pass reads and writes, nothing folded.
        weights: Bytes of variables.
        steps: Number of operations.
        kept: Bytes of maps that the way back needs.
    """

    operations: float
    grouped: float
    maps: float
    weights: float
    steps: float
    kept: float


def asked_of(walk: Walk, batch: int) -> Asked:
    """What a step on a batch asks."""
    operations = grouped = maps = weights = kept = 0.0
    for operation in walk:
        if operation.kind == "convolution" and groups_of(walk, operation) > 1:
            grouped += 2.0 * operation.macs
        else:
            operations += 2.0 * operation.macs
        maps += sum(map(walk.elements, operation.inputs)) + operation.elements
        weights += operation.weights + operation.statistics
        kept += operation.elements
    return Asked(
        batch * operations,
        batch * grouped,
        batch * prediction.ITEM * maps,
        prediction.ITEM * weights,
        len(walk.operations),
        batch * prediction.ITEM * kept,
    )


def rates_of(machine: Machine) -> tuple[float, float, float, float, float]:
    """Seconds for an operation, one in groups, a byte of maps, one of weights, and a step."""
    operation, byte, _, step = prediction.rates_of(machine, RUNTIME)
    return operation, operation, byte, byte, step


def seconds_of(walk: Walk, batch: int, machine: Machine) -> float:
    """How long a step takes in a graph of TensorFlow, in float32, with SGD."""
    asked = asked_of(walk, batch)[:5]
    shares = prediction.fitted()["training"]
    return machine.runtimes[RUNTIME].call + sum(
        share * amount * rate
        for share, amount, rate in zip(shares, asked, rates_of(machine), strict=True)
    )


def bytes_of(walk: Walk, batch: int) -> float:
    """How much memory the process of a training takes at most, TensorFlow itself included."""
    asked = asked_of(walk, batch)
    itself, weights, kept = prediction.fitted()["memory"]
    return itself + weights * asked.weights + kept * asked.kept
