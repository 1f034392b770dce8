"""What is learned, as the loss and the metrics that fit."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers.training.labels import CategoricalAccuracy, CategoricalCrossentropy


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is to be learned.

    Args:
        classes: Number of outputs.
        multi_label: Whether an image can have several classes.
        from_logits: Whether outputs are logits, not probabilities.
    """

    classes: int
    multi_label: bool
    from_logits: bool

    @property
    def one_of_several(self) -> bool:
        """Whether each image has one class of two or more."""
        return self.classes > 1 and not self.multi_label

    def loss(self, given: Any = None, label_smoothing: float = 0.0) -> Any:
        """The loss that fits; one given by name takes logits or probabilities as they come."""
        if given is None:
            kind = CategoricalCrossentropy if self.one_of_several else BinaryCrossentropy
            return kind(from_logits=self.from_logits, label_smoothing=label_smoothing)
        if isinstance(given, str) and given in _LOSSES:
            return _LOSSES[given](from_logits=self.from_logits)
        return keras.losses.get(given)

    def metrics(self, given: Sequence[Any] | None = None) -> list[Any]:
        """The metrics that fit, or new ones like those that are given."""
        if given is None:
            given = ["accuracy"] if self.one_of_several else ["accuracy", "auc"]
        return [self._metric(one) for one in given]

    def _metric(self, given: Any) -> Any:
        if isinstance(given, keras.metrics.Metric):  # it has variables
            return type(given).from_config(given.get_config())
        # Keras would decide by the first batch, which may have mixtures as labels.
        if given in ("accuracy", "acc") or (self.one_of_several and given in _ACCURACIES):
            if self.one_of_several:
                return CategoricalAccuracy(name=given)
            # Above 0, a logit is a probability above a half.
            threshold = 0.0 if self.from_logits else 0.5
            return keras.metrics.BinaryAccuracy(name=given, threshold=threshold)
        if given in ("auc", "AUC"):
            each = {"multi_label": True, "num_labels": self.classes} if self.classes > 1 else {}
            return keras.metrics.AUC(name="auc", from_logits=self.from_logits, **each)
        return keras.metrics.get(given)


BinaryCrossentropy = keras.losses.BinaryCrossentropy
_LOSSES = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": CategoricalCrossentropy,  # it takes indices, too
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
}
_ACCURACIES = ("categorical_accuracy", "sparse_categorical_accuracy")
