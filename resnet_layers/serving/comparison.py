"""An artifact beside its model: differences, agreement, latency."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.serving.calibration import Calibration
from resnet_layers.serving.job import Run

BATCHES = (1, 3)
# Where any size will do, by the number of pixel axes: one that strides divide, and an odd one.
_SIZES = {1: ((64,), (97,)), 2: ((64, 64), (97, 65)), 3: ((16, 32, 32), (11, 33, 47))}
# Time for the rounds of a latency, and the most of them.
_SECONDS, _ROUNDS = 1.0, 15


def input_shapes(input_shape: tuple[int | None, ...]) -> list[tuple[int, ...]]:
    """Two numbers of images, in two sizes where any will do."""
    shapes = dict.fromkeys(_filled(input_shape, sizes) for sizes in _sizes(input_shape))
    return [(batch, *shape) for shape in shapes for batch in BATCHES]


def _sizes(input_shape: tuple[int | None, ...]) -> Any:
    """Two lists of sizes for the axes before the channels."""
    rank = len(input_shape) - 1
    return _SIZES.get(rank, ((16,) * rank, (11,) * rank))


def _filled(input_shape: tuple[int | None, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with its unknown sizes, whichever they are, filled in order."""
    fill = iter(sizes)
    return tuple(next(fill) if size is None else size for size in input_shape)


def seeded_images(shape: tuple[int, ...], pixels: bool = False) -> NDArray[np.float32]:
    """Images that differ in mean and contrast, so that statistics of a batch would show.

    Args:
        shape: Theirs.
        pixels: Whether they have whole numbers from 0 to 255, and not some around 0.
    """
    rng = np.random.default_rng(0)
    each = (shape[0], *(1,) * (len(shape) - 1))
    mean, deviation = rng.uniform(-1, 1, each), rng.uniform(0.5, 1.5, each)
    images = (mean + deviation * rng.standard_normal(shape)).astype(np.float32)
    return np.clip(np.rint(128 + 50 * images), 0, 255) if pixels else images


@contextlib.contextmanager
def with_all_bits() -> Iterator[None]:
    """Has products of float32 made of all their bits.

    A GPU keeps ten of them unless it is told otherwise, and a model that is folded, or run by
    another program, then differs by 1e-3 without a fault. The switches of TensorFlow and torch are
    of the whole process: the first thread that compares turns them, and the last one turns them
    back.
    """
    if keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    with _TenBits.lock:
        if not _TenBits.threads:
            _TenBits.before = _set_ten_bits([False, False])
        _TenBits.threads += 1
    try:
        yield
    finally:
        with _TenBits.lock:
            _TenBits.threads -= 1
            if not _TenBits.threads:
                _set_ten_bits(_TenBits.before)


class _TenBits:
    """Who compares, and what was set before."""

    lock = threading.Lock()
    threads = 0
    before: Sequence[bool] = ()


def _set_ten_bits(allowed: Sequence[bool]) -> list[bool]:
    """Sets whether products, and convolutions, may have ten bits; returns what was set."""
    if keras.backend.backend() == "torch":
        import torch

        switches: Any = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [switch.allow_tf32 for switch in switches]
        for switch, value in zip(switches, allowed, strict=True):
            switch.allow_tf32 = value
        return before
    import tensorflow as tf

    whether = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed[0])
    return [whether, whether]


@with_all_bits()
def on_seeded_images(
    run: Run, reference: Run, shapes: list[tuple[int, ...]], pixels: bool = False
) -> tuple[float, float]:
    """The largest difference over the largest output: from the model, and between batches."""
    from_model = between = 0.0
    for shape in shapes:
        images = seeded_images(shape, pixels)
        expected, found = reference(images), run(images)
        from_model = max_or_nan(from_model, largest(found, expected))
        for i in range(len(images)):  # a row must not depend on the others
            between = max_or_nan(between, largest(run(images[i : i + 1]), found[i : i + 1]))
    return from_model, between


@with_all_bits()
def on_calibration(
    run: Run, reference: Run, calibration: Calibration
) -> tuple[float, float, dict[str, Any]]:
    """The difference by its largest value, and by its root mean square; and what a report says.

    Both are shares of that of the outputs.
    """
    expected = np.concatenate([reference(batch) for batch in calibration.batches])
    found = np.concatenate([run(batch) for batch in calibration.batches])
    square = max(np.mean(expected**2), np.finfo(np.float32).tiny)
    mean = float(np.sqrt(np.mean((found - expected) ** 2) / square))
    most = largest(found, expected)
    if expected.ndim != 2:  # no classes
        return most, mean, {"images": len(calibration)}
    classes, model_classes = found.argmax(-1), expected.argmax(-1)
    says: dict[str, Any] = {
        "images": len(calibration),
        "agreement": float(np.mean(classes == model_classes)),
    }
    if calibration.labels is not None:
        says["accuracy"] = float(np.mean(classes == calibration.labels))
        says["model_accuracy"] = float(np.mean(model_classes == calibration.labels))
    return most, mean, says


def largest(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference over the largest value; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    scale = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
    return float(np.abs(found - expected).max() / scale)


def max_or_nan(*values: float) -> float:
    """The largest; NaN if there is one, which `max` can lose."""
    return float(np.max(values))


def latencies(*runs: Run, shape: tuple[int, ...], pixels: bool = False) -> list[float]:
    """The median seconds of each, in turn, after two runs to warm up."""
    images = seeded_images(shape, pixels)
    for run in runs * 2:
        run(images)
    rounds: list[list[float]] = []
    start = time.perf_counter()
    while len(rounds) < 3 or (len(rounds) < _ROUNDS and time.perf_counter() < start + _SECONDS):
        rounds.append([_timed(run, images) for run in runs])
    return np.median(rounds, axis=0).tolist()


def _timed(run: Run, images: NDArray[np.float32]) -> float:
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


def usual_shape(input_shape: tuple[int | None, ...], metadata: dict[str, Any]) -> tuple[int, ...]:
    """One image of the size that the model is for: its own, its preprocessing's, or 224."""
    preprocessing = metadata.get("preprocessing")
    known = preprocessing if isinstance(preprocessing, dict) else {}
    known = known.get("config", known)
    size = known.get("image_size") if isinstance(known, dict) else None
    sizes = _sizes(input_shape)[0]
    if len(sizes) == 2:
        pair = size if isinstance(size, (list, tuple)) else [size, size]
        known_sizes = [n for n in pair if isinstance(n, int) and n > 0]
        sizes = tuple(known_sizes) if len(known_sizes) == len(pair) == 2 else (224, 224)
    return (1, *_filled(input_shape, sizes))


def outputs(model: Any) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """A model as a function of arrays, in inference."""
    return lambda images: keras.ops.convert_to_numpy(model(images, training=False))
