"""Batches of images, as a network takes them in training and in evaluation."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


class Batches(keras.utils.PyDataset):
    """Batches of nearly equal size, for `fit` and `evaluate` on every backend.

    With a seed, each epoch has a new order, and each image is shifted by up to a sixteenth of its
    size, where the pixels of its border go on outwards. Images are not mirrored: a mirrored digit
    or letter is another one, or none.

    Args:
        squares: Images, uint8, (N, size, size, 3).
        labels: Their classes, (N,).
        normalize: Makes the network's input of them.
        batch_size: Largest number of images in a batch, positive.
        seed: For training; `None` keeps order and place.
    """

    def __init__(
        self,
        squares: NDArray[np.uint8],
        labels: NDArray[np.int64],
        normalize: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._squares = squares
        self._labels = labels
        self._normalize = normalize
        self._seed = seed
        self._epoch = 0
        self._length = -(-len(squares) // batch_size)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        # Equal parts: a last batch of one image would have no variance to normalize by.
        order: Any = np.arange(len(self._squares))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(order)
        chosen = np.array_split(order, self._length)[index]
        squares = self._squares[chosen]
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, self._epoch, index])
            squares = shifted(squares, rng)
        return self._normalize(squares), self._labels[chosen]

    def on_epoch_end(self) -> None:
        self._epoch += 1


def shifted(squares: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each image moved by up to a sixteenth of its size, at least one pixel, both ways."""
    count, size = squares.shape[:2]
    reach = max(1, size // 16)
    padded = np.pad(squares, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    top, left = rng.integers(0, 2 * reach + 1, (2, count))
    moved = windows[np.arange(count), top, left]  # (N, 3, size, size)
    return moved.transpose(0, 2, 3, 1)


class ArrayBatches(keras.utils.PyDataset):
    """Batches of arrays, as `fit` would make them."""

    def __init__(self, arrays: tuple[Any, ...], batch_size: int, shuffle: bool) -> None:
        super().__init__()
        self.arrays, self.batch_size, self.shuffle = arrays, batch_size, shuffle
        self._order = np.arange(len(arrays[0]))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        start = index * self.batch_size
        chosen = self._order[start : start + self.batch_size]
        return tuple(array[chosen] for array in self.arrays)

    def on_epoch_end(self) -> None:
        if self.shuffle:
            np.random.shuffle(self._order)  # what `keras.utils.set_random_seed` seeds


def is_tf_data(x: Any) -> bool:
    """Whether it is a `tf.data.Dataset`, without importing TensorFlow."""
    return hasattr(x, "element_spec") and hasattr(x, "map")
