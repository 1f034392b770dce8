"""`save_torch_weights`: the weights of a `ResNet` for users of torch."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.files import replacing
from resnet_layers.weights import plan
from resnet_layers.weights.plan import NamedTensor
from resnet_layers.weights.protocol import Parts


def save_torch_weights(model: Parts, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a network with timm's names and layout, in float32.

    timm and torchvision load the file strictly into the network of the same geometry, and
    `load_weights_from` reads float32 variables back bit for bit. Video networks and VGG get
    torchvision's names.

    Args:
        model: A network of the package's parts. But for VGG it has no biases in convolutions and
            no hidden units in its head, for which torch's networks have no names.
        path: File to write, which ends in `.safetensors`. A file that is there already is
            replaced once the new one is whole.

    Raises:
        ValueError: If the ending is another one, if the folder does not exist, or if timm has
            no name for a layer.
        TypeError: If `model` is no `ResNet` of the package's parts.

    Example:

    >>> path = getfixture("tmp_path") / "resnet18.safetensors"
    >>> save_torch_weights(ResNet.from_variant("resnet18"), path)
    """
    if not isinstance(model, Parts):
        raise TypeError(f"`model` must be a ResNet. Received: model={model!r}")
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"`path` must end in .safetensors. Received: path='{path}'")
    if not path.parent.is_dir():
        raise ValueError(f"`path` must be in a folder that exists. Received: path='{path}'")
    dialect = plan.torch_dialect(model)
    rows = plan.named_tensors(model, dialect)
    biases = [row.name for row in rows if row.is_convolution_bias]
    if biases and not dialect.biased:
        raise ValueError(
            f"`model` must have no biases in its convolutions, since {dialect.title}'s networks "
            f"have none. Received: {checks.some(biases, str)}"
        )
    from safetensors.numpy import save

    # torch's users expect this note of a file. `save_file` would make another one beside it.
    content = save({row.name: _value(row) for row in rows}, metadata={"format": "pt"})
    with replacing(path) as (beside,):
        beside.write_bytes(content)


def _value(row: NamedTensor) -> np.ndarray[Any, Any]:
    if row.variable is None:
        return np.zeros((), "int64")
    value = keras.ops.convert_to_numpy(row.variable)
    return row.to_source(np.asarray(value, "float32"))
