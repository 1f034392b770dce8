"""Learning rates: a line up, then a cosine down to zero."""

import math
from typing import Any

import keras

from resnet_layers._support import checks


def warm_up_cosine(learning_rate: float, steps: int) -> Any:
    """The schedule of `train`, for a known number of steps; a tenth of them warms up.

    Args:
        learning_rate: The largest one, positive.
        steps: How many there are, positive.
    """
    warmup = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        max(1, steps - warmup),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )


@keras.saving.register_keras_serializable(package="resnet_layers")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, times a factor.

    Args:
        schedule: That schedule, or its config.
        factor: What its rates are multiplied by, positive.
    """

    def __init__(self, schedule: Any, factor: float) -> None:
        super().__init__()
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        self.schedule, self.factor = schedule, checks.positive("factor", factor)

    def __call__(self, step: Any) -> Any:
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        config = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": config, "factor": self.factor}


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
