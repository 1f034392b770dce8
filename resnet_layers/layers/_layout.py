"""`Layout`: which axes of an array are pixels and which are channels."""

import dataclasses
from typing import Any

from keras import ops

from resnet_layers._support.checks import IntOrInts

_PIXEL_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Batches of `rank` pixel axes, with channels last or first."""

    rank: int = 2
    data_format: str = "channels_last"

    @property
    def ndim(self) -> int:
        """Number of axes, with batch and channels."""
        return self.rank + 2

    @property
    def channel_axis(self) -> int:
        """The axis of the channels."""
        return -1 if self.data_format == "channels_last" else 1

    @property
    def pixel_axes(self) -> tuple[int, ...]:
        """The axes of the pixels."""
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each axis."""
        return self.shape("batch", _PIXEL_AXES[self.rank], "channels")

    def shape(self, batch: Any, pixels: Any, channels: Any) -> tuple[Any, ...]:
        """One value for each axis, in the order of the axes."""
        if self.data_format == "channels_last":
            return (batch, *pixels, channels)
        return (batch, channels, *pixels)

    def channels(self, shape: Any) -> Any:
        """The channels of a shape."""
        return shape[self.channel_axis]

    def pixels(self, shape: Any) -> tuple[Any, ...]:
        """The sizes of a shape in pixels."""
        return tuple(shape[axis] for axis in self.pixel_axes)

    def spread(self, value: IntOrInts) -> tuple[int, ...]:
        """One number for each pixel axis."""
        return (value,) * self.rank if isinstance(value, int) else tuple(value)

    def strided(self, shape: Any, strides: IntOrInts, filters: int) -> tuple[int | None, ...]:
        """The shape after a step of `strides`: ceil(size / stride), unknown where unknown."""
        pixels = (
            None if size is None else -(-size // stride)
            for size, stride in zip(self.pixels(shape), self.spread(strides), strict=True)
        )
        return self.shape(shape[0], pixels, filters)

    def pad(self, inputs: Any, kernel_size: IntOrInts) -> Any:
        """Zeros around the pixels, so that every pixel can be the centre of the kernel."""
        pads = [((size - 1) // 2, size // 2) for size in self.spread(kernel_size)]
        return ops.pad(inputs, self.shape((0, 0), pads, (0, 0)))

    def pad_channels(self, inputs: Any, new: int) -> Any:
        """Appends channels of zeros."""
        return ops.pad(inputs, self.shape((0, 0), [(0, 0)] * self.rank, (0, new)))

    def over_pixels(self, values: Any) -> Any:
        """A number for each image and channel, (B, C), as a map of one pixel."""
        first = ops.reshape(values, (-1, values.shape[-1], *(1,) * self.rank))
        # Moved, not reshaped: tf2onnx moves axes of a product only where both factors move theirs.
        return first if self.channel_axis == 1 else ops.moveaxis(first, 1, -1)
