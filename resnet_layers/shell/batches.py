"""`Batches`: images as a network takes them in training and in evaluation."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.shell.images import Preprocessing


class Batches(keras.utils.PyDataset):
    """Batches of nearly equal size, for `fit` and `evaluate` on every backend.

    With a seed, each epoch has a new order, and each image is shifted by up to a sixteenth of its
    size, where the pixels of its border go on outwards. Images are not mirrored: a mirrored digit
    or letter is another one, or none.

    Args:
        squares: Images, uint8, (N, size, size, 3).
        labels: Their classes, (N,).
        preprocessing: How they are normalized.
        batch_size: Largest number of images in a batch, positive.
        seed: For training; `None` keeps order and place.
    """

    def __init__(
        self,
        squares: NDArray[np.uint8],
        labels: NDArray[np.int64],
        preprocessing: Preprocessing,
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._squares = squares
        self._labels = labels
        self._preprocessing = preprocessing
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
        return self._preprocessing.normalize(squares), self._labels[chosen]

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
