"""What a drawing says of an operation: its window, its channels, its step."""

import math
from collections.abc import Sequence

from resnet_layers.networks.operations import Operation, Path, Walk

# Those that are drawn, as they are called; what works number by number is not.
_DRAWN = {
    "pooling": "pool",
    "blur": "blur",
    "global_pooling": "global pool",
    "resizing": "resize",
}


def label_of(walk: Walk, operation: Operation, unknown: dict[Path, str]) -> str | None:
    """One line for a box; `None` for what has none.

    Args:
        walk: The operations of the network.
        operation: One of them.
        unknown: Class of each layer that could not be followed.
    """
    if operation.kind == "convolution":
        return _convolution(walk, operation)
    if operation.kind == "dense":
        return f"dense, {operation.shape[-1]}"
    if operation.kind == "product" and _is_gate(walk, operation):
        return "attention"
    if operation.kind == "unknown":
        return f"{unknown.get(operation.path, operation.path[-1])} (unknown)"
    if operation.kind not in _DRAWN:
        return None
    name = _DRAWN[operation.kind]
    return f"{_size(operation)}{name}{_step(operation) or _growth(walk, operation)}"


def _convolution(walk: Walk, operation: Operation) -> str:
    """Such as `3×3 conv, 64, /2`."""
    filters = operation.shape[-1]
    windows = operation.windows or ()
    if not windows and operation.sees_all:
        return f"transposed conv, {filters}{_growth(walk, operation)}"
    label = f"{_size(operation)}conv, {filters}"
    channels = walk.shape(operation.inputs[0])[-1]
    taps = math.prod(window.size for window in windows) * channels * filters
    kernel = operation.weights - (filters if operation.bias else 0)
    groups = taps // kernel if windows and kernel else 1
    if groups > 1:
        label += ", depthwise" if groups == channels else f", {groups} groups"
    rates = [window.rate for window in windows if window.size > 1]
    if max(rates, default=1) > 1:
        label += f", rate {_spread(rates)}"
    return label + _step(operation)


def _size(operation: Operation) -> str:
    sizes = [window.size for window in operation.windows or ()]
    return f"{'×'.join(map(str, sizes))} " if sizes else ""


def _step(operation: Operation) -> str:
    steps = [window.stride for window in operation.windows or ()]
    return f", /{_spread(steps)}" if max(steps, default=1) > 1 else ""


def _growth(walk: Walk, operation: Operation) -> str:
    """How many times larger a map becomes."""
    sizes = zip(operation.shape[:-1], walk.shape(operation.inputs[0])[:-1], strict=False)
    ratios = [after / before if before else 0 for after, before in sizes]
    whole = [round(ratio) for ratio in ratios if ratio == round(ratio) >= 1]
    return f", ×{_spread(whole)}" if whole and len(whole) == len(ratios) and max(whole) > 1 else ""


def _spread(values: Sequence[int]) -> str:
    return str(values[0]) if len({*values}) == 1 else "×".join(map(str, values))


def _is_gate(walk: Walk, operation: Operation) -> bool:
    """Whether a map is multiplied by fewer numbers, such as one for each channel."""
    sizes = {walk.elements(index) for index in operation.inputs}
    return len(sizes) > 1
