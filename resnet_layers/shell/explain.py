# ruff: noqa: T201 (printing is what commands are for)
"""`explain`: which pixels of images speak for their class."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks, signals
from resnet_layers.analysis.heatmaps import places, scores
from resnet_layers.analysis.heatmaps.certificates import Certificate
from resnet_layers.analysis.heatmaps.maps import Method, grad_cam
from resnet_layers.analysis.heatmaps.overlays import draw_maps
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.shell import classifier, errors
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.predict import paths
from resnet_layers.shell.predictor import BATCH_SIZE

MOST = 256  # images of a sheet


def run(
    model: Path,
    image: list[str],
    output: Path,
    name: str | None,
    stage: str | None,
    method: Method,
    certificate: bool,
) -> int:
    """Writes a sheet of images beside their maps, and prints what each speaks for.

    Args:
        model: A file that `train` or `convert` wrote.
        image: As of `predict`.
        output: Picture to write.
        name: Of the class; `None` for the most probable one of each image.
        stage: As of `grad_cam`; `None` for the last one.
        method: As of `grad_cam`.
        certificate: Whether each map is tried.

    Returns:
        0; 1 if an image could not be read.
    """
    found = classifier.load(model)
    if name is not None and name not in found.class_names:
        raise InputError(
            f"`--class` must be one of {checks.some(found.class_names)}. Received: {name!r}"
        )
    files = paths(image)
    if len(files) > MOST:
        raise InputError(f"A sheet has at most {MOST} images. Received: {len(files)}")
    with errors.values():
        place = places.find(found.model, stage)
    shown, maps, names, tried, wrong = [], [], [], [], 0
    for start in range(0, len(files), BATCH_SIZE):
        signals.check()
        some = files[start : start + BATCH_SIZE]
        read = list(found.reader.each(some))
        wrong += _named(read)
        whole = [one for one in read if not isinstance(one, InputError)]
        if not whole:
            continue
        batch = np.concatenate(whole)
        with errors.values():
            classes = scores.chosen(found.model, name, batch)
            heat, certificates = _maps(found.model, batch, classes, place.name, method, certificate)
        shown.append(_pixels(batch, found.reader.layer))
        maps.append(heat)
        names += [found.class_names[i] for i in classes]
        tried += certificates
        good = [f for f, one in zip(some, read, strict=True) if not isinstance(one, InputError)]
        for i, file in enumerate(good):
            said = f"  {certificates[i]}" if certificates else ""
            print(f"{errors.printable(file)}  {errors.printable(names[i - len(good)])}{said}")
    if not maps:
        raise InputError("An image must be readable, to be explained. Received: none")
    picture = draw_maps(np.concatenate(shown), np.concatenate(maps), names, tried or None)
    with errors.values(), warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", "Glyph .* missing", UserWarning)
        try:
            picture.save(output)
        except OSError as error:
            raise InputError(f"'{output}' cannot be written: {error.strerror}") from None
    if caught:
        errors.say(
            "Letters of class names that the picture's font lacks are boxes in it; in one that "
            "ends in .svg they are letters"
        )
    print(f"Drawn in '{errors.printable(output)}'.")
    return int(bool(wrong))


def _maps(
    model: Any, batch: Any, classes: Any, stage: str, method: Method, certificate: bool
) -> tuple[NDArray[np.float32], list[Certificate]]:
    if certificate:
        return grad_cam(model, batch, classes, stage, method=method, certificate=True)
    return grad_cam(model, batch, classes, stage, method=method), []


def _named(read: list[Any]) -> int:
    """Says of images that cannot be read why, and how many there are."""
    wrong = [one for one in read if isinstance(one, InputError)]
    for one in wrong:
        errors.say(errors.printable(one))
    return len(wrong)


def _pixels(batch: NDArray[np.float32], layer: Preprocessing) -> NDArray[np.uint8]:
    """What a network takes, as a person sees it: (N, height, width, 3)."""
    images = batch if layer.data_format == "channels_last" else np.moveaxis(batch, 1, -1)
    if layer.channels == "bgr":
        images = images[..., ::-1]
    pixels = images * np.array(layer.std) + np.array(layer.mean)
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
