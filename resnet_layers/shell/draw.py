"""`draw`: a picture of networks, by their names or from their files."""

from pathlib import Path

from resnet_layers.analysis import subjects
from resnet_layers.analysis.drawing import Detail, picture_of
from resnet_layers.analysis.scene import Theme
from resnet_layers.shell import errors
from resnet_layers.shell.profile import networks_of, shape_of


def run(
    models: list[str],
    output: Path,
    image_size: list[int] | None,
    detail: Detail | None,
    horizontal: bool,
    theme: Theme | None,
) -> int:
    """Writes a picture of networks side by side.

    Args:
        models: Names or files.
        output: What to write.
        image_size: Pixels of each axis, or one number for all.
        detail: What is a box.
        horizontal: Whether networks go from left to right.
        theme: Which colours.
    """
    networks = networks_of(models)
    with errors.values():
        found = [subjects.find(each, shape_of(each, image_size), 1, None) for each in networks]
    picture = picture_of(found, detail, horizontal)
    picture.save(output, theme=theme)
    print(f"Drawn in '{errors.printable(output)}'.")  # noqa: T201
    return 0
