"""A scene as SVG, which follows the theme of its reader."""

import base64
import html
import io
from collections.abc import Iterator

from resnet_layers.analysis.scene import COLOURS, Box, Image, Scene, Shape, Stroke, Text, Theme

_DASHES = "2 3"


def text_of(scene: Scene, theme: Theme | None = None, scale: float = 1.0) -> str:
    """The scene as a document.

    Args:
        scene: What it shows.
        theme: `"light"` or `"dark"`; `None` for whichever its reader has.
        scale: Pixels for each point.
    """
    width, height = scene.width, scene.height
    title = html.escape(scene.title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * scale:g}" height="{height * scale:g}" font-family="sans-serif" '
        f'role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f"<style>{' '.join(_rules(theme or 'light'))}</style>",
    ]
    if theme is None:  # readers that know no such rule show the light one
        rules = " ".join(_rules("dark"))
        lines.append(f"<style>@media (prefers-color-scheme: dark) {{{rules}}}</style>")
    lines.append(f'<rect width="{width:g}" height="{height:g}" class="rl-paper"/>')
    return "\n".join([*lines, *map(_element, scene.shapes), "</svg>", ""])


def _rules(theme: Theme) -> Iterator[str]:
    """The colours as CSS; the names are ours alone, since a page shares them with its pictures."""
    for name, colour in COLOURS.items():
        shown = getattr(colour, theme)
        yield f".rl-{name} {{fill: {shown}}} .rl-line-{name} {{stroke: {shown}; fill: none}}"


def _element(shape: Shape) -> str:
    if isinstance(shape, Box):
        title = f"<title>{html.escape(shape.title)}</title>" if shape.title else ""
        return f'<rect {_place(shape)} rx="2" class="rl-{shape.colour}">{title}</rect>'
    if isinstance(shape, Stroke):
        return _path(shape)
    if isinstance(shape, Text):
        return _text(shape)
    return f'<image {_place(shape)} image-rendering="pixelated" href="{_data(shape)}"/>'


def _place(shape: Box | Image) -> str:
    return f'x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}"'


def _path(stroke: Stroke) -> str:
    d = "".join(f"{name}{' '.join(f'{at:g}' for at in where)}" for name, *where in stroke.commands)
    if stroke.filled:
        return f'<path d="{d}z" class="rl-{stroke.colour}"/>'
    dashes = f' stroke-dasharray="{_DASHES}"' if stroke.dotted else ""
    return f'<path d="{d}" class="rl-line-{stroke.colour}"{dashes}/>'


def _text(text: Text) -> str:
    turn = f' transform="rotate(-90 {text.x:g} {text.y:g})"' if text.turned else ""
    bold = ' font-weight="bold"' if text.bold else ""
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    return (
        f'<text x="{text.x:g}" y="{text.y:g}" dy="0.35em" font-size="{text.size:g}"{anchor}{bold}'
        f'{turn} class="rl-{text.colour}">{html.escape(text.text)}</text>'
    )


def _data(image: Image) -> str:
    """The pixels as the address of a PNG."""
    from PIL import Image as Pixels

    file = io.BytesIO()
    Pixels.fromarray(image.pixels).save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
