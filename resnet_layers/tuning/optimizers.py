"""The optimizer of a sample."""

import keras

from resnet_layers.tuning.space import Sample


def make_optimizer(sample: Sample, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer, whose weight decay spares normalization and biases."""
    name = sample["optimizer"]
    kinds = keras.optimizers
    kind = {
        "sgd": kinds.SGD,
        "adamw": kinds.AdamW,
        "adam": kinds.Adam,
        "nadam": kinds.Nadam,
        "rmsprop": kinds.RMSprop,
        "lion": kinds.Lion,
        "lamb": kinds.Lamb,
    }[name]
    made = kind(
        sample[f"{name}_learning_rate"],
        weight_decay=sample[f"{name}_weight_decay"],
        **({"momentum": 0.9, "nesterov": True} if name == "sgd" else {}),
    )
    # Kernels are matrices at least; scales, offsets and biases are vectors.
    spared = [variable for variable in model.trainable_variables if len(variable.shape) < 2]
    made.exclude_from_weight_decay(var_list=spared)
    return made
