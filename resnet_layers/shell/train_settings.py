"""What `train` is asked for: each field is an option, its docstring the help on it."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated

from resnet_layers._support import checks
from resnet_layers.networks import variants
from resnet_layers.shell.options import FLAG, IMAGES, INTEGER, NETWORK, OUTPUT, PATH, TRAINING
from resnet_layers.shell.overrides import Overrides
from resnet_layers.training.checkpoint_names import is_checkpoint
from resnet_layers.training.recipes import RECIPES
from resnet_layers.weights import tags

# Endings of what `--from` takes besides a tag and a .keras file, as `weights.readers` has them.
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt", ".npz", ".h5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Overrides):
    """What `train` is asked for.

    Args:
        variant: Name of the network, one of those that `resnet-layers list` prints; without it,
            cifar_resnet20, or that of `--from`.
        from_: Known weights to begin with: a tag of published ones, such as resnet50.a1_in1k, a
            file of weights of another library, a .keras file, or a checkpoint of `train`. Their
            preprocessing comes along, and the classifier is a fresh one unless the classes are the
            same.
        unfreeze: Parts from which on more of it trains, each with its first epoch, counted from 1:
            stage4@5,stage3@10.
        compile: How a step is compiled: by XLA (xla), as a graph of TensorFlow (graph), or as Keras
            chooses (auto).
        devices: How many devices share each batch, of this machine or of all processes, positive:
            GPUs, or TPUs on JAX; without one of these, parts of the CPU.
        multiple: What the size of each batch is a multiple of, for runs that go on with other
            devices; without it, the number of devices.
        look: Write a sheet of training images as the network would see them (look.png), and train
            nothing.
        tensorboard: Write the history for TensorBoard as well, into the folder tensorboard.
        balance: Give each class the same weight in all, however many images it has.
        patience: Epochs without a lower loss on the images for validation after which training
            ends with the weights that had it lowest; without it, all epochs are trained.
        resume: Folder of a run that was not ended, which goes on at the step where it was, with its
            options; only `--epochs`, `--output`, `--data` and `--devices` may be others.
        checkpoint_every: Steps between two checkpoints within an epoch; without it, there is one
            after each epoch, and when the run is interrupted.
        keep: How many of the best epochs keep their checkpoints, besides the last one; at least 0.
        layer_decay: Factor of the learning rate from part to part, from the head to the stem, in
            (0, 1].
        validation: Share of the images to look at after each epoch, in [0, 1). A folder with
            folders `train` and `val` or `test` has its own.
        test: Share of the images for the end, in (0, 1); likewise.
        check: Decode every image before training begins; otherwise their headers and ends are
            looked at, and an image that cannot be decoded later ends the run.
        skip_damaged: Name images that are damaged and leave them out.

    Raises:
        ValueError: If a value is out of range; for a variant it lists the closest names.
        TypeError: If a value has the wrong type.
    """

    variant: Annotated[str | None, NETWORK] = None
    from_: Annotated[str | None, NETWORK] = None
    unfreeze: Annotated[str | None, TRAINING] = None
    layer_decay: Annotated[float | None, TRAINING] = None
    validation: Annotated[float, IMAGES] = 0.1
    test: Annotated[float, IMAGES] = 0.1
    check: Annotated[bool, IMAGES, FLAG] = False
    skip_damaged: Annotated[bool, IMAGES, FLAG] = False
    compile: Annotated[str, TRAINING] = "auto"
    devices: Annotated[int, TRAINING, INTEGER] = 1
    multiple: Annotated[int | None, TRAINING, INTEGER] = None
    look: Annotated[bool, OUTPUT, FLAG] = False
    tensorboard: Annotated[bool, OUTPUT, FLAG] = False
    balance: Annotated[bool, TRAINING, FLAG] = False
    patience: Annotated[int | None, TRAINING, INTEGER] = None
    resume: Annotated[Path | None, OUTPUT, PATH] = None
    checkpoint_every: Annotated[int | None, OUTPUT, INTEGER] = None
    keep: Annotated[int, OUTPUT, INTEGER] = 1
    output: Annotated[Path, OUTPUT, PATH] = Path("resnet_run")

    def __post_init__(self) -> None:
        self._take_recipe()
        self._take_defaults()
        if self.variant is not None:
            rank = variants.row(self.variant).rank
            if rank != 2:
                raise ValueError(
                    "`variant` must be a network for images. Received: "
                    f"variant={self.variant!r}, with {rank} axes of pixels"
                )
        super().__post_init__()
        checks.positive("learning_rate", self.learning_rate)
        checks.choice("compile", self.compile, ("auto", "xla", "graph"))
        for name in ("patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                checks.integer(name, getattr(self, name))
        checks.integer("keep", self.keep, minimum=0)
        checks.integer("devices", self.devices)
        multiple = self.devices if self.multiple is None else self.multiple
        object.__setattr__(self, "multiple", checks.integer("multiple", multiple))
        if multiple % self.devices:
            raise ValueError(
                "`multiple` must be a multiple of `devices`. Received: "
                f"multiple={multiple}, devices={self.devices}"
            )
        if multiple > self.batch_size:
            raise ValueError(
                "`multiple` must be at most `batch_size`. Received: "
                f"multiple={multiple}, batch_size={self.batch_size}"
            )
        recipe = self.chosen
        recipe.check_layer_decay(self.layer_decay)
        for name in ("ema", "grow_from"):
            if self.patience is not None and getattr(recipe, name) is not None:
                raise ValueError(
                    f"`patience` must not come with `{name}`. Received: "
                    f"patience={self.patience}, {name}={getattr(recipe, name)}"
                )
        checks.fraction("validation", self.validation)
        checks.share("test", self.test)
        if self.validation + self.test >= 1:
            raise ValueError(
                "`validation` and `test` must leave images to train on. Received: "
                f"validation={self.validation}, test={self.test}"
            )
        if self.grow_from is not None and self.grow_from >= (self.image_size or self.grow_from + 1):
            raise ValueError(
                "`grow_from` must be less than `image_size`. Received: "
                f"grow_from={self.grow_from}, image_size={self.image_size}"
            )
        if self.grow is not None and recipe.grow_from is None:
            raise ValueError(
                "`grow` must come with `grow_from`, from which images grow. Received: "
                f"grow={self.grow!r}"
            )
        if self.nesterov is not None and recipe.optimizer != "sgd":
            raise ValueError(
                "`nesterov` must be left out with other optimizers than SGD. Received: "
                f"nesterov={self.nesterov}, optimizer={recipe.optimizer!r}"
            )
        for name in ("freeze_until", "layer_decay"):
            if getattr(self, name) is not None and self.from_ is None:
                raise ValueError(
                    f"`{name}` must come with `from`, the weights that are known. Received: "
                    f"{name}={getattr(self, name)!r}"
                )
        self.unfrozen()

    @property
    def source(self) -> Path | None:
        """The file of `from`; `None` for a tag."""
        is_file = self.from_ is not None and self.from_ not in tags.table()
        return Path(self.from_) if is_file and self.from_ else None

    def _take_recipe(self) -> None:
        """What is not given follows from what is: the whole run is in `settings.toml`."""
        usual = "finetune" if self.from_ else "photos" if self.data else "digits"
        name = usual if self.recipe is None else self.recipe
        if name not in RECIPES:
            raise ValueError(
                f"`recipe` must be one of {checks.some(RECIPES)}. Received: recipe={name!r}"
            )
        object.__setattr__(self, "recipe", name)
        recipe = self.chosen
        if self.from_ is not None and recipe.drop_path:
            raise ValueError(
                "`drop_path` must be 0 with `from`, whose network has its own. Received: "
                f"drop_path={recipe.drop_path}, recipe={name!r}"
            )
        if self.from_ is None and recipe.freeze_until and self.freeze_until is None:
            raise ValueError(
                "`recipe` must come with `from`, the weights that are known, if it freezes some. "
                f"Received: recipe={name!r}"
            )
        rate = self.learning_rate
        if rate is None:
            batch_size = checks.integer("batch_size", self.batch_size or recipe.batch_size)
            rate = recipe.suited(RECIPES[name]).rate(batch_size)
        for field, value in (
            ("epochs", recipe.epochs),
            ("batch_size", recipe.batch_size),
            ("image_size", recipe.image_size),
            ("freeze_until", recipe.freeze_until),
        ):
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)
        object.__setattr__(self, "learning_rate", rate)

    def _take_defaults(self) -> None:
        if self.from_ is None:
            object.__setattr__(self, "variant", self.variant or "cifar_resnet20")
            return
        start = Path(self.from_)
        if start.suffix == ".keras" or is_checkpoint(start):
            if self.variant is not None:
                raise ValueError(
                    "`variant` must be left out where `from` is a .keras file or a checkpoint, "
                    f"which has its network. Received: variant={self.variant!r}"
                )
            return
        tag = self.from_ if self.from_ in tags.table() else start.stem
        named = tags.table().get(tag)
        if named is not None and tag == self.from_ and self.variant not in (None, named.variant):
            raise ValueError(
                f"`variant` must be '{named.variant}', the network of the weights in `from`, or be "
                f"left out. Received: variant={self.variant!r}, from={self.from_!r}"
            )
        if named is not None:
            object.__setattr__(self, "variant", self.variant or named.variant)
        elif start.suffix not in WEIGHTS:
            try:
                tags.find(self.from_)
            except ValueError as error:
                raise ValueError(
                    "`from` must be a tag of published weights, a .keras file, or a file of "
                    f"weights ({checks.some(WEIGHTS, str)}). {error}"
                ) from None
        elif self.variant is None:
            raise ValueError(
                "`variant` must name the network of the weights in `from`, whose name is no tag. "
                f"Received: from={self.from_!r}"
            )

    def unfrozen(self) -> dict[str, int]:
        """The parts of `unfreeze` with their epochs.

        Raises:
            ValueError: If it is no list of them.
        """
        if self.unfreeze is None:
            return {}
        if self.freeze_until is None:
            raise ValueError(
                "`unfreeze` must come with `freeze_until`, which freezes what it unfreezes. "
                f"Received: unfreeze={self.unfreeze!r}"
            )
        found = [re.fullmatch(r"(\w+)@([1-9]\d{0,6})", one) for one in self.unfreeze.split(",")]
        parts = {one[1]: int(one[2]) for one in found if one}
        if len(parts) < len(found) or max(parts.values(), default=0) > self.epochs:
            raise ValueError(
                "`unfreeze` must be parts, each once, with epochs from 1 to `epochs`, such as "
                f"'stage4@5,stage3@10'. Received: unfreeze={self.unfreeze!r}, epochs={self.epochs}"
            )
        return parts
