"""Images and labels of a search that change from epoch to epoch: flips, shifts, mixup."""

from collections.abc import Mapping
from typing import Any

import keras

from resnet_layers.training.mixing import weighted

SHIFT = 0.1  # of the side, both ways


class MixUp(keras.layers.MixUp):
    """Keras' layer, with an order of 32 bits: JAX has no others, and warns at each batch."""

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> dict[str, Any]:
        number = self.backend.shape(data["images"])[0]
        if seed is None:
            seed = self._get_seed_generator(self.backend._backend)
        order = self.backend.numpy.arange(0, number, dtype="int32")
        return {
            "permutation_order": self.backend.random.shuffle(order, seed=seed),
            "mix_weight": self.backend.random.beta((number,), self.alpha, self.alpha, seed=seed),
        }


class Augmentation:
    """Batches of images and labels to batches like them, made of Keras' layers.

    Args:
        kind: `"none"`, `"flip"` (left and right), `"shift"`, or `"shift_flip"`.
        mixup: Whether pairs of images and of their labels are mixed.
        classes: Number of classes where labels may be indices, or `None`.
        seed: Of what is drawn, or `None`.
        class_weight: As of `keras.Model.fit`, where pairs are mixed: the weight of a mixture is
            the mixture of the weights. Keras would take that of the larger share.
    """

    def __init__(
        self,
        kind: str,
        mixup: bool,
        classes: int | None,
        seed: int | None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        layers: Any = keras.layers
        last = {"data_format": "channels_last", "seed": seed}
        self.classes, self.class_weight = classes, class_weight
        self.images: list[Any] = []
        if "flip" in kind:
            self.images.append(layers.RandomFlip("horizontal", **last))
        if "shift" in kind:
            shift = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest", **last)
            self.images.append(shift)
        # Zhang et al., mixup, 2017, section 4: alpha between 0.1 and 0.4 on ImageNet.
        self.pairs = MixUp(alpha=0.2, **last) if mixup else None
        self.encode = layers.CategoryEncoding(classes or 1, output_mode="one_hot")
        self.cast = layers.Rescaling(1.0)

    def __call__(self, images: Any, labels: Any, *weights: Any) -> tuple[Any, ...]:
        for layer in self.images:
            images = layer(images, training=True)
        if self.pairs is None:
            return (images, labels, *weights)
        mixed = self.pairs({"images": images, "labels": self._rows(labels)}, training=True)
        if self.class_weight is None:
            return mixed["images"], mixed["labels"]
        return mixed["images"], mixed["labels"], weighted(mixed["labels"], self.class_weight)

    def _rows(self, labels: Any) -> Any:
        """Labels as rows of numbers, by means that work in `tf.data` on every backend."""
        columns = labels.shape[1] if len(labels.shape) == 2 else None
        if self.classes and columns != self.classes:  # indices
            return self.encode(labels if columns is None else labels[:, 0])
        return self.cast(labels[:, None] if columns is None else labels)
