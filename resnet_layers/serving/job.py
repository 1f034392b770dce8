"""`Job`: what one artifact shall be."""

import dataclasses
import json
from typing import Any

import keras

from resnet_layers.serving.calibration import Calibration

# Names in every format. The output is what Keras' exporters call it.
INPUT, OUTPUT = "images", "output_0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What the writer of a format needs to know beside the model.

    Args:
        precision: `"float32"`, `"bfloat16"` or `"int8"`.
        input_shape: Sizes in pixels, or `None` for any, and channels; without the batch.
        calibration: Images to quantize by, or `None`.
        description: What the artifact shall say of itself.
    """

    precision: str
    input_shape: tuple[int | None, ...]
    calibration: Calibration | None
    description: dict[str, Any]

    @property
    def signature(self) -> list[Any]:
        """The input for Keras' exporters: float32, any number of images."""
        shape = (None, *self.input_shape)
        return [keras.InputSpec(shape=shape, dtype="float32", name=INPUT)]

    @property
    def json(self) -> str:
        """The description as text."""
        return json.dumps(self.description)
