"""The runs of one network of the study: trained with each seed, and measured."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support.files import discard, replacing
from resnet_layers.analysis.studies import measures
from resnet_layers.analysis.studies.contenders import Contender
from resnet_layers.analysis.studies.results import has_diverged
from resnet_layers.analysis.studies.settings import Degradation, write
from resnet_layers.networks.model import ResNet
from resnet_layers.training.batches import Batches
from resnet_layers.training.checkpoint_files import files, lock, unlock
from resnet_layers.training.checkpoints import Checkpoint, resume
from resnet_layers.training.forgetting import gradients_forgotten
from resnet_layers.training.labels import CategoricalAccuracy
from resnet_layers.training.making import make_batches, make_loss, make_optimizer
from resnet_layers.training.states import CheckpointError, given, taken

_LOOKED_AT = 1024  # test images with which blocks are left out, at most
_PIXELS = 2**16  # of the images whose errors are computed at a time, unless a batch has more
_DIGITS = 4  # of what is written


class Gradients(keras.callbacks.Callback):
    """Notes the gradient by the weights of each block, before some epochs and at the end.

    Args:
        images: One batch.
        labels: Its classes.
        epochs: Which, counted from 0; one more than there are for the end.
    """

    def __init__(self, images: Any, labels: Any, epochs: tuple[int, ...]) -> None:
        super().__init__()
        self.noted: dict[str, list[float]] = {}
        self._batch, self._epochs = (images, labels), epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch in self._epochs and str(epoch) not in self.noted:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # within `fit` Keras has the weights elsewhere
            self.noted[str(epoch)] = measures.gradient_norms(self.model, *self._batch)


def train_all(settings: Degradation, contender: Contender, tell: Callable[[str], None]) -> None:
    """Trains a network with each seed that is left, unless another process does.

    Args:
        settings: As of `degradation`.
        contender: Which network.
        tell: As of `degradation`.
    """
    folder = settings.output / "runs" / contender.name
    left = [s for s in range(settings.seeds) if not settings.run_file(contender, s).exists()]
    if not left:
        return
    folder.mkdir(exist_ok=True)
    try:
        lock(folder)
    except CheckpointError:
        return
    try:
        runs = _Runs(settings, contender)
        # Here, since another process may have done some before the lock.
        for seed in left:
            if not settings.run_file(contender, seed).exists():
                tell(runs.run(seed, folder / f"seed{seed}"))
    finally:
        unlock(folder)
    if all(settings.run_file(contender, seed).exists() for seed in range(settings.seeds)):
        discard(folder)


class _Runs:
    """A network that is compiled once, and trained with one seed after the other."""

    def __init__(self, settings: Degradation, contender: Contender) -> None:
        self.settings, self.contender = settings, contender
        self.model = self._network(0)
        recipe, steps = settings.recipe, len(self._batches(0)) * settings.epochs
        self.model.compile(
            make_optimizer(recipe, settings.learning_rate or 0.0, steps),
            make_loss(recipe, from_logits=True),
            weighted_metrics=[CategoricalAccuracy(name="accuracy")],
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.fresh = taken("optimizer", self.model.optimizer.variables)
        size: Any = settings.prepare.image_size
        many = max(settings.batch_size, _PIXELS // size**2)  # without XLA calls take long
        self.training, self.test = (  # once, since small ones are kept decoded
            Batches(images, settings.prepare, many).dataset()
            for images in (settings.images, settings.test)
        )
        chosen = np.random.RandomState(0).permutation(len(settings.images.labels))
        self.batch = self._arrays(settings.images, chosen[: settings.batch_size])
        chosen = np.random.RandomState(0).permutation(len(settings.test.labels))
        self.looked_at = self._arrays(settings.test, chosen[:_LOOKED_AT])

    def run(self, seed: int, folder: Path) -> str:
        """Trains with a seed, or goes on, measures, writes, and says what came of it."""
        settings, model, began = self.settings, self.model, time.monotonic()
        model.set_weights(self._network(seed).get_weights())
        given("optimizer", model.optimizer.variables, self.fresh)
        half, end = settings.epochs // 2, settings.epochs
        gradients = Gradients(*self.batch, tuple(sorted({0, 1, half, end})))
        checkpoint = self._checkpoint(folder, gradients)
        with gradients_forgotten(model):
            self._fit(seed, checkpoint, gradients)
        gradients.on_epoch_begin(end)
        found = self._measured(seed, checkpoint.state.history, gradients.noted)
        with replacing(settings.run_file(self.contender, seed)) as (new,):
            write(new, {**found, "study": settings.digest})
        discard(folder)
        errors = (
            "diverged"
            if has_diverged(found)
            else f"training error {found['train_error']:.1%}, test error {found['test_error']:.1%}"
        )
        seconds = time.monotonic() - began
        return f"{self.contender.name}, seed {seed}: {errors}; {seconds:.0f} s"

    def _checkpoint(self, folder: Path, gradients: Gradients) -> Checkpoint:
        """Where a run goes on; at its beginning where what is there is damaged or of another."""
        options = {"study": self.settings.digest}
        if files(folder):
            with contextlib.suppress(CheckpointError):
                found = resume(folder, [gradients])
                if options["study"] == found.options.get("study"):
                    return found
        for path in files(folder):
            path.unlink()
        return Checkpoint(folder, keep=0, callbacks=[gradients], options=options)

    def _fit(self, seed: int, checkpoint: Checkpoint, gradients: Gradients) -> None:
        batches = self._batches(seed)
        try:
            self.model.fit(
                batches.dataset(checkpoint.start),
                steps_per_epoch=len(batches),
                initial_epoch=checkpoint.epoch,
                epochs=self.settings.epochs,
                shuffle=False,  # the batches do it, from the seed
                callbacks=[gradients, checkpoint],
                verbose=0,
            )
        finally:
            checkpoint.close()

    def _measured(
        self, seed: int, history: list[dict[str, float]], gradients: dict[str, list[float]]
    ) -> dict[str, Any]:
        model = self.model
        residuals, shortcuts = measures.branches(model, self.looked_at[0])
        found = {
            "network": self.contender.name,
            "depth": self.contender.depth,
            "shortcut": self.contender.shortcut,
            "seed": seed,
            "steps": len(self._batches(seed)),
            "loss": [row["loss"] for row in history],
            # Of a loss that is no number the accuracy is that of the first class.
            "error": [1 - row["accuracy"] + 0 * row["loss"] for row in history],
            "gradients": gradients,
            "train_error": measures.error(model, self.training),
            "test_error": measures.error(model, self.test),
            "residuals": residuals,
            "shortcuts": shortcuts,
            "left_out": measures.left_out(model, *self.looked_at),
        }
        return {name: _rounded(value) for name, value in found.items()}

    def _network(self, seed: int) -> ResNet:
        keras.utils.set_random_seed(seed)
        return self.contender.network(len(self.settings.images.class_names))

    def _batches(self, seed: int) -> Batches:
        settings = self.settings
        prepare, size = settings.prepare, settings.batch_size
        return make_batches(settings.recipe, settings.images, prepare, size, seed=seed)

    def _arrays(self, images: Any, chosen: Any) -> tuple[Any, Any]:
        batches = Batches(images.select(np.sort(chosen)), self.settings.prepare, len(chosen))
        pixels, labels = batches.batch(0, 0)
        return keras.ops.convert_to_tensor(pixels.numpy()), labels.numpy()


def _rounded(value: Any) -> Any:
    """Numbers as they are written; `None` for one that is not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
