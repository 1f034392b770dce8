"""`ClassifierHead`: from the last feature map to one number for each class."""

from typing import Any

import keras

from resnet_layers import _checks, styles
from resnet_layers._composite import Composite


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
        **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Input shape:
        `(batch, height, width, channels)`

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classes = _checks.integer("classes", classes)
        self.pooling = _checks.choice("pooling", pooling, ("avg", "max", "avg2x2"))
        self.hidden_units = (
            None if hidden_units is None else _checks.integer("hidden_units", hidden_units)
        )
        self.dropout = _checks.fraction("dropout", dropout)
        self.activation = styles.standardize_activation(activation)
        exact = {
            "dtype": keras.DTypePolicy(self.dtype_policy.variable_dtype),
            "trainable": self.trainable,
        }
        layers = keras.layers
        self.pool: tuple[keras.layers.Layer, ...]
        if self.pooling == "avg2x2":
            self.pool = (
                layers.AveragePooling2D(
                    2, padding="same", data_format="channels_last", name="pool", **exact
                ),
                layers.Flatten("channels_last", name="flatten", **exact),
            )
        else:
            kind = "Average" if self.pooling == "avg" else "Max"
            pool = getattr(layers, f"Global{kind}Pooling2D")
            self.pool = (pool("channels_last", name="pool", **exact),)
        self.hidden = (
            layers.Dense(self.hidden_units, activation="relu", name="hidden", **exact)
            if self.hidden_units
            else None
        )
        self.drop = layers.Dropout(self.dropout, name="drop", **exact) if self.dropout else None
        self.dense = layers.Dense(self.classes, activation=self.activation, name="dense", **exact)
        self.input_spec = keras.InputSpec(ndim=4)

    def sequence(self) -> list[keras.layers.Layer]:
        """The layers in the order of their calls."""
        optional = (layer for layer in (self.hidden, self.drop) if layer is not None)
        return [*self.pool, *optional, self.dense]

    def build(self, input_shape: Any) -> None:
        input_shape = self._check_shape(input_shape)
        shape = input_shape
        for layer in self.sequence():
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        axes = (1, 2, -1) if self.pooling == "avg2x2" else (-1,)
        self.input_spec = keras.InputSpec(ndim=4, axes={i: input_shape[i] for i in axes})

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = inputs
        for layer in self.sequence():
            x = layer(x, training=training)
        return x  # (B, classes)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (self._check_shape(input_shape)[0], self.classes)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.dense.compute_dtype)

    def _check_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        input_shape = _checks.image_shape(self, input_shape)
        if self.pooling == "avg2x2" and None in input_shape[1:]:
            raise ValueError(
                f"The input of ClassifierHead '{self.name}' must have a known height and width for "
                f"pooling='avg2x2'. Received: input_shape={input_shape}"
            )
        return input_shape

    def own_config(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "pooling": self.pooling,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "activation": styles.plain(self.activation),
        }
