"""What `train` and `tune` are asked for: each field is an option, its docstring the help on it."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from resnet_layers._support import checks
from resnet_layers.shell.options import (
    FLAG,
    IMAGES,
    INTEGER,
    NETWORK,
    OUTPUT,
    PATH,
    TRAINING,
)

Preset = Literal["small-images", "imagenet"]
Tuner = Literal["bayesian", "random", "hyperband", "grid"]


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
class TuneSettings(Settings):
    """What `tune` is asked for; `epochs` are those of each network.

    Args:
        preset: Where the search begins; with `imagenet` images have 224 pixels unless
            `--image-size` is given.
        tuner: How keras-tuner chooses what to try next.
        trials: How many networks are trained; Hyperband decides it by itself.
        max_parameters: Most parameters that a network may have.
        max_macs: Most multiply-adds that a network may take for an image.
        max_milliseconds: Most milliseconds that a network may take for an image in ONNX Runtime, as
            `latency` predicts them on this machine.
        checkpoint_every: Steps between two checkpoints within an epoch of a trial; without it,
            there is one after each epoch, and before a signal ends the search.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.
    """

    seed_bits: ClassVar[int] = 31

    preset: Annotated[Preset, NETWORK] = "small-images"
    max_parameters: Annotated[float | None, NETWORK] = None
    max_macs: Annotated[float | None, NETWORK] = None
    max_milliseconds: Annotated[float | None, NETWORK] = None
    tuner: Annotated[Tuner, TRAINING] = "bayesian"
    trials: Annotated[int, TRAINING, INTEGER] = 12
    epochs: Annotated[int, TRAINING, INTEGER] = 8
    output: Annotated[Path, OUTPUT, PATH] = Path("resnet_search")
    checkpoint_every: Annotated[int | None, OUTPUT, INTEGER] = None

    def __post_init__(self) -> None:
        checks.known_name("preset", self.preset, get_args(Preset))
        checks.choice("tuner", self.tuner, get_args(Tuner))
        checks.integer("trials", self.trials)
        if self.checkpoint_every is not None:
            checks.integer("checkpoint_every", self.checkpoint_every)
        super().__post_init__()
