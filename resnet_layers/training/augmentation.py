"""Images and labels that change from epoch to epoch: flips, shifts, mixup."""

from typing import Any

import keras
import numpy as np

from resnet_layers.training.batches import ArrayBatches, is_tf_data

_SHIFT = 0.1  # of the side, both ways


class Augmentation:
    """Batches of images and labels to batches like them, made of Keras' layers.

    Args:
        kind: `"none"`, `"flip"` (left and right), `"shift"`, or `"shift_flip"`.
        mixup: Whether pairs of images and of their labels are mixed.
        classes: Number of classes where labels may be indices, or `None`.
        seed: Of what is drawn, or `None`.
    """

    def __init__(self, kind: str, mixup: bool, classes: int | None, seed: int | None) -> None:
        layers: Any = keras.layers
        last = {"data_format": "channels_last", "seed": seed}
        self.classes = classes
        self.images: list[Any] = []
        if "flip" in kind:
            self.images.append(layers.RandomFlip("horizontal", **last))
        if "shift" in kind:
            shift = layers.RandomTranslation(_SHIFT, _SHIFT, fill_mode="nearest", **last)
            self.images.append(shift)
        # Zhang et al., mixup, 2017, section 4: alpha between 0.1 and 0.4 on ImageNet.
        self.pairs = layers.MixUp(alpha=0.2, **last) if mixup else None
        self.encode = layers.CategoryEncoding(classes or 1, output_mode="one_hot")
        self.cast = layers.Rescaling(1.0)

    def __call__(self, images: Any, labels: Any, *weights: Any) -> tuple[Any, ...]:
        for layer in self.images:
            images = layer(images, training=True)
        if self.pairs is None:
            return (images, labels, *weights)
        mixed = self.pairs({"images": images, "labels": self._rows(labels)}, training=True)
        return mixed["images"], mixed["labels"]

    def _rows(self, labels: Any) -> Any:
        """Labels as rows of numbers, by means that work in `tf.data` on every backend."""
        columns = labels.shape[1] if len(labels.shape) == 2 else None
        if self.classes and columns != self.classes:  # indices
            return self.encode(labels if columns is None else labels[:, 0])
        return self.cast(labels[:, None] if columns is None else labels)


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
