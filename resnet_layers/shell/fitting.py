"""`fit` as `train` calls it: sizes that grow, averages at the end, and images that fail late."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from resnet_layers._support.errors import lacks_memory
from resnet_layers.networks.model import ResNet
from resnet_layers.shell import history, images, progress
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training.averages import recalibrate
from resnet_layers.training.batches import Batches
from resnet_layers.training.pictures import quiet
from resnet_layers.training.waiting import DataWait

_MEASURED = 32  # batches that statistics of averaged weights are of, at most


@dataclasses.dataclass
class Fitting:
    """A training, and what it has come to.

    Args:
        settings: What is asked for.
        model: The network, compiled.
        batches: The training images by their height and width.
        validation: Images to look at after each epoch; none of length 0.
        size: Height and width of the images at the end.
    """

    settings: TrainSettings
    model: ResNet
    batches: Callable[[int], Batches]
    validation: Batches
    size: int
    table: list[history.Row] = dataclasses.field(default_factory=list)
    left_out: list[InputError] = dataclasses.field(default_factory=list)
    steps: int = 0
    now: int = 0  # size of the images of the epoch

    def run(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains; an epoch that is over is a row of the table.

        Raises:
            DamagedError: If an image cannot be decoded.
            InputError: If the loss is no longer a number.
        """
        recipe, epochs = self.settings.chosen, self.settings.epochs
        sizes = [recipe.size_in(epoch, epochs, self.size) for epoch in range(epochs)]
        with quiet():
            for size, group in itertools.groupby(range(epochs), sizes.__getitem__):
                some, self.now = list(group), size
                training = self.batches(size)
                self._epochs(training, some[0], some[-1] + 1, callbacks)
                self.left_out += training.left_out
                if self.model.stop_training:
                    break
            if not all(map(math.isfinite, self.table[-1].values())):
                raise InputError(
                    f"The loss is no longer a number in epoch {len(self.table)}: `learning_rate` "
                    "must be smaller. Received: "
                    f"learning_rate={self.settings.learning_rate}"
                )
            if recipe.ema is not None:
                self._recalibrate(training, epochs * len(training))
        self.left_out += self.validation.left_out

    def _recalibrate(self, training: Batches, start: int) -> None:
        """For averaged weights, by batches that would come next."""
        some = training.dataset(start).take(min(_MEASURED, len(training)))
        with self._named(lambda: training.damaged(start)):
            recalibrate(self.model, (batch[0] for batch in some))

    def _epochs(
        self,
        training: Batches,
        first: int,
        last: int,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        verbose = images.verbosity()
        counted = progress.Interruptible()

        def add(epoch: int, logs: Any) -> None:
            self.table.append(history.row(logs))
            for batches in (training, self.validation):
                name = batches.lost()
                if name is not None:
                    raise DamagedError(
                        f"Too many images are damaged: none is left of '{printable(name)}'"
                    )

        rows = keras.callbacks.LambdaCallback(on_epoch_end=add)
        start = first * len(training)

        def damaged() -> Iterator[InputError]:
            self.steps = start + counted.steps
            if counted.evaluates:
                return self.validation.damaged()
            return training.damaged(self.steps, 2)  # what failed is what comes next

        with self._named(damaged):
            self.model.fit(
                training.dataset(start),
                steps_per_epoch=len(training),
                initial_epoch=first,
                epochs=last,
                shuffle=False,  # the batches do it, from the seed
                validation_data=self.validation.dataset() if len(self.validation) else None,
                callbacks=[
                    keras.callbacks.TerminateOnNaN(),
                    DataWait(training.clock),
                    counted,
                    *callbacks,
                    rows,
                    *([progress.Lines(total=self.settings.epochs)] if verbose == 2 else []),
                ],
                verbose=int(verbose == 1),
            )

    @contextlib.contextmanager
    def _named(self, damaged: Callable[[], Iterator[InputError]]) -> Iterator[None]:
        """Names the image that a step failed at, if that is what it failed at."""
        try:
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

    def _too_large(self) -> str:
        """What is said of a step that memory is too small for."""
        settings = self.settings
        size = self.now
        many = f"There was not enough memory for a step with {settings.batch_size} images of "
        if settings.batch_size == 1:
            return f"{many}{size}×{size} pixels: smaller images or a smaller network take less"
        smaller = -(-settings.batch_size // 2)
        options = f"--batch-size {smaller}"
        if settings.layer_decay is None:
            options += f" --accumulate {2 * settings.chosen.accumulate}"
        return f"{many}{size}×{size} pixels: `{options}` takes about half of it for the same update"


class DamagedError(InputError):
    """An image cannot be decoded, and training has begun."""
