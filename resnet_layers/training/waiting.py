"""How long training waited for its data, where it begins and is, and whether it is to end."""

import signal
from time import monotonic
from typing import Any

import keras
import numpy as np

from resnet_layers._support import signals
from resnet_layers.training import processes


class Clock:
    """Measures how long whoever iterates over a dataset waits for its elements.

    Keras iterates within compiled steps on TensorFlow, where only the dataset can look at a clock.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        with tf.device("CPU"):
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    @property
    def seconds(self) -> float:
        """Waited so far."""
        return float(self._seconds.numpy())

    def around(self, dataset: Any) -> Any:
        """The same dataset, whose elements are waited for by this clock."""
        import tensorflow as tf

        def stopped(began: Any, element: Any) -> Any:
            self._seconds.assign_add(tf.timestamp() - began)
            return element

        # `zip` asks for the time first, then for the element.
        begun = tf.data.Dataset.range(np.iinfo(np.int64).max).map(lambda _: tf.timestamp())
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # which would wait by itself
        return tf.data.Dataset.zip((begun, dataset)).map(stopped).with_options(options)


class DataWait(keras.callbacks.Callback):
    """Writes `data_wait` into the logs of each epoch: the share of it that waited for data.

    That is the seconds that steps waited for their batch over the seconds from the first step's
    request to the last step's end; evaluation between epochs does not count. Where steps run
    behind the program that asks for them, as on a GPU, the share is an upper bound.

    Args:
        clock: What measures, such as `Batches.clock`.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._waited, self._began = self.clock.seconds, monotonic()
        self._ended = self._began

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ended = monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        took = self._ended - self._began
        if logs is not None and took > 0:
            logs["data_wait"] = min((self.clock.seconds - self._waited) / took, 1.0)


class Told(keras.callbacks.Callback):
    """A callback that is told where a training begins, before `fit` does."""

    remembers = False  # it is this run's

    def begins_at(self, epochs: int, steps: int, *, shared: bool = False) -> None:
        """So many epochs, and steps of the next one, were over before.

        Args:
            epochs: How many.
            steps: How many.
            shared: Whether it begins anew since another process goes on with it.
        """


class Interruptible(keras.callbacks.Callback):
    """Ends training after a step if a signal has asked for it that went lost.

    Args:
        asks: Whether it ends all processes where one has got SIGTERM, as `Checkpoint` does.

    Attributes:
        steps: How many are done.
        evaluates: Whether images for validation are being evaluated.
    """

    remembers = False

    def __init__(self, *, asks: bool = False) -> None:
        super().__init__()
        self.asks, self.steps, self.evaluates = asks, 0, False

    def on_test_begin(self, logs: Any = None) -> None:
        self.evaluates = True

    def on_test_end(self, logs: Any = None) -> None:
        self.evaluates = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self._check()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._check()

    def _check(self) -> None:
        signals.check()
        if self.asks and processes.stop_now():
            processes.leave()
            signal.raise_signal(signal.SIGTERM)
