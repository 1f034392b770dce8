"""`Variant`: what makes one network, from the row of a table or from a sample."""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from resnet_layers._support import checks
from resnet_layers.layers import styles
from resnet_layers.layers._geometry import Geometry
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.conv_norm import NormAct
from resnet_layers.layers.head import ClassifierHead
from resnet_layers.layers.stage import ResNetStage
from resnet_layers.layers.stem import Stem, StemGeometry

# What `ResNet.from_variant` can override, besides the fields of the style.
_ROW_FIELDS = {
    *("blocks", "filters", "bottleneck", "groups", "group_width"),
    *("kernel_size", "strides", "widths", "rematerialize", "style"),
}
_PARTS = {"stem", "head"}
_MODEL_KEYWORDS = {"name", "dtype", "trainable", "metadata"}
STYLE_FIELDS = {field.name for field in dataclasses.fields(styles.BlockStyle)}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a row: the arguments of a `ResNetStage` that decide its size."""

    geometry: Geometry
    blocks: int
    projection: bool
    widths: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One network: everything that `ResNet.from_variant` needs besides classes and input.

    Args:
        blocks: Number of blocks of each stage.
        filters: Width of each stage in channels.
        bottleneck: Whether blocks are bottlenecks, for all stages or for each.
        groups: Number of groups of the 3×3 convolutions.
        group_width: Channels of each group in the first stage; it grows with `filters`.
        kernel_size: Size of the convolutions called 3×3, or one size for each stage.
        strides: Strides of each stage; `None` for 2 in all but the first.
        widths: Channels of each convolution, by stage and block, where they are irregular.
        rematerialize: Whether the backward pass computes the inside of blocks again, for all
            stages or for each.
        stem: Keywords of the `Stem`.
        head: Keywords of the `ClassifierHead`.
        style: `BlockStyle` or its name.
    """

    blocks: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: Any = False
    groups: int = 1
    group_width: int | None = None
    kernel_size: Any = 3
    strides: Any = None
    widths: Any = None
    rematerialize: Any = False
    stem: dict[str, Any] = dataclasses.field(default_factory=lambda: {"filters": 64})
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    style: Any = "torchvision"

    @classmethod
    def of(cls, style: str, **fields: Any) -> "Variant":
        """From a named style, and fields that differ: those of a `Variant` and of its style."""
        switches = {name: fields.pop(name) for name in STYLE_FIELDS & set(fields)}
        state = random.getstate()
        try:
            # This checks the initializer by making one, for which Keras draws a seed.
            return cls(style=styles.get(style).replace(**switches), **fields)
        finally:
            random.setstate(state)

    def override(self, **overrides: Any) -> tuple["Variant", dict[str, Any], dict[str, Any]]:
        """The row with other fields, the parts given as layers, and keywords of the model."""
        known = _ROW_FIELDS | _PARTS | _MODEL_KEYWORDS | STYLE_FIELDS
        unknown = sorted(set(overrides) - known)
        if unknown:
            checks.own_names(overrides)
            for name in unknown:
                if close := get_close_matches(name, known):
                    raise TypeError(
                        "Overrides must be fields of a variant or of its style; close names: "
                        f"{checks.some(close)}. Received: {name}={overrides[name]!r}"
                    )
            raise TypeError(
                f"Overrides must be among {', '.join(sorted(known))}. "
                f"Received: {checks.some(unknown, str)}"
            )

        def given(names: set[str]) -> dict[str, Any]:
            return {name: overrides[name] for name in names & set(overrides)}

        row = dataclasses.replace(self, **given(_ROW_FIELDS))
        parts = given(_PARTS)
        keywords = {name: parts.pop(name) for name in _PARTS if isinstance(parts.get(name), dict)}
        merged: dict[str, Any] = {
            name: {**getattr(row, name), **changes} for name, changes in keywords.items()
        }
        style = styles.get(row.style).replace(**given(STYLE_FIELDS))
        return dataclasses.replace(row, style=style, **merged), parts, given(_MODEL_KEYWORDS)

    @property
    def layout(self) -> Layout:
        """The axes of its images."""
        return styles.get(self.style).layout

    @property
    def stem_geometry(self) -> StemGeometry:
        """That of the stem that it makes."""
        style = styles.get(self.style).child(0)
        return StemGeometry(**{"style": style, **self.stem})

    def make_stem(self, **keywords: Any) -> Stem:
        """The stem."""
        style = styles.get(self.style).child(0)
        return Stem(**{"style": style, "name": "stem", **self.stem, **keywords})

    def make_stages(
        self, stem: Any, output_stride: int, drop_path: float, **keywords: Any
    ) -> list[ResNetStage]:
        """The stages behind a stem."""
        if isinstance(stem, Stem):
            reach = stem._geometry.reach
        elif output_stride == 32:
            reach = (1,) * self.layout.rank
        else:
            raise ValueError(
                "`output_stride` must be 32 with a stem of another class, whose strides are not "
                f"known. Received: output_stride={output_stride}, stem={stem!r}"
            )
        walk = list(self.stages(getattr(stem, "filters", None), reach, output_stride))
        rematerialize = self._for_each("rematerialize", (bool,))
        drop_paths = _linear(checks.fraction("drop_path", drop_path), [s.blocks for s in walk])
        return [
            ResNetStage(
                **{**stage.geometry.arguments(), "widths": stage.widths},
                blocks=stage.blocks,
                projection=stage.projection,
                rematerialize=rematerialize[i],
                drop_path=drop_paths[i],
                name=f"stage{i + 1}",
                **keywords,
            )
            for i, stage in enumerate(walk)
        ]

    def stages(
        self, channels: int | None, reach: tuple[int, ...], output_stride: int = 32
    ) -> Iterator["Stage"]:
        """The geometry of each stage.

        Args:
            channels: What the stem makes, or `None` where that is not known.
            reach: Pixels of the image for each pixel of that.
            output_stride: The most such pixels for the last stage; dilation replaces the strides
                beyond.
        """
        style, rank = styles.get(self.style), self.layout.rank
        blocks = checks.integers("blocks", self.blocks)
        filters = checks.integers("filters", self.filters)
        if len(blocks) != len(filters):
            raise ValueError(
                "`blocks` and `filters` must have one number for each stage. "
                f"Received: blocks={self.blocks!r}, filters={self.filters!r}"
            )
        checks.choice("output_stride", output_stride, (8, 16, 32))
        bottleneck = self._for_each("bottleneck", (bool,))
        kernel_size = self._for_each("kernel_size", (int,))
        widths = self._for_each("widths", (type(None),))
        default = (1,) + (2,) * (len(blocks) - 1)
        strides = default if self.strides is None else self._for_each("strides", ())
        rate: tuple[int, ...] = (1,) * rank
        for i, width in enumerate(filters):
            step = self.layout.spread(checks.sizes("strides", strides[i], rank))
            before = rate
            if output_stride < 32 and max(reach) >= output_stride:
                rate, step = _product(rate, step), (1,) * rank
            reach = _product(reach, step)
            geometry = Geometry(
                filters=width,
                strides=_one(step),
                bottleneck=bottleneck[i],
                groups=self.groups,
                group_width=self._group_width(width, filters[0]),
                kernel_size=kernel_size[i],
                dilation_rate=_one(rate),
                first_dilation_rate=None if before == rate else _one(before),
                style=style.child(i + 1),
            )
            # Where the stem makes the shape already, an identity is the shortcut.
            changes = channels != width or max(step) > 1
            projection = i > 0 or bottleneck[i] or changes or style.shortcut == "C"
            yield Stage(geometry, blocks[i], projection, widths[i])

    def _for_each(self, name: str, one: tuple[type, ...]) -> Sequence[Any]:
        """A field's value for each stage, given as one for all or as a list."""
        value, count = getattr(self, name), len(self.blocks)
        if isinstance(value, one):
            return (value,) * count
        if not isinstance(value, (list, tuple)) or len(value) != count:
            raise ValueError(
                f"`{name}` must have one value for all stages or one for each. "
                f"Received: {name}={value!r}, blocks={self.blocks!r}"
            )
        return value

    def _group_width(self, filters: int, first: int) -> int | None:
        """In proportion to the filters of the stage."""
        if self.group_width is None:
            return None
        group_width = checks.integer("group_width", self.group_width) * filters
        if group_width % first:
            raise ValueError(
                "`group_width` must grow by whole channels with `filters`. "
                f"Received: group_width={self.group_width}, filters={self.filters!r}"
            )
        return group_width // first

    def make_norm(self, **keywords: Any) -> NormAct | None:
        """What ends a network of pre-activation blocks."""
        style = styles.get(self.style)
        return NormAct(style, name="norm", **keywords) if style.preactivation else None

    def make_head(self, classes: int, activation: Any, **keywords: Any) -> ClassifierHead:
        """The head."""
        layout = dataclasses.asdict(self.layout)
        regularizer = styles.get(self.style).kernel_regularizer
        given = {"activation": activation, "kernel_regularizer": regularizer, "name": "head"}
        keywords = {**layout, **given, **self.head, **keywords}
        return ClassifierHead(**{"classes": classes, **keywords})


def _one(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number where all are equal."""
    return values[0] if len(set(values)) == 1 else values


def _product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x * y for x, y in zip(a, b, strict=True))


def _linear(rate: float, blocks: Sequence[int]) -> list[float | tuple[float, ...]]:
    """From 0 in the first block of a network to `rate` in the last, stage by stage."""
    if not rate:
        return [0.0] * len(blocks)
    last = max(sum(blocks) - 1, 1)
    rates = iter([rate * i / last for i in range(sum(blocks))])
    return [tuple(next(rates) for _ in range(depth)) for depth in blocks]
