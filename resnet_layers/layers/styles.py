"""`BlockStyle`: the dialect that one network's blocks share, as one value."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers.layers import _identifiers
from resnet_layers.layers._layout import Layout

_NORMALIZATIONS = ("batch", "frozen_batch", "group", "evonorm_s0", "frn", None)


@keras.saving.register_keras_serializable(package="resnet_layers")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockStyle:
    """What differs between sources of ResNets, as one frozen and serializable value.

    Geometry (filters, strides, blocks) is an argument of each layer; dialect is given once, as
    the `style` of a layer, and handed down whole. Every layer takes it as a name from
    `STYLES`, as a config or as an object, the way Keras treats `dtype`.

    Args:
        activation: After each normalization but the last of a block, and after the addition:
            `None`, a name that Keras knows, or a function registered with
            `keras.saving.register_keras_serializable`.
        normalization: `"batch"`; `"frozen_batch"` for batch normalization that always uses its
            moving statistics and never trains; `"group"` for 32 groups of channels;
            `"evonorm_s0"` or `"frn"`, which have a nonlinearity of their own, so that
            `activation` is usually `None` beside them; or `None`.
        epsilon: Added to the variance, above 0.
        momentum: Share of the old moving statistics that an update keeps, in [0, 1). Keras'
            sense: torch's momentum of 0.1 is 0.9 here.
        folded: Whether the normalization after each convolution is inside its kernel and its
            bias, as `fold_batch_norm` leaves it.
        preactivation: Whether normalization and activation come before each convolution, with
            nothing after the addition. A network of such blocks ends with a `NormAct`.
        use_bias: Whether convolutions have a bias; `"unnormalized"` for those that no
            normalization follows.
        standardize_kernels: Whether each filter is brought to mean 0 and variance 1 before it is
            used (weight standardization).
        padding: `"symmetric"` pads both sides alike at every stride, as torch does; `"same"`
            pads as Keras and TensorFlow do, more at the bottom and right when that is uneven.
            They differ only where a stride is above 1.
        strides_on: The convolution of a bottleneck that carries the strides: `"3x3"` (torch) or
            `"first"` (the paper). A basic block strides in its first convolution.
        strided_block: The block of a stage that carries the strides: `"first"`, or `"last"`,
            whose shortcut then reads every stride-th pixel.
        reduce_first: Divides the channels of the first convolution of each block, positive.
        factorize: Whether each convolution of space and time is one of space, then one of time,
            with normalization and activation between them. Needs `rank=3`.
        shortcut: The paper's options for shortcuts: `"A"` without parameters everywhere (strided
            identity, new channels are zero), `"B"` projections in `ConvBlock`s alone, `"C"`
            projections in all blocks of a stage. `"D"` is B with average pooling in place of the
            projection's strides. `"none"` leaves shortcuts out, which makes the plain twin of a
            network.
        normalize_shortcut: Whether a projection is followed by normalization.
        shortcut_kernel_size: Size in pixels of projections in blocks that stride or dilate,
            positive; with shortcut `"D"` they have 1.
        attention: What weighs the channels at the end of a block's body: `"se"` for
            squeeze-and-excitation, `"eca"` for efficient channel attention, or `None`.
        attention_ratio: Share of the channels that squeeze-and-excitation keeps in between, in
            (0, 1], rounded to a multiple of 8.
        downsample: What makes the step of a block: `"strides"` of a convolution, or `"max_pool"`,
            max-pooling of as many pixels before the block, as in VGG. Needs `shortcut="none"`.
        anti_aliasing: What makes the step of a strided convolution instead, after its
            activation, and of the stem's pooling: `"blur"`, `"average"`, or `None`.
        zero_init_last: Whether the last normalization of each block starts with scale 0, so that
            an `IdentityBlock` starts as `activation(x)`; with pre-activation, the last kernel.
        kernel_initializer: Initializer of convolution kernels: a name, a config or an object. A
            seed in it seeds each kernel of a layer differently, in a reproducible way; layers
            that get the same seed start alike. `ResNet.from_variant` gives each part its own.
        kernel_regularizer: Regularizer of the kernels of convolutions and of attention: a name, a
            config, an object or `None`. `ResNet.from_variant` gives it to the head as well.
        rank: Number of pixel axes: 1 for signals, 2 for images, 3 for volumes and videos.
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        ValueError: If a value is not among those listed; if `zero_init_last` meets
            `shortcut="none"`, where every block would output a constant, or no normalization to
            scale; if `downsample="max_pool"` meets shortcuts or anti-aliasing; if `factorize`
            meets another rank than 3; or if `folded` meets another
            normalization than that of batches.
        TypeError: If a value has the wrong type.

    Example:

    >>> style = BlockStyle(activation="gelu", shortcut="A")
    >>> style.replace(shortcut="none").shortcut
    'none'

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, section 3.3 (shortcuts
        A, B, C); He et al., Identity Mappings, 2016, section 4 (pre-activation); He et al., Bag
        of Tricks, 2018, section 4.2 (shortcut D); Hu et al., Squeeze-and-Excitation, 2017; Wang
        et al., ECA-Net, 2019; Zhang, Making Convolutional Networks Shift-Invariant Again, 2019;
        Qiao et al., Weight Standardization, 2019; Tran et al., A Closer Look at Spatiotemporal
        Convolutions, 2017 (factorized); Simonyan and Zisserman, Very Deep Convolutional Networks,
        2014, table 1 (max-pooling).
    """

    activation: Any = "relu"
    normalization: str | None = "batch"
    epsilon: float = 1e-5
    momentum: float = 0.9
    folded: bool = False
    preactivation: bool = False
    use_bias: bool | str = False
    standardize_kernels: bool = False
    padding: str = "symmetric"
    strides_on: str = "3x3"
    strided_block: str = "first"
    reduce_first: int = 1
    factorize: bool = False
    shortcut: str = "B"
    normalize_shortcut: bool = True
    shortcut_kernel_size: int = 1
    downsample: str = "strides"
    attention: str | None = None
    attention_ratio: float = 1 / 16
    anti_aliasing: str | None = None
    zero_init_last: bool = False
    kernel_initializer: Any = "he_normal"
    kernel_regularizer: Any = None
    rank: int = 2
    data_format: str = "channels_last"

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "activation": _identifiers.checked_activation(self.activation),
            "epsilon": checks.positive("epsilon", self.epsilon),
            "momentum": checks.fraction("momentum", self.momentum),
            "attention_ratio": checks.share("attention_ratio", self.attention_ratio),
            "kernel_initializer": _identifiers.checked_initializer(self.kernel_initializer),
            "kernel_regularizer": _identifiers.checked(
                "kernel_regularizer", self.kernel_regularizer, keras.regularizers
            ),
        }
        choices: dict[str, tuple[Any, ...]] = {
            "normalization": _NORMALIZATIONS,
            "use_bias": (True, False, "unnormalized"),
            "padding": ("symmetric", "same"),
            "strides_on": ("3x3", "first"),
            "strided_block": ("first", "last"),
            "shortcut": ("A", "B", "C", "D", "none"),
            "downsample": ("strides", "max_pool"),
            "attention": ("se", "eca", None),
            "anti_aliasing": ("blur", "average", None),
            "rank": (1, 2, 3),
            "data_format": ("channels_last", "channels_first"),
        }
        for name, allowed in choices.items():
            values[name] = checks.choice(name, getattr(self, name), allowed)
        for name in ("reduce_first", "shortcut_kernel_size"):
            values[name] = checks.integer(name, getattr(self, name))
        for name in (
            "folded",
            "preactivation",
            "standardize_kernels",
            "factorize",
            "normalize_shortcut",
            "zero_init_last",
        ):
            values[name] = checks.boolean(name, getattr(self, name))
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_together()

    def _check_together(self) -> None:
        unscaled = self.normalization is None and not self.preactivation
        if self.zero_init_last and (self.shortcut == "none" or unscaled):
            raise ValueError(
                "`zero_init_last` must be False without shortcuts, where every block would output "
                "a constant, and without normalization, which has the scale. Received: "
                f"zero_init_last=True, shortcut={self.shortcut!r}, "
                f"normalization={self.normalization!r}"
            )
        if self.folded and self.normalization not in ("batch", "frozen_batch"):
            raise ValueError(
                "`folded` must be False where `normalization` is not that of batches, since no "
                "kernel can hold another one. "
                f"Received: folded=True, normalization={self.normalization!r}"
            )
        if self.downsample == "max_pool" and (self.shortcut != "none" or self.anti_aliasing):
            raise ValueError(
                "`downsample` must be 'strides' with shortcuts or anti-aliasing, which make the "
                "step, too. "
                f"Received: downsample='max_pool', shortcut={self.shortcut!r}, "
                f"anti_aliasing={self.anti_aliasing!r}"
            )
        if self.factorize and self.rank != 3:
            raise ValueError(
                "`factorize` must be False where `rank` is not 3, since only videos have space "
                f"and time. Received: factorize=True, rank={self.rank}"
            )

    @property
    def layout(self) -> Layout:
        """Which axes are pixels and which are channels."""
        return Layout(self.rank, self.data_format)

    def biased(self, normalized: bool) -> bool:
        """Whether a convolution has a bias."""
        if self.folded:
            return True
        return self.use_bias is True or (self.use_bias == "unnormalized" and not normalized)

    def without_normalization(self) -> "BlockStyle":
        """The same for convolutions that no normalization follows."""
        return self.replace(normalization=None, folded=False, zero_init_last=False)

    def __hash__(self) -> int:
        return hash(json.dumps(self.get_config(), sort_keys=True))

    def replace(self, **changes: Any) -> "BlockStyle":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def child(self, index: int) -> "BlockStyle":
        """The style of the `index`-th sub-layer: the same but for an initializer's seed.

        One seeded initializer would give equal kernels to all layers of equal shape.
        """
        initializer = self.kernel_initializer
        seed = _identifiers.seed_of(initializer)
        if seed is None:
            return self
        # Keras takes negative seeds as well.
        mixed = np.random.SeedSequence([seed % 2**64, index]).generate_state(1)[0]
        config = {**initializer["config"], "seed": int(mixed >> 1)}  # Keras seeds are int32
        return self.replace(kernel_initializer={**initializer, "config": config})

    def get_config(self) -> dict[str, Any]:
        """All fields, as plain Python values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: _identifiers.copied(value) for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BlockStyle":
        """The style that `get_config` described."""
        return cls(**config)


def get(style: Any) -> BlockStyle:
    """The `BlockStyle` for a name, a config or a style."""
    if isinstance(style, BlockStyle):
        return style
    if isinstance(style, str):
        return STYLES[checks.known_name("style", style, STYLES)]
    if isinstance(style, dict):
        config = style["config"] if "class_name" in style else style
        known = {field.name for field in dataclasses.fields(BlockStyle)}
        if isinstance(config, dict) and set(config) <= known:
            return BlockStyle.from_config(config)
    raise TypeError(
        "`style` must be a name, a BlockStyle, or a config with fields of BlockStyle. "
        f"Received: style={style!r}"
    )


_KAIMING = {
    "module": "keras.initializers",
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": None},
    "registered_name": None,
}
# torchvision 0.29 `models/resnet.py` and timm 1.0 `models/resnet.py`. Kernels start with the
# variance of their kaiming_normal_(mode="fan_out"), uniform since TensorFlow draws normal
# numbers at less than half the speed.
_TORCHVISION = BlockStyle(kernel_initializer=_KAIMING)
# timm 1.0 `models/resnetv2.py`.
_TIMM_V2 = _TORCHVISION.replace(preactivation=True, normalize_shortcut=False)
# keras.applications: 1.001e-5 is the epsilon of Keras' `applications/resnet.py`.
_KERAS = BlockStyle(
    epsilon=1.001e-5,
    momentum=0.99,
    use_bias=True,
    strides_on="first",
    kernel_initializer="glorot_uniform",
)

STYLES: dict[str, BlockStyle] = {
    "torchvision": _TORCHVISION,
    "timm_v2": _TIMM_V2,
    # Kolesnikov et al. 2019, Big Transfer, section 3.
    "bit": _TIMM_V2.replace(normalization="group", standardize_kernels=True),
    "keras": _KERAS,
    "keras_v2": _KERAS.replace(
        preactivation=True,
        normalize_shortcut=False,
        use_bias="unnormalized",
        strides_on="3x3",
        strided_block="last",
    ),
    # He et al. 2015, section 4.2: the networks for CIFAR-10.
    "cifar": BlockStyle(shortcut="A"),
    # Simonyan and Zisserman 2014, section 2.1.
    "vgg": BlockStyle(normalization=None, use_bias=True, shortcut="none", downsample="max_pool"),
    # Keras defaults, as a network written by hand with stock layers has them.
    "article": BlockStyle(
        epsilon=1e-3,
        momentum=0.99,
        use_bias=True,
        padding="same",
        strides_on="first",
        normalize_shortcut=False,
        kernel_initializer="glorot_uniform",
    ),
}
