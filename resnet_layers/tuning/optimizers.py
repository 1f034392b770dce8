"""The optimizer of a sample."""

import keras

from resnet_layers.training.making import OPTIMIZERS
from resnet_layers.tuning.space import Sample


def make_optimizer(sample: Sample) -> keras.optimizers.Optimizer:
    """The optimizer, whose weight decay spares normalization and biases."""
    name = sample["optimizer"]
    kind = OPTIMIZERS[name]
    made: keras.optimizers.Optimizer = kind(
        sample[f"{name}_learning_rate"],
        weight_decay=sample[f"{name}_weight_decay"],
        **({"momentum": 0.9, "nesterov": True} if name == "sgd" else {}),
    )
    return made
