"""From the geometry of a model to the tensors that its weights are: names, shapes, variables."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers.layers import styles
from resnet_layers.layers.conv_norm import ConvNorm, NormAct
from resnet_layers.layers.head import ClassifierHead
from resnet_layers.layers.stage import ResNetStage
from resnet_layers.layers.stem import Stem
from resnet_layers.weights import dialects
from resnet_layers.weights.dialects import Dialect
from resnet_layers.weights.protocol import Parts

_KINDS = {"stem": Stem, "norm": NormAct, "head": ClassifierHead}  # the others are stages
_STYLED = (Stem, ResNetStage)
_READS_INPUT = ("stem.convolution", "deep_stem_hidden.convolution")


@dataclasses.dataclass(frozen=True)
class Unit:
    """A layer with variables of its own, its role, and its numbers.

    Args:
        role: What it is in the network.
        layer: The layer.
        s: Number of its stage.
        b: Number of its block.
        i: Its number in that.
        k: Number of convolutions before it in the stem or the stage.
        place: Number of convolutions, activations and poolings before it in VGG.
        pixels: Sizes of the map that it reads as one vector, or nothing.
    """

    role: str
    layer: Any
    s: int = 0
    b: int = 0
    i: int = 0
    k: int = 0
    place: int = 0
    pixels: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class NamedTensor:
    """One tensor of a source.

    Args:
        name: Its name there.
        shape: Its shape there.
        part: The part of the model that it belongs to.
        role: What its layer is in the network.
        variable: The variable that takes it, or `None` for a counter.
        transposes: Whether the source has the axes of a kernel in torch's order.
        reads_input: Whether it is the kernel that meets the channels of the image.
        pixels: Sizes of the map that a dense kernel reads as one vector: torch has its channels
            before them, Keras behind.
    """

    name: str
    shape: tuple[int, ...]
    part: str
    role: str
    variable: Any
    transposes: bool = False
    reads_input: bool = False
    pixels: tuple[int, ...] = ()

    @property
    def is_convolution_bias(self) -> bool:
        """Whether it is the bias of a convolution."""
        of_convolution = self.role.endswith(".convolution")
        return of_convolution and self.variable is not None and self.variable.name == "bias"

    @property
    def is_variance(self) -> bool:
        """Whether it is a variance that a normalization keeps."""
        return self.variable is not None and self.variable.name == "moving_variance"

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the source in Keras' order."""
        order = range(len(self.shape))
        return (*order[2:], 1, 0) if self.transposes else tuple(order)

    @property
    def channel_axis(self) -> int:
        """The axis of a kernel that counts input channels."""
        return 1 if self.transposes else len(self.shape) - 2

    def shape_for(self, channels: int) -> tuple[int, ...]:
        """The shape of a kernel for so many input channels."""
        axis = self.channel_axis
        return (*self.shape[:axis], channels, *self.shape[axis + 1 :])

    def from_vector(self, value: np.ndarray) -> np.ndarray:
        """A kernel in torch's layout with the channels of what it reads behind the pixels."""
        outputs, inputs = value.shape
        maps = value.reshape(outputs, inputs // math.prod(self.pixels), *self.pixels)
        return np.moveaxis(maps, 1, -1).reshape(value.shape)

    def to_source(self, value: np.ndarray) -> np.ndarray:
        """A value of the variable in the layout of the source."""
        if self.pixels:  # (pixels, channels, outputs) to (outputs, channels, pixels)
            inputs, outputs = value.shape
            maps = value.reshape(*self.pixels, -1, outputs)
            return np.ascontiguousarray(
                np.moveaxis(maps, (-1, -2), (0, 1)).reshape(outputs, inputs)
            )
        pixels = len(self.shape) - value.ndim  # a dense layer can be a convolution of one pixel
        value = value.reshape((1,) * pixels + value.shape)
        return np.ascontiguousarray(value.transpose(np.argsort(self.axes)))


def torch_dialect(model: Parts) -> Dialect:
    """The names that torch's users have for the weights of such a network."""
    if _is_vgg(model):
        return dialects.TORCHVISION_VGG
    if is_preactivated(model):
        return dialects.TIMM_V2
    return (
        dialects.TORCHVISION_VIDEO
        if any(style.rank == 3 for style in _styles(model))
        else dialects.TIMM
    )


def keras_dialect(model: Parts) -> Dialect:
    """The names of keras.applications for the weights of such a network."""
    if _is_vgg(model):
        return dialects.KERAS_VGG
    return dialects.KERAS_V2 if is_preactivated(model) else dialects.KERAS


def is_preactivated(model: Parts) -> bool:
    """Whether its blocks start with normalization and activation."""
    return any(style.preactivation for style in _styles(model))


def _is_vgg(model: Parts) -> bool:
    """Whether max-pooling makes the steps of its stages."""
    return any(style.downsample == "max_pool" for style in _styles(model))


def _styles(model: Parts) -> list[styles.BlockStyle]:
    return [part.style for part in named_parts(model).values() if isinstance(part, _STYLED)]


def named_parts(model: Parts) -> dict[str, Any]:
    """The parts of a model by the names that `skip` takes."""
    stages = {f"stage{i + 1}": stage for i, stage in enumerate(model.stages)}
    norm = {} if model.norm is None else {"norm": model.norm}
    return {"stem": model.stem, **stages, **norm, "head": model.head}


def named_tensors(model: Parts, dialect: Dialect, skip: tuple[str, ...] = ()) -> list[NamedTensor]:
    """All tensors that a source in that dialect must have for this model.

    Args:
        model: The network.
        dialect: The names.
        skip: Names of parts to leave out.

    Returns:
        The rows, in the order of the network.

    Raises:
        TypeError: If a part that is not skipped is not the package's.
        ValueError: If the dialect has no name for a layer.
    """
    chosen = {name: part for name, part in named_parts(model).items() if name not in skip}
    rows, before = [], 0
    for s, (name, part) in enumerate(named_parts(model).items()):
        if part is not None and name in chosen:
            _check_part(name, part)
            units = _counted(_units(name, part), before, s)
            planned = [row for unit in units for row in _rows(name, unit, dialect)]
            _check_complete(name, part, planned)
            rows += planned
        before += _convolutions(part)
    return rows


def _counted(units: Iterator[Unit], before: int, poolings: int) -> Iterator[Unit]:
    """Units with the numbers of what comes before them."""
    k = 0
    for unit in units:
        if unit.role.endswith(".convolution"):
            yield dataclasses.replace(unit, k=k, place=2 * (before + k) + poolings)
            k += 1
        else:
            yield unit


def _convolutions(part: Any) -> int:
    """Number of convolutions in a stem or a stage, but for those of shortcuts."""
    if isinstance(part, Stem):
        return len(part.hidden) + 1
    return (
        sum(len(block.body) for block in part.block_layers) if isinstance(part, ResNetStage) else 0
    )


def _check_part(name: str, part: Any) -> None:
    kind = _KINDS.get(name, ResNetStage)
    if not isinstance(part, kind):
        raise TypeError(
            f"The {name} of `model` must be a {kind.__name__}, since nothing else has names in "
            f"other libraries, or be left out by `skip`. Received: {name}={part!r}"
        )


def _check_complete(name: str, part: Any, rows: list[NamedTensor]) -> None:
    planned = {id(row.variable) for row in rows}
    extra = [variable.path for variable in part.weights if id(variable) not in planned]
    if extra:
        raise TypeError(
            f"The {name} of `model` must have no variables besides those of {_class(part)}, since "
            "nothing else has names in other libraries, or be left out by `skip`. "
            f"Received: {checks.some(extra, str)}"
        )


def _class(part: Any) -> str:
    return next(c.__name__ for c in type(part).__mro__ if c in {*_KINDS.values(), ResNetStage})


def _units(name: str, part: Any) -> Iterator[Unit]:
    if name == "stem":
        yield from _stem_units(part)
    elif name == "norm":
        yield from _normalization_units("final_norm", part)
    elif name == "head":
        yield from _head_units(part)
    else:
        for b, block in enumerate(part.block_layers):
            for unit in _block_units(block):
                yield dataclasses.replace(unit, b=b, s=int(name.removeprefix("stage")) - 1)


def _head_units(head: ClassifierHead) -> Iterator[Unit]:
    several = head.hidden if isinstance(head.hidden, tuple) else ()
    pixels = _flattened(head)
    for i, layer in enumerate(several):
        yield Unit("hidden_layer", layer, i=i, pixels=() if i else pixels)
    if head.hidden is not None and not isinstance(head.hidden, tuple):
        yield Unit("hidden", head.hidden)
    yield Unit("classifier", head.dense, i=len(several), pixels=() if several else pixels)


def _flattened(head: ClassifierHead) -> tuple[int, ...]:
    """Sizes of the map that is made one vector."""
    if head.pooling != "max2x2":
        return ()
    axes = head.input_spec.axes
    ndim = head.layout.ndim
    sizes = {axis % ndim: size for axis, size in axes.items()}
    return tuple(-(-sizes[axis] // 2) for axis in head.layout.pixel_axes)


def _stem_units(stem: Stem) -> Iterator[Unit]:
    for i, layer in enumerate(stem.hidden):
        yield from _conv_norm_units("deep_stem_hidden", layer, i)
    yield from _conv_norm_units("deep_stem" if stem.hidden else "stem", stem.conv, len(stem.hidden))
    if stem.pool_conv is not None:
        smoothed = "smoothed_" if stem.style.anti_aliasing else ""
        yield from _conv_norm_units(f"{smoothed}stem_pool", stem.pool_conv)


def _block_units(block: Any) -> Iterator[Unit]:
    if block.preactivation is not None:
        yield from _normalization_units("preactivation", block.preactivation)
    i, role = 0, "body"
    for layer in block.body:
        reads_neighbours = max(block.layout.spread(layer.kernel_size)) > 1
        if block.style.factorize and reads_neighbours:  # a pair makes one convolution
            role = "time" if role == "space" else "space"
        else:
            role = "body"
        yield from _conv_norm_units(role, layer, i)
        i += role != "space"
    projection = getattr(block, "projection", None)  # of a ConvBlock
    if projection is not None:
        pooled = block.style.shortcut == "D"
        yield from _conv_norm_units("pooled_projection" if pooled else "projection", projection)
    if block.style.attention == "se":
        yield Unit("squeeze", block.attention.squeeze)
        yield Unit("excite", block.attention.excite)
    elif block.style.attention == "eca":
        yield Unit("channel_attention", block.attention.convolution)


def _conv_norm_units(role: str, layer: ConvNorm, i: int = 0) -> Iterator[Unit]:
    yield Unit(f"{role}.convolution", layer.convolution, i=i)
    yield from _normalization_units(f"{role}.normalization", layer, i)


def _normalization_units(role: str, layer: Any, i: int = 0) -> Iterator[Unit]:
    if layer.normalization is not None:
        yield Unit(role, layer.normalization, i=i)


def _rows(part: str, unit: Unit, dialect: Dialect) -> Iterator[NamedTensor]:
    template = dialect.layers.get(unit.role)
    if template is None:
        raise ValueError(
            f"`model` must have only layers that {dialect.title} has names for, unless `skip` "
            f"leaves their parts out. Received: '{unit.layer.name}' ({unit.role}) in {part}"
        )
    layer = template.format(
        s=unit.s + dialect.first_stage,
        b=unit.b,
        b1=unit.b + 1,
        i1=unit.i + 1,
        i2=unit.i + 2,
        k1=unit.k + 1,
        place=unit.place,
        slot=3 * unit.i,
        slot1=3 * unit.i + 1,
    )
    for variable in unit.layer.weights:
        shape = tuple(variable.shape)
        transposes = dialect.is_torch and variable.name == "kernel"
        if transposes:
            pixels = (1,) * (4 - len(shape)) if unit.role in dialect.pointwise else shape[:-2]
            shape = (shape[-1], shape[-2], *pixels)  # (O, I, pixels)
        yield NamedTensor(
            name=layer + dialect.separator + dialect.variables[variable.name],
            shape=shape,
            part=part,
            role=unit.role,
            variable=variable,
            transposes=transposes,
            pixels=unit.pixels if transposes else (),
            reads_input=unit.role in _READS_INPUT and unit.i == 0 and variable.name == "kernel",
        )
    if dialect.is_torch and isinstance(unit.layer, keras.layers.BatchNormalization):
        yield NamedTensor(layer + dialect.separator + dialects.COUNTER, (), part, unit.role, None)
