"""Twins of a network, for comparison: plain, without its shortcuts, and in the manner of VGG."""

import dataclasses
import math
from typing import Any

from resnet_layers._support import checks
from resnet_layers.analysis import fields, subjects
from resnet_layers.analysis.depths import depth_of
from resnet_layers.analysis.subjects import Subject
from resnet_layers.networks import walks
from resnet_layers.networks.model import ResNet
from resnet_layers.networks.operations import Walk
from resnet_layers.networks.variant import Variant

# VGG-19: as deep as its kind trains without shortcuts, and so wide.
_DEEPEST, _FILTERS = 19, 64
_WIDEST = 2**14


def plain_twin(model: Any, **overrides: Any) -> ResNet:
    """The same network without its shortcuts: each block is `activation(body(x))`.

    Args:
        model: Name of a variant, or a `ResNet`.
        **overrides: As of `ResNet.from_variant`, where `model` is a name.

    Returns:
        A `ResNet` with fresh weights, named `plain_…`.

    Raises:
        TypeError: If `model` is neither, or if overrides are given with a model.
        ValueError: If the name is unknown, or if `shortcut` is overridden.

    Example:

    >>> twin = plain_twin("paper_resnet34", classes=10)
    >>> twin.name, twin.stages[0].style.shortcut
    ('plain_paper_resnet34', 'none')

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, section 3.3.
    """
    if isinstance(model, str):
        if "shortcut" in overrides:
            raise ValueError(
                "`shortcut` must be left out, since a plain twin has none. "
                f"Received: shortcut={overrides['shortcut']!r}"
            )
        plain = {"shortcut": "none", "zero_init_last": False, "name": f"plain_{model}"}
        return ResNet.from_variant(model, **{**plain, **overrides})
    if not isinstance(model, ResNet):
        raise TypeError(f"`model` must be a name or a ResNet. Received: model={model!r}")
    if overrides:
        raise TypeError(
            "Overrides must be left out with a model, whose twin is as it is. "
            f"Received: {checks.some(overrides, str)}"
        )
    config = {**_without_shortcuts(model.get_config()), "name": f"plain_{model.name}"}
    return type(model).from_config(config)


def vgg_twin(model: Any, match: str = "depth") -> ResNet:
    """A network in the manner of VGG that is as deep, as large or as costly as another one.

    Its convolutions are all 3×3 with biases, in as many resolutions as the other network has;
    2×2 max-pooling makes the steps, and the channels double up to eight times those of the first.
    Networks with four poolings or more flatten the last map before hidden layers, as VGG does;
    others take its mean.

    Args:
        model: Name of a variant, or any Keras model of images with a vector for output.
        match: What is equal: `"depth"`, the number of layers with weights, with VGG's 64 channels
            at first or, without hidden layers, those of the other network; `"parameters"` or
            `"macs"`, as closely as whole channels allow, with at most 19 layers.

    Returns:
        A `ResNet` with fresh weights, as many outputs, the same precision, and the name `vgg_…`.

    Raises:
        ValueError: If `match` is something else, if the name is unknown, or if the network is not
            deep enough for as many poolings.
        TypeError: If `model` is no name, model or layer.

    Example:

    >>> twin = vgg_twin("cifar_resnet20", match="parameters")
    >>> twin.name, abs(profile(twin).params / profile("cifar_resnet20").params - 1) < 0.05
    ('vgg_cifar_resnet20', True)

    Reference:
        Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
        2014, section 2.1.
    """
    checks.choice("match", match, ("depth", "parameters", "macs"))
    subject = subjects.find(model, None, 1, None)
    plan = _Plan.of(subject, match)
    if match == "depth":
        width = _FILTERS if plan.flattens else _first_filters(subject.walk)
    else:
        width = _width(plan, match, _size(subject.walk, match))
    row = plan.row(width)
    stem = row.make_stem(dtype=subject.policy)
    activation = getattr(getattr(model, "head", None), "activation", None)
    return ResNet(
        stem,
        row.make_stages(stem, output_stride=32, drop_path=0.0, dtype=subject.policy),
        row.make_head(plan.classes, activation, dtype=subject.policy),
        input_shape=subject.shown(subject.walk.image),
        name=f"vgg_{subject.name}",
    )


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a twin has besides its width.

    Args:
        classes: Number of outputs.
        image: Pixels and channels, channels last.
        data_format: Of its axes.
        flattens: Whether the last map is pooled and flattened.
        blocks: Pairs of convolutions of each stage.
        steps: Strides of each stage.
        hidden: Number of hidden layers.
    """

    classes: int
    image: tuple[int, ...]
    data_format: str
    flattens: bool
    blocks: tuple[int, ...]
    steps: tuple[int, ...]
    hidden: int

    @classmethod
    def of(cls, subject: Subject, match: str) -> "_Plan":
        """For the twin of a network."""
        walk = subject.walk
        seen = fields.of_last_map(walk)
        output = walk.shape(len(walk.operations) - 1)
        if seen is None or len(output) != 1:
            raise ValueError(
                "`model` must go from images to a vector, such as a number for each class, by maps "
                "whose steps are known. "
                f"Received: {subject.name}, from {walk.image} to {output}"
            )
        poolings = round(math.log2(max(field.stride for field in seen)))
        flattens = poolings >= 4
        stages = max(poolings - flattens, 1)
        depth = depth_of(walk) if match == "depth" else min(depth_of(walk), _DEEPEST)
        hidden = 2 if flattens else 0
        if (depth - 1 - hidden) % 2:  # convolutions come in pairs
            hidden = 1
        pairs = (depth - 1 - hidden) // 2 - 1  # the stem has one
        if pairs < stages:
            raise ValueError(
                f"`model` must have at least {2 * stages + 4} layers with weights for the "
                f"{poolings} poolings of its twin. Received: {subject.name} with {depth_of(walk)}"
            )
        return cls(
            classes=output[0],
            image=walk.image,
            data_format="channels_first" if subject.channels_first else "channels_last",
            flattens=flattens,
            blocks=_shared_out(pairs, stages),
            steps=(2,) * stages if poolings else (1,),
            hidden=hidden,
        )

    def row(self, width: int) -> Variant:
        """The twin whose first convolutions have so many channels."""
        stem = {"filters": width, "kernel_size": 3, "strides": 1, "hidden_filters": (width,)}
        # VGG-19 has 4096 hidden units beside 64 channels.
        units = 64 * width if self.flattens else 8 * width
        hidden = {"hidden_units": (units,) * self.hidden, "dropout": 0.5} if self.hidden else {}
        return Variant.of(
            "vgg",
            rank=len(self.image) - 1,
            data_format=self.data_format,
            blocks=self.blocks,
            filters=tuple(width * min(2 ** (i + 1), 8) for i in range(len(self.blocks))),
            strides=self.steps,
            stem={**stem, "pooling": None},
            head={"pooling": "max2x2" if self.flattens else "avg", **hidden},
        )


def _without_shortcuts(config: Any) -> Any:
    """A config whose styles have no shortcuts."""
    if isinstance(config, list | tuple):
        return type(config)(map(_without_shortcuts, config))
    if not isinstance(config, dict):
        return config
    found = {
        key: value if key == "metadata" else _without_shortcuts(value)
        for key, value in config.items()
        if key != "trainable_changes"  # the weights are fresh
    }
    if "trainable" in found:
        found["trainable"] = True
    if isinstance(found.get("style"), dict):
        found["style"] = {**found["style"], "shortcut": "none", "zero_init_last": False}
    return found


def _shared_out(pairs: int, stages: int) -> tuple[int, ...]:
    """Pairs of convolutions for each stage: the first has half of what the others have, as VGG's.

    >>> _shared_out(7, 4)
    (1, 2, 2, 2)
    """
    shares = [1, *[2] * (stages - 1)]
    ends = [round(pairs * sum(shares[: i + 1]) / sum(shares)) for i in range(stages)]
    counts = [max(end - start, 1) for start, end in zip([0, *ends], ends, strict=False)]
    while sum(counts) > pairs:  # where the first ones got more than their share
        counts[counts.index(max(counts))] -= 1
    return tuple(counts)


def _first_filters(walk: Walk) -> int:
    """Channels of the first convolution."""
    return next(operation.shape[-1] for operation in walk if operation.kind == "convolution")


def _size(walk: Walk, match: str) -> int:
    """What is to be equal."""
    name = "macs" if match == "macs" else "weights"
    return sum(getattr(operation, name) for operation in walk)


def _width(plan: _Plan, match: str, target: int) -> int:
    """The number of channels that comes nearest; more channels are always more of both."""

    def size(width: int) -> int:
        return _size(walks.of_row(plan.row(width), plan.classes, plan.image), match)

    low, high = 1, 1
    while size(high) < target and high < _WIDEST:
        low, high = high, 2 * high
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < target else (low, middle)
    return min((low, high), key=lambda width: abs(size(width) - target))
