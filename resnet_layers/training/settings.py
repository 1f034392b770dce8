"""`Settings`: what `resnet_layers.training.train` is asked for, and whether it fits together."""

import dataclasses
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError
from resnet_layers.layers.head import last_activation
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.networks.model import ResNet
from resnet_layers.training import devices
from resnet_layers.training.checkpoints import Checkpoint
from resnet_layers.training.fine_tuning import is_frozen_until
from resnet_layers.training.headers import Header
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.mixing import check_weights
from resnet_layers.training.recipes import RECIPES, Recipe

COMPILED: dict[str, Any] = {"auto": "auto", "xla": True, "graph": False}  # Keras' `jit_compile`


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
        epochs: How often an image is seen, positive, at most a million; `None` for those of the
            recipe.
        batch_size: Images for each step, positive; `None` for that of the recipe.
        learning_rate: The largest one, positive; `None` for the recipe's, which suits the batch.
        layer_decay: Factor of the rate from part to part, as of `layer_decay`; `None` for 1.
        multiple: As of `Batches`; `None` for the number of devices that share a batch, as
            `data_parallel` has it, or for that of the run that goes on.
        seed: Of order, crops and augmentation, from 0 to 2⁶³ - 1.
        class_weight: As of `Batches`, above 0 for one class at least.
        headers: As of `Batches`.
        skip_damaged: As of `Batches`.
        compile: `"xla"`, `"graph"`, or `"auto"`, by which Keras chooses.
        checkpoint: Where training is written down meanwhile, or goes on, as `resume` has it; `None`
            for nowhere. Epochs may be others than in the run that goes on: the rest of the schedule
            takes as many steps as there are. Nothing else may.
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
    multiple: int | None = None
    seed: int = 0
    class_weight: Mapping[int, float] | None = None
    headers: Sequence[Header] | None = None
    skip_damaged: bool = False
    compile: str = "auto"
    checkpoint: Checkpoint | None = None
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
            "checkpoint": (Checkpoint, type(None)),
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
        check_weights(self.class_weight)
        self.recipe.check_layer_decay(self.layer_decay)
        for name, usual in (
            ("epochs", self.recipe.epochs),
            ("batch_size", self.recipe.batch_size),
        ):
            given = getattr(self, name)
            object.__setattr__(self, name, usual if given is None else checks.integer(name, given))
        checks.epochs(self.epochs)
        multiple, shared = self.multiple, devices.count()
        if multiple is None:
            options = self.checkpoint.options if self.checkpoint else {}
            multiple = options.get("training", {}).get("multiple", shared)
        object.__setattr__(self, "multiple", checks.integer("multiple", multiple))
        if multiple > (self.batch_size or 0):
            raise ValueError(
                "`multiple` must be at most `batch_size`. Received: "
                f"multiple={multiple}, batch_size={self.batch_size}"
            )
        devices.check_multiple(multiple)
        rate = self.learning_rate
        if rate is None:
            rate = self.recipe.rate(self.batch_size or 0)
        object.__setattr__(self, "learning_rate", checks.positive("learning_rate", rate))
        checks.choice("compile", self.compile, tuple(COMPILED))


def check_fit(settings: Settings) -> None:
    """Looks before training whether images, network, recipe and backend fit each other.

    Raises:
        InputError: If they do not.
    """
    model, images = settings.model, settings.images
    validation = settings.validation or images
    if settings.recipe.repeats > len(images.labels):
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
    weights = settings.class_weight or {}
    if not any(weights.get(i, 1.0) for i in range(len(images.class_names))):
        raise InputError(
            "`class_weight` must be above 0 for one class at least. Received: "
            f"class_weight={reprlib.repr(settings.class_weight)}"
        )
    layout = getattr(model.stem, "layout", None)
    if layout is not None and layout.data_format != settings.prepare.data_format:
        raise InputError(
            f"`prepare` must make images with {layout.data_format}, as the network takes them. "
            f"Received: data_format={settings.prepare.data_format!r}"
        )
    if settings.compile == "graph" and keras.backend.backend() != "tensorflow":
        raise InputError(
            "`compile` must be 'xla' or 'auto' on other backends than TensorFlow. Received: "
            f"compile='graph', on {keras.backend.backend()}"
        )

    part = settings.recipe.freeze_until
    if part is not None and not is_frozen_until(model, part):
        raise InputError(
            f"`model` must be frozen as the recipe has it, which `freeze_until(model, {part!r})` "
            f"does. Received: parts before '{part}' that train"
        )
    devices.check_multiple(settings.multiple or 1)  # they may be others than then
    devices.check_model(model)
    devices.check_recipe(settings.recipe, settings.compile)
    precision, policy = settings.recipe.precision, model.compute_dtype
    if precision not in ("float32", policy):
        raise InputError(
            "`model` must compute in the precision of the recipe, as `with_dtype(model, "
            f"'mixed_{precision}')` does. Received: a model in {policy}"
        )
