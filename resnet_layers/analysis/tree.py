"""The parts of a network, each with what its operations take together."""

import re
from typing import NamedTuple

from resnet_layers.analysis import conventions, fields
from resnet_layers.analysis.conventions import Convention
from resnet_layers.analysis.fields import Fields
from resnet_layers.analysis.parts import Part
from resnet_layers.analysis.subjects import Subject
from resnet_layers.networks.cost import live_sets
from resnet_layers.networks.operations import WEIGHTED, Path, Shape


class _Tally(NamedTuple):
    """What operations take together."""

    params: int
    trainable: int
    statistics: int
    counted: float
    activations: int
    macs: int
    moved: int


_NOTHING = _Tally(0, 0, 0, 0, 0, 0, 0)


class _Found(NamedTuple):
    """A part, and what the parts around it need: also whether it makes a map of pixels."""

    part: Part
    tally: _Tally
    live: int
    shape: Shape
    field: Fields
    maps: bool


class Tree:
    """Makes the parts of a network.

    Args:
        subject: The network.
        batch: Number of images.
        convention: What is counted.
    """

    def __init__(self, subject: Subject, batch: int, convention: Convention) -> None:
        self.subject, self.batch, self.convention = subject, batch, convention
        self.operations = subject.walk.operations
        self.fields, self.live = fields.fields_of(subject.walk), live_sets(subject.walk)
        self.item = _size_of(subject.policy.compute_dtype)
        self.weight = _size_of(subject.policy.variable_dtype)

    def root(self) -> Part:
        """The whole network."""
        return self._found((), list(range(len(self.operations)))).part

    def _found(self, path: Path, indices: list[int]) -> _Found:
        """The part at a path, from the operations in it."""
        depth = len(path)
        if len(indices) == 1 and self.operations[indices[0]].path == path:
            return self._leaf(path, indices[0])
        inside: dict[Path, list[int]] = {}
        for i in indices:
            inside.setdefault(self.operations[i].path[depth : depth + 1], []).append(i)
        found = []
        for name, those in inside.items():
            if name:
                found.append(self._found(path + name, those))
            else:  # the layer's own operation, beside its activation; each call of it
                kinds = [(*path, self.operations[i].kind) for i in those]
                found += [self._leaf(kind, i) for kind, i in zip(kinds, those, strict=True)]
        return self._together(path, found)

    def _leaf(self, path: Path, i: int) -> _Found:
        walk, operation = self.subject.walk, self.operations[i]
        weighted = operation.kind in WEIGHTED
        item = self.batch * self.item
        tally = _Tally(
            params=operation.weights,
            trainable=operation.weights if operation.trainable else 0,
            statistics=operation.statistics,
            counted=self.convention.of(walk, operation),
            activations=operation.elements if operation.kind in self.convention.written else 0,
            macs=operation.macs if weighted else 0,
            moved=conventions.bytes_moved(walk, operation, item, self.weight) if weighted else 0,
        )
        maps = len(operation.shape) == len(walk.image)
        made = (operation.kind, tally, self.live[i], operation.shape, self.fields[i], maps)
        return self._made(path, *made)

    def _together(self, path: Path, found: list[_Found]) -> _Found:
        tallies = [one.tally for one in found]
        tally = _Tally(*map(sum, zip(*tallies, strict=True))) if tallies else _NOTHING
        live = max((one.live for one in found), default=0)
        shape = found[-1].shape if found else self.subject.walk.image
        seen = next((one.field for one in reversed(found) if one.maps), None)
        parts = tuple(one.part for one in found)
        maps = any(one.maps for one in found)
        return self._made(path, None, tally, live, shape, seen, maps, parts)

    def _made(
        self,
        path: Path,
        kind: str | None,
        tally: _Tally,
        live: int,
        shape: Shape,
        seen: Fields,
        maps: bool,
        parts: tuple[Part, ...] = (),
    ) -> _Found:
        part = Part(
            path=path,
            kind=kind,
            output_shape=self.subject.shown(shape),
            params=tally.params,
            trainable=tally.trainable,
            statistics=tally.statistics,
            macs=self.batch * round(tally.counted),
            activations=self.batch * tally.activations,
            weight_bytes=self.weight * (tally.params + tally.statistics),
            live_bytes=self.batch * self.item * live,
            receptive_field=tuple(field.size for field in seen) if seen else None,
            stride=tuple(field.stride for field in seen) if seen else None,
            centre=tuple(field.centre for field in seen) if seen else None,
            intensity=2 * self.batch * tally.macs / tally.moved if tally.moved else 0.0,
            parts=parts,
        )
        return _Found(part, tally, live, shape, seen, maps)


def _size_of(dtype: str) -> int:
    """Bytes of a number."""
    return int(re.sub(r"\D", "", dtype)) // 8
