"""What `train` and `tune` are asked for: each field is an option, its docstring the help on it."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from resnet_layers._support import checks
from resnet_layers.networks import variants
from resnet_layers.shell.options import (
    FLAG,
    IMAGES,
    INTEGER,
    NETWORK,
    OUTPUT,
    PATH,
    THE_RECIPES,
    TRAINING,
)
from resnet_layers.training.recipes import RECIPES, Recipe
from resnet_layers.weights import tags

Preset = Literal["small-images", "imagenet"]
Tuner = Literal["bayesian", "random", "hyperband", "grid"]
# Endings of what `--from` takes besides a tag and a .keras file, as `weights.readers` has them.
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt", ".npz", ".h5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What training on images is asked for.

    Args:
        data: Folder of images (JPEG, PNG, WebP, BMP, GIF) with one subfolder for each class, or
            CSV file with the columns path, label (several with ; between them) and, optionally,
            split; without it, scikit-learn's handwritten digits.
        image_size: Height and width in pixels that images are brought to; without it, those of
            known weights that say it, or the median of the images' shorter sides, but at least 16
            and at most 64.
        epochs: How often a network sees each training image.
        batch_size: Number of images for each step.
        seed: Equal seeds give equal runs; at least 0, below 2³², or 2³¹ in a search.
        output: Folder to write into; it is made if need be.
        overwrite: Replace what a run on other images or with another network has left in the
            folder; what one on the same has left is replaced anyway.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.
    """

    seed_bits: ClassVar[int] = 32

    data: Annotated[Path | None, IMAGES, PATH] = None
    image_size: Annotated[int | None, IMAGES, INTEGER] = None
    epochs: Annotated[int, TRAINING, INTEGER]
    batch_size: Annotated[int, TRAINING, INTEGER] = 64
    seed: Annotated[int, TRAINING, INTEGER] = 0
    output: Annotated[Path, OUTPUT, PATH]
    overwrite: Annotated[bool, OUTPUT, FLAG] = False

    def __post_init__(self) -> None:
        checks.epochs(self.epochs)
        checks.integer("batch_size", self.batch_size)
        if self.image_size is not None:
            checks.integer("image_size", self.image_size)
        checks.seed(self.seed, self.seed_bits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """What `train` is asked for.

    Args:
        variant: Name of the network, one of those that `resnet-layers list` prints; without it,
            cifar_resnet20, or that of `--from`.
        from_: Known weights to begin with: a tag of published ones, such as resnet50.a1_in1k, a
            file of weights of another library, or a .keras file. Their preprocessing comes along,
            and the classifier is a fresh one unless the classes are the same.
        freeze_until: Part of the network before which nothing trains: stem, stage1 and so on,
            norm or head.
        unfreeze: Parts from which on more of it trains, each with its first epoch, counted from 1:
            stage4@5,stage3@10.
        recipe: How the network is trained, by name: digits, photos, finetune, probe, cifar, a1, a2,
            a3 or ffcv16. Without it, digits without `--data`, finetune with `--from`, and photos
            else; what follows overrides what the recipe says.
        optimizer: sgd, adamw, adam, nadam, rmsprop, lion or lamb.
        weight_decay: On kernels alone, at least 0.
        flip: Probability that left and right change places, in [0, 1]; 0 for letters and digits.
        augment: Policy by timm's name, such as rand-m9-mstd0.5, or none.
        erasing: Probability that a rectangle is erased, in [0, 1].
        mixup: Alpha of mixup, at least 0.
        cutmix: Alpha of cutmix, at least 0.
        smoothing: Share of the labels that all classes have equally, in [0, 1).
        drop_path: Probability with which the last block's body is left out, in [0, 1).
        ema: Momentum of an average of the weights, in (0, 1), which is written in their place.
        accumulate: Steps whose gradients make one update.
        precision: How training computes; the network is written in float32.
        look: Write a sheet of training images as the network would see them (look.png), and train
            nothing.
        tensorboard: Write the history for TensorBoard as well, into the folder tensorboard.
        balance: Give each class the same weight in all, however many images it has.
        patience: Epochs without a lower loss on the images for validation after which training
            ends with the weights that had it lowest; without it, all epochs are trained.
        layer_decay: Factor of the learning rate from part to part, from the head to the stem, in
            (0, 1].
        validation: Share of the images to look at after each epoch, in [0, 1). A folder with
            folders `train` and `val` or `test` has its own.
        test: Share of the images for the end, in (0, 1); likewise.
        check: Decode every image before training begins; otherwise their headers and ends are
            looked at, and an image that cannot be decoded later ends the run.
        skip_damaged: Name images that are damaged and leave them out.
        learning_rate: The largest one; without it, the recipe's, in proportion to the batch.

    Raises:
        ValueError: If a value is out of range; for a variant it lists the closest names.
        TypeError: If a value has the wrong type.
    """

    variant: Annotated[str | None, NETWORK] = None
    from_: Annotated[str | None, NETWORK] = None
    freeze_until: Annotated[str | None, TRAINING] = None
    unfreeze: Annotated[str | None, TRAINING] = None
    layer_decay: Annotated[float | None, TRAINING] = None
    validation: Annotated[float, IMAGES] = 0.1
    test: Annotated[float, IMAGES] = 0.1
    check: Annotated[bool, IMAGES, FLAG] = False
    skip_damaged: Annotated[bool, IMAGES, FLAG] = False
    recipe: Annotated[str | None, TRAINING] = None
    epochs: Annotated[int, TRAINING, INTEGER] = THE_RECIPES
    batch_size: Annotated[int, TRAINING, INTEGER] = THE_RECIPES
    learning_rate: Annotated[float, TRAINING] = THE_RECIPES
    optimizer: Annotated[str | None, TRAINING] = None
    weight_decay: Annotated[float | None, TRAINING] = None
    flip: Annotated[float | None, TRAINING] = None
    augment: Annotated[str | None, TRAINING] = None
    erasing: Annotated[float | None, TRAINING] = None
    mixup: Annotated[float | None, TRAINING] = None
    cutmix: Annotated[float | None, TRAINING] = None
    smoothing: Annotated[float | None, TRAINING] = None
    drop_path: Annotated[float | None, TRAINING] = None
    ema: Annotated[float | None, TRAINING] = None
    accumulate: Annotated[int | None, TRAINING, INTEGER] = None
    precision: Annotated[str | None, TRAINING] = None
    look: Annotated[bool, OUTPUT, FLAG] = False
    tensorboard: Annotated[bool, OUTPUT, FLAG] = False
    balance: Annotated[bool, TRAINING, FLAG] = False
    patience: Annotated[int | None, TRAINING, INTEGER] = None
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
        if self.patience is not None:
            checks.integer("patience", self.patience)
        recipe = self.chosen
        for name, others in (
            ("patience", {"ema": recipe.ema, "grow_from": recipe.grow_from}),
            ("layer_decay", {"ema": recipe.ema, "accumulate": max(0, recipe.accumulate - 1)}),
        ):
            for other, value in others.items():
                if getattr(self, name) is not None and value:
                    raise ValueError(
                        f"`{name}` must not come with `{other}`. Received: "
                        f"{name}={getattr(self, name)}, {other}={getattr(recipe, other)}"
                    )
        checks.fraction("validation", self.validation)
        checks.share("test", self.test)
        if self.validation + self.test >= 1:
            raise ValueError(
                "`validation` and `test` must leave images to train on. Received: "
                f"validation={self.validation}, test={self.test}"
            )
        if self.layer_decay is not None:
            checks.share("layer_decay", self.layer_decay)
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

    @property
    def chosen(self) -> Recipe:
        """The recipe with what overrides it."""
        other = {"learning_rate", "batch_size", "source"}  # `source` is another one here
        names = {field.name for field in dataclasses.fields(Recipe)} - other
        given = {name: getattr(self, name) for name in names if hasattr(self, name)}
        given = {name: value for name, value in given.items() if value is not None}
        if given.get("augment") == "none":
            given["augment"] = None
        return dataclasses.replace(RECIPES[self.recipe or ""], **given)

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
        if start.suffix == ".keras":
            if self.variant is not None:
                raise ValueError(
                    "`variant` must be left out where `from` is a .keras file, which has its "
                    f"network. Received: variant={self.variant!r}"
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneSettings(Settings):
    """What `tune` is asked for; `epochs` are those of each network.

    Args:
        preset: Where the search begins; with `imagenet` images have 224 pixels unless
            `--image-size` is given.
        tuner: How keras-tuner chooses what to try next.
        trials: How many networks are trained; Hyperband decides it by itself.
        max_parameters: Most parameters that a network may have.
        max_macs: Most multiply-adds that a network may take for an image.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.
    """

    seed_bits: ClassVar[int] = 31

    preset: Annotated[Preset, NETWORK] = "small-images"
    max_parameters: Annotated[float | None, NETWORK] = None
    max_macs: Annotated[float | None, NETWORK] = None
    tuner: Annotated[Tuner, TRAINING] = "bayesian"
    trials: Annotated[int, TRAINING, INTEGER] = 12
    epochs: Annotated[int, TRAINING, INTEGER] = 8
    output: Annotated[Path, OUTPUT, PATH] = Path("resnet_search")

    def __post_init__(self) -> None:
        checks.known_name("preset", self.preset, get_args(Preset))
        checks.choice("tuner", self.tuner, get_args(Tuner))
        checks.integer("trials", self.trials)
        super().__post_init__()
