"""Makes the data beside it, by timm and Pillow: `python -m tests.data.augmentation.generate`.

`pixels.npz` has images, and what timm's operations make of them with bilinear interpolation and a
fill of three different levels: `OPERATION/ARGUMENT/IMAGE`. `levels.json` has the argument of each
operation by level and sign, and what timm reads in names of policies.

Written with timm 1.0.31 and Pillow 13.0.0.
"""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
FILL = (124, 16, 203)
LEVELS = (0.0, 0.3, 1.0, 2.5, 3.0, 5.0, 7.0, 7.77, 9.0, 10.0, 13.3, 20.0)
# For the pixels: small, middle and large ones of what timm asks for, with both signs.
ARGUMENTS: dict[str, tuple[float, ...]] = {
    "auto_contrast": (0,),
    "equalize": (0,),
    "invert": (0,),
    "rotate": (0.0, -30.0, 3.7, 27.0),
    "posterize": (1, 3, 4, 8, 9),  # Pillow 13 refuses none, which was black
    "solarize": (0, 26, 128, 256),
    "solarize_add": (0, 11, 99, 128),
    "color": (0.0, 0.1, 0.55, 1.0, 1.81, 2.5),
    "contrast": (0.0, 0.1, 0.55, 1.0, 1.81, 2.5),
    "brightness": (0.0, 0.1, 0.55, 1.0, 1.81, 2.5),
    "sharpness": (0.0, 0.1, 0.55, 1.0, 1.81, 2.5),
    "shear_x": (0.0, 0.3, -0.27, 0.03),
    "shear_y": (0.0, 0.3, -0.27, 0.03),
    "translate_x_rel": (0.0, 0.45, -0.405, 0.03),
    "translate_y_rel": (0.0, 0.45, -0.405, 0.03),
    "gaussian_blur": (0.1, 0.77, 1.0, 1.5, 2.0),
}
POLICIES = (
    "rand",
    "rand-m9",
    "rand-m9-mstd0.5",
    "rand-m9-mstd0.5-inc1",
    "rand-m7-mstd0.5-inc1-n3-p0.7",
    "rand-m15-mstd101-mmax20-inc0",
    "rand-mstd1-tweights",
    "rand-m6-n4-t3aw",
    "rand-m6-n1-inc1-t3a",
    "rand-n1-p1-inc1-m5",
)


def images() -> dict[str, NDArray[np.uint8]]:
    """Odd sizes, a ramp of grey, noise as of a photograph, and images that have little in them."""
    rng = np.random.default_rng(17)
    coarse = rng.normal(size=(5, 7, 3)) * 60 + 110
    photo = np.kron(coarse, np.ones((5, 5, 1)))[:23, :31] + rng.normal(size=(23, 31, 3)) * 12
    ramp = np.linspace(3, 250, 16 * 20).reshape(16, 20, 1) * np.ones(3)
    dull = rng.integers(90, 140, (9, 13, 3))
    dull[..., 1] = 77
    few = rng.integers(0, 2, (40, 21, 3)) * [255, 7, 130] + [0, 40, 100]
    tiny = rng.integers(0, 256, (2, 1, 3))
    edge = rng.integers(20, 60, (16, 16, 3))  # all pixels but the lightest are 255
    edge[3, 5] = 90
    arrays = {"photo": photo, "ramp": ramp, "dull": dull, "few": few, "tiny": tiny, "edge": edge}
    return {name: np.clip(array, 0, 255).astype("uint8") for name, array in arrays.items()}


def pixels() -> dict[str, NDArray[np.uint8]]:
    """Of every operation, argument and image."""
    from PIL import Image
    from timm.data import auto_augment

    keywords = {"fillcolor": FILL, "resample": Image.Resampling.BILINEAR}
    made = {f"images/{name}": image for name, image in images().items()}
    for operation, arguments in ARGUMENTS.items():
        function = getattr(auto_augment, operation)
        takes = [] if operation in ("auto_contrast", "equalize", "invert") else [True]
        for argument in arguments:
            for name, image in images().items():
                given = [argument for _ in takes]
                found = function(Image.fromarray(image), *given, **dict(keywords))
                made[f"{operation}/{argument}/{name}"] = np.asarray(found)
    return made


def arguments() -> dict[str, Any]:
    """Of each operation: its function, and its argument for each level and both signs."""
    from timm.data import auto_augment

    found: dict[str, Any] = {}
    for name, function in auto_augment.NAME_TO_OP.items():
        level_to = auto_augment.LEVEL_TO_ARG[name]
        rows = []
        for sign in (1, -1) if level_to else ():
            with mock.patch.object(auto_augment, "_randomly_negate", lambda v, s=sign: s * v):
                hparams = auto_augment._HPARAMS_DEFAULT
                rows += [[level, sign, *level_to(level, hparams)] for level in LEVELS]
        found[name] = {"function": function.__name__, "arguments": rows}
    return found


def policies() -> dict[str, Any]:
    """What timm reads in each name."""
    from timm.data import auto_augment

    found = {}
    for name in POLICIES:
        made = auto_augment.rand_augment_transform(name)
        one = made.ops[0]
        weights = made.choice_weights
        found[name] = {
            "names": [operation.name for operation in made.ops],
            "weights": None if weights is None else list(map(float, weights)),
            "number": made.num_layers,
            "magnitude": one.magnitude,
            "deviation": str(float(one.magnitude_std)),
            "highest": one.magnitude_max or 10,
            "probability": one.prob,
        }
    return found


if __name__ == "__main__":
    made: dict[str, Any] = dict(pixels())
    np.savez_compressed(FOLDER / "pixels.npz", **made)
    text = json.dumps({"operations": arguments(), "policies": policies()}, separators=(",", ":"))
    (FOLDER / "levels.json").write_text(text + "\n", encoding="utf-8")
