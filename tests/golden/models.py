"""The tiny models behind the golden files, and how to write the files again.

The listing of weight paths may be written again when a release adds to the format, with an entry
under "Format" in CHANGELOG.md. The `.keras` file is written once and never again.

    python -m tests.golden.models
"""

import functools
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

import resnet_layers as rl
from tests.support.randomize import images, randomize, value

FOLDER = Path(__file__).parent
PATHS = FOLDER / "weight_paths.json"
FIRST_FILE = FOLDER / "format_1.keras"
FIRST_OUTPUT = FOLDER / "format_1.npz"


def _tiny(style: Any, bottleneck: bool, **head: Any) -> rl.ResNet:
    return rl.ResNet(
        rl.Stem(4, style=style),
        [
            rl.ResNetStage(4, 2, bottleneck=bottleneck, style=style),
            rl.ResNetStage(8, 1, strides=2, bottleneck=bottleneck, style=style),
        ],
        rl.ClassifierHead(3, **head),
    )


# One for each kind of variables that the rows of the table have.
VARIANTS: dict[str, dict[str, Any]] = {
    "resnetrs50": {},  # deep stem, convolution for pooling, squeeze-and-excitation
    "ecaresnet50d": {},
    "resnet50_gn": {},
    "resnetv2_18d": {},
    "resnetv2_50x1_bit": {},
    "resnetv2_50d_evos": {"drop_path": 0.5},
    "resnetv2_50d_frn": {},
    "keras_resnet50v2": {"strides": (2, 1)},
    "r2plus1d_18": {"widths": None, "stem": {"filters": 4, "hidden_filters": (3,)}},
}


def _variant(name: str, **changes: Any) -> rl.ResNet:
    small = {"blocks": (2, 1), "filters": (4, 8), "stem": {"filters": 4}, "classes": 3}
    return rl.ResNet.from_variant(name, **{**small, **changes})


MODELS: dict[str, Callable[[], rl.ResNet]] = {
    "basic": lambda: _tiny("torchvision", bottleneck=False),
    "bottleneck": lambda: _tiny("torchvision", bottleneck=True, hidden_units=5, dropout=0.5),
    "article": lambda: _tiny("article", bottleneck=False),
    "cifar": lambda: _tiny("cifar", bottleneck=False),
    "option_c": lambda: _tiny(rl.BlockStyle(shortcut="C"), bottleneck=True),
    "plain": lambda: _tiny(rl.BlockStyle(shortcut="none"), bottleneck=True),
    **{name: functools.partial(_variant, name, **changes) for name, changes in VARIANTS.items()},
}


def stored_shapes(path: Path) -> dict[str, list[int]]:
    """The path and shape of every array in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    shapes: dict[str, list[int]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = list(item.shape)

    weights.visititems(visit)
    return shapes


def listing(folder: Path) -> dict[str, dict[str, list[int]]]:
    """What `weight_paths.json` should hold."""
    shapes = {}
    for name, make in MODELS.items():
        make().save(folder / f"{name}.keras")
        shapes[name] = stored_shapes(folder / f"{name}.keras")
    return shapes


def write_first_file() -> None:
    """Writes the golden `.keras` file with its recorded output."""
    model = rl.ResNet.from_variant(
        "resnet18",
        classes=3,
        classifier_activation="softmax",
        bottleneck=True,
        blocks=(2, 1),
        filters=(4, 8),
        groups=2,
        group_width=4,
        stem={"filters": 4},
        activation="gelu",
        use_bias=True,
        shortcut="C",
        metadata={"class_names": ["ant", "bee", "cat"]},
    )
    randomize(model)
    model.stages[0].block_layers[1].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(FIRST_FILE)
    x = images(2, 17, 33, 3)
    np.savez_compressed(
        FIRST_OUTPUT,
        x=x,
        y=value(model(x)),
        versions=f"keras {keras.__version__}, tensorflow {tf.__version__}",
    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        PATHS.write_text(json.dumps(listing(Path(temporary)), indent=0) + "\n")
    if not FIRST_FILE.exists():
        write_first_file()
