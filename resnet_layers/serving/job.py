"""`Job`: what one artifact is made of; `Run`: how it is used."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.serving.calibration import Calibration
from resnet_layers.serving.description import Description, Shape

# Takes images, float32, (N, *input_shape), and returns the outputs.
Run = Callable[[NDArray[np.float32]], NDArray[Any]]

# The description, from what finds its text.
Read = Callable[[Callable[[], str]], Description]

# Names in every format. The output is what Keras' exporters call it.
INPUT, OUTPUT = "images", "output_0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What the writer of a format needs to know beside the model.

    Args:
        description: What the artifact says of itself, its precision among it.
        calibration: Images to quantize by, or `None`.
    """

    description: Description
    calibration: Calibration | None = None

    @property
    def precision(self) -> str:
        """`"float32"`, `"bfloat16"` or `"int8"`."""
        return self.description.precision

    @property
    def input_shape(self) -> Shape:
        """Sizes in pixels, or `None` for any, and channels; without the batch."""
        return self.description.input_shape

    @property
    def signature(self) -> list[Any]:
        """The input for Keras' exporters: float32, any number of images."""
        shape = (None, *self.input_shape)
        return [keras.InputSpec(shape=shape, dtype="float32", name=INPUT)]
