"""Named networks as rows of a table: `VARIANTS`. Reading it takes no Keras."""

import dataclasses
import fnmatch
from typing import TYPE_CHECKING, Any

from resnet_layers._support import checks
from resnet_layers.networks import pruned

if TYPE_CHECKING:
    from resnet_layers.networks.variant import Variant


@dataclasses.dataclass(frozen=True)
class Row:
    """One network.

    Args:
        blocks: Number of blocks of each stage.
        parameters: Trainable parameters at 1000 classes.
        style: Name of its style.
        source: Where the network is defined.
        fields: What differs from the defaults of `Variant` and from the style.
    """

    blocks: tuple[int, ...]
    parameters: int
    style: str
    source: str
    fields: dict[str, Any]

    @property
    def image_size(self) -> tuple[int, ...]:
        """Pixels along each axis of the images that it was published for."""
        return usual_size(self.rank, small=self.style in ("cifar", "article"))

    @property
    def rank(self) -> int:
        """Number of pixel axes."""
        return int(self.fields.get("rank", 2))


def usual_size(rank: int, *, small: bool) -> tuple[int, ...]:
    """Pixels along each axis: of videos, of small images as CIFAR's, or of photographs."""
    return (16, 112, 112) if rank == 3 else (32 if small else 224,) * rank


# Blocks of each stage, by the usual names of the depths of bottleneck networks.
_10, _18, _50 = (1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)
_101, _152, _200, _269 = (3, 4, 23, 3), (3, 8, 36, 3), (3, 24, 36, 3), (3, 30, 48, 8)


def _deep(width: int, *, first: int | None = None) -> dict[str, Any]:
    """Three 3×3 convolutions for the 7×7."""
    hidden = (first or width, width)
    return {"filters": 2 * width, "kernel_size": 3, "hidden_filters": hidden}


# The switches that rows are made of; the letters are timm's.
_BASIC: dict[str, Any] = {"bottleneck": False}
_C: dict[str, Any] = {"stem": _deep(32)}
_D: dict[str, Any] = {"stem": _deep(32), "shortcut": "D"}
_T: dict[str, Any] = {"stem": _deep(32, first=24), "shortcut": "D"}
_SE: dict[str, Any] = {"attention": "se"}
_ECA: dict[str, Any] = {"attention": "eca"}
_RS: dict[str, Any] = {
    "stem": {**_deep(32), "pooling": "conv"},
    "shortcut": "D",
    "attention": "se",
    "attention_ratio": 0.25,
}
_AA: dict[str, Any] = {"anti_aliasing": "average"}
_BLUR: dict[str, Any] = {"anti_aliasing": "blur"}
_32x4d = {"groups": 32, "group_width": 4}
_32x8d = {"groups": 32, "group_width": 8}
_32x16d = {"groups": 32, "group_width": 16}
_32x32d = {"groups": 32, "group_width": 32}
_64x4d = {"groups": 64, "group_width": 4}


def _bit(factor: int) -> dict[str, Any]:
    """Kolesnikov et al. 2019, Big Transfer: as many times as wide."""
    stem = {"filters": 64 * factor, "pooling": "zero_padded_max"}
    filters = tuple(width * factor for width in (64, 128, 256, 512))
    return {"style": "bit", "filters": filters, "stem": stem}


def _row(blocks: tuple[int, ...], parameters: int, style: str, source: str, **fields: Any) -> Row:
    return Row(blocks, parameters, style, source, fields)


def _timm(blocks: tuple[int, ...], parameters: int, **fields: Any) -> Row:
    source = "timm 1.0 models/resnet.py"
    return _row(blocks, parameters, "torchvision", source, **{"bottleneck": True, **fields})


def _v2(blocks: tuple[int, ...], parameters: int, **fields: Any) -> Row:
    source = "timm 1.0 models/resnetv2.py"
    fields = {"style": "timm_v2", "source": source, "bottleneck": True, **fields}
    return _row(blocks, parameters, **fields)


def _keras(blocks: tuple[int, ...], parameters: int) -> Row:
    source = "keras.applications resnet.py"
    return _row(blocks, parameters, "keras", source, bottleneck=True)


def _keras_v2(blocks: tuple[int, ...], parameters: int) -> Row:
    return _row(
        blocks,
        parameters,
        "keras_v2",
        "keras.applications resnet_v2.py",
        bottleneck=True,
        strides=(2, 2, 2, 1),
        stem={"filters": 64, "pooling": "zero_padded_max"},
    )


def _video(parameters: int, **fields: Any) -> Row:
    """Tran et al. 2017, A Closer Look at Spatiotemporal Convolutions."""
    stem = {"filters": 64, "kernel_size": (3, 7, 7), "strides": (1, 2, 2), "pooling": None}
    stem |= fields.pop("stem", {})
    source = "torchvision models/video/resnet.py"
    return _row(_18, parameters, "torchvision", source, rank=3, stem=stem, **fields)


_FLAT = (1, 3, 3)  # in space alone
_MIXED: dict[str, Any] = {
    "kernel_size": (3, _FLAT, _FLAT, _FLAT),
    "strides": (1, (1, 2, 2), (1, 2, 2), (1, 2, 2)),
}


def _factorized() -> dict[str, Any]:
    """Where a stage changes the channels, its first block keeps the number of parameters."""
    first = ((230, 128, 230, 128), (460, 256, 460, 256), (921, 512, 921, 512))
    widths = (None, *((width, None) for width in first))
    return {"factorize": True, "stem": {"hidden_filters": (45,)}, "widths": widths}


def _cifar(blocks: int, parameters: int) -> Row:
    """He et al. 2015, section 4.2: 6n + 2 layers, n blocks a stage."""
    return _row(
        (blocks,) * 3,
        parameters,
        "cifar",
        "He et al. 2015, arXiv:1512.03385, section 4.2",
        filters=(16, 32, 64),
        stem={"filters": 16, "kernel_size": 3, "strides": 1, "pooling": None},
    )


def _paper(blocks: tuple[int, ...], parameters: int, **fields: Any) -> Row:
    """Where torchvision strides in the 3×3, the paper does in the first 1×1."""
    source = "He et al. 2015, arXiv:1512.03385, table 1"
    fields = {"bottleneck": True, "strides_on": "first", **fields}
    return _row(blocks, parameters, "torchvision", source, **fields)


# fmt: off
VARIANTS: dict[str, Row] = {
    # timm 1.0 `models/resnet.py`; torchvision's are among them
    "resnet10t": _timm(_10, 5_435_488, **_BASIC, **_T),
    "resnet14t": _timm(_10, 10_081_632, **_T),
    "resnet18": _timm(_18, 11_689_512, **_BASIC),
    "resnet18d": _timm(_18, 11_708_744, **_BASIC, **_D),
    "resnet34": _timm(_50, 21_797_672, **_BASIC),
    "resnet34d": _timm(_50, 21_816_904, **_BASIC, **_D),
    "resnet26": _timm(_18, 15_995_176),
    "resnet26t": _timm(_18, 16_011_872, **_T),
    "resnet26d": _timm(_18, 16_014_408, **_D),
    "resnet50": _timm(_50, 25_557_032),
    "resnet50c": _timm(_50, 25_576_264, **_C),
    "resnet50d": _timm(_50, 25_576_264, **_D),
    "resnet50s": _timm(_50, 25_680_808, stem=_deep(64)),
    "resnet50t": _timm(_50, 25_573_728, **_T),
    "resnet101": _timm(_101, 44_549_160),
    "resnet101c": _timm(_101, 44_568_392, **_C),
    "resnet101d": _timm(_101, 44_568_392, **_D),
    "resnet101s": _timm(_101, 44_672_936, stem=_deep(64)),
    "resnet152": _timm(_152, 60_192_808),
    "resnet152c": _timm(_152, 60_212_040, **_C),
    "resnet152d": _timm(_152, 60_212_040, **_D),
    "resnet152s": _timm(_152, 60_316_584, stem=_deep(64)),
    "resnet200": _timm(_200, 64_673_832),
    "resnet200d": _timm(_200, 64_693_064, **_D),
    "wide_resnet50_2": _timm(_50, 68_883_240, group_width=128),
    "wide_resnet101_2": _timm(_101, 126_886_696, group_width=128),
    "resnet50_gn": _timm(_50, 25_557_032, normalization="group"),
    "resnext50_32x4d": _timm(_50, 25_028_904, **_32x4d),
    "resnext50d_32x4d": _timm(_50, 25_048_136, **_32x4d, **_D),
    "resnext101_32x4d": _timm(_101, 44_177_704, **_32x4d),
    "resnext101_32x8d": _timm(_101, 88_791_336, **_32x8d),
    "resnext101_32x16d": _timm(_101, 194_026_792, **_32x16d),
    "resnext101_32x32d": _timm(_101, 468_530_472, **_32x32d),
    "resnext101_64x4d": _timm(_101, 83_455_272, **_64x4d),
    "ecaresnet26t": _timm(_18, 16_011_916, **_T, **_ECA),
    "ecaresnet50d": _timm(_50, 25_576_350, **_D, **_ECA),
    "ecaresnet50d_pruned": _timm(_50, 19_939_713, **_D, **_ECA, widths=pruned.ECARESNET50D),
    "ecaresnet50t": _timm(_50, 25_573_814, **_T, **_ECA),
    "ecaresnetlight": _timm((1, 1, 11, 3), 30_162_046, shortcut="D", **_ECA),
    "ecaresnet101d": _timm(_101, 44_568_563, **_D, **_ECA),
    "ecaresnet101d_pruned": _timm(_101, 24_876_040, **_D, **_ECA, widths=pruned.ECARESNET101D),
    "ecaresnet200d": _timm(_200, 64_693_400, **_D, **_ECA),
    "ecaresnet269d": _timm(_269, 102_093_077, **_D, **_ECA),
    "ecaresnext26t_32x4d": _timm(_18, 15_406_220, **_32x4d, **_T, **_ECA),
    "ecaresnext50t_32x4d": _timm(_50, 25_045_686, **_32x4d, **_T, **_ECA),
    "seresnet18": _timm(_18, 11_779_624, **_BASIC, **_SE),
    "seresnet34": _timm(_50, 21_960_416, **_BASIC, **_SE),
    "seresnet50": _timm(_50, 28_088_024, **_SE),
    "seresnet50t": _timm(_50, 28_104_720, **_T, **_SE),
    "seresnet101": _timm(_101, 49_326_872, **_SE),
    "seresnet152": _timm(_152, 66_821_848, **_SE),
    "seresnet152d": _timm(_152, 66_841_080, **_D, **_SE),
    "seresnet200d": _timm(_200, 71_855_096, **_D, **_SE),
    "seresnet269d": _timm(_269, 113_672_760, **_D, **_SE),
    "seresnext26d_32x4d": _timm(_18, 16_809_512, **_32x4d, **_D, **_SE),
    "seresnext26t_32x4d": _timm(_18, 16_806_976, **_32x4d, **_T, **_SE),
    "seresnext50_32x4d": _timm(_50, 27_559_896, **_32x4d, **_SE),
    "seresnext101_32x4d": _timm(_101, 48_955_416, **_32x4d, **_SE),
    "seresnext101_32x8d": _timm(_101, 93_569_048, **_32x8d, **_SE),
    "seresnext101d_32x8d": _timm(_101, 93_588_280, **_32x8d, **_D, **_SE),
    "seresnext101_64x4d": _timm(_101, 88_232_984, **_64x4d, **_SE),
    "senet154": _timm(_152, 115_088_984, **_64x4d, stem=_deep(64), **_SE, shortcut_kernel_size=3, reduce_first=2),
    "resnetblur18": _timm(_18, 11_689_512, **_BASIC, **_BLUR),
    "resnetblur50": _timm(_50, 25_557_032, **_BLUR),
    "resnetblur50d": _timm(_50, 25_576_264, **_D, **_BLUR),
    "resnetblur101d": _timm(_101, 44_568_392, **_D, **_BLUR),
    "resnetaa34d": _timm(_50, 21_816_904, **_BASIC, **_D, **_AA),
    "resnetaa50": _timm(_50, 25_557_032, **_AA),
    "resnetaa50d": _timm(_50, 25_576_264, **_D, **_AA),
    "resnetaa101d": _timm(_101, 44_568_392, **_D, **_AA),
    "seresnetaa50d": _timm(_50, 28_107_256, **_D, **_SE, **_AA),
    "seresnextaa101d_32x8d": _timm(_101, 93_588_280, **_32x8d, **_D, **_SE, **_AA),
    "seresnextaa201d_32x8d": _timm((3, 24, 36, 4), 149_394_904, **_32x8d, stem=_deep(64), shortcut="D", **_SE, **_AA),
    "resnetrs50": _timm(_50, 35_691_912, **_RS),
    "resnetrs101": _timm(_101, 63_618_696, **_RS),
    "resnetrs152": _timm(_152, 86_621_576, **_RS),
    "resnetrs200": _timm(_200, 93_209_992, **_RS),
    "resnetrs270": _timm((4, 29, 53, 4), 129_861_448, **_RS),
    "resnetrs350": _timm((4, 36, 72, 4), 163_956_168, **_RS),
    "resnetrs420": _timm((4, 44, 87, 4), 191_891_656, **_RS),
    "test_resnet": _timm(_10, 469_688, bottleneck=(False, False, True, False), filters=(32, 48, 48, 96), stem=_deep(16), shortcut="D"),
    # timm 1.0 `models/resnetv2.py`
    "resnetv2_50x1_bit": _v2(_50, 25_549_352, **_bit(1)),
    "resnetv2_50x3_bit": _v2(_50, 217_319_080, **_bit(3)),
    "resnetv2_101x1_bit": _v2(_101, 44_541_480, **_bit(1)),
    "resnetv2_101x3_bit": _v2(_101, 387_934_888, **_bit(3)),
    "resnetv2_152x2_bit": _v2(_152, 236_335_208, **_bit(2)),
    "resnetv2_152x4_bit": _v2(_152, 936_533_224, **_bit(4)),
    "resnetv2_18": _v2(_18, 11_687_720, **_BASIC),
    "resnetv2_18d": _v2(_18, 11_706_952, **_BASIC, **_D),
    "resnetv2_34": _v2(_50, 21_795_880, **_BASIC),
    "resnetv2_34d": _v2(_50, 21_815_112, **_BASIC, **_D),
    "resnetv2_50": _v2(_50, 25_549_352),
    "resnetv2_50d": _v2(_50, 25_568_584, **_D),
    "resnetv2_50t": _v2(_50, 25_566_048, **_T),
    "resnetv2_101": _v2(_101, 44_541_480),
    "resnetv2_101d": _v2(_101, 44_560_712, **_D),
    "resnetv2_152": _v2(_152, 60_185_128),
    "resnetv2_152d": _v2(_152, 60_204_360, **_D),
    "resnetv2_50d_gn": _v2(_50, 25_568_584, **_D, normalization="group"),
    "resnetv2_50d_evos": _v2(_50, 25_591_368, **_D, normalization="evonorm_s0", activation=None),
    "resnetv2_50d_frn": _v2(_50, 25_591_368, **_D, normalization="frn", activation=None),
    "keras_resnet50": _keras(_50, 25_583_592),
    "keras_resnet101": _keras(_101, 44_601_832),
    "keras_resnet152": _keras(_152, 60_268_520),
    "keras_resnet50v2": _keras_v2(_50, 25_568_360),
    "keras_resnet101v2": _keras_v2(_101, 44_577_896),
    "keras_resnet152v2": _keras_v2(_152, 60_236_904),
    "r3d_18": _video(33_679_272),
    "mc3_18": _video(12_003_240, **_MIXED),
    "r2plus1d_18": _video(31_813_125, **_factorized()),
    "cifar_resnet20": _cifar(3, 334_072),
    "cifar_resnet32": _cifar(5, 528_504),
    "cifar_resnet44": _cifar(7, 722_936),
    "cifar_resnet56": _cifar(9, 917_368),
    "cifar_resnet110": _cifar(18, 1_792_312),
    "cifar_resnet1202": _cifar(200, 19_485_624),
    # He et al. 2015, table 1 and figure 3, and the network that it is compared with
    "paper_resnet18": _paper(_18, 11_515_688, **_BASIC, shortcut="A"),
    "paper_resnet34": _paper(_50, 21_623_848, **_BASIC, shortcut="A"),
    "paper_resnet50": _paper(_50, 25_557_032),
    "paper_resnet101": _paper(_101, 44_549_160),
    "paper_resnet152": _paper(_152, 60_192_808),
    "plain34": _paper(_50, 21_623_848, **_BASIC, shortcut="none"),
    "vgg19": _row(
        (1, 2, 2, 2), 143_667_240, "vgg", "Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, column E",
        filters=(128, 256, 512, 512),
        strides=(2, 2, 2, 2),
        stem={"filters": 64, "kernel_size": 3, "strides": 1, "hidden_filters": (64,), "pooling": None},
        head={"pooling": "max2x2", "hidden_units": (4096, 4096), "dropout": 0.5},
    ),
    "article_resnet34": _row(
        _50, 22_067_048, "article", "the network of `resnet_layers.ResNet34`, at 32×32 pixels",
        head={"pooling": "avg2x2", "hidden_units": 512},
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

    >>> list_variants("wide*")
    ['wide_resnet101_2', 'wide_resnet50_2']
    """
    return sorted(fnmatch.filter(VARIANTS, pattern))


def row(name: str) -> Row:
    """The row of that name; the error lists the closest names."""
    bare = str(name).partition(".")[0]
    if bare != name and bare in VARIANTS:
        raise ValueError(
            f"`variant` must be a network's name without a training, {bare!r}. "
            f"Received: variant={name!r}"
        )
    return VARIANTS[checks.known_name("variant", name, VARIANTS)]


def find(name: str) -> "Variant":
    """The network of that name, as `ResNet.from_variant` builds it."""
    from resnet_layers.networks.variant import Variant

    found = row(name)
    return Variant.of(found.style, blocks=found.blocks, **found.fields)
