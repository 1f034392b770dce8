"""`load_exported`: an artifact of `export` as a function."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line
from resnet_layers._support.files import tidy
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

    def __reduce__(self) -> Any:
        """Another process opens the same file, which must still be there."""
        return load_exported, (self.path,)

    def __call__(self, images: ArrayLike) -> NDArray[np.float32]:
        """The outputs for images, `(N, *input_shape)`.

        Raises:
            ValueError: If the images have another shape, or hold NaN and the runtime takes it for a
                number.
        """
        array = np.ascontiguousarray(images, np.float32)
        wanted = (None, *self.input_shape)
        if not checks.fits(array.shape, wanted) or not array.size:
            raise ValueError(f"`images` must have shape {wanted}. Received: shape={array.shape}")
        outputs = self.run(array)
        if not checks.fits(outputs.shape, self.output_shape):
            raise ValueError(
                f"The outputs of '{self.path}' must have shape {self.output_shape}, as it says. "
                f"Received: shape={outputs.shape}"
            )
        if np.isnan(array).any():
            self._check_nan(array, outputs)
        return outputs

    def _check_nan(self, images: NDArray[np.float32], outputs: NDArray[np.float32]) -> None:
        """What is no number is not taken for one, as OpenVINO and int8 do, where Keras does not."""
        axes = tuple(range(1, images.ndim))
        numbers = np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
        taken = np.flatnonzero(np.isnan(images).any(axis=axes) & numbers)
        if taken.size:
            raise ValueError(
                f"`images` must be numbers, since NaN would count as one in '{self.path}'. "
                f"Received: NaN in images[{taken[0]}]"
            )


def load_exported(path: str | Path) -> Exported:
    """Opens an artifact that `export` has written, in its own runtime.

    Args:
        path: The folder of a SavedModel, or an `.onnx`, `.tflite` or `.xml` file.

    Raises:
        ValueError: If it is missing, or not as `export` has written it: if a byte of it was
            changed, a file of it is missing or of another artifact, or it is of another kind. If
            its path is no UTF-8.
        ImportError: If the runtime is not installed.

    Warns:
        UserWarning: If it is of a version of `export` that wrote no digests.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> _ = export(model, folder / "model", format="tf_saved_model")
    >>> load_exported(folder / "model")(np.ones((2, 32, 32, 3))).shape
    (2, 10)
    """
    path = Path(path)
    tidy(path.parent)
    row = formats.of_path(path)
    if row is None:
        raise ValueError(
            "`path` must be the folder of a SavedModel, or an .onnx, .tflite or .xml file. "
            f"Received: path='{path}'"
        )
    if not path.exists():
        raise ValueError(f"There is no file '{path}'")
    formats.check_utf8(path)
    row.require(*row.reads)
    try:
        run, description, closed = row.open(path)
    except Exception as error:  # each runtime has errors of its own
        reason = first_line(error)
        raise ValueError(f"'{path}' cannot be opened: {reason}") from error
    if not closed:
        warnings.warn(
            f"'{path}' is of a version of `export` without digests, so damage cannot be told: "
            "export it again",
            stacklevel=2,
        )
    return Exported(path=path.absolute(), format=row.name, run=run, **vars(description))
