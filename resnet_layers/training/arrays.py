"""Arrays and datasets of others as batches that are augmented, for a search."""

import math
from typing import Any

import keras
import numpy as np

from resnet_layers.training.augmentation import Augmentation


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
