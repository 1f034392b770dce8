"""A network as boxes in a row and the arcs beside them, from its operations."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from resnet_layers.analysis.depths import depth_of
from resnet_layers.analysis.labels import label_of
from resnet_layers.analysis.scene import STAGES
from resnet_layers.analysis.subjects import Subject
from resnet_layers.networks.operations import IMAGE, WEIGHTED, Operation, Path, Shape, Walk

_STAGE, _BLOCK = re.compile(r"stage\d+"), re.compile(r"(stage\d+/block\d+)/")
# As many layers as a block has at most that is known by its arc alone.
_LONGEST = 8


class Node(NamedTuple):
    """A layer, or several that are drawn as one.

    Args:
        part: Where it is in the network, such as `"stage1/block2/conv1"`.
        label: What it says.
        pixels: Of its output, along each axis; nothing for a vector.
        stage: The number of its colour; `None` for what is outside all stages.
        block: What tells its block from others; `None` outside all blocks.
    """

    part: str
    label: str
    pixels: Shape
    stage: int | None
    block: str | None


class Arc(NamedTuple):
    """A shortcut.

    Args:
        start: Number of boxes before it.
        end: Number of boxes before and beside it.
        identity: Whether it passes its input on as it is.
        layers: Number of convolutions and dense layers on each branch that it stands for.
    """

    start: int
    end: int
    identity: bool
    layers: tuple[int, ...]


class Schematic(NamedTuple):
    """What is drawn of a network.

    Args:
        name: Its name.
        image: What it is given, in the order of its axes.
        layers: Convolutions and dense layers, one after the other.
        weights: Numbers in its variables, without moving statistics.
        macs: Multiply-adds for an image.
        nodes: On the way from the image to the output.
        arcs: Beside it.
        left_out: Number of convolutions and dense layers that are in no box and on no arc.
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
    ways = _Ways(walk)
    nodes, place = [], {IMAGE: 0}
    stages = _Stages(walk.image)
    for i in ways.main:
        operation = walk.operations[i]
        label = label_of(walk, operation, subject.unknown)
        if label is not None:
            pixels = operation.shape[:-1]
            path = "/".join(operation.path)
            stage = stages.of(operation.path, pixels)
            block = _BLOCK.match(path)
            nodes.append(Node(path, label, pixels, stage, block and block[1]))
        place[i] = len(nodes)
    arcs: dict[tuple[int, int], list[list[Operation]]] = {}
    drawn = set(ways.main)
    for end in ways.main:
        for source, *between in ways.branches(end):
            drawn.update(between)
            place_of = place[source], place[end]
            arcs.setdefault(place_of, []).append([walk.operations[i] for i in between])
    weighted = {i for i, operation in enumerate(walk) if operation.kind in WEIGHTED}
    gates = {i for end in ways.main for i in ways.gate(end)}
    return Schematic(
        name=subject.name,
        image=subject.shown(walk.image),
        layers=depth_of(walk) if walk.operations else 0,
        weights=sum(operation.weights for operation in walk),
        macs=sum(operation.macs for operation in walk),
        nodes=tuple(nodes),
        arcs=tuple(_arc(*at, ways) for at, ways in arcs.items() if at[1] > at[0]),
        left_out=len(weighted - drawn - gates),
    )


def _arc(start: int, end: int, branches: Sequence[Sequence[Operation]]) -> Arc:
    """One arc for the branches that leave at one place and come back at another one."""
    changed = any(operation.kind != "activation" for branch in branches for operation in branch)
    layers = (sum(operation.kind in WEIGHTED for operation in branch) for branch in branches)
    return Arc(start, end, not changed, tuple(layers))


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
            nodes.append(_together(group, key))
            place.append(len(nodes))
    arcs = (arc._replace(start=place[arc.start], end=place[arc.end]) for arc in drawn.arcs)
    kept = tuple(arc for arc in dict.fromkeys(arcs) if arc.end > arc.start)
    return drawn._replace(nodes=tuple(nodes), arcs=kept)


def _together(nodes: Sequence[Node], block: str | None) -> Node:
    """One box that says what several do, without repeating what a convolution is."""
    if len(nodes) == 1:
        return nodes[0]
    label = " – ".join(node.label.replace(" conv,", ",") for node in nodes)
    return nodes[-1]._replace(part=block or nodes[0].part, label=label)


def _keys_of_arcs(drawn: Schematic) -> list[str | None]:
    """The block of each box, where no names tell: the boxes beside the shortest arcs."""
    keys: list[str | None] = [None] * len(drawn.nodes)
    for arc in sorted(drawn.arcs, key=lambda arc: arc.end - arc.start):
        beside = range(arc.start, arc.end)
        if len(beside) <= _LONGEST and all(keys[i] is None for i in beside):
            for i in beside:
                keys[i] = f"{arc.start}"
    return keys


class _Ways:
    """The longest way through a network, and what leaves it and comes back.

    Args:
        walk: Its operations.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        # Layers with weights, then operations, on the longest way to each output.
        self.length: dict[int, tuple[int, int]] = {IMAGE: (0, 0)}
        for i, operation in enumerate(walk):
            weighted, all_of_them = self.length[self._before(i)]
            self.length[i] = (weighted + (operation.kind in WEIGHTED), all_of_them + 1)
        last = len(walk.operations) - 1
        *back, _ = self._back(walk.outputs[-1] if walk.outputs else last, {IMAGE})
        self.main = back[::-1]
        self._on_it = {IMAGE, *self.main}

    def _reads(self, i: int) -> tuple[int, ...]:
        """What an operation passes on; what a map is multiplied by is beside the way."""
        operation = self.walk.operations[i]
        inputs = operation.inputs[:1] if operation.kind == "product" else operation.inputs
        return inputs or (IMAGE,)

    def _before(self, i: int) -> int:
        return max(self._reads(i), key=self.length.__getitem__)

    def _back(self, i: int, until: set[int]) -> list[int]:
        """From an operation to the first one of a set, both included."""
        found = [i]
        while found[-1] not in until:
            found.append(self._before(found[-1]))
        return found

    def branches(self, i: int) -> Iterator[list[int]]:
        """The ways to the other inputs of an operation, from where they leave the longest one."""
        reads = list(self._reads(i))
        reads.remove(self._before(i))
        for index in reads:
            yield self._back(index, self._on_it)[::-1]

    def gate(self, i: int) -> set[int]:
        """What makes the numbers that an operation multiplies a map by."""
        operation = self.walk.operations[i]
        found: set[int] = set()
        if operation.kind == "product":
            todo = list(operation.inputs[1:])
            while todo:
                index = todo.pop()
                if index not in self._on_it and index not in found:
                    found.add(index)
                    todo += self.walk.operations[index].inputs
        return found


class _Stages:
    """Numbers the stages: one for each size of the maps, and for each stage of one size.

    Args:
        image: The shape of the image.
    """

    def __init__(self, image: Shape) -> None:
        self.size = math.prod(image[:-1]) ** (1 / max(len(image) - 1, 1))
        self.number: dict[str, int] = {}

    def of(self, path: Path, pixels: Shape) -> int | None:
        """The number of the stage of a layer; `None` for stems and heads."""
        name = "".join(path[:1])
        if not pixels or name in ("stem", "head"):
            return None
        length = math.prod(pixels) ** (1 / len(pixels))
        halved = round(math.log2(self.size / length)) if length else 0
        if not _STAGE.fullmatch(name):
            return halved % STAGES
        if name not in self.number:
            latest = max(self.number.values(), default=-1)
            self.number[name] = max(halved, latest + 1)
        return self.number[name] % STAGES
