"""A network as the list of its operations: what each reads, makes, holds and computes."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# A map or a vector of one image: pixels along each axis, then channels, whatever the data format.
Shape = tuple[int, ...]
Path = tuple[str, ...]
IMAGE = -1  # the index that stands for what a network is given


class Window(NamedTuple):
    """The pixels that one pixel of an output reads along an axis.

    Args:
        size: How many.
        stride: Pixels from one output's first one to the next output's.
        rate: Pixels from one of them to the next.
        before: How many pixels before the map the first output's window begins.
    """

    size: int
    stride: int = 1
    rate: int = 1
    before: int = 0

    @property
    def span(self) -> int:
        """Pixels from the first to the last, both counted."""
        return (self.size - 1) * self.rate + 1


class Operation(NamedTuple):
    """One step from tensors to a tensor, for one image.

    Args:
        path: Names of the parts that it is in, then its own.
        kind: What it is, such as `"convolution"`.
        inputs: Indices of the operations whose outputs it reads.
        shape: Of its output.
        weights: Numbers in its variables, without moving statistics.
        statistics: Numbers in its moving statistics.
        macs: Multiply-adds of a convolution or a dense layer, taps on padding included.
        windows: For each axis what one pixel reads; `None` where it reads its own place alone.
        sees_all: Whether each output depends on all pixels of the input.
        standardized: Numbers of a kernel that is standardized at each call.
        bias: Whether it adds one.
        trainable: Whether training changes its weights.
    """

    path: Path
    kind: str
    inputs: tuple[int, ...]
    shape: Shape
    weights: int = 0
    statistics: int = 0
    macs: int = 0
    windows: tuple[Window, ...] | None = None
    sees_all: bool = False
    standardized: int = 0
    bias: bool = False
    trainable: bool = True

    @property
    def elements(self) -> int:
        """Numbers in its output."""
        return math.prod(self.shape)


# What computes by weights; the other operations pass over their inputs once.
WEIGHTED = ("convolution", "dense")


@dataclasses.dataclass
class Walk:
    """Follows the maps of an image through a network, and lists its operations.

    Args:
        image: The shape of the image, channels last.
        operations: Those that were met.
        outputs: Indices of what is kept to the end; nothing for what nobody reads.
    """

    image: Shape
    operations: list[Operation] = dataclasses.field(default_factory=list)
    outputs: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def shape(self, index: int) -> Shape:
        """The shape of an operation's output."""
        return self.image if index == IMAGE else self.operations[index].shape

    def elements(self, index: int) -> int:
        """Numbers in an operation's output."""
        return math.prod(self.shape(index))

    def add(self, operation: Operation) -> int:
        """Appends an operation, and returns its index."""
        self.operations.append(operation)
        return len(self.operations) - 1

    def repeat(self, start: int, path: Path) -> int:
        """The operations from an index on once more, on what the last of them makes."""
        again, depth = self.operations[start:], len(path)
        for operation in again:
            self.add(
                operation._replace(
                    path=path + operation.path[depth:],
                    inputs=tuple(index + len(again) for index in operation.inputs),
                )
            )
        return len(self.operations) - 1

    def pointwise(self, path: Path, kind: str, *inputs: int) -> int:
        """What keeps the shape of its first input, pixel by pixel."""
        return self.add(Operation(path, kind, inputs, self.shape(inputs[0])))

    def convolution(
        self,
        path: Path,
        x: int,
        filters: int,
        windows: Sequence[Window],
        pixels: Sequence[int],
        *,
        groups: int = 1,
        bias: bool = False,
        standardized: bool = False,
    ) -> int:
        """A convolution whose output has these pixels."""
        kernel = math.prod(window.size for window in windows)
        kernel *= self.shape(x)[-1] // groups * filters
        return self.add(
            Operation(
                path,
                "convolution",
                (x,),
                (*pixels, filters),
                weights=kernel + (filters if bias else 0),
                macs=kernel * math.prod(pixels),
                windows=tuple(windows),
                standardized=kernel if standardized else 0,
                bias=bias,
            )
        )

    def dense(self, path: Path, x: int, units: int, *, bias: bool = True) -> int:
        """A dense layer over the last axis."""
        *places, inputs = self.shape(x)
        weights = inputs * units
        return self.add(
            Operation(
                path,
                "dense",
                (x,),
                (*places, units),
                weights=weights + (units if bias else 0),
                macs=weights * math.prod(places),
                bias=bias,
            )
        )

    def pooling(
        self,
        path: Path,
        x: int,
        windows: Sequence[Window],
        pixels: Sequence[int],
        kind: str = "pooling",
    ) -> int:
        """A pooling whose output has these pixels."""
        shape = (*pixels, self.shape(x)[-1])
        return self.add(Operation(path, kind, (x,), shape, windows=tuple(windows)))

    def padding(self, path: Path, x: int, pads: Sequence[tuple[int, int]]) -> int:
        """Pixels around a map."""
        *pixels, channels = self.shape(x)
        shape = tuple(size + sum(pad) for size, pad in zip(pixels, pads, strict=True))
        windows = tuple(Window(1, before=before) for before, _ in pads)
        return self.add(Operation(path, "padding", (x,), (*shape, channels), windows=windows))

    def all_pixels(self, path: Path, x: int, kind: str = "global_pooling") -> int:
        """A number for each channel, of all pixels."""
        return self.add(Operation(path, kind, (x,), self.shape(x)[-1:], sees_all=True))

    def flatten(self, path: Path, x: int) -> int:
        """All numbers of a map as one vector."""
        shape = self.shape(x)
        return self.add(
            Operation(path, "reshape", (x,), (math.prod(shape),), sees_all=len(shape) > 1)
        )
