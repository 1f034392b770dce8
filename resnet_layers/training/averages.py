"""Statistics of normalization for weights that were not trained with: those of an average."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops


def recalibrate(model: Any, batches: Iterable[Any]) -> int:
    r"""Sets the statistics of batch normalization to the means over some batches.

    An optimizer's average of the weights (`use_ema`) is of what trains alone, so that the moving
    statistics belong to other weights at the end. Each becomes

    $$\mu = \frac{1}{n} \sum_{i=1}^{n} \mu_i, \qquad
    \sigma^2 = \frac{1}{n} \sum_{i=1}^{n} \sigma_i^2$$

    of the n batches. Frozen layers keep theirs.

    Args:
        model: A built model.
        batches: Inputs of it, as it is trained with; a few dozen are enough.

    Returns:
        n.

    Example:

    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> recalibrate(model, [keras.random.normal((8, 32, 32, 3)) for _ in range(4)])
    4

    Reference:
        Izmailov et al., Averaging weights leads to wider optima, 2018, section 3.1.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return 0
    momenta = [layer.momentum for layer in layers]
    number = 0
    try:
        for number, images in enumerate(batches, start=1):
            for layer in layers:
                layer.momentum = 1.0 - 1.0 / number  # so that all batches count alike
            model(ops.convert_to_tensor(images), training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    return number
