"""How a sample is trained: loss, metrics, optimizer and schedule."""

import math
from typing import Any

import keras

from resnet_layers.labels import CategoricalAccuracy, CategoricalCrossentropy
from resnet_layers.tuning.space import Sample


def loss(classes: int, multi_label: bool, from_logits: bool, label_smoothing: float) -> Any:
    """The loss that fits the labels."""
    several = classes > 1 and not multi_label
    kind = CategoricalCrossentropy if several else keras.losses.BinaryCrossentropy
    return kind(from_logits=from_logits, label_smoothing=label_smoothing)


def metrics(classes: int, multi_label: bool, from_logits: bool) -> list[Any]:
    """The metrics that fit the labels; the first is called `accuracy` always."""
    if classes > 1 and not multi_label:
        return [CategoricalAccuracy(name="accuracy")]
    # Above 0, a logit is a probability above a half.
    threshold = 0.0 if from_logits else 0.5
    each = {"multi_label": True, "num_labels": classes} if classes > 1 else {}
    return [
        keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold),
        keras.metrics.AUC(name="auc", from_logits=from_logits, **each),
    ]


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
    made.build(model.trainable_variables)  # or Keras would skip its state in checkpoints
    return made


class WarmUpCosine(keras.callbacks.Callback):
    """Raises the learning rate in a line, then lowers it to zero along a cosine.

    A callback, since only `fit` knows the number of steps. Hyperband's later rounds go on where
    the earlier ones were.

    Args:
        peak: The largest learning rate.
        warmup: Share of all steps until it is reached, in [0, 1).
    """

    def __init__(self, peak: float, warmup: float) -> None:
        super().__init__()
        self.peak, self.warmup = peak, warmup
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.peak * self._share(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # A checkpoint of the network does not start its next training at 0.
        self.model.optimizer.learning_rate = self.peak

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
