"""Named networks as rows of a table: `VARIANTS`."""

import dataclasses
import fnmatch
from typing import Any

from resnet_layers import _checks, styles
from resnet_layers.head import ClassifierHead
from resnet_layers.stage import ResNetStage
from resnet_layers.stem import Stem

# What `ResNet.from_variant` can override, besides the fields of the style.
_ROW_FIELDS = {"blocks", "filters", "bottleneck", "groups", "group_width", "style"}
_PARTS = {"stem", "head"}
_MODEL_KEYWORDS = {"name", "dtype", "trainable", "metadata"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One network: everything that `ResNet.from_variant` needs besides classes and input.

    Args:
        blocks: Number of blocks of each stage.
        filters: Width of each stage in channels.
        bottleneck: Whether blocks are bottlenecks.
        groups: Number of groups of the 3×3 convolutions.
        group_width: Channels of each group in the first stage; it grows with `filters`.
        stem: Keywords of the `Stem`.
        head: Keywords of the `ClassifierHead`.
        style: `BlockStyle` or its name.
        parameters: Trainable parameters at 1000 classes.
        source: Where the network is defined.
    """

    blocks: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    groups: int = 1
    group_width: int | None = None
    stem: dict[str, Any] = dataclasses.field(default_factory=lambda: {"filters": 64})
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    style: Any = "torchvision"
    parameters: int
    source: str

    def override(self, **overrides: Any) -> tuple["Variant", dict[str, Any], dict[str, Any]]:
        """The row with other fields, the parts given as layers, and keywords of the model."""
        style_fields = {field.name for field in dataclasses.fields(styles.BlockStyle)}
        known = _ROW_FIELDS | _PARTS | _MODEL_KEYWORDS | style_fields
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise TypeError(
                f"Overrides must be among {', '.join(sorted(known))}. "
                f"Received: {', '.join(unknown)}"
            )

        def given(names: set[str]) -> dict[str, Any]:
            return {name: overrides[name] for name in names & set(overrides)}

        row = dataclasses.replace(self, **given(_ROW_FIELDS))
        parts = given(_PARTS)
        keywords = {name: parts.pop(name) for name in _PARTS if isinstance(parts.get(name), dict)}
        merged: dict[str, Any] = {
            name: {**getattr(row, name), **changes} for name, changes in keywords.items()
        }
        style = styles.get(row.style).replace(**given(style_fields))
        return dataclasses.replace(row, style=style, **merged), parts, given(_MODEL_KEYWORDS)

    def make_stem(self, **keywords: Any) -> Stem:
        """The stem."""
        style = styles.get(self.style).child(0)
        return Stem(**{"style": style, "name": "stem", **self.stem, **keywords})

    def make_stages(self, stem_filters: int | None, **keywords: Any) -> list[ResNetStage]:
        """The stages, all but the first with stride 2, behind a stem of so many filters."""
        style = styles.get(self.style)
        blocks = _checks.integers("blocks", self.blocks)
        filters = _checks.integers("filters", self.filters)
        if len(blocks) != len(filters):
            raise ValueError(
                "`blocks` and `filters` must have one number for each stage. "
                f"Received: blocks={self.blocks!r}, filters={self.filters!r}"
            )
        return [
            ResNetStage(
                width,
                depth,
                strides=1 if i == 0 else 2,
                bottleneck=self.bottleneck,
                groups=self.groups,
                group_width=self._group_width(width, filters[0]),
                # Where the stem makes the channels already, an identity is the shortcut.
                projection=i > 0
                or self.bottleneck
                or stem_filters != width
                or style.shortcut == "C",
                style=style.child(i + 1),
                name=f"stage{i + 1}",
                **keywords,
            )
            for i, (depth, width) in enumerate(zip(blocks, filters, strict=True))
        ]

    def _group_width(self, filters: int, first: int) -> int | None:
        """In proportion to the filters of the stage."""
        if self.group_width is None:
            return None
        group_width = _checks.integer("group_width", self.group_width) * filters
        if group_width % first:
            raise ValueError(
                "`group_width` must grow by whole channels with `filters`. "
                f"Received: group_width={self.group_width}, filters={self.filters!r}"
            )
        return group_width // first

    def make_head(self, classes: int, activation: Any, **keywords: Any) -> ClassifierHead:
        """The head."""
        keywords = {"activation": activation, "name": "head", **self.head, **keywords}
        return ClassifierHead(**{"classes": classes, **keywords})


_PAPER = "He et al. 2015, arXiv:1512.03385, table 1"
_WIDE = "Zagoruyko and Komodakis 2016, arXiv:1605.07146; torchvision models/resnet.py"
_RESNEXT = "Xie et al. 2017, arXiv:1611.05431; torchvision models/resnet.py"
_IDENTITY_MAPPINGS = "He et al. 2016, arXiv:1603.05027; timm models/resnet.py"


def _cifar(blocks: int, parameters: int) -> Variant:
    """He et al. 2015, section 4.2: 6n + 2 layers, n blocks a stage."""
    return Variant(
        blocks=(blocks,) * 3,
        filters=(16, 32, 64),
        stem={"filters": 16, "kernel_size": 3, "strides": 1, "pooling": None},
        style="cifar",
        parameters=parameters,
        source="He et al. 2015, arXiv:1512.03385, section 4.2",
    )


# fmt: off
VARIANTS: dict[str, Variant] = {
    "resnet18": Variant(blocks=(2, 2, 2, 2), parameters=11_689_512, source=_PAPER),
    "resnet34": Variant(blocks=(3, 4, 6, 3), parameters=21_797_672, source=_PAPER),
    "resnet50": Variant(blocks=(3, 4, 6, 3), bottleneck=True, parameters=25_557_032, source=_PAPER),
    "resnet101": Variant(blocks=(3, 4, 23, 3), bottleneck=True, parameters=44_549_160, source=_PAPER),
    "resnet152": Variant(blocks=(3, 8, 36, 3), bottleneck=True, parameters=60_192_808, source=_PAPER),
    "resnet200": Variant(blocks=(3, 24, 36, 3), bottleneck=True, parameters=64_673_832, source=_IDENTITY_MAPPINGS),
    "wide_resnet50_2": Variant(blocks=(3, 4, 6, 3), bottleneck=True, group_width=128, parameters=68_883_240, source=_WIDE),
    "wide_resnet101_2": Variant(blocks=(3, 4, 23, 3), bottleneck=True, group_width=128, parameters=126_886_696, source=_WIDE),
    "resnext50_32x4d": Variant(blocks=(3, 4, 6, 3), bottleneck=True, groups=32, group_width=4, parameters=25_028_904, source=_RESNEXT),
    "resnext101_32x8d": Variant(blocks=(3, 4, 23, 3), bottleneck=True, groups=32, group_width=8, parameters=88_791_336, source=_RESNEXT),
    "resnext101_64x4d": Variant(blocks=(3, 4, 23, 3), bottleneck=True, groups=64, group_width=4, parameters=83_455_272, source=_RESNEXT),
    "cifar_resnet20": _cifar(3, 334_072),
    "cifar_resnet32": _cifar(5, 528_504),
    "cifar_resnet44": _cifar(7, 722_936),
    "cifar_resnet56": _cifar(9, 917_368),
    "cifar_resnet110": _cifar(18, 1_792_312),
    "cifar_resnet1202": _cifar(200, 19_485_624),
    "article_resnet34": Variant(
        blocks=(3, 4, 6, 3), head={"pooling": "avg2x2", "hidden_units": 512}, style="article", parameters=22_067_048,
        source="the network of `resnet_layers.ResNet34`, at 32×32 pixels",
    ),
}
# fmt: on


def list_variants(pattern: str = "*") -> list[str]:
    """The names of all variants that match a shell pattern, sorted.

    Args:
        pattern: Shell pattern, such as `"resnet50*"`.

    Returns:
        The names, sorted; empty if nothing matches.

    Example:

    >>> list_variants("resnext*")
    ['resnext101_32x8d', 'resnext101_64x4d', 'resnext50_32x4d']
    """
    return sorted(fnmatch.filter(VARIANTS, pattern))


def find(name: str) -> Variant:
    """The row of that name; the error lists the closest names."""
    return VARIANTS[_checks.known_name("variant", name, VARIANTS)]
