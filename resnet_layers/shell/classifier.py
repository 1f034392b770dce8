"""`Classifier`: a `.keras` file with its class names, its preprocessing and its test images."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line
from resnet_layers._support.files import tidy
from resnet_layers.layers.head import gives_logits, last_activation
from resnet_layers.networks.model import ResNet
from resnet_layers.serving import formats
from resnet_layers.shell import archive
from resnet_layers.shell.described import fitting
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader
from resnet_layers.shell.predictor import BATCH_SIZE, Predictor, load_exported
from resnet_layers.shell.runs import MODEL
from resnet_layers.training import labels as labels  # whose classes files may name
from resnet_layers.training import optimizers as optimizers
from resnet_layers.training import schedules as schedules
from resnet_layers.training.checkpoint_names import is_checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Predictor):
    """A network of Keras.

    Args:
        model: The network.
    """

    model: ResNet


# Of artifacts that are files.
ENDINGS = [row.endings[0] for row in formats.FORMATS.values() if row.endings[0]]


def metadata(class_names: list[str], reader: Reader, split: dict[str, Any]) -> dict[str, Any]:
    """What `load` needs to know, for `ResNet(metadata=...)`.

    Args:
        class_names: In the order of the outputs.
        reader: Makes the network's input of images.
        split: How the images for the test were chosen, as `data.described` says it.
    """
    return {
        "class_names": class_names,
        "preprocessing": keras.saving.serialize_keras_object(reader.layer),
        "split": split,
    }


def load_any(path: Path) -> Predictor:
    """A network that `train` wrote, or what `export` made of it.

    Raises:
        InputError: If it is neither, and as of `load` and `load_exported`.
    """
    if path.suffix == ".keras":
        tidy(path.parent)  # as opening an artifact does by itself
        return load(path)
    if (path / MODEL).is_file():
        raise InputError(f"The network of the run in '{path}' is '{path / MODEL}': name that file")
    if is_checkpoint(path):
        raise InputError(
            f"A checkpoint must be made a .keras file first, by `convert`. Received: '{path}'"
        )
    if formats.of_path(path) is None:
        raise InputError(
            "A network must be a .keras file, or what `export` wrote: a folder, or a file that "
            f"ends in {checks.some(ENDINGS, str)}. Received: '{path}'"
        )
    return load_exported(path)


def load(path: Path) -> Classifier:
    """A network that `train` wrote, or another `ResNet` with such metadata.

    Args:
        path: A `.keras` file.

    Raises:
        InputError: If the file is missing or damaged, if it is another kind of file or model, or
            if it has no class names and no preprocessing.
    """
    return of(open_model(path), path)


def of(model: ResNet, path: Path) -> Classifier:
    """A network as a classifier, by what its metadata say; `path` is what errors call it."""
    activation = last_activation(model)
    return Classifier(
        path=path,
        model=model,
        outputs=lambda prepared: model.predict(prepared, batch_size=BATCH_SIZE, verbose=0),
        **fitting(path, model.metadata, model.input_shape, model.output_shape, activation),
    )


def open_model(path: Path) -> ResNet:
    """The `ResNet` of a `.keras` file.

    Raises:
        InputError: If the file is missing or damaged, or if it is another kind of file or model.
    """
    if path.suffix != ".keras":
        raise InputError(f"The name of a model file must end in '.keras'. Received: '{path}'")
    contents = archive.read(path, keras.saving.get_registered_name(ResNet))
    try:
        with archive.building(contents):
            model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras and h5py raise all kinds for contents that do not fit
        reason = first_line(error)
        raise InputError(f"The model file '{path}' cannot be opened: {reason}") from error
    return model


def compile_classifier(model: ResNet, optimizer: Any = "sgd") -> None:
    """Sets the loss and the metric for classes given by their index; both with weights, if any."""
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=gives_logits(model), reduction="mean_with_sample_weight"
    )
    model.compile(optimizer, loss, weighted_metrics=["accuracy"])
