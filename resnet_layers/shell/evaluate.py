# ruff: noqa: T201 (printing is what commands are for)
"""`evaluate`: how right a saved network is."""

import json
from pathlib import Path

from resnet_layers._support.files import replacing
from resnet_layers.shell import classifier
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.evaluation import said
from resnet_layers.shell.images import verbosity


def run(
    model: Path,
    data: Path | None,
    batch_size: int,
    as_json: bool,
    *,
    every: bool,
    skip_damaged: bool,
    report: Path | None,
) -> int:
    """Prints how right it is about the images that training left out, or about a folder's."""
    found = classifier.load_any(model)
    images = found.all_images(data) if every and data else found.test_images(data)
    verbose = 0 if as_json else verbosity()
    evaluation = found.evaluate(images, batch_size, verbose, skip_damaged=skip_damaged)
    result = evaluation.result
    if report is not None:
        try:
            with replacing(report) as (new,):
                evaluation.write_page(new, f"{model.name} on {images.title}")
        except OSError as error:
            raise InputError(f"'{report}' cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps(result))
    else:
        kind = "images" if every else "test images"
        print(f"{result['images']} {kind} of {images.title}: {said(result)}")
    return 0
