"""Geometry as a value: what a block or a stem is given, checked once, and the units it means."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from resnet_layers._support import checks
from resnet_layers._support.checks import IntOrInts
from resnet_layers.layers._arguments import Value
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.styles import BlockStyle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit(Value):
    """The arguments of one `ConvNorm`."""

    filters: int
    kernel_size: IntOrInts = 1
    strides: IntOrInts = 1
    dilation_rate: IntOrInts = 1
    groups: int = 1
    activation: Any = None
    style: BlockStyle

    def factorized(self, between: int, layout: Layout) -> list["Unit"]:
        """A unit of space that makes `between` channels, and one of time."""

        def part(of_space: bool, **changes: Any) -> Unit:
            for name in ("kernel_size", "strides", "dilation_rate"):
                time, *space = layout.spread(getattr(self, name))
                changes[name] = (1, *space) if of_space else (time, *[1] * len(space))
            return dataclasses.replace(self, **changes)

        return [part(True, filters=between), part(False)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry(Value):
    """What a residual block is given besides its style, and a stage for all of its blocks.

    Args:
        filters: Width of the 3×3 convolutions in channels, positive.
        strides: Step in pixels: a positive integer, or one for each pixel axis. One convolution
            carries it: the first, or the 3×3 of a bottleneck if `style.strides_on` says so.
        bottleneck: Whether the body is a bottleneck, with `4 * filters` output channels.
        groups: Number of groups in the 3×3 convolutions; must divide their channels.
        group_width: Channels per group, positive. If given, the inner convolutions (the first of a
            basic body, the first two of a bottleneck) have `groups * group_width` channels;
            otherwise `filters`.
        kernel_size: Kernel size in pixels of the convolutions referred to as 3×3: a positive
            integer, or one for each pixel axis.
        dilation_rate: Dilation of the 3×3 convolutions: a positive integer, or one for each pixel
            axis.
        first_dilation_rate: Dilation up to and including the strided convolution; when dilation
            replaces striding, the rate of the previous block. `None` for `dilation_rate`.
        widths: Channels of each convolution of the body, where they are irregular, as in pruned
            networks; otherwise `None`. The last ones are the `output_filters`.
        style: `BlockStyle`.
    """

    filters: int
    strides: IntOrInts = 1
    bottleneck: bool = False
    groups: int = 1
    group_width: int | None = None
    kernel_size: IntOrInts = 3
    dilation_rate: IntOrInts = 1
    first_dilation_rate: IntOrInts | None = None
    widths: Sequence[int] | None = None
    style: BlockStyle

    def __post_init__(self) -> None:
        rank, first, width = self.style.rank, self.first_dilation_rate, self.group_width
        self.checked(
            filters=checks.integer("filters", self.filters),
            strides=checks.sizes("strides", self.strides, rank),
            bottleneck=checks.boolean("bottleneck", self.bottleneck),
            groups=checks.integer("groups", self.groups),
            group_width=None if width is None else checks.integer("group_width", width),
            kernel_size=checks.sizes("kernel_size", self.kernel_size, rank),
            dilation_rate=checks.sizes("dilation_rate", self.dilation_rate, rank),
            first_dilation_rate=(
                None if first is None else checks.sizes("first_dilation_rate", first, rank)
            ),
            widths=None if self.widths is None else checks.integers("widths", self.widths),
        )

    @functools.cached_property
    def strided(self) -> bool:
        """Whether the block makes a step of more than one pixel."""
        return max(self.style.layout.spread(self.strides)) > 1

    @property
    def regular_filters(self) -> int:
        """Output channels of a block without `widths`."""
        return self.filters * (4 if self.bottleneck else 1)

    @property
    def output_filters(self) -> int:
        """Output channels of the block."""
        return self.units[-1].filters

    @functools.cached_property
    def units(self) -> tuple[Unit, ...]:
        """The convolutions of the body."""
        style, layout = self.style, self.style.layout
        units: list[Unit] = []
        steps_apart = self._smooths or self.pools
        for i, (filters, wide) in enumerate(zip(self._widths(), self._wide, strict=True)):
            rate = self._first_rate if i <= self._strided_unit else self.dilation_rate
            unit = Unit(
                filters=filters,
                kernel_size=self.kernel_size if wide else 1,
                strides=self.strides if i == self._strided_unit and not steps_apart else 1,
                dilation_rate=rate if wide else 1,
                groups=self.groups if wide else 1,
                activation=style.activation,
                style=style,
            )
            if wide and style.factorize:
                before = self._widths()[i - 1] if i else self.filters
                between = _between(before, filters, layout.spread(self.kernel_size))
                units += unit.factorized(between, layout)
            else:
                units.append(unit)
        if self.widths is not None and len(self.widths) != len(units):
            raise ValueError(
                f"`widths` must have one number for each of the {len(units)} convolutions of "
                f"the body. Received: widths={self.widths}"
            )
        for i, unit in enumerate(units):
            changes: dict[str, Any] = {"style": style.child(i)}
            if self.widths is not None:
                changes["filters"] = self.widths[i]
            if i == len(units) - 1:
                changes["activation"] = None  # comes after the addition
                if style.preactivation:  # the next block normalizes what this one makes
                    changes["style"] = changes["style"].without_normalization()
            units[i] = dataclasses.replace(unit, **changes)
        return tuple(units)

    @functools.cached_property
    def smoothed(self) -> int | None:
        """The unit whose output is smoothed, which makes the step in place of its strides."""
        if not self._smooths:
            return None
        before = self._wide[: self._strided_unit + 1]
        return sum(2 if wide and self.style.factorize else 1 for wide in before) - 1

    @property
    def pools(self) -> bool:
        """Whether max-pooling before the body makes the step."""
        return self.strided and self.style.downsample == "max_pool"

    @functools.cached_property
    def projection(self) -> Unit | None:
        """The convolution of a shortcut that changes the shape; `None` for one without."""
        style, spread = self.style, self.style.layout.spread
        if style.shortcut not in ("B", "C", "D"):
            return None
        pooled = style.shortcut == "D"  # the pooling makes the step
        changed = self.strided or max(spread(self.dilation_rate)) > 1
        wide = style.shortcut_kernel_size > 1 and changed and not pooled
        if not style.normalize_shortcut:
            style = style.without_normalization()
        return Unit(
            filters=self.output_filters,
            kernel_size=style.shortcut_kernel_size if wide else 1,
            strides=1 if pooled else self.strides,
            dilation_rate=self._first_rate if wide and not self.strided else 1,
            style=style.child(len(self.units)),
        )

    def of_blocks(
        self, count: int, projection: bool = True, widths: Sequence[Any] | None = None
    ) -> Iterator[tuple["Geometry", bool]]:
        """The blocks of a stage of this geometry, and which of them are `ConvBlock`s."""
        last = self.style.strided_block == "last"
        # All convolutions come before the strides of a last block.
        rate = self._first_rate if last else self.dilation_rate
        block, before = self, None
        for i in range(count):
            style, strided = self.style.child(i), self.strided and i == (count - 1 if last else 0)
            converts = (i == 0 and projection) or style.shortcut == "C" or strided
            if converts and i and style.shortcut not in ("C", "none"):
                style = style.replace(shortcut="A")
            changes: dict[str, Any] = {
                "strides": self.strides if strided else 1,
                "dilation_rate": rate,
                "first_dilation_rate": None if i else self.first_dilation_rate,
                "widths": widths[i] if widths else None,
                "style": style,
            }
            if changes != before:  # most blocks of a stage are alike
                block, before = dataclasses.replace(self, **changes), changes
            yield block, converts

    @property
    def _wide(self) -> tuple[bool, ...]:
        """Which convolutions read their neighbours."""
        return (False, True, False) if self.bottleneck else (True, True)

    def _widths(self) -> tuple[int, ...]:
        """Channels of the convolutions where they are regular."""
        width = self.groups * self.group_width if self.group_width else self.filters
        if not (self.bottleneck and self.group_width):
            checks.divisible("filters", self.filters, self.groups)
        checks.divisible("filters", width, self.style.reduce_first, by="style.reduce_first")
        first = width // self.style.reduce_first
        return (first, width, self.regular_filters) if self.bottleneck else (first, self.filters)

    @property
    def _strided_unit(self) -> int:
        """The convolution that carries the strides; it and those before have the rate before."""
        return 1 if self.bottleneck and self.style.strides_on == "3x3" else 0

    @property
    def _first_rate(self) -> IntOrInts:
        return self.first_dilation_rate or self.dilation_rate

    @property
    def _smooths(self) -> bool:
        spread = self.style.layout.spread
        changed = spread(self._first_rate) != spread(self.dilation_rate)
        return bool(self.style.anti_aliasing) and (self.strided or changed)


def _between(before: int, filters: int, kernel_size: tuple[int, ...]) -> int:
    """Channels between space and time that keep the number of parameters.

    Tran et al. 2017, section 3.5.
    """
    time, *space = kernel_size
    area = math.prod(space)
    return before * filters * time * area // (before * area + time * filters)
