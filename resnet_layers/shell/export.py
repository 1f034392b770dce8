# ruff: noqa: T201 (printing is what commands are for)
"""`export`: a model file as an artifact of another runtime."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from resnet_layers import serving
from resnet_layers._support import checks
from resnet_layers.layers._layout import Layout
from resnet_layers.serving.calibration import MOST_IMAGES
from resnet_layers.serving.formats import FORMATS
from resnet_layers.shell import classifier, errors, runs
from resnet_layers.shell.errors import InputError


def run(model: Path, output: Path | None, as_json: bool, **chosen: Any) -> int:
    """Writes a network for another runtime, and prints how it compares."""
    with (
        runs.told(quiet=False, as_json=as_json),
        errors.shown_meanwhile("Folding, writing, opening and comparing …"),
    ):
        report = export(model, output, **chosen)
    if as_json:
        print(json.dumps(dataclasses.asdict(report), default=str))
    else:
        print(str(report).replace(str(report.path), errors.printable(report.path)))
    return 0


def export(
    source: Path,
    output: Path | None,
    format: str,  # noqa: A002 (the name of the option)
    precision: str,
    calibration: Path | None,
    image_size: list[int] | None,
) -> serving.Report:
    """Writes what `resnet_layers.export` makes of a `.keras` file.

    Args:
        source: File of a `ResNet`.
        output: What to write; `None` for the name of the file with the ending of the format.
        format: As of `resnet_layers.export`.
        precision: As of `resnet_layers.export`.
        calibration: Folder of images with a subfolder for each class; `None` for none.
        image_size: Height and width in pixels, or one number for both; `None` for any.

    Returns:
        What was measured.

    Raises:
        InputError: If the file holds no `ResNet`, if options do not fit, or if there are no
            images.
        DisagreementError: If the artifact does not compute what the model does.
    """
    if calibration is None:
        model, images = classifier.open_model(source), None
    else:
        found = classifier.load(source)
        model, images = found.model, _images(found, calibration)
    shape: Any = None
    if image_size is not None:
        layout = getattr(model.stem, "layout", Layout(len(model.input_shape) - 1))
        if len(image_size) not in (1, layout.rank):
            raise InputError(
                f"`--image-size` must be one number, or one for each of {layout.rank} pixel axes. "
                f"Received: {checks.some(image_size, str, ' ')}"
            )
        if len(image_size) == 1:
            image_size = image_size * layout.rank
        shape = layout.shape(None, image_size, layout.channels((None, *model.input_shape)))[1:]
    try:
        return serving.export(
            model,
            output or source.with_suffix(FORMATS[format].endings[0]),
            format=format,
            precision=precision,
            calibration=images,
            input_shape=shape,
        )
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def _images(found: classifier.Classifier, folder: Path) -> Any:
    """Prepared images, at most as many as are read, of every class; with labels of choices."""
    data = found.all_images(folder)
    if len(data.labels) > MOST_IMAGES:
        chosen = np.random.default_rng(0).permutation(len(data.labels))[:MOST_IMAGES]
        data = data.select(np.sort(chosen))
    labels = found.labels(data)
    prepared = found.reader(data.sources)
    return prepared if labels.ndim == 2 else (prepared, labels)
