"""`load_exported`: an artifact of `export` as a function."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line
from resnet_layers.serving import formats
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported(Description):
    """An open artifact, with what it says of itself; call it with images.

    Args:
        path: Where it is.
        format: As of `export`.
        run: Images to outputs, float32 arrays both.
    """

    path: Path
    format: str
    run: Run = dataclasses.field(repr=False)

    def __call__(self, images: ArrayLike) -> NDArray[np.float32]:
        """The outputs for images, `(N, *input_shape)`.

        Raises:
            ValueError: If the images have another shape.
        """
        array = np.ascontiguousarray(images, np.float32)
        wanted = (None, *self.input_shape)
        if not checks.fits(array.shape, wanted) or not array.size:
            raise ValueError(f"`images` must have shape {wanted}. Received: shape={array.shape}")
        return self.run(array)


def load_exported(path: str | Path) -> Exported:
    """Opens an artifact that `export` has written, in its own runtime.

    Args:
        path: The folder of a SavedModel, or an `.onnx`, `.tflite` or `.xml` file.

    Raises:
        ValueError: If it is missing, damaged, or another kind of file.
        ImportError: If the runtime is not installed.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> _ = export(model, folder / "model", format="tf_saved_model")
    >>> load_exported(folder / "model")(np.ones((2, 32, 32, 3))).shape
    (2, 10)
    """
    path = Path(path)
    row = formats.of_path(path)
    if row is None:
        raise ValueError(
            "`path` must be the folder of a SavedModel, or an .onnx, .tflite or .xml file. "
            f"Received: path='{path}'"
        )
    if not path.exists():
        raise ValueError(f"There is no file '{path}'")
    row.require(*row.reads)
    try:
        run, description = row.load(path)
    except Exception as error:  # each runtime has errors of its own
        reason = first_line(error)
        raise ValueError(f"'{path}' cannot be opened: {reason}") from error
    return Exported(path=path, format=row.name, run=run, **vars(description))
