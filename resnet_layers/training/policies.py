"""RandAugment by timm's names: for each image some operations, drawn from its seed alone.

Keras' `RandAugment` draws its operations once for a batch, computes all of them, and has one range
for all their numbers.
"""

import functools
import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from resnet_layers._support import checks
from resnet_layers.training.chance import as_image, uniform

_ALL = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd"),
    *("Color", "Contrast", "Brightness", "Sharpness"),
    *("ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)
_RISING = ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
_INCREASING = tuple(f"{name}Increasing" if name in _RISING else name for name in _ALL)
# timm's own, by the name behind `t`: operations and how often each is chosen.
_SETS: dict[str, dict[str, float]] = {
    "weights": {
        "Rotate": 3,
        **dict.fromkeys(("ShearX", "ShearY"), 2),
        **dict.fromkeys(("TranslateXRel", "TranslateYRel"), 1),
        **dict.fromkeys(("ColorIncreasing", "SharpnessIncreasing", "AutoContrast"), 0.25),
        **dict.fromkeys(("SolarizeIncreasing", "SolarizeAdd", "ContrastIncreasing"), 0.05),
        **dict.fromkeys(("BrightnessIncreasing", "Equalize", "PosterizeIncreasing"), 0.05),
        "Invert": 0.05,
    },
    "3a": dict.fromkeys(("SolarizeIncreasing", "Desaturate", "GaussianBlur"), 1),
    "3aw": {
        **dict.fromkeys(("SolarizeIncreasing", "Desaturate", "GaussianBlur"), 6),
        "Rotate": 3,
        **dict.fromkeys(("ShearX", "ShearY"), 2),
        **dict.fromkeys(("PosterizeIncreasing", "AutoContrast", "ColorIncreasing"), 1),
        **dict.fromkeys(("SharpnessIncreasing", "ContrastIncreasing"), 1),
        **dict.fromkeys(("BrightnessIncreasing", "Equalize", "Invert"), 1),
    },
}
_WEIGHTED = ("weights", "3aw")  # of which no operation comes twice to an image
_SECTION = re.compile(r"(m|n|mmax|inc)(\d{1,9})|(p|mstd)(\d+(?:\.\d+)?)|(t)(weights|3aw|3a)")


class Policy(NamedTuple):
    """What a name says, in timm's units.

    `weights` are those of operations that come once to an image, or `None` where all are equal and
    may come again; `deviation` is infinite for a level that is uniform from 0 to `magnitude`.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...] | None
    number: int
    magnitude: int
    deviation: float
    highest: int
    probability: float


def parse(name: Any) -> Policy:
    """Reads `rand-…` as timm 1.0.31 does, but refuses what timm would pass over."""
    parts = name.split("-") if isinstance(name, str) else []
    found = [_SECTION.fullmatch(part) for part in parts[1:]]
    pairs = [tuple(filter(None, match.groups())) for match in found if match]
    given = dict(pairs)
    number, kind = int(given.get("n", 2)), given.get("t")
    rising = int(given.get("inc", 0))
    table = _SETS.get(kind or "") or dict.fromkeys(_INCREASING if rising else _ALL, 1.0)
    probability = float(given.get("p", 0.5))
    highest = int(given.get("mmax", 10))
    right = parts[:1] == ["rand"] and len(given) == len(parts) - 1 and rising in (0, 1)
    most = len(table) if kind in _WEIGHTED else 100
    if not (right and 1 <= number <= most and probability <= 1.0 and highest >= 1):
        raise (ValueError if isinstance(name, str) else TypeError)(
            "`augment` must be `rand` and, joined by `-` and each once at most: m9 (magnitude), "
            "n2 (operations for an image, at most 100, or as many as tweights or t3aw has), p0.5 "
            "(probability of each, at most 1), mstd0.5 (deviation of the magnitude, uniform above "
            "100), mmax10 (highest magnitude, at least 1), inc0 or inc1 (severity rises with the "
            "magnitude), tweights, t3a or t3aw (timm's sets of operations). Received: "
            f"augment={name!r}"
        )
    deviation = float(given.get("mstd", 0.0))
    return Policy(
        names=tuple(table),
        weights=tuple(table.values()) if kind in _WEIGHTED else None,
        number=number,
        magnitude=int(given.get("m", 10)),
        deviation=deviation if deviation <= 100.0 else math.inf,
        highest=highest,
        probability=probability,
    )


@dataclass(frozen=True)
class RandAugment:
    r"""Random operations on an image, by a name in timm's grammar.

    $$\mathbf{y} = (f_n \circ \dots \circ f_1)(\mathbf{x}), \qquad
    f_i = \begin{cases} o_{k_i}(\,\cdot\,, l_i) & \text{with probability } p \\
    \text{the image} & \text{else} \end{cases}$$

    Which operations $o$, their levels $l$ and signs follow from the seed alone, for each image.
    Only those that were drawn are computed. Pixels are those of timm and Pillow with bilinear
    interpolation, within one level of 255. Where timm keeps 0 bits of each level the image is
    black, which Pillow 13 refuses to make.

    Args:
        name: `rand` and sections joined by `-`, such as `rand-m9-mstd0.5-inc1`: `m` the magnitude
            (10), `n` the operations for an image (2), `p` the probability of each (0.5), `mstd`
            the standard deviation of the magnitude (0; above 100 it is uniform from 0 to `m`),
            `mmax` what it is cut to (10), `inc1` for operations that get more severe with the
            magnitude, and `tweights`, `t3a` or `t3aw` for timm's other sets of operations.
        fill: Red, green and blue where an operation has moved the image away, integers from 0 to
            255. timm's `create_transform` takes the mean of the data set.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the name is no such policy, a level is out of range, or what it is called
            with is no such image.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.policies import RandAugment
    >>> augment = RandAugment("rand-m9-mstd0.5-inc1", fill=(124, 116, 104))
    >>> image = tf.zeros((24, 32, 3), tf.uint8)
    >>> augment(image, seed=(0, 7)).shape
    TensorShape([24, 32, 3])

    Reference:
        Cubuk et al., RandAugment, 2019, https://arxiv.org/abs/1909.13719; the levels and names are
        those of timm 1.0.31, https://github.com/huggingface/pytorch-image-models
    """

    name: str
    fill: tuple[int, int, int] = (128, 128, 128)

    def __post_init__(self) -> None:
        parse(self.name)
        red, green, blue = checks.three("fill", self.fill, _level)
        object.__setattr__(self, "fill", (int(red), int(green), int(blue)))

    @property
    def policy(self) -> Policy:
        """What the name says."""
        return parse(self.name)

    def draw(self, seed: Any) -> tuple[Any, Any, Any]:
        """Numbers of the operations (their count means none), levels and signs, each (n,)."""
        import tensorflow as tf

        policy = self.policy
        drawn = uniform((4, policy.number), seed, dtype=tf.float64)
        choice, chance, sign, place = tf.unstack(drawn)
        count = len(policy.names)
        if policy.weights is None:
            chosen = tf.cast(choice * count, tf.int32)
        else:  # as drawn one by one: Efraimidis and Spirakis, 2006
            again = tf.random.fold_in(seed, 1, alg="philox")
            roots = tf.constant([1.0 / weight for weight in policy.weights], tf.float64)
            keys = uniform((count,), again, dtype=tf.float64) ** roots
            chosen = tf.math.top_k(keys, policy.number).indices
        if policy.deviation == math.inf:
            levels = policy.magnitude * place
        else:
            normal = tf.math.ndtri(place) if policy.deviation else tf.zeros_like(place)
            levels = policy.magnitude + policy.deviation * normal
        levels = tf.clip_by_value(levels, 0.0, float(policy.highest))
        numbers = tf.where(chance < policy.probability, chosen, count)
        return numbers, levels, 1.0 - 2.0 * tf.cast(sign > 0.5, tf.float64)

    def __call__(self, image: Any, seed: Any) -> Any:
        """An image, uint8 (H, W, 3), augmented as its seed says, two integers."""
        import tensorflow as tf

        from resnet_layers.training.levels import OPERATIONS

        image = as_image(image, levels=True)
        numbers, levels, signs = self.draw(seed)

        def applied(place: Any, image: Any) -> tuple[Any, Any]:
            rest = (image, levels[place], signs[place], self.fill)
            names = self.policy.names
            branches = [functools.partial(OPERATIONS[name].apply, *rest) for name in names]
            branches.append(functools.partial(tf.identity, image))
            made = tf.switch_case(numbers[place], branches)
            return place + 1, tf.ensure_shape(made, image.shape)

        number = self.policy.number
        return tf.while_loop(lambda place, _: place < number, applied, (0, image))[1]


def _level(name: str, value: Any) -> int:
    """A level of a channel."""
    if checks.integer(name, value, minimum=0) > 255:
        raise ValueError(f"`{name}` must be levels from 0 to 255. Received: {name}={value!r}")
    return int(value)
