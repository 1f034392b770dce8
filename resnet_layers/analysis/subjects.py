"""What is analysed: a name, a row, or any Keras model or layer, as a walk."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.analysis import layers, stock  # noqa: F401 (they register how to follow them)
from resnet_layers.analysis.following import Following
from resnet_layers.layers._layout import Layout
from resnet_layers.networks import variants, walks
from resnet_layers.networks.operations import IMAGE, Operation, Path, Shape, Walk
from resnet_layers.networks.variant import Variant

# Classes of a network that is given by its name.
CLASSES = 1000
# No tensor has an axis that is longer.
_LONGEST = 2**63 - 1
_POLICIES = ("float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network that is analysed.

    Args:
        name: Its name.
        walk: Its operations.
        policy: Its precision.
        channels_first: Whether its axes have channels first.
        unknown: Class of each layer that could not be followed.
    """

    name: str
    walk: Walk
    policy: keras.DTypePolicy
    channels_first: bool
    unknown: dict[Path, str]

    def shown(self, shape: Shape) -> Shape:
        """A shape in the order of the network's axes."""
        return (shape[-1], *shape[:-1]) if self.channels_first else shape


def find(model: Any, input_shape: Sequence[int] | None, batch: int, dtype: Any) -> Subject:
    """The subject for what `profile` is given."""
    if checks.integer("batch", batch) > _LONGEST:
        raise ValueError(f"`batch` must be below 2**63. Received: batch={batch}")
    policy = _policy(dtype) if dtype is not None else getattr(model, "dtype_policy", None)
    policy = policy or keras.DTypePolicy("float32")
    if isinstance(model, str):
        row, usual = variants.find(model), variants.row(model).image_size
        return _of_row(model, row, input_shape, usual, policy)
    if isinstance(model, Variant):
        return _of_row(
            "variant", model, input_shape, _usual(model.stem_geometry, model.layout.rank), policy
        )
    if isinstance(model, keras.Layer):
        return _of_layer(model, input_shape, policy)
    raise TypeError(
        "`model` must be the name of a variant, or a Keras model or layer. "
        f"Received: model={model!r}"
    )


def _of_row(
    name: str, row: Variant, input_shape: Any, usual: Sequence[int], policy: Any
) -> Subject:
    layout = row.layout
    channels_first = layout.data_format == "channels_first"
    known = layout.shape(None, (None,) * layout.rank, 3 if input_shape is None else None)[1:]
    shape = _image(input_shape, known, layout, usual)
    image = _channels_last(shape) if channels_first else shape
    return Subject(name, walks.of_row(row, CLASSES, image), policy, channels_first, {})


def _of_layer(model: Any, input_shape: Any, policy: Any) -> Subject:
    channels_first = any(
        getattr(layer, "data_format", None) == "channels_first"
        or getattr(getattr(layer, "style", None), "data_format", None) == "channels_first"
        for layer in (model, *model._flatten_layers(include_self=False))
    )
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) > 1 and input_shape is None:
        return _of_inputs(model, [tuple(x.shape[1:]) for x in inputs], policy, channels_first)
    known = _known_shape(model)
    if known is None and input_shape is None:
        raise ValueError(
            f"`input_shape` must be given, since {type(model).__name__} '{model.name}' does not "
            "know it. Received: input_shape=None"
        )
    data_format = "channels_first" if channels_first else "channels_last"
    rank = len(known if known is not None else input_shape) - 1
    layout = Layout(rank, data_format)
    usual = _usual(getattr(getattr(model, "stem", None), "_geometry", None), rank)
    shape = _image(input_shape, known or (None,) * (rank + 1), layout, usual)
    following = Following(
        Walk(_channels_last(shape) if channels_first else shape), channels_first=channels_first
    )
    following.whole(model, [IMAGE])
    return Subject(model.name, following.walk, policy, channels_first, following.unknown)


def _of_inputs(model: Any, shapes: Any, policy: Any, channels_first: bool) -> Subject:
    """A model of several inputs, the first of which is the image of fields."""
    if any(None in shape for shape in shapes):
        raise ValueError(
            "`model` must have inputs of known sizes where it has several. "
            f"Received: {model.name}, with inputs of {checks.some(shapes, str)}"
        )
    images = [_channels_last(s) if channels_first and len(s) > 1 else s for s in shapes]
    walk = Walk(images[0])
    others = [
        walk.add(Operation((f"input{i}",), "input", (), shape))
        for i, shape in enumerate(images[1:], start=2)
    ]
    following = Following(walk, channels_first=channels_first)
    following.whole(model, [IMAGE, *others])
    return Subject(model.name, walk, policy, channels_first, following.unknown)


def _known_shape(model: Any) -> tuple[int | None, ...] | None:
    """What a model or a layer knows of its input, without the batch."""
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, (list, dict)) or shape is None:
        spec = getattr(model, "input_spec", None)
        axes = getattr(spec, "axes", None)
        if spec is None or not axes or not spec.ndim:
            return None
        sizes = {axis % spec.ndim: size for axis, size in axes.items()}
        return tuple(sizes.get(axis) for axis in range(1, spec.ndim))
    # A `ResNet` leaves the batch out.
    return tuple(shape) if hasattr(model, "stages") else tuple(shape[1:])


def _image(given: Any, known: Sequence[int | None], layout: Layout, usual: Sequence[int]) -> Shape:
    """The sizes of an image: those given, those known, or what networks of that kind are for."""
    if given is None:
        sizes = iter(usual)
        pixels = {axis - 1 for axis in layout.pixel_axes} if layout.rank else set()
        return tuple(
            (next(sizes) if i in pixels else 3) if size is None else size
            for i, size in enumerate(known)
        )
    shape = checks.integers("input_shape", given)
    if max(shape, default=0) > _LONGEST:
        raise ValueError(
            f"`input_shape` must have sizes below 2**63. Received: input_shape={shape}"
        )
    if not checks.fits(shape, known):
        raise ValueError(
            "`input_shape` must have the axes of the model, without the batch: "
            f"{tuple(known)}, where None is any size. Received: input_shape={shape}"
        )
    return shape


def _usual(stem: Any, rank: int) -> tuple[int, ...]:
    """Pixels for a network of no name: small images where the stem makes no step."""
    return variants.usual_size(rank, small=stem is not None and max(stem.reach) == 1)


def _policy(dtype: Any) -> Any:
    try:
        policy = keras.dtype_policies.get(dtype)
    except (TypeError, ValueError):
        policy = None
    if policy is None or policy.name not in _POLICIES:
        raise ValueError(
            f"`dtype` must be one of {checks.some(_POLICIES)}. Received: dtype={dtype!r}"
        )
    return policy


def _channels_last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0])
