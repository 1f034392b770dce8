"""What different tools call the operations of a network, as numbers of one walk."""

import dataclasses
import functools
import math
from collections.abc import Callable

from resnet_layers._support import checks
from resnet_layers.networks.operations import WEIGHTED, Operation, Walk, Window


@dataclasses.dataclass(frozen=True)
class Convention:
    """A way to count.

    Args:
        heading: What its numbers are called.
        counts: What is counted, as a sentence without its end.
        of: From a walk and one of its operations to the number.
        written: Kinds of the operations whose outputs are activations.
    """

    heading: str
    counts: str
    of: Callable[[Walk, Operation], float]
    written: tuple[str, ...] = WEIGHTED


def _macs(walk: Walk, operation: Operation) -> float:
    return operation.macs


def _twice(walk: Walk, operation: Operation) -> float:
    return 2 * operation.macs


# For each number of the output, as fvcore has them (`nn/flop_count.py`, `nn/jit_handles.py`).
_FVCORE = {
    "batch_normalization": 2,
    "frozen_batch_normalization": 2,
    "group_normalization": 5,
    "layer_normalization": 5,
}


def _timm(walk: Walk, operation: Operation) -> float:
    count = operation.macs + _FVCORE.get(operation.kind, 0) * operation.elements
    count += 4 * operation.standardized  # the batch normalization of a kernel, without an affine
    if operation.kind == "blur" and operation.windows:  # a convolution of each channel there
        count += operation.elements * math.prod(window.size for window in operation.windows)
    return count + (_read(walk, operation) if operation.kind == "global_pooling" else 0)


# For each number of the output, as ptflops has them (`pytorch_ops.py`).
_PTFLOPS = {
    "batch_normalization": 2,
    "frozen_batch_normalization": 2,
    "group_normalization": 2,
    "layer_normalization": 2,
    "activation": 1,
}


def _ptflops(walk: Walk, operation: Operation) -> float:
    count = operation.macs + _PTFLOPS.get(operation.kind, 0) * operation.elements
    count += operation.elements if operation.bias else 0
    pools = operation.kind in ("pooling", "blur", "global_pooling")
    return count + (_read(walk, operation) if pools else 0)


# For each number of the output: those with which XLA's analysis of whole networks is met.
_ELEMENTWISE = {
    "batch_normalization": 2,
    "frozen_batch_normalization": 2,
    "group_normalization": 8,
    "layer_normalization": 7,
    "rms_normalization": 4,
    "filter_response_normalization": 5,
    "evonorm_s0": 13,
    "activation": 1,
    "addition": 1,
    "product": 1,
}


def _xla(walk: Walk, operation: Operation) -> float:
    count = 2.0 * operation.macs * _share_inside(walk, operation)
    count += _ELEMENTWISE.get(operation.kind, 0) * operation.elements
    count += 7 * operation.standardized
    count += operation.elements if operation.bias else 0
    if operation.kind in ("global_pooling", "means"):
        return count + _read(walk, operation)
    if operation.kind in ("pooling", "blur") and operation.windows:
        return count + operation.elements * math.prod(w.size for w in operation.windows)
    return count


def _read(walk: Walk, operation: Operation) -> int:
    """Numbers in what an operation reads."""
    return sum(walk.elements(index) for index in operation.inputs)


def _share_inside(walk: Walk, operation: Operation) -> float:
    """The share of a convolution's taps that are on its input, and not on padding."""
    if operation.windows is None:
        return 1.0
    share, before = 1.0, walk.shape(operation.inputs[0])
    for length, positions, window in zip(before, operation.shape, operation.windows, strict=False):
        share *= _inside(length, positions, window) / (positions * window.size)
    return share


@functools.lru_cache(maxsize=4096)
def _inside(length: int, positions: int, window: Window) -> int:
    """Taps on the input along an axis."""
    starts = range(-window.before, positions * window.stride - window.before, window.stride)
    return sum(
        0 <= start + tap * window.rate < length for start in starts for tap in range(window.size)
    )


_WEIGHTED = "multiply-adds of convolutions and dense layers"
CONVENTIONS = {
    "macs": Convention("macs", f"{_WEIGHTED}, taps on padding included", _macs),
    "paper": Convention(
        "macs",
        f"{_WEIGHTED}, taps on padding included, as He et al. 2015 count FLOPs",
        _macs,
    ),
    "flops": Convention(
        "flops", f"two for each of the {_WEIGHTED}, taps on padding included", _twice
    ),
    "timm": Convention(
        "macs",
        f"{_WEIGHTED}, and the operations of normalization, standardized kernels and global "
        "pooling, as fvcore counts for timm's tables, where blurring is a convolution",
        _timm,
        (*WEIGHTED, "blur"),
    ),
    "ptflops": Convention(
        "macs",
        f"{_WEIGHTED}, and the operations of biases, normalization, activations and pooling, as "
        "ptflops counts",
        _ptflops,
    ),
    "xla": Convention(
        "flops",
        f"two for each of the {_WEIGHTED}, taps on padding left out, and one for each number that "
        "is computed between them, as XLA's cost analysis counts",
        _xla,
    ),
}


def get(name: str) -> Convention:
    """The convention of that name."""
    return CONVENTIONS[checks.choice("convention", name, tuple(CONVENTIONS))]


def bytes_moved(walk: Walk, operation: Operation, item: int, weight: int) -> int:
    """What a convolution or a dense layer must read and write."""
    return item * (_read(walk, operation) + operation.elements) + weight * operation.weights
