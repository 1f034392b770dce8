"""`Fitting`: `fit` by a recipe, with images that grow, averages at the end, and late damage."""

import contextlib
import dataclasses
import functools
import itertools
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError, lacks_memory, printable
from resnet_layers.layers.head import last_activation
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.networks.model import ResNet
from resnet_layers.training import history
from resnet_layers.training.averages import recalibrate
from resnet_layers.training.batches import Batches
from resnet_layers.training.fine_tuning import layer_decay
from resnet_layers.training.headers import Header
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.labels import CategoricalAccuracy, MeanAveragePrecision
from resnet_layers.training.making import make_batches, make_loss, make_optimizer
from resnet_layers.training.pictures import quiet
from resnet_layers.training.recipes import RECIPES, Recipe
from resnet_layers.training.waiting import DataWait, Interruptible

COMPILED: dict[str, Any] = {"auto": "auto", "xla": True, "graph": False}  # Keras' `jit_compile`
_NONE = np.arange(0)
_MEASURED = 32  # batches that statistics of averaged weights are of, at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What `resnet_layers.training.train` is asked for.

    Args:
        model: The network, whose weights it changes: as many outputs as there are classes,
            logits or probabilities, in the dtype policy that training is to have. Parts that are
            frozen stay so, and `drop_path` is what it was made with.
        images: What it is trained on.
        prepare: Preprocessing of the network, of whole squares as `Batches` takes it.
        validation: Images to look at after each epoch; `None` for none.
        recipe: How it is trained.
        epochs: How often an image is seen, positive; `None` for those of the recipe.
        batch_size: Images for each step, positive; `None` for that of the recipe.
        learning_rate: The largest one, positive; `None` for the recipe's, which suits the batch.
        layer_decay: Factor of the rate from part to part, as of `layer_decay`; `None` for 1.
        seed: Of order, crops and augmentation, from 0 to 2⁶³ - 1.
        class_weight: As of `Batches`.
        headers: As of `Batches`.
        skip_damaged: As of `Batches`.
        compile: `"xla"`, `"graph"`, or `"auto"`, by which Keras chooses.
        callbacks: As of `keras.Model.fit`. It is called again where the size of images changes.
        verbose: As of `keras.Model.fit`.
        output: Folder for `model.keras`, `history.csv` and `curves.png`; `None` writes nothing.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of range.
    """

    model: ResNet
    images: Labelled
    prepare: Preprocessing
    validation: Labelled | None = None
    recipe: Recipe = RECIPES["photos"]
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    layer_decay: float | None = None
    seed: int = 0
    class_weight: Mapping[int, float] | None = None
    headers: Sequence[Header] | None = None
    skip_damaged: bool = False
    compile: str = "auto"
    callbacks: Sequence[keras.callbacks.Callback] = ()
    verbose: int = 0
    output: Path | None = None

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = {
            "model": ResNet,
            "images": Labelled,
            "prepare": Preprocessing,
            "validation": (Labelled, type(None)),
            "recipe": Recipe,
            "output": (Path, type(None)),
        }
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                words = kind[0].__name__ + ", or None" if isinstance(kind, tuple) else kind.__name__
                raise TypeError(
                    f"`{name}` must be a {words}. Received: {name}="
                    f"{reprlib.repr(getattr(self, name))}"
                )
        checks.seed(self.seed, 63)
        if self.layer_decay is not None:
            checks.share("layer_decay", self.layer_decay)
        for name, usual in (
            ("epochs", self.recipe.epochs),
            ("batch_size", self.recipe.batch_size),
        ):
            given = getattr(self, name)
            object.__setattr__(self, name, usual if given is None else checks.integer(name, given))
        rate = self.learning_rate
        if rate is None:
            rate = self.recipe.rate(self.batch_size or 0)
        object.__setattr__(self, "learning_rate", checks.positive("learning_rate", rate))
        checks.choice("compile", self.compile, tuple(COMPILED))


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
        self.table: list[history.Row] = []
        self.left_out: list[InputError] = []
        self.steps = 0
        self._now = self.size  # of the images of an epoch
        self.batches = functools.cache(self._batches)
        self._check()
        validation = settings.validation or settings.images.select(_NONE)
        skip = settings.skip_damaged
        self.validation = Batches(validation, settings.prepare, self.batch_size, skip_damaged=skip)
        self.total = self.epochs * len(self.batches(self.size))
        if settings.recipe.accumulate > self.total:
            raise InputError(
                f"`accumulate` must be at most the number of steps, {self.total}. Received: "
                f"accumulate={settings.recipe.accumulate}"
            )
        if settings.recipe.grow_from is not None and settings.recipe.grow_from >= self.size:
            raise InputError(
                f"`grow_from` must be less than the size of the images, {self.size}. Received: "
                f"grow_from={settings.recipe.grow_from}"
            )
        if settings.compile == "graph" and keras.backend.backend() != "tensorflow":
            raise InputError(
                "`compile` must be 'xla' or 'auto' on other backends than TensorFlow. Received: "
                f"compile='graph', on {keras.backend.backend()}"
            )

        precision, policy = settings.recipe.precision, self.model.compute_dtype
        if precision not in ("float32", policy):
            raise InputError(
                "`model` must compute in the precision of the recipe, as `with_dtype(model, "
                f"'mixed_{precision}')` does. Received: a model in {policy}"
            )

    def _check(self) -> None:
        """Whether the images, the network and the recipe fit each other."""
        settings, model, images = self.settings, self.model, self.settings.images
        validation = settings.validation or images
        if not 0 < settings.recipe.repeats <= len(images.labels):
            raise InputError(
                "`repeats` must be at most the number of images. Received: "
                f"repeats={settings.recipe.repeats}, {len(images.labels)} images"
            )
        if model.output_shape != (None, len(images.class_names)):
            raise InputError(
                f"`model` must have one output for each of {len(images.class_names)} classes. "
                f"Received: output_shape={model.output_shape}"
            )
        if [validation.class_names, validation.several] != [images.class_names, images.several]:
            raise InputError("`validation` must have the classes of `images`, in the same order")
        if images.several and last_activation(model) == "softmax":
            raise InputError(
                "`model` must end in logits or a sigmoid where images have several classes. "
                "Received: a softmax"
            )
        if settings.class_weight is not None and (
            images.several or not set(settings.class_weight) <= set(range(len(images.class_names)))
        ):
            raise InputError(
                "`class_weight` must have indices of classes of images that have one each. "
                f"Received: {reprlib.repr(settings.class_weight)}"
            )
        layout = getattr(model.stem, "layout", None)
        if layout is not None and layout.data_format != settings.prepare.data_format:
            raise InputError(
                f"`prepare` must make images with {layout.data_format}, as the network takes them. "
                f"Received: data_format={settings.prepare.data_format!r}"
            )

    def network(self) -> ResNet:
        """A copy of the network as it is now, not compiled.

        Where images have several classes it ends in a sigmoid, which tells it from the others; it
        is trained on logits, whose loss is exact where probabilities are rounded to 1.
        """
        network = self.model.replace()
        if not self.settings.images.several or last_activation(network) == "sigmoid":
            return network
        head: Any = network.head
        config = {**head.get_config(), "activation": "sigmoid"}
        network = network.replace(head=type(head).from_config(config))
        logistic: Any = network.head
        logistic.set_weights(head.get_weights())
        return network

    def run(self) -> None:
        """Compiles and trains the network; an epoch that is over is a row of the table.

        Raises:
            DamagedError: If an image cannot be decoded.
            InputError: If the loss is no longer a number, or if memory is too small for a step.
        """
        recipe = self.settings.recipe
        self._compile()
        sizes = [recipe.size_in(epoch, self.epochs, self.size) for epoch in range(self.epochs)]
        with quiet():
            for size, group in itertools.groupby(range(self.epochs), sizes.__getitem__):
                some, self._now = list(group), size
                training = self.batches(size)
                self._epochs(training, some[0], some[-1] + 1)
                self.left_out += training.left_out
                if self.model.stop_training:
                    break
            if not all(map(math.isfinite, self.table[-1].values())):
                raise InputError(
                    f"The loss is no longer a number in epoch {len(self.table)}: `learning_rate` "
                    f"must be smaller. Received: learning_rate={self.settings.learning_rate}"
                )
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
            headers=settings.headers,
            skip_damaged=settings.skip_damaged,
            class_weight=settings.class_weight,
        )

    def _compile(self) -> None:
        settings, several = self.settings, self.settings.images.several
        optimizer: Any = make_optimizer(settings.recipe, settings.learning_rate or 0.0, self.total)
        if settings.layer_decay is not None:
            optimizer = layer_decay(self.model, optimizer, settings.layer_decay)
        logits = last_activation(self.model) not in ("softmax", "sigmoid")
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
            recalibrate(self.model, (batch[0] for batch in some))

    def _epochs(self, training: Batches, first: int, last: int) -> None:
        counted = Interruptible()

        def add(epoch: int, logs: Any) -> None:
            self.table.append(history.row(logs))
            for batches in (training, self.validation):
                name = batches.lost()
                if name is not None:
                    raise DamagedError(
                        f"Too many images are damaged: none is left of '{printable(name)}'"
                    )

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
                    keras.callbacks.LambdaCallback(on_epoch_end=add),
                    *self.settings.callbacks,
                ],
                verbose=self.settings.verbose,
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
        size = f"{self._now}×{self._now} pixels"
        many = f"There was not enough memory for a step with {self.batch_size} images of {size}"
        if self.batch_size == 1:
            return f"{many}: smaller images or a smaller network take less"
        options = f"--batch-size {-(-self.batch_size // 2)}"
        if self.settings.layer_decay is None:
            options += f" --accumulate {2 * self.settings.recipe.accumulate}"
        return f"{many}: `{options}` takes about half of it for the same update"
