"""`Classifier`: a saved network with its class names, its preprocessing and its test images."""

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support.errors import first_line
from resnet_layers.layers.head import last_activation
from resnet_layers.networks.model import ResNet
from resnet_layers.shell import labelled
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader
from resnet_layers.shell.labelled import Labelled
from resnet_layers.shell.predictor import BATCH_SIZE, Predictor, fitting
from resnet_layers.training import labels as labels  # whose classes files may name
from resnet_layers.training.batches import Batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Predictor):
    """A network of Keras, which can be evaluated as well.

    Args:
        model: The network.
        split: How its test images were chosen, as `metadata` describes it.
    """

    model: ResNet
    split: dict[str, Any]

    def evaluate(self, data: Labelled, batch_size: int = 64, verbose: int = 0) -> dict[str, Any]:
        """`{"images": …, "loss": …, "accuracy": …}` over labelled images."""
        outputs = np.array([self.class_names.index(name) for name in data.class_names])
        labels = outputs[data.labels]
        compile_classifier(self.model)
        how = {"verbose": verbose, "return_dict": True}
        if self.reader.takes_squares:
            squares = self.reader.squares(data.sources, verbose)
            scores = self.model.evaluate(
                Batches(squares, labels, self.reader.normalize, batch_size), **how
            )
        else:
            prepared = self.reader(data.sources)
            scores = self.model.evaluate(prepared, labels, batch_size=batch_size, **how)
        return {"images": len(labels), "loss": scores["loss"], "accuracy": scores["accuracy"]}

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
        data = labelled.folder(folder) if folder else labelled.digits()
        self._check_classes(data)
        _, test = data.split(self.split["seed"])
        if test.digest() != self.split["test_digest"]:
            raise InputError(
                f"The images of {data.title} must be those that '{self.path}' was trained on, by "
                "name, so that the same ones are left for the test; `--all` takes every image"
            )
        return test

    def all_images(self, folder: Path) -> Labelled:
        """Every image of a folder whose classes the network knows."""
        data = labelled.folder(folder)
        self._check_classes(data)
        return data

    def _check_classes(self, data: Labelled) -> None:
        for name in data.class_names:
            if name not in self.class_names:
                raise InputError(
                    f"The classes of {data.title} must be among those of '{self.path}'. "
                    f"Received: '{name}'"
                )


def metadata(data: Labelled, test: Labelled, reader: Reader, seed: int) -> dict[str, Any]:
    """What `load` needs to know, for `ResNet(metadata=...)`.

    Args:
        data: All images.
        test: Those left for the test.
        reader: Makes the network's input of images.
        seed: What the test images were chosen by.
    """
    return {
        "class_names": data.class_names,
        "preprocessing": keras.saving.serialize_keras_object(reader.layer),
        "split": {
            "data": data.kind,
            "seed": seed,
            "test_fraction": labelled.TEST_FRACTION,
            "test_images": len(test.labels),
            "test_digest": test.digest(),
        },
    }


def load(path: Path) -> Classifier:
    """A network that `train` wrote, or another `ResNet` with such metadata.

    Args:
        path: A `.keras` file.

    Raises:
        InputError: If the file is missing or damaged, if it is another kind of file or model, or
            if it has no class names and no preprocessing.
    """
    model = open_model(path)
    activation = last_activation(model.head)
    return Classifier(
        path=path,
        model=model,
        outputs=lambda prepared: model.predict(prepared, batch_size=BATCH_SIZE, verbose=0),
        split=model.metadata.get("split", {}),
        **fitting(path, model.metadata, model.input_shape, model.output_shape, activation),
    )


def open_model(path: Path) -> ResNet:
    """The `ResNet` of a `.keras` file.

    Raises:
        InputError: If the file is missing or damaged, or if it is another kind of file or model.
    """
    if path.suffix != ".keras":
        raise InputError(f"The name of a model file must end in '.keras'. Received: '{path}'")
    _check_archive(path)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras and h5py raise all kinds for contents that do not fit
        reason = first_line(error)
        raise InputError(f"The model file '{path}' cannot be opened: {reason}") from error
    return model


def compile_classifier(model: ResNet, optimizer: Any = "sgd") -> None:
    """Sets the loss and the metric for classes given by their index."""
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=gives_logits(model)),
        metrics=["accuracy"],
    )


def gives_logits(model: ResNet) -> bool:
    """Whether the outputs are logits, as those of `train` are, and not probabilities."""
    return last_activation(model.head) != "softmax"


def _describes_split(split: Any) -> bool:
    return (
        isinstance(split, dict)
        and {"data", "seed", "test_digest"} <= set(split)
        and split["data"] in ("digits", "folder")
        and isinstance(split["seed"], int)
        and 0 <= split["seed"] < 2**32
    )


def _check_archive(path: Path) -> None:
    """Refuses what is no intact archive of a `ResNet` before anything is made from it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The model file '{path}' cannot be read: {error.strerror}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            intact = archive.testzip() is None
            config = json.loads(archive.read("config.json"))
            kind = config["registered_name"] or config["class_name"]
    except Exception:  # zipfile and its decompressors raise all kinds
        intact = False
    if not intact:
        raise InputError(f"'{path}' is not a .keras file, or it is damaged")
    if kind != keras.saving.get_registered_name(ResNet):
        raise InputError(f"'{path}' must hold a `resnet_layers.ResNet`. Received: {kind}")
