"""`Body`: the geometry of a block's convolutions, worked out from its arguments."""

import math
from typing import Any

from resnet_layers._support import checks
from resnet_layers.layers._layout import Layout


class Body:
    """Keywords and styles of the units of a block.

    Args:
        block: A residual block with its arguments checked.
    """

    def __init__(self, block: Any) -> None:
        style, spread = block.style, block.layout.spread
        self.regular_filters = block.filters * (4 if block.bottleneck else 1)
        width = block.groups * block.group_width if block.group_width else block.filters
        if not (block.bottleneck and block.group_width):
            checks.divisible("filters", block.filters, block.groups)
        checks.divisible("filters", width, style.reduce_first, by="style.reduce_first")
        first = width // style.reduce_first
        widths = (
            (first, width, self.regular_filters) if block.bottleneck else (first, block.filters)
        )
        reads_neighbours = (False, True, False) if block.bottleneck else (True, True)

        # The unit that carries the strides, and those before it, read at the rate before them.
        strided = 1 if block.bottleneck and style.strides_on == "3x3" else 0
        first_rate = block.first_dilation_rate or block.dilation_rate
        changed = spread(first_rate) != spread(block.dilation_rate)
        smooths = bool(style.anti_aliasing) and (max(spread(block.strides)) > 1 or changed)

        self.units: list[dict[str, Any]] = []
        self.smoothed: int | None = None  # the unit whose output is smoothed
        for i, (filters, wide) in enumerate(zip(widths, reads_neighbours, strict=True)):
            rate = first_rate if i <= strided else block.dilation_rate
            unit = {
                "filters": filters,
                "kernel_size": block.kernel_size if wide else 1,
                "strides": block.strides if i == strided and not smooths else 1,
                "dilation_rate": rate if wide else 1,
                "groups": block.groups if wide else 1,
                "activation": style.activation,
            }
            if wide and style.factorize:
                of_space, of_time = factorized(unit, block.layout)
                before = widths[i - 1] if i else block.filters
                of_space["filters"] = _between(before, filters, spread(block.kernel_size))
                self.units += [of_space, of_time]
            else:
                self.units.append(unit)
            if i == strided and smooths:
                self.smoothed = len(self.units) - 1
        self.units[-1]["activation"] = None
        self._take_widths(block.widths)
        self.output_filters: int = self.units[-1]["filters"]
        self.styles = [style.child(i) for i in range(len(self.units))]
        if style.preactivation:  # the next block normalizes what this one makes
            self.styles[-1] = self.styles[-1].without_normalization()

    def _take_widths(self, widths: tuple[int, ...] | None) -> None:
        if widths is None:
            return
        if len(widths) != len(self.units):
            raise ValueError(
                f"`widths` must have one number for each of the {len(self.units)} convolutions of "
                f"the body. Received: widths={widths}"
            )
        for unit, width in zip(self.units, widths, strict=True):
            unit["filters"] = width


def factorized(unit: dict[str, Any], layout: Layout) -> list[dict[str, Any]]:
    """The geometry of a convolution, as one of space and one of time."""

    def part(name: str, of_space: bool) -> tuple[int, ...]:
        time, *space = layout.spread(unit[name])
        return (1, *space) if of_space else (time, *[1] * len(space))

    names = ("kernel_size", "strides", "dilation_rate")
    return [
        {**unit, **{name: part(name, of_space) for name in names}} for of_space in (True, False)
    ]


def _between(before: int, filters: int, kernel_size: tuple[int, ...]) -> int:
    """Channels between space and time that keep the number of parameters.

    Tran et al. 2017, section 3.5.
    """
    time, *space = kernel_size
    area = math.prod(space)
    return before * filters * time * area // (before * area + time * filters)
