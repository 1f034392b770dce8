"""Learning rates: a line up, then a cosine, a line or steps down."""

import math
from typing import Any

import keras

from resnet_layers._support import checks


def warm_up_cosine(learning_rate: float, steps: int, warmup: float = 0.1) -> Any:
    """A line from a tenth of the rate up, then a cosine to 0, for a known number of steps.

    Args:
        learning_rate: The largest one, positive.
        steps: How many there are, positive.
        warmup: Share of them that rises, in [0, 1).
    """
    _check(learning_rate, steps, warmup)
    rising = max(1, int(steps * warmup)) if warmup else 0
    if not rising:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        max(1, steps - rising),
        warmup_target=learning_rate,
        warmup_steps=rising,
    )


def warm_up_linear(learning_rate: float, steps: int, warmup: float = 0.1) -> Any:
    """A line up, then a line down to 0; arguments as of `warm_up_cosine`."""
    _check(learning_rate, steps, warmup)
    rising = int(steps * warmup)
    falling = keras.optimizers.schedules.PolynomialDecay(
        learning_rate, max(1, steps - rising), end_learning_rate=0.0
    )
    return WarmUp(falling, learning_rate, rising)


def warm_up_steps(learning_rate: float, steps: int, warmup: float = 0.0) -> Any:
    """A line up, then a tenth after half of all steps, and a hundredth after three quarters."""
    _check(learning_rate, steps, warmup)
    rising = int(steps * warmup)
    ends = [max(1, int(steps * share) - rising) for share in (0.5, 0.75)]
    rates = [learning_rate / 10**i for i in range(3)]
    falling = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
    return WarmUp(falling, learning_rate, rising)


def _check(learning_rate: float, steps: int, warmup: float) -> None:
    checks.positive("learning_rate", learning_rate)
    checks.integer("steps", steps)
    checks.fraction("warmup", warmup)


SCHEDULES = {"cosine": warm_up_cosine, "linear": warm_up_linear, "steps": warm_up_steps}


@keras.saving.register_keras_serializable(package="resnet_layers")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A line from 0 to a rate, and then another schedule from its begin on.

    Args:
        schedule: That schedule, or its config.
        learning_rate: The rate at the end of the line, positive.
        steps: How long the line is, at least 0.
    """

    def __init__(self, schedule: Any, learning_rate: float, steps: int) -> None:
        super().__init__()
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        self.schedule = schedule
        self.learning_rate = checks.positive("learning_rate", learning_rate)
        self.steps = checks.integer("steps", steps, minimum=0)

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        after = self.schedule(keras.ops.maximum(step - self.steps, 0.0))
        if not self.steps:
            return after
        rising = self.learning_rate * (step + 1.0) / self.steps
        return keras.ops.where(step < self.steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "learning_rate": self.learning_rate,
            "steps": self.steps,
        }


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


@keras.saving.register_keras_serializable(package="resnet_layers")
class Stretched(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, whose rest takes another number of steps from one of them on.

    Args:
        schedule: That schedule, or its config.
        begin: The step from which on the rest is stretched, at least 0.
        steps: Steps of the schedule in all, more than `begin`.
        total: Steps in all that there are now, more than `begin`.
    """

    def __init__(self, schedule: Any, begin: int, steps: int, total: int) -> None:
        super().__init__()
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        self.schedule = schedule
        self.begin = checks.integer("begin", begin, minimum=0)
        self.steps = checks.integer("steps", steps, minimum=begin + 1)
        self.total = checks.integer("total", total, minimum=begin + 1)

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        share = (self.steps - self.begin) / (self.total - self.begin)
        after = self.begin + (step - self.begin) * share
        return self.schedule(keras.ops.where(step < self.begin, step, after))

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "begin": self.begin,
            "steps": self.steps,
            "total": self.total,
        }


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
        self.warmup = checks.fraction("warmup", warmup)
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
