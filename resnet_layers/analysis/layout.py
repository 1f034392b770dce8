"""Where the boxes and arcs of networks stand on a sheet, side by side."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from resnet_layers.analysis import tables
from resnet_layers.analysis.scene import Box, Scene, Shape, Stroke, Text, width_of
from resnet_layers.analysis.schematic import Arc, Node, Schematic

# Points. Along the way of the network: a box, and the room before the next one.
_BOX, _GAP = 18.0, 16.0
# Across it: sizes before the boxes, arcs behind them, and what is between two networks.
_SIZES, _MARGIN, _SPACE = 54.0, 16.0, 18.0
_TYPE, _SMALL, _TITLE = 10.0, 9.0, 13.0
_HEADER = 58.0


class _Column(NamedTuple):
    """A network and its places, along its way and across it.

    Args:
        drawn: What is drawn of it.
        rows: The row of each box.
        across: Where it begins.
        boxes: How wide its boxes are.
        arcs: How far its arcs reach.
    """

    drawn: Schematic
    rows: list[int]
    across: float
    boxes: float
    arcs: float

    @property
    def middle(self) -> float:
        """Of its boxes."""
        return self.across + _SIZES + self.boxes / 2

    @property
    def width(self) -> float:
        """From its sizes to its arcs."""
        return _SIZES + self.boxes + self.arcs


def scene_of(networks: Sequence[Schematic], horizontal: bool) -> Scene:
    """Networks side by side, those maps in one row that have the same size."""
    columns = _columns(networks, horizontal)
    rows = max((max(column.rows, default=0) for column in columns), default=0) + 1
    header = 0.0 if horizontal else _HEADER
    along = header + rows * (_BOX + _GAP) + _GAP
    across = columns[-1].across + columns[-1].width + _MARGIN
    sheet = _Sheet(_MARGIN if horizontal else header, horizontal)
    for column in columns:
        sheet.draw(column)
    notes = list(_notes(networks))
    legend = max((width_of(note, _SMALL) + 40 for note, _ in notes), default=0)
    width, height = (along + 2 * _MARGIN, across) if horizontal else (across, along)
    titles = (2 * _MARGIN + _title_width(drawn) for drawn in networks)
    width = max(width, legend + 2 * _MARGIN, *(titles if horizontal else ()))
    for note in notes:
        sheet.shapes += _note(*note, _MARGIN, height)
        height += 16
    title = ", ".join(network.name for network in networks)
    return Scene(width, height + 8, title, sheet.shapes)


def _columns(networks: Sequence[Schematic], horizontal: bool) -> list[_Column]:
    found, across = [], _MARGIN
    for drawn, rows in zip(networks, _rows(networks), strict=True):
        labels = [width_of(box.label, _TYPE) for box in drawn.nodes]
        reach = max(
            (0.75 * _reach(arc) + 1.2 * width_of(_layers(arc), _SMALL) for arc in drawn.arcs),
            default=0.0,
        )
        across += _HEADER if horizontal else 0
        column = _Column(drawn, rows, across, max([40.0, *labels]) + 12, reach + 26)
        if not horizontal:  # the title is above it
            short = max(_title_width(drawn) + _SIZES - column.width, 0)
            column = column._replace(arcs=column.arcs + short)
        found.append(column)
        across += column.width + _SPACE
    return found


def _rows(networks: Sequence[Schematic]) -> list[list[int]]:
    """The row of each box: the first maps of one size stand in one row where sizes only fall."""
    sizes = [_sizes(drawn.nodes) for drawn in networks]
    if len(networks) == 1 or any(its != sorted(its, reverse=True) for its in sizes):
        return [list(range(len(its))) for its in sizes]
    starts, row = {}, 0
    for size in sorted({*itertools.chain(*sizes)}, reverse=True):
        starts[size] = row
        row += max(its.count(size) for its in sizes)
    return [[starts[size] + i - its.index(size) for i, size in enumerate(its)] for its in sizes]


def _sizes(nodes: Sequence[Node]) -> list[int]:
    """The pixels of each map; of all maps of a block, those of its last one."""
    last = {node.block: node.pixels for node in nodes}
    shown = (last[node.block] if node.block else node.pixels for node in nodes)
    return [math.prod(pixels) if pixels else 0 for pixels in shown]


def _reach(arc: Arc) -> float:
    """How far an arc bends: the more, the more it passes."""
    return min(18.0 + 9 * (arc.end - arc.start), 120.0)


class _Sheet:
    """Shapes that are placed along the way of networks and across it.

    Args:
        start: Where the first row is.
        horizontal: Whether networks go from left to right.
    """

    def __init__(self, start: float, horizontal: bool) -> None:
        self.start, self.horizontal = start, horizontal
        self.shapes: list[Shape] = []
        # Anchors of text that ends at boxes, or begins behind them; turned, it reads upwards.
        self._before, self._after = ("start", "end") if horizontal else ("end", "start")

    def draw(self, column: _Column) -> None:
        """Draws a network."""
        nodes, rows = column.drawn.nodes, column.rows
        for arc in column.drawn.arcs:
            self._arc(column, arc)
        for row, below in itertools.pairwise(rows):
            self._arrow(
                [(self._edge(row) + _BOX, column.middle), (self._edge(below), column.middle)]
            )
        before = None
        for row, node in zip(rows, nodes, strict=True):
            self._node(column, row, node, node.pixels if node.pixels != before else ())
            before = node.pixels
        left, top = column.across + _SIZES, 16.0
        if self.horizontal:
            left, top = _MARGIN, column.across - _HEADER + 10
        name, *about = _titles(column.drawn)
        self.shapes.append(Text(left, top, name, _TITLE, bold=True))
        for i, line in enumerate(about, start=1):
            self.shapes.append(Text(left, top + 2 + 12 * i, line, _SMALL, colour="pale"))

    def _node(self, column: _Column, row: int, node: Node, sizes: tuple[int, ...]) -> None:
        """A box, and the size of its map if that is a new one."""
        edge, left = self._edge(row), column.across + _SIZES
        x, y = self._at(edge, left)
        size = (_BOX, column.boxes) if self.horizontal else (column.boxes, _BOX)
        self.shapes.append(Box(x, y, *size, node.colour, node.part))
        self._text(edge + _BOX / 2, column.middle, node.label, _TYPE, "middle", "ink")
        if sizes:
            text = "×".join(map(str, sizes))
            self._text(edge + _BOX / 2, left - 6, text, _SMALL, self._before, "pale")

    def _arc(self, column: _Column, arc: Arc) -> None:
        """From before a box, around those beside it, to behind them."""
        rows = column.rows
        leaves = self._edge(rows[arc.start]) - _GAP / 3
        comes = self._edge(rows[arc.end - 1]) + _BOX + _GAP / 3
        edge = column.across + _SIZES + column.boxes
        far = edge + 6 + _reach(arc)
        path = [(leaves, column.middle), (leaves, edge), (leaves, far), (comes, far)]
        path += [(comes, edge), (comes, column.middle)]
        self._arrow(path, dotted=not arc.identity)
        if text := _layers(arc):
            middle, beside = (leaves + comes) / 2, edge + 0.75 * (6 + _reach(arc)) + 4
            self._text(middle, beside, text, _SMALL, self._after, "pale")

    def _arrow(self, places: Sequence[tuple[float, float]], dotted: bool = False) -> None:
        """A line with a head at its end; of six points, the inner four bend it."""
        points = [self._at(*place) for place in places]
        commands: list[tuple[Any, ...]] = [("M", *points[0]), ("L", *points[1])]
        if len(points) == 6:
            commands += [("C", *points[2], *points[3], *points[4]), ("L", *points[5])]
        self.shapes.append(Stroke(tuple(commands), dotted=dotted))
        (x0, y0), (x, y) = points[-2:]
        length = math.hypot(x - x0, y - y0) or 1.0
        ux, uy = (x - x0) / length, (y - y0) / length
        sides = [(x - 4 * ux + 2 * s * uy, y - 4 * uy - 2 * s * ux) for s in (1, -1)]
        head = (("M", x, y), *(("L", *side) for side in sides))
        self.shapes.append(Stroke(head, filled=True))

    def _text(
        self, along: float, across: float, text: str, size: float, anchor: str, colour: str
    ) -> None:
        x, y = self._at(along, across)
        self.shapes.append(Text(x, y, text, size, anchor, colour, turned=self.horizontal))

    def _edge(self, row: int) -> float:
        """Where the boxes of a row begin."""
        return self.start + _GAP + row * (_BOX + _GAP)

    def _at(self, along: float, across: float) -> tuple[float, float]:
        return (along, across) if self.horizontal else (across, along)


def _layers(arc: Arc) -> str:
    """What is said of an arc that stands for more than one layer, or for one nobody knows."""
    counts = [str(count) for count in arc.layers if count]
    if len(counts) > 1:
        return ", ".join([f"branches of {', '.join(counts)} layers", *arc.unknown])
    several = [f"{count} layers" for count in arc.layers if count > 1]
    return ", ".join([*several, *arc.unknown])


def _titles(drawn: Schematic) -> tuple[str, str, str]:
    """The name of a network, and two lines about it."""
    return (
        drawn.name,
        f"{drawn.layers} layer{'s' * (drawn.layers != 1)}, {'×'.join(map(str, drawn.image))}",
        f"{tables.short(drawn.weights)} parameters, {tables.short(drawn.macs)} multiply-adds",
    )


def _title_width(drawn: Schematic) -> float:
    """As wide as the widest of its titles, the first of which is bold."""
    name, *others = _titles(drawn)
    return max(1.1 * width_of(name, _TITLE), *(width_of(line, _SMALL) for line in others))


def _notes(networks: Sequence[Schematic]) -> Iterator[tuple[str, bool | None]]:
    """What lines stand for, with whether they are dotted; and what is not drawn."""
    arcs = [arc for drawn in networks for arc in drawn.arcs]
    if any(arc.identity for arc in arcs):
        yield "identity shortcut", False
    if any(not arc.identity for arc in arcs):
        yield "shortcut that projects, pools or pads", True
    for drawn in networks:
        if drawn.left_out:
            are = (
                "1 layer on another branch is"
                if drawn.left_out == 1
                else (f"{drawn.left_out} layers on other branches are")
            )
            yield f"{drawn.name}: {are} not drawn", None


def _note(text: str, dotted: bool | None, x: float, y: float) -> Iterator[Shape]:
    if dotted is not None:
        yield Stroke((("M", x, y), ("L", x + 24, y)), dotted=dotted)
        x += 32
    yield Text(x, y, text, _SMALL, colour="pale")
