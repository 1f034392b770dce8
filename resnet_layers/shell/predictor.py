"""`Predictor`: a network in any format, with its class names and its preprocessing."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers import serving
from resnet_layers._support import signals
from resnet_layers._support.errors import first_line
from resnet_layers.shell import errors, images, progress, several
from resnet_layers.shell.data import tell_left_out
from resnet_layers.shell.described import fitting
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.evaluation import Evaluation
from resnet_layers.shell.images import Reader
from resnet_layers.training import labelled, tables
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.pictures import ImageSource

BATCH_SIZE = 64
SUM_ERROR = 0.01  # of probabilities that a runtime computes with fewer bits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
    """Outputs of a network, and what its metadata says of images and classes.

    Args:
        path: The file or folder that it came from.
        outputs: From images to outputs, (N, classes).
        activation: Of these: `"linear"` for logits of a choice, `"softmax"` for its probabilities,
            or `"sigmoid"` where each class is a question of its own.
        class_names: Names of the outputs.
        reader: Makes the network's input of images.
        split: How its test images were chosen, as `classifier.metadata` describes it.
    """

    path: Path
    outputs: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    activation: str
    class_names: list[str]
    reader: Reader
    split: dict[str, Any]

    def probabilities(self, sources: Sequence[ImageSource]) -> NDArray[np.float32]:
        """The probability of each class for each image, (N, classes)."""
        return self._probabilities(self.reader(sources))

    def each(
        self, paths: Sequence[Path]
    ) -> Iterator[tuple[Path, NDArray[np.float32] | InputError]]:
        """Each file with the probabilities of its classes, or with why it cannot be read.

        Files are read and computed some at a time, in their order.
        """
        for start in range(0, len(paths), BATCH_SIZE):
            signals.check()
            some = paths[start : start + BATCH_SIZE]
            read = list(self.reader.each(some))
            whole = [image for image in read if not isinstance(image, InputError)]
            rows = iter(self._probabilities(np.concatenate(whole)) if whole else ())
            for path, image in zip(some, read, strict=True):
                yield path, image if isinstance(image, InputError) else next(rows)

    def evaluate(
        self, data: Labelled, batch_size: int = 64, verbose: int = 0, *, skip_damaged: bool = False
    ) -> Evaluation:
        """The probabilities of labelled images, and what they come to.

        Raises:
            InputError: If images are damaged and not left out, or if all of them are; if images
                have several labels and the network makes one choice.
        """
        labels = self.labels(data)
        count = progress.Count(len(labels), verbose, "evaluated")
        wrong: list[str] = []
        sound: list[int] = []
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(labels), batch_size):
            read = list(self.reader.each(data.sources[start : start + batch_size]))
            whole = [i for i, image in enumerate(read) if not isinstance(image, InputError)]
            wrong += [str(image) for image in read if isinstance(image, InputError)]
            # Without `skip_damaged` only the names of others that are damaged count then.
            if whole and (skip_damaged or not wrong):
                outputs = self._outputs(np.concatenate([read[i] for i in whole]))
                sound += [start + i for i in whole]
                rows.append(outputs)
            count.add(len(read))
        if not skip_damaged or not rows:
            images.refuse(wrong)
        tell_left_out(wrong)
        outputs = np.concatenate(rows)
        evaluation = several.Evaluation if self.activation == "sigmoid" else Evaluation
        return evaluation(
            sources=[data.sources[i] for i in sound],
            names=[data.names[i] for i in sound],
            labels=labels[sound],
            class_names=self.class_names,
            probabilities=self._softmax(outputs),
            loss=evaluation.mean_loss(labels[sound], outputs, self.activation),
        )

    def labels(self, data: Labelled) -> NDArray[Any]:
        """Labels of images for the classes of the network, which may be others in other places.

        Raises:
            InputError: If images have several and the network makes one choice.
        """
        numbers = np.array([self.class_names.index(name) for name in data.class_names])
        if self.activation != "sigmoid":
            if data.several:
                raise InputError(
                    f"The images of {data.title} must have one label each, since '{self.path}' "
                    "makes one choice. Received: several"
                )
            return numbers[data.labels]
        rows = np.zeros((len(data.labels), len(self.class_names)), np.uint8)
        rows[:, numbers] = data.rows()
        return rows

    def test_images(self, folder: Path | None = None) -> Labelled:
        """The images that training left out.

        Args:
            folder: The folder of all images, if they were a folder's.

        Raises:
            InputError: If the same images cannot be chosen again.
        """
        if not _describes_split(self.split):
            raise InputError(
                f"The metadata of '{self.path}' must say in `split` which images training left "
                "out, unless `--data` and `--all` choose others"
            )
        if self.split["data"] == "folder" and not folder:
            raise InputError(
                f"'{self.path}' was trained on a folder of images: name it with `--data`"
            )
        if self.split["data"] == "digits" and folder:
            raise InputError(
                f"'{self.path}' was trained on scikit-learn's digits, which leave out no image of "
                f"'{folder}': take every image with `--all`"
            )
        test = self._test(folder)
        if test.digest() != self.split["test_digest"]:
            raise InputError(
                f"The images of {test.title} must be those that '{self.path}' was trained on, by "
                "name, so that the same ones are left for the test; `--all` takes every image"
            )
        return test

    def all_images(self, folder: Path) -> Labelled:
        """Every image of a folder whose classes the network knows."""
        parts = tables.parts(folder)
        data = tables.whole(folder) if parts is None else tables.joined(folder, parts)
        self._check_classes(data)
        return data

    def _test(self, folder: Path | None) -> Labelled:
        if self.split.get("folders"):
            parts = tables.parts(folder) if folder else None
            if parts is None or "test" not in parts:
                raise InputError(
                    f"The folder '{folder}' must have folders of their own to train and to test "
                    f"on, as that had which '{self.path}' was trained on"
                )
            test = parts["test"]
            self._check_classes(test)
            return test
        before = "folders" not in self.split  # as the release before saw and split them
        parts = tables.parts(folder) if folder and not before else None
        if parts is not None:
            data = parts["train"]
        else:
            data = tables.whole(folder, flat=before) if folder else labelled.digits()
        self._check_classes(data)
        fraction = self.split.get("test_fraction", 0.2)
        return data.split(self.split["seed"], fraction, together=not before)[1]

    def _check_classes(self, data: Labelled) -> None:
        for name in data.class_names:
            if name not in self.class_names:
                raise InputError(
                    f"The classes of {data.title} must be among those of '{self.path}'. "
                    f"Received: '{errors.printable(name)}'"
                )

    def _probabilities(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._softmax(self._outputs(prepared))

    def _softmax(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.activation != "linear":
            return outputs
        return keras.ops.convert_to_numpy(keras.ops.softmax(outputs))

    def _outputs(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs that are what the file says of them.

        Raises:
            InputError: If they are not.
        """
        outputs = self.outputs(prepared)
        if not np.isfinite(outputs).all():
            received = outputs[~np.isfinite(outputs)][0]
            raise InputError(f"The outputs of '{self.path}' must be finite. Received: {received}")
        if self.activation == "linear":
            return outputs
        if self.activation == "sigmoid":
            wrong = (outputs.min(-1) < -SUM_ERROR) | (outputs.max(-1) > 1 + SUM_ERROR)
            if wrong.any():
                raise InputError(
                    f"The outputs of '{self.path}' must be probabilities, as it says. Received: "
                    f"{outputs[wrong][0].min():.4g} to {outputs[wrong][0].max():.4g}"
                )
            return outputs
        sums = outputs.sum(-1)
        # int8 rounds each probability to 1 / 256.
        most = SUM_ERROR + len(self.class_names) / 512
        wrong = (np.abs(sums - 1) > most) | (outputs.min(-1) < -SUM_ERROR)
        if wrong.any():
            raise InputError(
                f"The outputs of '{self.path}' must be probabilities that sum to 1, as it says. "
                f"Received: a sum of {sums[wrong][0]:.4g}, the least {outputs[wrong][0].min():.4g}"
            )
        return outputs


def load_exported(path: Path) -> Predictor:
    """An artifact of `export`.

    Raises:
        InputError: If it is missing or damaged, if its runtime is not installed, or if it has no
            class names and no preprocessing.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", ".* without digests", UserWarning)
            artifact = serving.load_exported(path)
    except (ImportError, ValueError) as error:
        raise InputError(str(error)) from None
    for warning in caught:
        errors.say(str(warning.message))
    if artifact.pixels:
        raise InputError(
            f"The network of '{path}' must take prepared images. Received: one with its "
            "preprocessing inside, which `resnet_layers.load_exported` opens"
        )

    def outputs(prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        starts = range(0, len(prepared), BATCH_SIZE)
        try:
            return np.concatenate([artifact(prepared[i : i + BATCH_SIZE]) for i in starts])
        except MemoryError:
            raise
        except Exception as error:  # each runtime has kinds of its own
            raise InputError(f"'{path}' opens and cannot compute: {first_line(error)}") from None

    said = fitting(
        path, artifact.metadata, artifact.input_shape, artifact.output_shape, artifact.activation
    )
    return Predictor(path=path, outputs=outputs, **said)


def _describes_split(split: Any) -> bool:
    return (
        isinstance(split, dict)
        and {"data", "seed", "test_digest"} <= set(split)
        and split["data"] in ("digits", "folder")
        and isinstance(split["seed"], int)
        and 0 <= split["seed"] < 2**32
        and isinstance(split.get("test_fraction", 0.2), float)
        and 0 < split.get("test_fraction", 0.2) < 1
    )
