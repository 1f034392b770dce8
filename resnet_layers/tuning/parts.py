"""The parts of the search space: what each may be, and what the presets let it be."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnet_layers._support import checks


@dataclasses.dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; integers where the part counts something.

    Args:
        low: The smallest.
        high: The largest, above `low`.
        log: Whether they are drawn evenly by their logarithm, for numbers above 0.

    Raises:
        ValueError: If `high` is not above `low`, or if `log` meets a number that is not above 0.
        TypeError: If one of them is no number.

    Example:

    >>> from resnet_layers.tuning import HyperResNet, Range
    >>> hypermodel = HyperResNet(10, (32, 32, 3), learning_rate=Range(1e-3, 1e-1, log=True))
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        low, high = checks.finite("low", self.low), checks.finite("high", self.high)
        if not low < high:
            raise ValueError(
                f"`high` must be above `low`. Received: low={self.low!r}, high={self.high!r}"
            )
        if checks.boolean("log", self.log) and low <= 0:
            raise ValueError(f"`low` must be above 0 where `log` is True. Received: low={low!r}")


# Values of parts are given as one value (fixed), as several (choices), or as a `Range`.
Part = Any


Check = Callable[[str, Any], Any]

STEMS = ("small", "7x7", "deep")
OPTIMIZERS = ("sgd", "adamw", "adam", "nadam", "rmsprop", "lion", "lamb")

# What a value of each part must be: one of a tuple, or what a check lets through. In the order in
# which hyperparameters are declared.
KINDS: dict[str, tuple[Any, ...] | Check] = {
    "stages": checks.integer,
    "blocks": checks.integer,
    "width": checks.integer,
    "block": ("basic", "bottleneck"),
    "groups": checks.integer,
    "inner_width": checks.integer,
    "stem": STEMS,
    "shortcut": ("A", "B", "C", "D"),
    "preactivation": (False, True),
    "normalization": ("batch", "group", "evonorm_s0", "frn"),
    "activation": ("relu", "silu", "gelu", "leaky_relu", "elu", "mish", "hard_silu"),
    "attention": ("none", "se", "eca"),
    "attention_ratio": checks.share,
    "anti_aliasing": ("none", "blur", "average"),
    "drop_path": checks.fraction,
    "dropout": checks.fraction,
    "image_size": checks.integer,
    "optimizer": OPTIMIZERS,
    "learning_rate": checks.positive,
    "weight_decay": checks.not_negative,
    "schedule": ("cosine", "constant"),
    "warmup": checks.fraction,
    "label_smoothing": checks.fraction,
    "augmentation": ("none", "flip", "shift", "shift_flip"),
    "mixup": (False, True),
}

# What usually works, by optimizer; decay is multiplied by the learning rate, as Keras does it.
LEARNING_RATES = {
    "sgd": Range(0.03, 0.3, log=True),
    "adamw": Range(1e-3, 1e-2, log=True),
    "adam": Range(1e-3, 1e-2, log=True),
    "nadam": Range(1e-3, 1e-2, log=True),
    "rmsprop": Range(1e-4, 3e-3, log=True),
    "lion": Range(3e-5, 1e-3, log=True),
    "lamb": Range(1e-3, 3e-2, log=True),
}
WEIGHT_DECAYS = {
    "sgd": Range(1e-5, 1e-3, log=True),
    "adamw": Range(1e-3, 0.1, log=True),
    "adam": Range(1e-3, 0.1, log=True),
    "nadam": Range(1e-3, 0.1, log=True),
    "rmsprop": Range(1e-3, 0.1, log=True),
    "lion": Range(1e-2, 1.0, log=True),
    "lamb": Range(1e-3, 0.1, log=True),
}

_TRAINING: dict[str, Part] = {
    "optimizer": ("sgd", "adamw"),
    "learning_rate": LEARNING_RATES,
    "weight_decay": WEIGHT_DECAYS,
    "schedule": "cosine",
    "warmup": Range(0.0, 0.1),
    "label_smoothing": Range(0.0, 0.1),
}
# The first choice is the default; of a range it is the low end, or the middle of the logarithms,
# where none is listed below.
PRESETS: dict[str, dict[str, Part]] = {
    # Around the networks of He et al. 2015, section 4.2, for images of some 16 to 64 pixels.
    "small-images": {
        "stages": 3,
        "blocks": Range(1, 4),
        "width": (32, 16, 48, 64),
        "block": ("basic", "bottleneck"),
        "groups": 1,  # of few channels are slow, and no gain
        "inner_width": (1, 2),
        "stem": "small",
        "shortcut": ("B", "A", "D"),
        "preactivation": (False, True),
        "normalization": "batch",
        "activation": ("relu", "silu", "gelu"),
        "attention": ("none", "se", "eca"),
        "attention_ratio": (0.0625, 0.25),
        "anti_aliasing": "none",
        "drop_path": Range(0.0, 0.1),
        "dropout": Range(0.0, 0.3),
        "image_size": None,
        "augmentation": ("none", "shift"),
        "mixup": False,
        **_TRAINING,
    },
    # Around table 1 of the same paper, and what became of it: ResNeXt, D, SE, ECA, BiT, RS.
    "imagenet": {
        "stages": 4,
        "blocks": {1: (3, 2), 2: (4, 2, 8), 3: (6, 2, 23, 36), 4: (3, 2)},
        "width": (64, 32, 96, 128),
        "block": ("bottleneck", "basic"),
        "groups": (1, 32),
        "inner_width": (1, 2),
        "stem": ("7x7", "deep"),
        "shortcut": ("B", "D"),
        "preactivation": (False, True),
        "normalization": ("batch", "group"),
        "activation": ("relu", "silu", "gelu"),
        "attention": ("none", "se", "eca"),
        "attention_ratio": (0.0625, 0.25),
        "anti_aliasing": ("none", "blur"),
        "drop_path": Range(0.0, 0.2),
        "dropout": Range(0.0, 0.5),
        "image_size": (224, 128, 160, 192),
        "augmentation": ("flip", "none", "shift_flip"),
        "mixup": (False, True),
        **_TRAINING,
    },
}
# Of ranges, where it is not their low end.
DEFAULTS: dict[str, float] = {"blocks": 2, "warmup": 0.05}


def complete(preset: str, given: Mapping[str, Part]) -> dict[str, Part]:
    """All parts, checked: those given, and the preset's.

    Returns:
        By name a `Range` or a tuple of choices; a dictionary of them by stage for `blocks`, by
        optimizer for `learning_rate` and `weight_decay`; `None` where `image_size` is left out.
    """
    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise TypeError(
            f"Parts of the space must be among {', '.join(KINDS)}. "
            f"Received: {checks.some(unknown, str)}"
        )
    preset_parts = PRESETS[checks.known_name("preset", preset, PRESETS)]
    parts: dict[str, Part] = {}
    for name in KINDS:
        part = given.get(name, preset_parts[name])
        if name == "image_size" and part is None:
            parts[name] = None
        elif name == "blocks":
            stages = range(1, int(_highest(parts["stages"])) + 1)
            if name not in given and isinstance(part, dict):  # later stages are like the last
                part = {stage: part.get(stage, part[max(part)]) for stage in stages}
            parts[name] = _each(name, part, stages, stages)
        elif name in ("learning_rate", "weight_decay"):
            parts[name] = _each(name, part, parts["optimizer"], OPTIMIZERS)
        else:
            parts[name] = _part(name, part)
    if "groups" in given:
        _check_groups(parts)
    else:
        parts["groups"] = _dividing(parts["groups"], parts["width"])
    return parts


def _each(name: str, part: Part, keys: Sequence[Any], known: Sequence[Any]) -> dict[Any, Part]:
    """A part for each key, given as one for all or as a mapping."""
    if not isinstance(part, Mapping):
        return dict.fromkeys(keys, _part(name, part))
    if not set(keys) <= set(part) <= set(known):
        raise ValueError(
            f"`{name}` must have a value for each of {checks.some(keys)}, or one for all. "
            f"Received: {name}={dict(part)!r}"
        )
    return {key: _part(name, part[key]) for key in keys}


def _part(name: str, part: Part) -> Part:
    kind = KINDS[name]
    if isinstance(part, Range):
        if isinstance(kind, tuple):
            raise ValueError(
                f"`{name}` must be one or several of {checks.some(kind)}. Received: {name}={part!r}"
            )
        kind(name, part.low)
        kind(name, part.high)
        return part
    values = part if isinstance(part, (list, tuple, range)) else (part,)
    if not values:
        raise ValueError(f"`{name}` must have one value or more. Received: {name}={part!r}")
    checked = tuple(
        checks.choice(name, value, kind) if isinstance(kind, tuple) else kind(name, value)
        for value in values
    )
    if len(set(checked)) < len(checked):
        hint = "; {1: …, 2: …} gives each stage its own" if name == "blocks" else ""
        raise ValueError(f"`{name}` must have different values{hint}. Received: {name}={part!r}")
    return checked


def _check_groups(parts: dict[str, Part]) -> None:
    """Bottlenecks of every width can be divided into every number of groups."""
    if "bottleneck" not in parts["block"] or parts["groups"] == (1,):
        return
    for name in ("groups", "width"):
        if isinstance(parts[name], Range):
            raise ValueError(
                f"`{name}` must be one or several numbers, no range, where there are groups, since "
                f"they divide the width. Received: {name}={parts[name]!r}"
            )
    for groups in parts["groups"]:
        for width in parts["width"]:
            checks.divisible("width", width, groups)


def _dividing(groups: tuple[int, ...], width: Part) -> tuple[int, ...]:
    """A preset's groups, without those that the width does not allow."""
    if isinstance(width, Range):
        return (1,)
    return tuple(number for number in groups if all(w % number == 0 for w in width))


def _highest(part: Part) -> float:
    return part.high if isinstance(part, Range) else max(part)
