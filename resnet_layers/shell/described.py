"""What the metadata of a network say of images and classes, checked against the network."""

import reprlib
from importlib import resources
from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers.layers.preprocessing import from_metadata
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader

ACTIVATIONS = ("linear", "softmax", "sigmoid")  # the logits of a softmax; probabilities
IMAGENET_CLASSES = 1000  # those of 2012, by WordNet's words for them


def fitting(
    path: Path, metadata: dict[str, Any], input_shape: Any, output_shape: Any, activation: Any
) -> dict[str, Any]:
    """What a `Predictor` is told by the metadata of a network that they fit.

    Args:
        path: Where the network came from.
        metadata: As `train` or `from_pretrained` writes them.
        input_shape: Sizes in pixels, or `None` for any, and channels.
        output_shape: With `None` for the number of images.
        activation: As of `last_activation`.

    Raises:
        InputError: If they are missing, or do not fit.
    """
    class_names, reader = _described(path, metadata, output_shape)
    if activation is None:
        raise InputError(
            f"The model of '{path}' must say whether it returns logits or probabilities: let it "
            "end with a `Dense` or a `ClassifierHead`, or with `Activation('softmax')`. Received: "
            f"{activation=}"
        )
    if activation not in ACTIVATIONS:
        raise InputError(
            f"The model of '{path}' must return logits or the probabilities of a softmax or a "
            f"sigmoid. Received: {activation=}"
        )
    sizes = _pair(reader.image_size)
    if not checks.fits(reader.layer.compute_output_shape((None, None, 3)), input_shape):
        raise InputError(
            f"The model of '{path}' must take the images that its preprocessing makes, "
            f"{sizes[0]}×{sizes[1]} pixels in 3 channels. Received: input_shape={input_shape}"
        )
    if output_shape != (None, len(class_names)):
        raise InputError(
            f"The model of '{path}' must have one output for each of its {len(class_names)} class "
            f"names. Received: output_shape={output_shape}"
        )
    return {
        "class_names": class_names,
        "reader": reader,
        "activation": activation,
        "split": metadata.get("split", {}),
    }


def _described(path: Path, metadata: dict[str, Any], output_shape: Any) -> tuple[list[str], Reader]:
    """The class names and the preprocessing that metadata tell."""
    missing = (
        f"The metadata of '{path}' must have `class_names` and `preprocessing`, as `train` "
        "writes them"
    )
    described = metadata.get("preprocessing")
    published = isinstance(described, dict) and "class_name" in described
    if not {"preprocessing"} <= set(metadata) or not (published or "class_names" in metadata):
        received = checks.some(metadata) or "none"
        raise InputError(f"{missing}. Received: {received}")
    try:
        names = metadata.get("class_names") or _published_names(metadata, output_shape[-1])
        if not checks.are_distinct_names(names):
            raise TypeError(f"`class_names` must be distinct. Received: {reprlib.repr(names)}")
        return names, Reader(from_metadata(described))
    except (TypeError, ValueError) as error:
        raise InputError(f"{missing}: {error}") from None


def _published_names(metadata: dict[str, Any], count: int) -> list[str]:
    """Those of ImageNet's classes for weights that were trained on them; else numbers."""
    pretrained = metadata.get("pretrained")
    classes = pretrained.get("classes") if isinstance(pretrained, dict) else None
    if not classes == count == IMAGENET_CLASSES:
        return list(map(str, range(count)))
    file = resources.files("resnet_layers.shell") / "imagenet_classes.txt"
    return file.read_text(encoding="utf-8").splitlines()


def _pair(image_size: Any) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else image_size
