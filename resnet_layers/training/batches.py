"""Batches of images, as a network takes them in training and in evaluation."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.training.augmentation import Augmentation, shifted


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


class Augmented(keras.utils.PyDataset):
    """Another dataset's batches, each augmented.

    Args:
        batches: What they are taken from.
        augmentation: What happens to them.
    """

    def __init__(self, batches: keras.utils.PyDataset, augmentation: Augmentation) -> None:
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches, self.augmentation = batches, augmentation

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def num_batches(self) -> int | None:
        return self.batches.num_batches

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.augmentation(*self.batches[index])

    def on_epoch_begin(self) -> None:
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def augment(fit: dict[str, Any], augmentation: Augmentation) -> dict[str, Any]:
    """The keywords of `fit` with augmented images in place of the given ones.

    Args:
        fit: Keywords of `keras.Model.fit`, as `data.check` leaves them.
        augmentation: What happens to the images.
    """
    x, fit = fit["x"], dict(fit)
    if isinstance(x, keras.utils.PyDataset):
        return {**fit, "x": Augmented(x, augmentation)}
    if is_tf_data(x):
        return {**fit, "x": x.map(augmentation)}
    arrays = [np.asarray(fit.pop(name)) for name in ("x", "y")]
    weights = fit.pop("sample_weight", None)
    arrays += [] if weights is None else [np.asarray(weights)]
    held_out = fit.pop("validation_split", 0.0)
    batch_size = fit.pop("batch_size", None) or 32
    fit.setdefault("validation_batch_size", batch_size)
    if held_out and fit.get("validation_data") is None:  # the last ones, as `fit` does it
        first = int(len(arrays[0]) * (1.0 - held_out))
        fit["validation_data"] = tuple(array[first:] for array in arrays)
        arrays = [array[:first] for array in arrays]
    batches = ArrayBatches(tuple(arrays), batch_size, fit.pop("shuffle", True))
    return {**fit, "x": Augmented(batches, augmentation), "shuffle": False}
