"""`Part`: what a layer, a block, a stage or a network takes."""

import dataclasses
from collections.abc import Iterator

from resnet_layers.networks.operations import Path


@dataclasses.dataclass(frozen=True)
class Part:
    """What a layer, a block, a stage or a whole network takes.

    Args:
        path: Its place, such as `("stage1", "block2")`; empty for the whole network.
        kind: What it does, for a single operation; otherwise `None`.
        output_shape: Of the last map that it makes, without the batch, in the order of its axes.
        params: Numbers in its variables, without moving statistics.
        trainable: Those of them that training changes.
        statistics: Numbers in its moving statistics.
        macs: Its operations as the profile's convention counts them, for the batch.
        activations: Numbers that its convolutions and dense layers write, for the batch.
        weight_bytes: Bytes of its variables.
        live_bytes: Most bytes of maps that are kept at once while it runs, for the batch.
        receptive_field: Pixels of the image that a pixel of its last map depends on, along each
            axis; `None` behind what sees the whole image or resizes it.
        stride: Pixels of the image from one pixel of that map to the next, along each axis.
        centre: The middle of the first one's receptive field, in pixels from the image's first.
        intensity: Operations, 2 × multiply-adds, of its convolutions and dense layers for each
            byte that they read and write.
        parts: What it is made of, in the order in which it runs.
    """

    path: Path
    kind: str | None
    output_shape: tuple[int, ...]
    params: int
    trainable: int
    statistics: int
    macs: int
    activations: int
    weight_bytes: int
    live_bytes: int
    receptive_field: tuple[int, ...] | None
    stride: tuple[int, ...] | None
    centre: tuple[float, ...] | None
    intensity: float
    parts: tuple["Part", ...] = ()

    @property
    def name(self) -> str:
        """Its place as one name."""
        return "/".join(self.path)

    def walk(self, depth: int | None = None) -> Iterator["Part"]:
        """Itself, and its parts down to a depth."""
        yield self
        if depth is None or depth > 0:
            for part in self.parts:
                yield from part.walk(None if depth is None else depth - 1)
