"""`BlockStyle`: the dialect that one network's blocks share, as one value."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np

from resnet_layers import _checks

# An initializer or a regularizer, as a config holds it.
Identifier = str | dict[str, Any] | None


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
            moving statistics and never trains; or `None`.
        epsilon: Added to the variance, above 0.
        momentum: Share of the old moving statistics that an update keeps, in [0, 1). Keras'
            sense: torch's momentum of 0.1 is 0.9 here.
        use_bias: Whether convolutions have a bias.
        padding: `"symmetric"` pads both sides alike at every stride, as torch does; `"same"`
            pads as Keras and TensorFlow do, more at the bottom and right when that is uneven.
            They differ only where a stride is above 1.
        strides_on: The convolution of a bottleneck that carries the strides: `"3x3"` (torch) or
            `"first"` (the paper). A basic block strides in its first convolution.
        shortcut: The paper's options for shortcuts: `"A"` without parameters everywhere (strided
            identity, new channels are zero), `"B"` projections in `ConvBlock`s alone, `"C"`
            projections in all blocks of a stage. `"none"` leaves shortcuts out, which makes the
            plain twin of a network.
        normalize_shortcut: Whether a projection is followed by normalization.
        zero_init_last: Whether the last normalization of each block starts with scale 0, so that
            an `IdentityBlock` starts as `activation(x)`.
        kernel_initializer: Initializer of convolution kernels: a name, a config or an object. A
            seed in it seeds each kernel of a layer differently, in a reproducible way; layers
            that get the same seed start alike. `ResNet.from_variant` gives each part its own.
        kernel_regularizer: Regularizer of convolution kernels: a name, a config, an object or
            `None`.

    Raises:
        ValueError: If a value is not among those listed, or if `zero_init_last` meets
            `shortcut="none"`, where every block would output a constant, or no normalization.
        TypeError: If a value has the wrong type.

    Example:

    >>> style = BlockStyle(activation="gelu", shortcut="A")
    >>> style.replace(shortcut="none").shortcut
    'none'

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, section 3.3 (shortcuts).
    """

    activation: Any = "relu"
    normalization: str | None = "batch"
    epsilon: float = 1e-5
    momentum: float = 0.9
    use_bias: bool = False
    padding: str = "symmetric"
    strides_on: str = "3x3"
    shortcut: str = "B"
    normalize_shortcut: bool = True
    zero_init_last: bool = False
    kernel_initializer: Any = "he_normal"
    kernel_regularizer: Any = None

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "activation": standardize_activation(self.activation),
            "normalization": _checks.choice(
                "normalization", self.normalization, ("batch", "frozen_batch", None)
            ),
            "epsilon": _checks.positive("epsilon", self.epsilon),
            "momentum": _checks.fraction("momentum", self.momentum),
            "padding": _checks.choice("padding", self.padding, ("symmetric", "same")),
            "strides_on": _checks.choice("strides_on", self.strides_on, ("3x3", "first")),
            "shortcut": _checks.choice("shortcut", self.shortcut, ("A", "B", "C", "none")),
            "kernel_initializer": _standardize_initializer(self.kernel_initializer),
            "kernel_regularizer": _standardize(
                "kernel_regularizer", self.kernel_regularizer, keras.regularizers
            ),
        }
        for name in ("use_bias", "normalize_shortcut", "zero_init_last"):
            values[name] = _checks.boolean(name, getattr(self, name))
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.zero_init_last and "none" in (self.shortcut, self.normalization or "none"):
            raise ValueError(
                "`zero_init_last` must be False without shortcuts, where every block would output "
                "a constant, and without normalization, which has the scale. Received: "
                f"zero_init_last=True, shortcut={self.shortcut!r}, "
                f"normalization={self.normalization!r}"
            )

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
        seed = _seed(initializer)
        if seed is None:
            return self
        # Keras takes negative seeds as well.
        mixed = np.random.SeedSequence([seed % 2**64, index]).generate_state(1)[0]
        config = {**initializer["config"], "seed": int(mixed >> 1)}  # Keras seeds are int32
        return self.replace(kernel_initializer={**initializer, "config": config})

    def get_config(self) -> dict[str, Any]:
        """All fields, as plain Python values."""
        return dataclasses.asdict(self)  # copies, so that nobody can change the style

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BlockStyle":
        """The style that `get_config` described."""
        return cls(**config)


def get(style: Any) -> BlockStyle:
    """The `BlockStyle` for a name, a config or a style."""
    if isinstance(style, BlockStyle):
        return style
    if isinstance(style, str):
        return STYLES[_checks.known_name("style", style, STYLES)]
    if isinstance(style, dict):
        config = style["config"] if "class_name" in style else style
        known = {field.name for field in dataclasses.fields(BlockStyle)}
        if isinstance(config, dict) and set(config) <= known:
            return BlockStyle.from_config(config)
    raise TypeError(
        "`style` must be a name, a BlockStyle, or a config with fields of BlockStyle. "
        f"Received: style={style!r}"
    )


def standardize_activation(activation: Any) -> Any:
    """`None`, a name, or the config of a registered function: what a config can hold."""
    if activation is None:
        return None
    message = (
        "`activation` must be None, a name that Keras knows, or a function registered with "
        f"`keras.saving.register_keras_serializable`. Received: activation={activation!r}"
    )
    is_function = callable(activation) and not isinstance(activation, (type, keras.Layer))
    if not (isinstance(activation, (str, dict)) or is_function):
        raise TypeError(message)
    if getattr(activation, "__name__", "") == "<lambda>":  # Keras would store its byte code
        raise ValueError(message)
    try:
        config = activation
        if is_function:
            config = keras.activations.serialize(activation)
        keras.activations.get(config)
    except (TypeError, ValueError):
        raise ValueError(message) from None
    return _unshared(config)


def _seed(initializer: Identifier) -> Any:
    config = initializer.get("config") if isinstance(initializer, dict) else None
    return config.get("seed") if isinstance(config, dict) else None  # a function has a name there


def _unshared(config: Any) -> Any:
    """A copy without the mark that Keras adds to configs while it reads or writes a file."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items() if key != "shared_object_id"}
    return config


def plain(identifier: Any) -> Any:
    """An identifier for a config: Keras turns a dict in an attribute into a tracked one."""
    if isinstance(identifier, dict):
        return {key: plain(value) for key, value in identifier.items()}
    if isinstance(identifier, list):
        return [plain(value) for value in identifier]
    return identifier


def _standardize(name: str, value: Any, module: Any) -> Identifier:
    """A name, or the config of an object of a Keras `module`, checked to lead back to one."""
    try:
        identifier = value
        if not isinstance(value, (str, dict, type(None))):
            identifier = module.serialize(module.get(value))
        module.get(identifier)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"`{name}` must be a name, a config or an object that Keras can serialize. "
            f"Received: {name}={value!r}"
        ) from None
    return _unshared(identifier)


def _standardize_initializer(value: Any) -> Identifier:
    if value is None:
        raise ValueError(
            "`kernel_initializer` must be a name, a config or an object that Keras can serialize. "
            "Received: kernel_initializer=None"
        )
    identifier = _standardize("kernel_initializer", value, keras.initializers)
    if not isinstance(_seed(identifier), (int, type(None))):
        raise ValueError(
            "The seed of `kernel_initializer` must be an integer or None. "
            f"Received: kernel_initializer={value!r}"
        )
    return identifier


STYLES: dict[str, BlockStyle] = {
    # torchvision 0.29 `models/resnet.py` and timm 1.0 `models/resnet.py`. Kernels start with the
    # variance of their kaiming_normal_(mode="fan_out"), uniform since TensorFlow draws normal
    # numbers at less than half the speed.
    "torchvision": BlockStyle(
        kernel_initializer={
            "module": "keras.initializers",
            "class_name": "VarianceScaling",
            "config": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": None},
            "registered_name": None,
        }
    ),
    # He et al. 2015, section 4.2: the networks for CIFAR-10.
    "cifar": BlockStyle(shortcut="A"),
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
