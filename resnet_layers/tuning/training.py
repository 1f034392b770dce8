"""How a sample is trained: loss, metrics, optimizer and schedule."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers.training.labels import CategoricalAccuracy, CategoricalCrossentropy
from resnet_layers.tuning.space import Sample


@dataclasses.dataclass(frozen=True)
class Labels:
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


def optimizer(sample: Sample, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer, whose weight decay spares normalization and biases."""
    name = sample["optimizer"]
    kinds = keras.optimizers
    kind = {
        "sgd": kinds.SGD,
        "adamw": kinds.AdamW,
        "adam": kinds.Adam,
        "nadam": kinds.Nadam,
        "rmsprop": kinds.RMSprop,
        "lion": kinds.Lion,
        "lamb": kinds.Lamb,
    }[name]
    made = kind(
        sample[f"{name}_learning_rate"],
        weight_decay=sample[f"{name}_weight_decay"],
        **({"momentum": 0.9, "nesterov": True} if name == "sgd" else {}),
    )
    # Kernels are matrices at least; scales, offsets and biases are vectors.
    spared = [variable for variable in model.trainable_variables if len(variable.shape) < 2]
    made.exclude_from_weight_decay(var_list=spared)
    return made


class WarmUpCosine(keras.callbacks.Callback):
    """Raises the learning rate in a line, then lowers it to zero along a cosine.

    A callback, since only `fit` knows the number of steps. Hyperband's later rounds go on where
    the earlier ones were. The peak is the learning rate that the model was compiled with; where
    that is a schedule already, this one does nothing.

    Args:
        warmup: Share of all steps until the peak is reached, in [0, 1).
    """

    def __init__(self, warmup: float) -> None:
        super().__init__()
        self.warmup = warmup
        self._peak: float | None = None
        self._epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        rate = self.model.optimizer.learning_rate
        try:
            self.model.optimizer.learning_rate = rate
            self._peak = float(rate)
        except TypeError:  # it is a schedule
            self._peak = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._peak is not None:
            self.model.optimizer.learning_rate = self._peak * self._share(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # A checkpoint of the network does not start its next training at 0.
        if self._peak is not None:
            self.model.optimizer.learning_rate = self._peak

    def _share(self, batch: int) -> float:
        """Of the peak."""
        # Of an iterator of unknown length Keras knows the steps after an epoch.
        steps = self.params.get("steps") or math.inf
        total = self.params["epochs"] * steps
        done = (
            self._epoch / self.params["epochs"]
            if total == math.inf
            else ((self._epoch * steps + batch + 1) / total)
        )
        if done < self.warmup:
            return done / self.warmup
        before = (done - self.warmup) / (1 - self.warmup)
        return (1 + math.cos(math.pi * before)) / 2
