"""The published weights, as rows of `pretrained_tags.csv`. Reading them takes no Keras."""

import csv
import dataclasses
import fnmatch
import functools
from importlib import resources
from typing import TYPE_CHECKING, Any

from resnet_layers._support import checks

if TYPE_CHECKING:
    from resnet_layers.layers.preprocessing import Preprocessing

_HALF = (0.5, 0.5, 0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag:
    """Published weights, and what they expect.

    Args:
        name: Variant and training, such as `"resnet50.a1_in1k"`.
        classes: Number of classes; 0 for weights without a classifier.
        image_size: Side of the images in pixels that they were trained on.
        test_image_size: Side that their authors evaluate them on.
        crop_pct: Share of a resized image that is kept.
        test_crop_pct: The same where their authors evaluate them.
        interpolation: How images are resized.
        mean: `"imagenet"`, `"half"`, or `"caffe"` or `"tf"` for those of keras.applications.
        license: Licence by its SPDX name; empty where nobody states one.
        weights: Whether anybody can get them.
    """

    name: str
    classes: int
    image_size: int
    test_image_size: int
    crop_pct: float
    test_crop_pct: float
    interpolation: str
    mean: str
    license: str
    weights: bool

    @property
    def variant(self) -> str:
        """The network that they are weights of."""
        return self.name.partition(".")[0]

    @property
    def repository(self) -> str:
        """Where timm publishes them on the Hugging Face hub."""
        return f"timm/{self.name}"

    @property
    def of_keras(self) -> bool:
        """Whether keras.applications publishes them."""
        return self.mean in ("caffe", "tf")

    def preprocessing(self, *, test: bool = False, data_format: str) -> "Preprocessing":
        """The layer from raw images to what they expect."""
        from resnet_layers.layers.preprocessing import Preprocessing, for_keras_applications

        arguments: dict[str, Any] = {
            "image_size": self.test_image_size if test else self.image_size,
            "crop_pct": self.test_crop_pct if test else self.crop_pct,
            "interpolation": self.interpolation,
            "data_format": data_format,
            "name": "preprocessing",
        }
        if self.of_keras:
            layer = for_keras_applications(preactivation=self.mean == "tf")
            return Preprocessing(**{**layer.get_config(), **arguments})
        if self.mean == "half":
            arguments |= {"mean": _HALF, "std": _HALF}
        return Preprocessing(**arguments)


@functools.cache
def table() -> dict[str, Tag]:
    """All rows by their names."""
    file = resources.files("resnet_layers.weights") / "pretrained_tags.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["tag"]: _tag(row) for row in rows}


def _tag(row: dict[str, str]) -> Tag:
    return Tag(
        name=row["tag"],
        classes=int(row["classes"]),
        image_size=int(row["image_size"]),
        test_image_size=int(row["test_image_size"] or row["image_size"]),
        crop_pct=float(row["crop_pct"]),
        test_crop_pct=float(row["test_crop_pct"] or row["crop_pct"]),
        interpolation=row["interpolation"],
        mean=row["mean"],
        license=row["license"],
        weights=row["weights"] == "yes",
    )


def find(name: str) -> Tag:
    """The row of that name; the error lists the closest names."""
    return table()[checks.known_name("tag", name, table())]


def list_pretrained(pattern: str = "*") -> list[str]:
    """The tags of all weights that `from_pretrained` can get and that match a pattern, sorted.

    Args:
        pattern: Shell pattern, such as `"resnet50.*"`.

    Returns:
        The tags, sorted; empty if nothing matches.

    Example:

    >>> list_pretrained("resnet34.a*")
    ['resnet34.a1_in1k', 'resnet34.a2_in1k', 'resnet34.a3_in1k']
    """
    names = [name for name, tag in table().items() if tag.weights]
    return sorted(fnmatch.filter(names, pattern))
