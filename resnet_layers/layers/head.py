"""`ClassifierHead`: from the last feature map to one number for each class."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _identifiers, _shapes
from resnet_layers.layers._batches import takes_none
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._layout import Layout

# Poolings that leave pixels, which are flattened.
FLATTENING = ("avg2x2", "max2x2")


@keras.saving.register_keras_serializable(package="resnet_layers")
class ClassifierHead(Composite):
    """`activation(dense(dropout(pool(x))))`, the end of a classifier.

    It computes in the precision of its variables, float32 under every mixed policy, so that
    logits and probabilities are exact where losses are sensitive.

    Args:
        classes: Number of outputs, positive.
        pooling: `"avg"` or `"max"` over all pixels, for images of any size; `"avg2x2"` or
            `"max2x2"` takes the mean or the maximum of 2×2 pixels and flattens what is left, for
            images of one size.
        hidden_units: Width of a dense layer with ReLU before the last one, positive; a list of
            widths for several, as in VGG; or `None`.
        dropout: Share of features that training drops before the last layer, and after each of
            several hidden ones, in [0, 1).
        activation: Of the last layer: `None` for logits, `"softmax"`, `"sigmoid"`, or another
            name or registered function.
        kernel_regularizer: Regularizer of the dense kernels: a name, a config, an object or `None`.
        rank: Number of pixel axes: 1, 2 or 3.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `rank` and `data_format` say.

    Output shape:
        `(batch, classes)`

    Raises:
        ValueError: If a value is out of range, or if a pooling of 2×2 meets unknown sizes.
        TypeError: If a value has the wrong type.

    Example:

    >>> ClassifierHead(10, activation="softmax")(keras.ops.ones((2, 7, 7, 8))).shape
    TensorShape([2, 10])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (last row);
        Simonyan and Zisserman, Very Deep Convolutional Networks, 2014, table 1 (hidden layers).
    """

    def __init__(
        self,
        classes: int,
        *,
        pooling: str = "avg",
        hidden_units: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        activation: Any = None,
        kernel_regularizer: Any = None,
        rank: int = 2,
        data_format: str = "channels_last",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rank = checks.choice("rank", rank, (1, 2, 3))
        self.data_format = checks.choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.layout = Layout(self.rank, self.data_format)
        self.classes = checks.integer("classes", classes)
        self.pooling = checks.choice("pooling", pooling, ("avg", "max", *FLATTENING))
        several = isinstance(hidden_units, list | tuple)
        check: Any = checks.integers if several else checks.integer
        self.hidden_units = None if hidden_units is None else check("hidden_units", hidden_units)
        self.dropout = checks.fraction("dropout", dropout)
        self.activation = _identifiers.checked_activation(activation)
        self.kernel_regularizer = _identifiers.checked(
            "kernel_regularizer", kernel_regularizer, keras.regularizers
        )
        exact = {
            "dtype": keras.DTypePolicy(self.dtype_policy.variable_dtype),
            "trainable": self.trainable,
        }
        layers = keras.layers
        kinds = {"avg": "GlobalAverage", "max": "GlobalMax", "avg2x2": "Average", "max2x2": "Max"}
        pool = getattr(layers, f"{kinds[self.pooling]}Pooling{self.rank}D")
        named: dict[str, Any] = {"data_format": self.data_format, "name": "pool", **exact}
        self.pool: tuple[keras.layers.Layer, ...]
        if self.pooling in FLATTENING:
            flatten = layers.Flatten(self.data_format, name="flatten", **exact)
            self.pool = (pool(2, padding="same", **named), flatten)
        else:
            self.pool = (pool(**named),)
        dense = functools.partial(
            layers.Dense, kernel_regularizer=_identifiers.copied(self.kernel_regularizer), **exact
        )
        widths: Any = self.hidden_units if several else ()
        self.hidden: Any = (
            tuple(
                dense(units, activation="relu", name=f"hidden{i}")
                for i, units in enumerate(widths, start=1)
            )
            if several
            else dense(self.hidden_units, activation="relu", name="hidden")
            if self.hidden_units
            else None
        )
        drop = functools.partial(layers.Dropout, self.dropout, **exact)
        between = range(1, len(widths)) if self.dropout else ()
        self.hidden_drops = tuple(drop(name=f"drop{i}") for i in between)
        self.drop = drop(name="drop") if self.dropout else None
        self.dense = dense(
            self.classes, activation=_identifiers.copied(self.activation), name="dense"
        )
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def in_turn(self) -> list[Any]:
        hidden = self.hidden if isinstance(self.hidden, tuple) else (self.hidden,)
        pairs = itertools.zip_longest(hidden, (*self.hidden_drops, self.drop))
        inner = [layer for pair in pairs for layer in pair if layer is not None]
        return [*self.pool, *inner, self.dense]

    def build(self, input_shape: Any) -> None:
        input_shape = self._check_shape(input_shape)
        super().build(input_shape)
        axes = [self.layout.channel_axis]
        axes += self.layout.pixel_axes if self.pooling in FLATTENING else ()
        self.input_spec = keras.InputSpec(
            ndim=self.layout.ndim, axes={i: input_shape[i] for i in axes}
        )

    @takes_none
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        for layer in self.in_turn():
            x = layer(x, training=training)
        return x  # (B, classes)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (self._check_shape(input_shape)[0], self.classes)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.dense.compute_dtype)

    def _check_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        if self.pooling in FLATTENING and None in input_shape[1:]:
            sizes = " and ".join(self.layout.pixels(self.layout.names))
            raise ValueError(
                f"The input of ClassifierHead '{self.name}' must have a known {sizes} for "
                f"pooling={self.pooling!r}. Received: input_shape={input_shape}"
            )
        return input_shape

    def own_config(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "pooling": self.pooling,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "activation": _identifiers.copied(self.activation),
            "kernel_regularizer": _identifiers.copied(self.kernel_regularizer),
            "rank": self.rank,
            "data_format": self.data_format,
        }


def last_activation(layer: Any) -> str | None:
    """The name of the activation that a network ends with.

    Args:
        layer: A layer, a model, or an operation of one.

    Returns:
        `"linear"` for logits, and `None` where nothing says what the outputs are.
    """
    last = ending(layer)
    if last is None:
        return None
    return "softmax" if type(last).__name__ == "Softmax" else _name(last.activation)


def ending(layer: Any) -> Any:
    """The layer or operation that says what activation a network ends with, or `None`."""
    if _keeps(layer) or not _computes_as_known(layer):
        return None
    if isinstance(layer, keras.Sequential):
        return ending(next((x for x in layer.layers[::-1] if not _keeps(x)), None))
    if isinstance(layer, keras.Model):
        if hasattr(layer, "head"):  # a `ResNet`
            return ending(layer.head)
        outputs: Any = getattr(layer, "outputs", None) or ()
        return _ending_of(outputs[0]) if len(outputs) == 1 else None
    # `Softmax` is a layer and an operation.
    says = isinstance(layer, _SAYING) or type(layer).__name__ == "Softmax"
    return layer if says else None


# Layers that end with the activation that they have.
_SAYING = (
    ClassifierHead,
    keras.layers.Activation,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)
# Layers and operations of Keras, whose classes are not public, that change no number.
_KEEPING = ("ActivityRegularization", "Cast", "Dropout", "Flatten", "Identity", "Reshape")


def _ending_of(tensor: Any) -> Any:
    """That of a tensor in a graph of Keras."""
    operation, node, _ = tensor._keras_history
    if not _keeps(operation):
        return ending(operation)
    given = operation._inbound_nodes[node].input_tensors
    return _ending_of(given[0]) if len(given) == 1 else None


def _keeps(layer: Any) -> bool:
    if not _computes_as_known(layer):
        return False
    linear = isinstance(layer, keras.layers.Activation) and _name(layer.activation) == "linear"
    return linear or type(layer).__name__ in _KEEPING


def _computes_as_known(layer: Any) -> bool:
    """Whether a layer, perhaps of a derived class, computes as Keras or this package does."""
    if "call" in getattr(layer, "__dict__", ()):  # of this instance alone
        return False
    module = getattr(getattr(type(layer), "call", None), "__module__", "")
    return module.partition(".")[0] in ("keras", __name__.partition(".")[0])


def _name(activation: Any) -> str:
    if activation is None:
        return "linear"
    if isinstance(activation, keras.layers.Softmax):
        return "softmax"
    if callable(activation):  # a function of Keras has its name, one in a line is "<lambda>"
        return getattr(activation, "__name__", None) or type(activation).__name__
    if isinstance(activation, dict):
        activation = activation.get("config") or activation.get("class_name")
    return activation if isinstance(activation, str) else repr(activation)


def gives_logits(model: Any) -> bool:
    """Whether the outputs of a classifier are logits, and not probabilities."""
    return last_activation(model) not in ("softmax", "sigmoid")
