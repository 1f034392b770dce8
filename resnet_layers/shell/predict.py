# ruff: noqa: T201 (printing is what commands are for)
"""`predict`: the classes of images."""

from pathlib import Path

from resnet_layers._support import checks
from resnet_layers.serving import formats
from resnet_layers.shell import classifier, predictor
from resnet_layers.shell.errors import values


def run(model: Path, image: list[Path], top: int) -> int:
    """Prints the most probable classes of each image, the best first."""
    with values():
        checks.integer("top", top)
    exported = model.suffix != ".keras" and formats.of_path(model) is not None
    found = predictor.load_exported(model) if exported else classifier.load(model)
    for path, probabilities in zip(image, found.probabilities(image), strict=True):
        print(path)
        for i in (-probabilities).argsort(stable=True)[:top]:
            print(f"  {probabilities[i]:8.2%}  {found.class_names[i]}")
    return 0
