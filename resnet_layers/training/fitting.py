"""`Fitting`: `fit` by a recipe, with images that grow, averages at the end, and late damage."""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from resnet_layers._support.errors import InputError, lacks_memory, printable
from resnet_layers.layers.head import gives_logits
from resnet_layers.networks.model import ResNet
from resnet_layers.training import devices, history, networks, processes
from resnet_layers.training.averages import recalibrate
from resnet_layers.training.batches import Batches
from resnet_layers.training.fine_tuning import layer_decay
from resnet_layers.training.forgetting import gradients_forgotten
from resnet_layers.training.labels import CategoricalAccuracy, MeanAveragePrecision
from resnet_layers.training.making import make_batches, make_loss, make_optimizer
from resnet_layers.training.pictures import quiet
from resnet_layers.training.settings import COMPILED, Settings, check_fit
from resnet_layers.training.states import State, check_same
from resnet_layers.training.waiting import DataWait, Interruptible, Told

_NONE = np.arange(0)
_MEASURED = 32  # batches that statistics of averaged weights are of, at most


class DamagedError(InputError):
    """An image cannot be decoded, and training has begun."""


class Fitting:
    """A training, and what it has come to.

    Args:
        settings: What is asked for.

    Attributes:
        table: A row for each epoch that is over.
        left_out: What was wrong with images that were left out.
        steps: How many were made when an image could not be decoded.

    Raises:
        InputError: If the settings do not fit each other or the backend.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.model = settings, settings.model
        size: Any = settings.prepare.image_size
        self.size: int = size
        self.epochs, self.batch_size = settings.epochs or 0, settings.batch_size or 0
        self.checkpoint = settings.checkpoint
        state = self.checkpoint.state if self.checkpoint else State()
        self.table: list[history.Row] = list(state.history)
        if self.checkpoint and self.checkpoint.callbacks is None:
            self.checkpoint.callbacks = list(settings.callbacks)
        self.first = self.epochs if state.stopped else state.epoch
        self.left_out: list[InputError] = []
        self.steps = 0
        self._now = self.size  # of the images of an epoch
        self.batches = functools.cache(self._batches)
        check_fit(settings)
        if self.checkpoint and self.checkpoint.is_used:
            raise InputError(
                "`checkpoint` must be new, or what `training.resume` has returned. Received: one "
                "that another training has used"
            )
        if self.checkpoint:
            self.checkpoint.describe(self.model)  # before statistics are synchronized
        validation = settings.validation or settings.images.select(_NONE)
        skip = settings.skip_damaged
        self.multiple = settings.multiple or 1
        self.part = (processes.index(), processes.count())
        self.validation = Batches(
            validation,
            settings.prepare,
            self.batch_size,
            multiple=self.multiple,
            part=self.part,
            skip_damaged=skip,
        )
        self.total = self.epochs * len(self.batches(self.size))
        with processes.named():
            processes.check_same(self._asked())
        self._planned = self._steps()
        if settings.recipe.accumulate > self.total:
            raise InputError(
                f"`accumulate` must be at most the number of steps, {self.total}. Received: "
                f"accumulate={settings.recipe.accumulate}"
            )

    def network(self) -> ResNet:
        """The network as it is now."""
        return networks.written(self.model, several=self.settings.images.several)

    def run(self) -> None:
        """Compiles and trains the network; an epoch that is over is a row of the table.

        Raises:
            DamagedError: If an image cannot be decoded.
            InputError: If the loss is no longer a number, or if memory is too small for a step.
        """
        recipe = self.settings.recipe
        self._compile()
        state = self.checkpoint.state if self.checkpoint else State()
        for one in self.settings.callbacks:
            if isinstance(one, Told):
                one.begins_at(state.epoch, state.step)
        sizes = [recipe.size_in(epoch, self.epochs, self.size) for epoch in range(self.epochs)]
        left = range(self.first, self.epochs)
        groups = [list(group) for _, group in itertools.groupby(left, sizes.__getitem__)]
        with quiet(), devices.synchronized(self.model), gradients_forgotten(self.model):
            # Where nothing is left, `fit` still ends what it does at the end.
            for some in groups or [[]]:
                self._now = sizes[some[0] if some else -1]
                training = self.batches(self._now)
                first = some[0] if some else self.epochs
                self._epochs(training, first, first + len(some))
                self.left_out += training.left_out
                if self.model.stop_training:
                    break
            if not all(map(math.isfinite, self.table[-1].values())):
                raise InputError(self._diverged())
            if recipe.ema is not None:
                self._recalibrate(training, self.total)
        self.left_out += self.validation.left_out

    def _batches(self, size: int) -> Batches:
        """Those of training, of images of a height and width."""
        settings = self.settings
        return make_batches(
            settings.recipe,
            settings.images,
            settings.prepare,
            self.batch_size,
            seed=settings.seed,
            size=size,
            multiple=self.multiple,
            part=self.part,
            headers=settings.headers,
            skip_damaged=settings.skip_damaged,
            class_weight=settings.class_weight,
        )

    def _compile(self) -> None:
        settings, several = self.settings, self.settings.images.several
        rate = settings.learning_rate or 0.0
        optimizer: Any = make_optimizer(settings.recipe, rate, *self._planned)
        if settings.layer_decay is not None:
            optimizer = layer_decay(self.model, optimizer, settings.layer_decay)
        logits = gives_logits(self.model)
        metric: keras.Metric = CategoricalAccuracy(name="accuracy")
        if several:
            metric = MeanAveragePrecision(len(settings.images.class_names), from_logits=logits)
        self.model.compile(
            optimizer,
            make_loss(settings.recipe, logits, several=several),
            weighted_metrics=[metric],
            jit_compile=COMPILED[settings.compile],
        )

    def _recalibrate(self, training: Batches, start: int) -> None:
        """For averaged weights, by batches that would come next."""
        some = training.dataset(start).take(min(_MEASURED, len(training)))
        with self._named(lambda: training.damaged(start)):
            recalibrate(self.model, (processes.spread(batch[0]) for batch in some))

    def _epochs(self, training: Batches, first: int, last: int) -> None:
        self._counted = counted = Interruptible(asks=self.checkpoint is None)

        def add(epoch: int, logs: Any) -> None:
            self.table.append(history.row(logs))
            for batches in (training, self.validation):
                batches.tell_all()
                name = batches.lost()
                if name is not None:
                    raise DamagedError(
                        f"Too many images are damaged: none is left of '{printable(name)}'"
                    )

        start = first * len(training)
        begin = start
        if self.checkpoint and first == self.checkpoint.epoch:
            begin = self.checkpoint.start

        def damaged() -> Iterator[InputError]:
            self.steps = start + counted.steps
            if counted.evaluates:
                return self.validation.damaged()
            return training.damaged(self.steps, 2)  # what failed is what comes next

        with self._named(damaged), self._closed():
            self.model.fit(
                training.dataset(begin),
                steps_per_epoch=len(training),
                initial_epoch=first,
                epochs=last,
                shuffle=False,  # the batches do it, from the seed
                validation_data=self.validation.dataset() if len(self.validation) else None,
                callbacks=[
                    keras.callbacks.TerminateOnNaN(),
                    DataWait(training.clock),
                    counted,
                    keras.callbacks.LambdaCallback(on_epoch_end=add),
                    *self.settings.callbacks,
                    *([self.checkpoint] if self.checkpoint else []),
                ],
                verbose=self.settings.verbose,
            )

    @contextlib.contextmanager
    def _closed(self) -> Iterator[None]:
        """Lets the checkpoints' folder go, whatever happens."""
        try:
            yield
        finally:
            if self.checkpoint:
                self.checkpoint.close()

    @contextlib.contextmanager
    def _named(self, damaged: Callable[[], Iterator[InputError]]) -> Iterator[None]:
        """Names the image that a step failed at, if that is what it failed at."""
        try:
            with processes.named():
                yield
        except Exception as error:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # within an epoch Keras has the weights elsewhere
            if isinstance(error, DamagedError):
                raise
            if lacks_memory(error):
                raise InputError(self._too_large()) from error
            first = next(damaged(), None)
            if first is None:
                raise
            raise DamagedError(str(first)) from error

    def _asked(self) -> dict[str, Any]:
        """What decides the numbers of a training, for a checkpoint."""
        settings = self.settings
        names = (
            *("epochs", "batch_size", "learning_rate", "layer_decay", "multiple", "seed"),
            "skip_damaged",
        )
        return {
            **dataclasses.asdict(settings.recipe),
            **{name: getattr(settings, name) for name in names},  # in the place of the recipe's
            "compile": settings.compile,
            "class_weight": settings.class_weight and sorted(settings.class_weight.items()),
            "images": settings.images.digest(),
            "validation": self.validation.images.digest(),
            # Last: the first difference is told, and what follows from others is no news.
            "prepare": settings.prepare.get_config(),
        }

    def _steps(self) -> tuple[int, list[tuple[int, int]]]:
        """How many there were at first, and from which on there were others in all."""
        checkpoint, asked = self.checkpoint, self._asked()
        if checkpoint is None:
            return self.total, []
        begun: dict[str, Any] = checkpoint.options.setdefault(
            "training",
            {
                **asked,
                "steps": self.total,
                "stretched": [],
                "several": self.settings.images.several,
            },
        )
        ours = {name: value for name, value in asked.items() if name != "epochs"}
        check_same("settings", ours, {name: begun.get(name) for name in ours})
        if asked["epochs"] != begun["epochs"]:
            over = checkpoint.state.stopped or checkpoint.epoch >= begun["epochs"]
            if over or self.epochs <= checkpoint.epoch:
                raise InputError(
                    "`epochs` must stay as they are where training is over, and be more than are "
                    f"over elsewhere. Received: epochs={self.epochs}, after {checkpoint.epoch} of "
                    f"{begun['epochs']}"
                )
            begun["stretched"].append([checkpoint.start, self.total])
            begun["epochs"] = self.epochs
        return begun["steps"], [(begin, total) for begin, total in begun["stretched"]]

    def _diverged(self) -> str:
        """What is said of a loss that is no number."""
        step = (self._counted.steps - 1) % len(self.batches(self._now)) + 1
        last = self.checkpoint and self.checkpoint.last
        there = (
            f"; the last good checkpoint is '{printable(last)}', with which `--from` begins"
            if last
            else ""
        )
        return (
            f"The loss is no longer a number in epoch {len(self.table)}, step {step}: "
            "`learning_rate` must be smaller. Received: "
            f"learning_rate={self.settings.learning_rate}{there}"
        )

    def _too_large(self) -> str:
        """What is said of a step that memory is too small for."""
        return (
            f"There was not enough memory for a step with {self.batch_size} images of "
            f"{self._now}×{self._now} pixels: {self.takes_less()}"
        )

    def takes_less(self) -> str:
        """With what a step takes less memory."""
        if self.batch_size == self.multiple:
            more = "more devices, " if self.multiple > 1 else ""
            return f"{more}smaller images or a smaller network take less"
        half = -(-self.batch_size // (2 * self.multiple)) * self.multiple
        options = f"--batch-size {half}"
        if (
            keras.backend.backend() == "tensorflow" and devices.count() > 1
        ):  # which cannot accumulate
            return f"`{options}` takes about half of it"
        if self.settings.layer_decay is None:
            options += f" --accumulate {2 * self.settings.recipe.accumulate}"
        return f"`{options}` takes about half of it for the same update"
