"""A picture as shapes: boxes, strokes, text and images, in points from its upper left corner."""

import dataclasses
import unicodedata
from typing import Any, Literal, NamedTuple

Theme = Literal["light", "dark"]
ENDINGS = (".svg", ".png", ".pdf")  # of files of pictures
THEMES: tuple[Theme, ...] = ("light", "dark")


class Colour(NamedTuple):
    """A colour in each theme."""

    light: str
    dark: str


# What shapes are painted with, by name; stages are told apart by `stage0` and so on.
COLOURS = {
    "paper": Colour("#ffffff", "#0d1117"),
    "ink": Colour("#1f2328", "#e6edf3"),
    "pale": Colour("#59636e", "#9198a1"),
    "rule": Colour("#d1d9e0", "#30363d"),
    "plain": Colour("#e4e8ec", "#3d444d"),
    "stage0": Colour("#fbe3a8", "#6b5312"),
    "stage1": Colour("#d9ccf5", "#51407f"),
    "stage2": Colour("#bfe5bf", "#235c31"),
    "stage3": Colour("#fbc9be", "#7c372b"),
    "stage4": Colour("#bcdcf7", "#1d5280"),
    "stage5": Colour("#f3c9e3", "#743762"),
}
STAGES = sum(name.startswith("stage") for name in COLOURS)


class Box(NamedTuple):
    """A rectangle.

    Args:
        x: Of its left edge.
        y: Of its upper edge.
        width: From edge to edge.
        height: From edge to edge.
        colour: Name of what fills it.
        title: What a pointer on it shows.
    """

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str = ""


class Stroke(NamedTuple):
    """A line, straight or not.

    Args:
        commands: As in SVG: `("M", x, y)`, `("L", x, y)` or `("C", x1, y1, x2, y2, x, y)`.
        colour: Name of it.
        dotted: Whether it is.
        filled: Whether it is the outline of something that is filled.
    """

    commands: tuple[tuple[Any, ...], ...]
    colour: str = "ink"
    dotted: bool = False
    filled: bool = False


class Text(NamedTuple):
    """A line of text.

    Args:
        x: Of its anchor.
        y: Of its middle.
        text: What it says.
        size: Height of the type.
        anchor: Which part of it is at `x`: `"start"`, `"middle"` or `"end"`.
        colour: Name of it.
        bold: Whether it is.
        turned: Whether it reads upwards.
    """

    x: float
    y: float
    text: str
    size: float = 10
    anchor: str = "start"
    colour: str = "ink"
    bold: bool = False
    turned: bool = False


class Image(NamedTuple):
    """Pixels, each of them a square.

    Args:
        x: Of its left edge.
        y: Of its upper edge.
        width: From edge to edge.
        height: From edge to edge.
        pixels: Bytes of red, green and blue, of shape (rows, columns, 3).
    """

    x: float
    y: float
    width: float
    height: float
    pixels: Any


Shape = Box | Stroke | Text | Image


@dataclasses.dataclass
class Scene:
    """Shapes on a sheet.

    Args:
        width: Of the sheet.
        height: Of the sheet.
        title: What it shows, for readers who do not see it.
        shapes: What is on it, the lowest first.
    """

    width: float
    height: float
    title: str
    shapes: list[Shape] = dataclasses.field(default_factory=list)


def width_of(text: str, size: float) -> float:
    """About as wide as a line of text is in wide sans-serif type."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (0.62 * (len(text) - wide) + wide)
