"""`Checkpoint` and `resume`: a training that goes on where it was killed, at the same numbers."""

import dataclasses
import math
import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.files import tidy
from resnet_layers._support.signals import Deferred
from resnet_layers.training import checkpoint_names, history, networks, processes, states
from resnet_layers.training.checkpoint_files import (
    files,
    is_whole,
    keep_best,
    lock,
    read,
    unlock,
    write,
)
from resnet_layers.training.restoring import Skipping, remind, unfreeze
from resnet_layers.training.states import CheckpointError, NotWholeError, State, UnwrittenError


class Checkpoint(keras.callbacks.Callback):
    """Writes all that a training is, so that `resume` goes on at the step where it was.

    That is weights, statistics, seeds, the optimizer with its averages, metrics, history, and what
    other callbacks have noted: at the beginning, after each epoch, each `every` steps, and before
    a signal such as SIGTERM or Ctrl-C ends the process, in a thread of its own. It stands last
    among the callbacks of `fit`, whose batches must be a function of their number, as those of
    `Batches` are.

    Args:
        folder: Where the checkpoints are; made if it does not exist.
        every: Steps between two of them within an epoch, positive; `None` for none.
        keep: How many of the best epochs are kept besides the last checkpoint, at least 0; by
            the first of `val_accuracy`, `val_mean_average_precision`, `val_loss` and `loss`.
        callbacks: Those of `fit` that have something to remember, such as `EarlyStopping` and
            `Unfreeze`; `None` for none, or for all that `train` is given. Those with an attribute
            `remembers` that is false are left out.
        options: What the training was asked for, as JSON takes it, by other names than `every` and
            `keep`; `resume` gives it back.
        state: Where it goes on, as `resume` reads it; `None` for a new training.

    Attributes:
        epoch: Epochs that were over when training began or goes on.
        start: Steps that were done then, in all epochs.
        state: Where the training is, with the logs of the epochs that are over.

    Raises:
        CheckpointError: If the folder holds checkpoints, with which `resume` goes on.
        ValueError: If an argument is out of range.
        TypeError: If an argument has the wrong type.

    Example:

    >>> from resnet_layers import training
    >>> from resnet_layers.layers.preprocessing import for_squares
    >>> prepare = for_squares(image_size=8, mean=(127.5,) * 3, std=(64.0,) * 3)
    >>> batches = training.Batches(training.labelled.digits(), prepare, batch_size=64, seed=0)
    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> folder = getfixture("tmp_path") / "checkpoints"
    >>> checkpoint = training.Checkpoint(folder, every=10)  # or training.resume(folder)
    >>> _ = model.fit(
    ...     batches.dataset(checkpoint.start),
    ...     steps_per_epoch=len(batches),
    ...     initial_epoch=checkpoint.epoch,
    ...     epochs=1,
    ...     shuffle=False,
    ...     callbacks=[checkpoint],
    ...     verbose=0,
    ... )
    >>> training.resume(folder).epoch
    1
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int | None = None,
        keep: int = 1,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        options: Mapping[str, Any] | None = None,
        state: State | None = None,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.every = None if every is None else checks.integer("every", every)
        self.keep = checks.integer("keep", keep, minimum=0)
        self.callbacks = None if callbacks is None else list(callbacks)
        self.options = states.check_options(options or {})
        self.state = state or State()
        self.epoch, self.start = self.state.epoch, self.state.done
        self._resumes = state is not None
        self._skipping: Skipping | None = None
        self._is_described = False
        self._given: list[dict[str, Any]] | None = None  # attributes of callbacks at the beginning
        self._metrics: states.Tensors | None = None  # of training, while images are evaluated
        self._written: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._deferred = Deferred(self._is_fitting)
        if state is None and processes.is_first():
            self._check_empty()

    def _check_empty(self) -> None:
        if files(self.folder):
            raise CheckpointError(
                "`folder` must hold no checkpoints, with which `training.resume` goes on. "
                f"Received: folder='{self.folder}'"
            )

    @property
    def last(self) -> Path | None:
        """The newest file."""
        found = files(self.folder)
        return found[-1] if found else None

    def on_train_begin(self, logs: Any = None) -> None:
        self.describe(self.model)
        if processes.is_first():
            if not (self._resumes or self._has_begun()):
                self._check_empty()
            self.folder.mkdir(parents=True, exist_ok=True)
            lock(self.folder)
            tidy(self.folder)
        # Where there are several processes, JAX tells all of them of SIGTERM.
        self._deferred.begin(without=(signal.SIGTERM,) if processes.count() > 1 else ())
        if self._given is None:
            self._given = [states.attributes(one, "", {}) for one in self._remembering()]
        if self._resumes:
            unfreeze(self.callbacks or (), self.state)
            self._restore(self.state)
            if self.last is None and processes.is_first():  # it goes on in another folder
                self._written = self._pool.submit(self._write, dataclasses.replace(self.state))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        state, resumes, self._resumes = self.state, self._resumes, False
        self._check_place(epoch, resumes=resumes)
        if resumes and state.step:
            self._skipping = Skipping(self.model, state)
        state.tensors = {}  # which are large
        state.epoch, state.step, state.steps = epoch, 0, self.params["steps"] or 0
        if not resumes and self.last is None and self.model.built:
            self._save()
        if not resumes:
            self._stop()  # the first step may take a minute to compile

    def _check_place(self, epoch: int, *, resumes: bool) -> None:
        """Whether `fit` begins where the state is: after its epochs, with as many steps in each."""
        if not self._has_begun():
            return
        state, steps = self.state, self.params["steps"]
        asked = {"initial_epoch": (epoch, state.epoch)}
        if resumes and steps and state.steps:
            asked["steps_per_epoch"] = steps, state.steps
        for name, (given, kept) in asked.items():
            if given != kept:
                self.close()
                raise CheckpointError(
                    f"`{name}` must be {kept}, as in the checkpoint. Received: {name}={given}"
                )

    def _has_begun(self) -> bool:
        return bool(self.state.done or self.state.history)

    @property
    def is_used(self) -> bool:
        """Whether a training has begun with it, so that another one is not where it is."""
        return not self._resumes and self._has_begun()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._skipping is not None:
            if self._skipping.left:
                return
            # After all others have counted the last of these steps.
            remind(self._remembering(), self._skipping.state)
            self._skipping = None
        before, self.state.step = self.state.done, batch + 1
        self._stop()
        is_due = self.every and self.state.done // self.every > before // self.every
        if is_due and self.state.step < self.state.steps:
            if math.isfinite((logs or {}).get("loss", 0.0)):
                self._save()
        elif self._written is not None and self._written.done():
            self._wait()  # which says that a disk is full

    def on_test_begin(self, logs: Any = None) -> None:
        self._metrics = states.taken("metrics", self.model.metrics_variables)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._stop()

    def on_test_end(self, logs: Any = None) -> None:
        self._metrics = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        state = self.state
        state.history.append(history.row(logs or {}))
        state.epoch, state.step, state.stopped = epoch + 1, 0, bool(self.model.stop_training)
        if all(map(math.isfinite, state.history[-1].values())):
            self._save()

    def on_train_end(self, logs: Any = None) -> None:
        try:
            self._wait()
            if processes.is_first():  # a kill may have kept the last run from it
                keep_best(self.folder, self.state.history, self.keep)
        finally:
            self.close()
        self._deferred.act()

    def describe(self, model: Any) -> None:
        """Notes which network it is, once, which must compute as that of the checkpoint.

        Raises:
            CheckpointError: If it does not.
        """
        if self._is_described:
            return
        found = networks.described(model)
        if found is not None and self.state.network is not None:
            networks.check_equal(found, self.state.network)
        self.state.network, self._is_described = found, True

    def close(self) -> None:
        """Lets the folder and the signals go, also after an error in `fit`."""
        unlock(self.folder)
        self._deferred.end()

    def _is_fitting(self, frame: Any) -> bool:
        while frame is not None:
            if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is self.model:
                return True
            frame = frame.f_back
        return False

    def _stop(self) -> None:
        """Ends where a signal has come, or where JAX has told all processes of one."""
        if processes.stop_now():
            self._deferred.number = signal.SIGTERM
            self._end(together=True)
        elif self._deferred.number:
            self._end()

    def _end(self, *, together: bool = False) -> None:
        """Lets the signal act once a checkpoint is there, in all processes if it is theirs."""
        self._save()
        self._wait()
        self.close()
        if together:
            processes.leave()
        self._deferred.act()

    def _wait(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            try:
                written.result()
            except OSError as error:
                raise UnwrittenError(error.errno, error.strerror, str(self.folder)) from error

    def _save(self) -> None:
        """Copies what the next step changes, and writes it meanwhile; one process does."""
        self._wait()
        if not processes.is_first():
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # within an epoch Keras has the variables elsewhere
        tensors = {
            **states.taken("model", self.model.variables),
            **states.taken("optimizer", self._optimizer().variables),
        }
        if self.state.step:
            metrics = self._metrics
            tensors |= metrics or states.taken("metrics", self.model.metrics_variables)
        callbacks = []
        both = zip(self._remembering(), self._given or (), strict=True)
        for i, (one, given) in enumerate(both):
            found = states.attributes(one, f"callback{i}", tensors)
            noted = {name: found[name] for name in found if found[name] != given.get(name, found)}
            callbacks.append([type(one).__name__, noted])
        state = dataclasses.replace(
            self.state,
            history=list(self.state.history),
            tensors=tensors,
            callbacks=callbacks,
            options={**self.options, "every": self.every, "keep": self.keep},
        )
        self._written = self._pool.submit(self._write, state)

    def _write(self, state: State) -> None:
        floats = (
            np.asarray(tensor, "float32")
            for name, tensor in state.tensors.items()
            if name.startswith("model/") and tensor.dtype.kind in "fV"  # V is bfloat16
        )
        if not all(np.isfinite(tensor).all() for tensor in floats):
            return  # what is there is better
        write(self.folder / checkpoint_names.name(state.epoch, state.step), state)
        keep_best(self.folder, state.history, self.keep)

    def _remembering(self) -> list[keras.callbacks.Callback]:
        return [one for one in self.callbacks or () if getattr(one, "remembers", True)]

    def _optimizer(self) -> Any:
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        return optimizer

    def _restore(self, state: State) -> None:
        states.given("model", self.model.variables, state.tensors)
        states.given("optimizer", self._optimizer().variables, state.tensors)
        remind(self._remembering(), state)


def last_state(folder: Path) -> State:
    """What the last checkpoint in a folder holds.

    Raises:
        CheckpointError: As of `resume`.
    """
    found = files(folder)
    if not found:
        raise CheckpointError(f"There is no checkpoint in '{folder}'")
    try:
        return read(found[-1])
    except NotWholeError as error:
        whole = next(filter(is_whole, reversed(found[:-1])), None)
        before = f": remove what is newer than '{whole}' to go on from there" if whole else ""
        raise CheckpointError(f"{error}{before}") from None


def resume(
    folder: str | os.PathLike[str], callbacks: Sequence[keras.callbacks.Callback] | None = None
) -> Checkpoint:
    """The `Checkpoint` that goes on where the last one in a folder was written.

    Args:
        folder: That of `Checkpoint`.
        callbacks: Those of `fit`, as for `Checkpoint`; they get back what they had noted.

    Raises:
        CheckpointError: If there is none, if the last one is damaged, when the one before it is
            named, or if it was written with other versions.

    Example:

    >>> from resnet_layers import training
    >>> early = keras.callbacks.EarlyStopping(patience=3)
    >>> try:
    ...     checkpoint = training.resume("run", [early])
    ... except ValueError as error:
    ...     print(error)
    There is no checkpoint in 'run'
    """
    return going_on(Path(folder), last_state(Path(folder)), callbacks)


def going_on(
    folder: Path, state: State, callbacks: Sequence[keras.callbacks.Callback] | None
) -> Checkpoint:
    """The `Checkpoint` that goes on from a state, as that was asked for."""
    options = dict(state.options)
    every, keep = options.pop("every"), options.pop("keep")
    return Checkpoint(
        folder, every=every, keep=keep, callbacks=callbacks, options=options, state=state
    )
