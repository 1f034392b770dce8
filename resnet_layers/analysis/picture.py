"""`Picture`: what shows itself in a notebook, and is saved as SVG, PNG or PDF."""

import os
from pathlib import Path
from typing import Any

from resnet_layers._support import checks, files
from resnet_layers.analysis import raster, svg
from resnet_layers.analysis.scene import ENDINGS, THEMES, Scene, Theme


class Picture:
    """A drawing, which a notebook shows and which `save` writes to a file.

    Args:
        scene: Its shapes.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __repr__(self) -> str:
        return f"<Picture of {self.scene.title}>"

    def save(self, path: Any, *, theme: Theme | None = None, scale: float = 1.0) -> None:
        """Writes the picture; the ending of `path` chooses the format.

        Args:
            path: File ending in `.svg`, `.png` or `.pdf`, in a folder that exists. One that is
                there is replaced.
            theme: `"light"` or `"dark"`. `None` is light, in SVG whichever its reader has.
            scale: Size, positive. At 1 a point is a pixel of an SVG, and two of a PNG.

        Raises:
            ValueError: If the ending is another one, if the folder does not exist, if an argument
                is out of range, or if a PNG would have no pixels or too many.
            TypeError: If an argument has the wrong type.
            OSError: If the file cannot be written.
        """
        target = check_path(path)
        if theme is not None:
            checks.choice("theme", theme, THEMES)
        checks.positive("scale", scale)
        ending = target.suffix.lower()
        if ending == ".png":
            raster.check_size(self.scene, scale)
        with files.replacing(target) as (beside,):
            if ending == ".svg":
                text = svg.text_of(self.scene, theme, scale)
                beside.write_bytes(text.encode("utf-8", "replace"))  # a name need not be Unicode
            else:
                raster.write(self.scene, beside, theme or "light", scale)

    def _repr_svg_(self) -> str:
        """What notebooks show."""
        return svg.text_of(self.scene)


def check_path(path: Any) -> Path:
    """A path that a picture can be saved to."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`path` must be a path. Received: path={path!r}")
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"`path` must have a name that ends in {checks.some(ENDINGS, str)}. "
            f"Received: path='{path}'"
        )
    if not target.parent.is_dir():
        raise ValueError(f"`path` must be in a folder that exists. Received: path='{target}'")
    return target
