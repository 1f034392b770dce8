"""`ClassifierHead`: from the last feature map to one number for each class."""

from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _identifiers, _shapes
from resnet_layers.layers._composite import Composite
from resnet_layers.layers._layout import Layout


@keras.saving.register_keras_serializable(package="resnet_layers")
class ClassifierHead(Composite):
    """`activation(dense(dropout(pool(x))))`, the end of a classifier.

    It computes in the precision of its variables, float32 under every mixed policy, so that
    logits and probabilities are exact where losses are sensitive.

    Args:
        classes: Number of outputs, positive.
        pooling: `"avg"` or `"max"` over all pixels, for images of any size; `"avg2x2"` averages
            2×2 pixels and flattens what is left, for images of one size.
        hidden_units: Width of a dense layer with ReLU before the last one, positive, or `None`.
        dropout: Share of features that training drops before the last layer, in [0, 1).
        activation: Of the last layer: `None` for logits, `"softmax"`, `"sigmoid"`, or another
            name or registered function.
        rank: Number of pixel axes: 1, 2 or 3.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or as `rank` and `data_format` say.

    Output shape:
        `(batch, classes)`

    Raises:
        ValueError: If a value is out of range, or if `pooling="avg2x2"` meets unknown sizes.
        TypeError: If a value has the wrong type.

    Example:

    >>> ClassifierHead(10, activation="softmax")(keras.ops.ones((2, 7, 7, 8))).shape
    TensorShape([2, 10])

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1 (last row).
    """

    def __init__(
        self,
        classes: int,
        *,
        pooling: str = "avg",
        hidden_units: int | None = None,
        dropout: float = 0.0,
        activation: Any = None,
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
        self.pooling = checks.choice("pooling", pooling, ("avg", "max", "avg2x2"))
        self.hidden_units = (
            None if hidden_units is None else checks.integer("hidden_units", hidden_units)
        )
        self.dropout = checks.fraction("dropout", dropout)
        self.activation = _identifiers.checked_activation(activation)
        exact = {
            "dtype": keras.DTypePolicy(self.dtype_policy.variable_dtype),
            "trainable": self.trainable,
        }
        layers = keras.layers
        kinds = {"avg": "GlobalAverage", "max": "GlobalMax", "avg2x2": "Average"}
        pool = getattr(layers, f"{kinds[self.pooling]}Pooling{self.rank}D")
        named: dict[str, Any] = {"data_format": self.data_format, "name": "pool", **exact}
        self.pool: tuple[keras.layers.Layer, ...]
        if self.pooling == "avg2x2":
            flatten = layers.Flatten(self.data_format, name="flatten", **exact)
            self.pool = (pool(2, padding="same", **named), flatten)
        else:
            self.pool = (pool(**named),)
        self.hidden = (
            layers.Dense(self.hidden_units, activation="relu", name="hidden", **exact)
            if self.hidden_units
            else None
        )
        self.drop = layers.Dropout(self.dropout, name="drop", **exact) if self.dropout else None
        self.dense = layers.Dense(self.classes, activation=self.activation, name="dense", **exact)
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def in_turn(self) -> list[Any]:
        optional = (layer for layer in (self.hidden, self.drop) if layer is not None)
        return [*self.pool, *optional, self.dense]

    def build(self, input_shape: Any) -> None:
        input_shape = self._check_shape(input_shape)
        super().build(input_shape)
        axes = [self.layout.channel_axis]
        axes += self.layout.pixel_axes if self.pooling == "avg2x2" else ()
        self.input_spec = keras.InputSpec(
            ndim=self.layout.ndim, axes={i: input_shape[i] for i in axes}
        )

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
        if self.pooling == "avg2x2" and None in input_shape[1:]:
            sizes = " and ".join(self.layout.pixels(self.layout.names))
            raise ValueError(
                f"The input of ClassifierHead '{self.name}' must have a known {sizes} for "
                f"pooling='avg2x2'. Received: input_shape={input_shape}"
            )
        return input_shape

    def own_config(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "pooling": self.pooling,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "activation": _identifiers.untracked(self.activation),
            "rank": self.rank,
            "data_format": self.data_format,
        }


def last_activation(layer: Any) -> str | None:
    """The name of the activation that a network ends with, `None` for none."""
    if isinstance(layer, keras.Sequential) and layer.layers:
        return last_activation(layer.layers[-1])
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    if callable(activation):
        activation = keras.activations.serialize(activation)
    if isinstance(activation, dict):
        activation = activation.get("config") or activation.get("class_name")
    return activation if activation is None or isinstance(activation, str) else repr(activation)
