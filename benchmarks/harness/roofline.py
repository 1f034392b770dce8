"""What a network asks of a machine, and how near it comes to what the machine can do.

A network cannot be faster than its operations at the speed of a matrix product, nor than its bytes
at the speed of memory. The bytes are the least there can be where everything between convolutions
is fused: inputs, kernel and outputs of each convolution and dense layer, once.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import keras
import numpy as np
from numpy.typing import NDArray

# A network and the peaks timed in the same rounds, as plain JSON:
# `network`, `batch`, `pixels`, `device`; `ways`, each with `precision`, `operations` and `bytes`;
# `products`, operations of a matrix product in each precision; `moved`, bytes of `Scale`;
# and the `seconds` of each way, of "product …" and of "memory".
Run = dict[str, Any]
MEMORY = "memory"
ITEM_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
LAYERS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
PASSES = 4


class Product(keras.layers.Layer):
    """Square matrices multiplied; one number, which needs all others, comes back."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.cast(keras.ops.max(keras.ops.matmul(inputs, inputs)), "float32")

    @staticmethod
    def operations(side: int) -> int:
        """2 × multiply-adds."""
        return 2 * side**3


class Scale(keras.layers.Layer):
    """An array halved some times in a loop, which no compiler makes into one; a number of it."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.fori_loop(0, PASSES, lambda _, x: 0.5 * x, inputs)[0, 0]

    @staticmethod
    def bytes(count: int) -> int:
        """Read and written in each pass, float32."""
        return 2 * PASSES * 4 * count


def count(network: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Operations, 2 × multiply-adds, and bytes of a network's convolutions and dense layers.

    Args:
        network: A built layer or model.
        shape: Of its input, the batch included.

    Returns:
        Both for the whole batch.

    Example:

    >>> layer = keras.layers.Dense(5)
    >>> layer.build((8, 3))
    >>> count(layer, (8, 3))
    (240, 316)
    """
    counts: list[tuple[int, int]] = []
    with ExitStack() as watched:
        for layer in network._flatten_layers():
            if isinstance(layer, LAYERS):
                call = _watched(layer, layer.call, counts)
                watched.enter_context(mock.patch.object(layer, "call", call))
        keras.Operation.compute_output_spec(network, keras.KerasTensor(shape))
    operations, moved = map(sum, zip(*counts, strict=True))
    return operations, moved


def _watched(
    layer: Any, call: Callable[..., Any], counts: list[tuple[int, int]]
) -> Callable[..., Any]:
    # Within a call the kernel says the precision that it is cast to.
    kernel, products = _bytes(layer.kernel), int(np.prod(layer.kernel.shape[:-1]))

    def watched(inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        outputs = call(inputs, *arguments, **keywords)
        moved = _bytes(inputs) + kernel + _bytes(outputs)
        counts.append((2 * _size(outputs) * products, moved))
        return outputs

    return watched


def _size(tensor: Any) -> int:
    return int(np.prod(tuple(tensor.shape)))


def _bytes(tensor: Any) -> int:
    return _size(tensor) * ITEM_SIZES[keras.backend.standardize_dtype(tensor.dtype)]


def rates(run: Run, way: str) -> NDArray[np.float64]:
    """Operations a second of each round."""
    return run["ways"][way]["operations"] / np.array(run["seconds"][way])


def peaks(run: Run, precision: str) -> NDArray[np.float64]:
    """Operations a second of the matrix product, in each round."""
    return run["products"][precision] / np.array(run["seconds"][f"product {precision}"])


def bandwidths(run: Run) -> NDArray[np.float64]:
    """Bytes a second of memory, in each round."""
    return run["moved"] / np.array(run["seconds"][MEMORY])


def intensity(run: Run, way: str) -> float:
    """Operations for each byte."""
    return float(run["ways"][way]["operations"] / run["ways"][way]["bytes"])


def roofs(run: Run, way: str) -> NDArray[np.float64]:
    """Operations a second that the machine allows, in each round."""
    limit = intensity(run, way) * bandwidths(run)
    return np.minimum(peaks(run, run["ways"][way]["precision"]), limit)


def share(run: Run, way: str) -> tuple[float, float, float]:
    """The quartiles of what was reached of the roof in the same round, the median in the middle."""
    shares = rates(run, way) / roofs(run, way)
    first, median, third = np.percentile(shares, (25, 50, 75)).tolist()
    return first, median, third


def title(run: Run) -> str:
    """The network in a line."""
    return f"{run['network']}, batch {run['batch']}, {run['pixels']} px, {run['device']}"


def by_device(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each device."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run["device"], []).append(run)
    return found


def machine_peaks(runs: Iterable[Run]) -> tuple[dict[str, float], float]:
    """Operations a second in each precision, and bytes a second: medians of one device's runs."""
    runs = list(runs)
    precisions = dict.fromkeys(precision for run in runs for precision in run["products"])
    products = {
        precision: _median(peaks(run, precision) for run in runs if precision in run["products"])
        for precision in precisions
    }
    return products, _median(map(bandwidths, runs))


def _median(rounds: Iterable[NDArray[np.float64]]) -> float:
    return float(np.median(np.concatenate(list(rounds))))
