"""A scene by matplotlib, for files of pixels and for PDF."""

from pathlib import Path
from typing import Any

from resnet_layers.analysis.scene import COLOURS, Box, Scene, Stroke, Text, Theme

_POINTS = 72  # in an inch
_MOST = 2**15  # of pixels on a side


def check_size(scene: Scene, scale: float) -> None:
    """Refuses pictures without pixels, and those that are larger than matplotlib makes them."""
    sides = [2 * scale * side for side in (scene.width, scene.height)]
    if not (min(sides) >= 1 and max(sides) < _MOST):
        raise ValueError(
            f"`scale` must make a PNG of 1 to {_MOST - 1} pixels on each side. "
            f"Received: scale={scale}, which makes {sides[0]:.6g}×{sides[1]:.6g}"
        )


def write(scene: Scene, path: Path, theme: Theme, scale: float) -> None:
    """Writes the scene.

    Args:
        scene: What it shows.
        path: File ending in `.png` or `.pdf`.
        theme: Which colours.
        scale: Size; at 1 a point has two pixels, or is one of PDF.
    """
    from matplotlib import style

    with style.context("default"):  # settings of the user may need what is not installed
        # Not when, nor by what: equal pictures are equal files.
        about = {"CreationDate": None} if path.suffix.lower() == ".pdf" else {"Software": None}
        _figure(scene, theme, scale).savefig(path, dpi=2 * _POINTS, metadata=about)


def _figure(scene: Scene, theme: Theme, scale: float) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    def colour(name: str) -> str:
        return str(getattr(COLOURS[name], theme))

    size = (scene.width * scale / _POINTS, scene.height * scale / _POINTS)
    figure = Figure(figsize=size, facecolor=colour("paper"))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    for order, shape in enumerate(scene.shapes):
        if isinstance(shape, Box):
            place = ((shape.x, shape.y), shape.width, shape.height)
            axes.add_artist(Rectangle(*place, facecolor=colour(shape.colour), zorder=order))
        elif isinstance(shape, Stroke):
            axes.add_artist(_patch(shape, colour(shape.colour), scale, order))
        elif isinstance(shape, Text):
            axes.text(
                shape.x,
                shape.y,
                shape.text.encode("utf-8", "replace").decode(),  # a name need not be Unicode
                fontsize=shape.size * scale,
                color=colour(shape.colour),
                weight="bold" if shape.bold else "normal",
                zorder=order,
                parse_math=False,  # of names with dollars
                **_anchors(shape),
            )
        else:
            edges = (shape.x, shape.x + shape.width, shape.y + shape.height, shape.y)
            axes.imshow(
                shape.pixels, extent=edges, aspect="auto", interpolation="nearest", zorder=order
            )
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))  # which images change
    return figure


def _patch(stroke: Stroke, colour: str, scale: float, order: int) -> Any:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    codes: list[Any] = []
    points: list[tuple[float, float]] = []
    for name, *where in stroke.commands:
        both = list(zip(where[::2], where[1::2], strict=True))
        code = {"M": Outline.MOVETO, "L": Outline.LINETO, "C": Outline.CURVE4}[name]
        codes += [code] * len(both)
        points += both
    if stroke.filled:
        codes, points = [*codes, Outline.CLOSEPOLY], [*points, points[0]]
    return PathPatch(
        Outline(points, codes),
        facecolor=colour if stroke.filled else "none",
        edgecolor="none" if stroke.filled else colour,
        linewidth=scale,
        linestyle=(0, (2, 3)) if stroke.dotted else "solid",
        zorder=order,
    )


def _anchors(text: Text) -> dict[str, Any]:
    """Where a line is held; turned, its beginning is below."""
    first = {"start": "left", "middle": "center", "end": "right"}[text.anchor]
    if not text.turned:
        return {"ha": first, "va": "center_baseline"}
    below = {"left": "bottom", "center": "center", "right": "top"}[first]
    return {"ha": "center", "va": below, "rotation": 90}
