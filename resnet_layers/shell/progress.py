# ruff: noqa: T201 (telling is what it is for)
"""How far a command is, in lines every few seconds, and whether it was asked to end."""

from time import monotonic
from typing import Any

import keras

from resnet_layers._support import signals
from resnet_layers.training.waiting import Told

EVERY = 5.0  # seconds


class Lines(Told):
    """Says where training is after each epoch, and every few seconds within one.

    Args:
        prefix: What each line begins with.
        epochs: Whether each epoch has a line; otherwise those that come seconds after the last.
        total: Number of epochs, if `fit` is called for some of them at a time.
    """

    def __init__(self, prefix: str = "", epochs: bool = True, total: int | None = None) -> None:
        super().__init__()
        self._prefix, self._epochs, self._given = prefix, epochs, total
        self._done = (0, 0)  # epochs, and steps of the next one, of other processes

    def begins_at(self, epochs: int, steps: int, *, shared: bool = False) -> None:
        self._done = (epochs, steps)

    def on_train_begin(self, logs: Any = None) -> None:
        self._total: int = self._given or self.params["epochs"]
        self._said = monotonic()
        # When the first step was over, which compiles, and how many epochs were done by then.
        self._began: tuple[float, float] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self._epoch, batch) < self._done:  # `fit` only counts it
            return
        steps, now = self.params["steps"], monotonic()
        done = self._epoch + (batch + 1) / steps
        if self._began is None:
            self._began = (now, done)
        elif now - self._said >= EVERY:
            where = f"Epoch {self._epoch + 1}/{self._total}, step {batch + 1} of {steps}"
            self._say(where, logs, now, done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = monotonic()
        if self._epochs or now - self._said >= EVERY:
            self._say(f"Epoch {epoch + 1}/{self._total}", logs, now, epoch + 1)

    def _say(self, where: str, logs: Any, now: float, done: float) -> None:
        """`done` is in epochs."""
        self._said = now
        told = [
            _shown(name.replace("val_", "validation "), value)
            for name, value in sorted((logs or {}).items(), key=_order)
        ]
        began, before = self._began or (now, done)
        if done > before:
            left = self._total - done
            told.append(remaining(now - began, done - before, done - before + left))
        print(f"{self._prefix}{where}: {', '.join(told)}", flush=True)


class Count:
    """Says how many images are done.

    Args:
        total: How many there are.
        verbose: As of `keras.Model.fit`: 0 for silence, 1 for a bar, 2 for lines.
        done: What is done with them.
    """

    def __init__(self, total: int, verbose: int, done: str = "read") -> None:
        self._total, self._lines, self._what = total, verbose == 2, done
        self._bar = keras.utils.Progbar(total, verbose=int(verbose == 1), unit_name="image")
        self._began = self._said = monotonic()
        self._done = 0

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        signals.check()
        self._done += count
        self._bar.add(count)
        now = monotonic()
        if self._lines and now - self._said >= EVERY:
            self._said = now
            left = remaining(now - self._began, self._done, self._total)
            print(f"{self._done} of {self._total} images are {self._what}; {left}", flush=True)


def remaining(seconds: float, done: float, total: float) -> str:
    """How long the rest takes at the speed so far."""
    left = seconds / done * (total - done)
    if left < 90:
        return f"{left:.0f} s left"
    minutes = left / 60
    return f"{minutes:.0f} min left" if minutes < 90 else f"{minutes / 60:.1f} h left"


def _order(log: tuple[str, float]) -> tuple[bool, bool, bool]:
    """Loss before accuracy, training before validation."""
    name, _ = log
    return name == "data_wait", name.startswith("val_"), "loss" not in name


def _shown(name: str, value: float) -> str:
    share = name.endswith(("accuracy", "precision")) or name == "data_wait"
    return f"{name} {value:.2%}" if share else f"{name} {value:.4f}"
