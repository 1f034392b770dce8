"""A network as boxes in a row and the arcs beside them, from its operations."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from resnet_layers._support.errors import printable
from resnet_layers.analysis.depths import depth_of
from resnet_layers.analysis.labels import label_of
from resnet_layers.analysis.stages import Stages
from resnet_layers.analysis.subjects import Subject
from resnet_layers.analysis.ways import Ways
from resnet_layers.networks.operations import WEIGHTED, Shape

_BLOCK = re.compile(r"(stage\d+/block\d+)/")
# As many layers as a block has at most that is known by its arc alone.
_LONGEST = 8


class Node(NamedTuple):
    """A layer, or several that are drawn as one.

    Args:
        part: Where it is in the network, such as `"stage1/block2/conv1"`.
        label: What it says.
        pixels: Of its output, along each axis; nothing for a vector.
        colour: Name of its colour.
        block: What tells its block from others; `None` outside all blocks.
    """

    part: str
    label: str
    pixels: Shape
    colour: str
    block: str | None


class Arc(NamedTuple):
    """A shortcut.

    Args:
        start: Number of boxes before it; 2 for one that leaves behind the second box.
        end: Number of boxes before and beside it; 4 for one that comes back behind the fourth.
        identity: Whether it passes its input on as it is.
        layers: Number of convolutions and dense layers on each branch that it stands for.
        unknown: Those on it that could not be followed.
    """

    start: int
    end: int
    identity: bool
    layers: tuple[int, ...]
    unknown: tuple[str, ...] = ()


class Schematic(NamedTuple):
    """What is drawn of a network.

    Args:
        name: Its name.
        image: What it is given, in the order of its axes.
        layers: Convolutions and dense layers, one after the other, as names of networks count.
        weights: Numbers in its variables, without moving statistics.
        macs: Multiply-adds for an image.
        nodes: On the way from the image to the output.
        arcs: Beside it.
        left_out: Number of layers that are in no box and on no arc.
    """

    name: str
    image: Shape
    layers: int
    weights: int
    macs: int
    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    left_out: int


def schematic_of(subject: Subject) -> Schematic:
    """What is drawn of a network, a box for each layer."""
    walk = subject.walk
    ways, stages = Ways(walk), Stages()
    labels = {i: label_of(walk, o, subject.unknown) for i, o in enumerate(walk)}
    nodes: list[Node] = []
    place = {ways.source: 0}
    for i in ways.main:
        operation, label = walk.operations[i], labels[i]
        if label is not None:
            part = "/".join(operation.path)
            # What attention makes of a map has other axes.
            pixels = operation.shape[:-1] if len(operation.shape) == len(walk.image) else ()
            block = _BLOCK.match(part)
            colour = stages.colour(operation.path, _step(walk.image[:-1], pixels))
            nodes.append(Node(part, label, pixels, colour, block and block[1]))
        place[i] = len(nodes)
    branches: dict[tuple[int, int], list[list[int]]] = {}
    drawn = {*ways.main, *(index for end in ways.main for index in ways.gate(end))}
    for end in ways.main:
        for source, *between in ways.branches(end):
            if place[end] > place[source]:
                branches.setdefault((place[source], place[end]), []).append(between)
                drawn.update(between)
    return Schematic(
        name=printable(subject.name),
        image=subject.shown(walk.image),
        layers=depth_of(walk) if walk.operations else 0,
        weights=sum(operation.weights for operation in walk),
        macs=sum(operation.macs for operation in walk),
        nodes=tuple(nodes),
        arcs=tuple(_arc(subject, labels, *at, those) for at, those in branches.items()),
        left_out=sum(label is not None and i not in drawn for i, label in labels.items()),
    )


def _arc(
    subject: Subject,
    labels: dict[int, str | None],
    start: int,
    end: int,
    branches: Sequence[Sequence[int]],
) -> Arc:
    """One arc for the branches that leave at one place and come back at another one."""
    operations = subject.walk.operations
    layers = (sum(operations[i].kind in WEIGHTED for i in branch) for branch in branches)
    unknown = [i for branch in branches for i in branch if operations[i].kind == "unknown"]
    return Arc(
        start, end, not any(branches), tuple(layers), tuple(labels[i] or "" for i in unknown)
    )


def _step(image: Shape, pixels: Shape) -> float | None:
    """Pixels of the image for one of a map, over all axes alike."""
    if not pixels or 0 in pixels:
        return None
    return float(math.prod(image) / math.prod(pixels)) ** (1 / len(pixels))


def by_block(drawn: Schematic) -> Schematic:
    """The same with one box for the layers of a block."""
    named = any(box.block for box in drawn.nodes)
    keys = [box.block for box in drawn.nodes] if named else _keys_of_arcs(drawn)
    nodes: list[Node] = []
    place = [0]
    numbered = zip(keys, drawn.nodes, strict=True)
    for key, pairs in itertools.groupby(numbered, key=lambda pair: pair[0]):
        those = [box for _, box in pairs]
        groups = [those] if key is not None else [[box] for box in those]
        for group in groups:
            place += [len(nodes)] * (len(group) - 1)
            nodes.append(_together(group))
            place.append(len(nodes))
    arcs = (arc._replace(start=place[arc.start], end=place[arc.end]) for arc in drawn.arcs)
    kept = tuple(arc for arc in dict.fromkeys(arcs) if arc.end > arc.start)
    return drawn._replace(nodes=tuple(nodes), arcs=kept)


def _together(nodes: Sequence[Node]) -> Node:
    """One box that says what several do, without repeating what a convolution is."""
    if len(nodes) == 1:
        return nodes[0]
    label = " – ".join(node.label.replace(" conv,", ",") for node in nodes)
    part = nodes[0].block or f"{nodes[0].part} – {nodes[-1].part}"
    return nodes[-1]._replace(part=part, label=label)


def _keys_of_arcs(drawn: Schematic) -> list[str | None]:
    """The block of each box, where no names tell: the boxes beside the shortest arcs."""
    keys: list[str | None] = [None] * len(drawn.nodes)
    for arc in sorted(drawn.arcs, key=lambda arc: arc.end - arc.start):
        beside, inside = range(arc.start, arc.end), range(arc.start + 1, arc.end)
        crossed = any(other.start in inside or other.end in inside for other in drawn.arcs)
        if len(beside) <= _LONGEST and not crossed and all(keys[i] is None for i in beside):
            for i in beside:
                keys[i] = f"{arc.start}"
    return keys
