"""`Source`: a Keras model as what is exported: its input, its metadata, its activation."""

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import DisagreementError, first_line
from resnet_layers.layers import _shapes
from resnet_layers.layers.head import last_activation
from resnet_layers.networks.model import ResNet
from resnet_layers.networks.remake import checked
from resnet_layers.serving import comparison
from resnet_layers.serving.description import Shape
from resnet_layers.serving.pixels import takes_pixels

# The largest difference of float32 over the largest output. Rounding alone makes deep networks of
# standardized kernels differ by 2e-4.
LARGEST = 5e-4
# The same where a layer computes in fewer bits.
_LARGEST_IN = {"bfloat16": 0.25, "float16": 0.05}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What `export` asks of a model.

    Args:
        input_shape: Sizes in pixels, or `None` for any, and channels; without the batch.
        output_shape: With `None` for the number of images.
        pixels: Whether it takes raw images, 0 to 255, since its preprocessing is in it.
        metadata: That of the `ResNet` that it is or has inside.
        activation: As of `last_activation`.
    """

    input_shape: Shape
    output_shape: Shape
    pixels: bool
    metadata: dict[str, Any]
    activation: str | None

    @classmethod
    def of(cls, model: Any, input_shape: Any = None) -> "Source":
        """A built model of one input and one output.

        Args:
            model: `ResNet`, Functional, Sequential, or of a class of somebody's own.
            input_shape: As of `export`.

        Raises:
            TypeError: If `model` is no Keras model.
            ValueError: If it is not built, or if its input or its output is no single tensor.
        """
        shape = _input_shape(checked(model), input_shape)
        networks = [layer for layer in model._flatten_layers() if isinstance(layer, ResNet)]
        network = networks[0] if len(networks) == 1 else None
        return cls(
            input_shape=shape,
            output_shape=_output_shape(model, shape),
            pixels=takes_pixels(model, comparison.input_shapes(shape)[0]),
            metadata={} if network is None else checks.metadata(network.metadata),
            activation=last_activation(model),
        )


def check_outputs(model: Any, successor: Any) -> None:
    """Compares a model with what was made of it, on one seeded image.

    Raises:
        DisagreementError: If the outputs differ by more than their precision makes them differ.
    """
    try:
        shape = comparison.input_shapes(_known_shape(model))[0]
    except ValueError:  # nobody knows what it takes
        return
    images = comparison.seeded_images(shape, takes_pixels(model, shape))
    with warnings.catch_warnings():
        # Keras 3.15 converts TensorFlow's tensors in a way that NumPy 2 announces to be outdated.
        warnings.simplefilter("ignore", DeprecationWarning)
        _compare(model, successor, images)


@comparison.with_all_bits()
def _compare(model: Any, successor: Any, images: Any) -> None:
    expected = model(images, training=False)
    if not keras.ops.is_tensor(expected):
        return
    expected = keras.ops.convert_to_numpy(expected)
    known = np.isfinite(expected)
    if not known.any():
        return
    try:
        outputs = comparison.outputs(successor)(images)
        found = comparison.largest(np.where(known, outputs, 0), np.where(known, expected, 0))
        received = f"a difference of {found:.1e}"
    except Exception as error:  # of a layer that calls what is no longer there
        found, received = np.inf, first_line(error)
    computed_in = [layer.compute_dtype for layer in model._flatten_layers()]
    if not found <= max(_LARGEST_IN.get(dtype, LARGEST) for dtype in computed_in):
        raise DisagreementError(
            f"'{model.name}' must compute the same when it is made again with other layers. A "
            "layer of one's own must call its units as layers, and tell all it has in its config. "
            f"Received: {received}"
        )


def _input_shape(model: Any, given: Any) -> Shape:
    known = _known_shape(model)
    if given is None:
        return known
    if isinstance(model, ResNet):
        given = _shapes.input_shape(given, getattr(model.stem, "layout", None))
    if not isinstance(given, (list, tuple)) or not checks.fits(given, known):
        raise ValueError(
            f"`input_shape` must fit that of the model, {known}. Received: input_shape={given!r}"
        )
    return tuple(given)


def _known_shape(model: Any) -> Shape:
    """Sizes and channels of the only input."""
    if isinstance(model, ResNet):
        return model.input_shape
    if getattr(model, "inputs", None):
        shape: Any = model.input_shape
    else:  # what the first call has built
        shape = list((getattr(model, "_build_shapes_dict", None) or {}).values())
        shape = shape[0] if len(shape) == 1 else shape
    numbers = isinstance(shape, (list, tuple)) and all(type(n) in (int, type(None)) for n in shape)
    if not numbers or len(shape) < 2 or (shape[-1] is None and len(shape) > 2):
        raise ValueError(
            "`model` must take one tensor, with a known number of axes and of channels; a part of "
            "it can be exported by a model that takes that. "
            f"Received: <{type(model).__name__} '{model.name}'> of the input {shape}"
        )
    return tuple(shape[1:])


def _output_shape(model: Any, input_shape: Shape) -> Shape:
    spec = model.compute_output_spec(keras.KerasTensor((None, *input_shape)))
    shape = keras.tree.map_structure(lambda tensor: tensor.shape, spec)
    if not isinstance(shape, tuple) or not all(isinstance(n, (int, type(None))) for n in shape):
        raise ValueError(
            "`model` must return one tensor; a part of it can be exported by a model that returns "
            f"that part. Received: outputs of {shape}"
        )
    return shape
