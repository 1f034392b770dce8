"""`Settings`: what `train` and `tune` are both asked for."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from resnet_layers._support import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What training on images is asked for.

    Args:
        data: Folder of images with one subfolder for each class; `None` for scikit-learn's
            digits.
        epochs: How often a network sees each training image, positive, at most a million.
        batch_size: Number of images for each step, positive.
        image_size: Height and width in pixels that images are brought to, positive; `None` for
            the median of their shorter sides, but at least 16 and at most 64.
        seed: Of all that is drawn; at least 0, below 2³², or 2³¹ in a search.
        output: Folder for what is written; it is made if need be.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.
    """

    seed_bits: ClassVar[int] = 32

    data: Path | None = None
    epochs: int
    batch_size: int = 64
    image_size: int | None = None
    seed: int = 0
    output: Path

    def __post_init__(self) -> None:
        checks.epochs(self.epochs)
        checks.integer("batch_size", self.batch_size)
        if self.image_size is not None:
            checks.integer("image_size", self.image_size)
        checks.seed(self.seed, self.seed_bits)
