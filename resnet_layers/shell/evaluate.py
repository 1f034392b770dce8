# ruff: noqa: T201 (printing is what commands are for)
"""`evaluate`: loss and accuracy of a saved network."""

import json
from pathlib import Path

from resnet_layers.shell import classifier
from resnet_layers.shell.images import verbosity


def run(
    model: Path,
    data: Path | None,
    every: bool,
    skip_damaged: bool,
    batch_size: int,
    as_json: bool,
) -> int:
    """Prints loss and accuracy over the images that training left out, or over a folder's."""
    found = classifier.load_any(model)
    images = found.all_images(data) if every and data else found.test_images(data)
    verbose = 0 if as_json else verbosity()
    result = found.evaluate(images, batch_size, verbose, skip_damaged=skip_damaged)
    if as_json:
        print(json.dumps(result))
    else:
        kind = "images" if every else "test images"
        print(
            f"{result['images']} {kind} of {images.title}: "
            f"loss {result['loss']:.6f}, accuracy {result['accuracy']:.2%}"
        )
    return 0
