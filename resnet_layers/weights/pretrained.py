"""Published weights: where they are found, and what they expect of images."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line
from resnet_layers.layers.preprocessing import Preprocessing, from_metadata
from resnet_layers.weights import readers, tags
from resnet_layers.weights.loading import load_weights_from
from resnet_layers.weights.protocol import Parts
from resnet_layers.weights.tags import Tag

_ENDINGS = (".safetensors", ".pth", ".npz", ".h5")
# What a repository on the Hugging Face hub holds.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# By the names of the variants.
_KERAS_CLASSES = {f"keras_{name.lower()}": name for name in readers.KERAS_APPLICATIONS.values()}


def load(
    create: Callable[..., Any],
    tag: str,
    folder: str | os.PathLike[str] | None,
    classes: int | None,
    *,
    stacklevel: int,
    **overrides: Any,
) -> Any:
    """What `ResNet.from_pretrained` does, by means of a `from_variant`."""
    found = tags.find(tag)
    if classes is not None:
        classes = checks.integer("classes", classes)
    if not found.weights:
        raise ValueError(f"`tag` must be one with weights, which are not public. Received: {tag=}")
    source, where = _locate(found, folder)
    metadata = overrides.pop("metadata", None) or {}
    keeps_classes = classes in (None, found.classes)
    if isinstance(overrides.get("head", {}), dict):  # with keywords or without
        if classes or found.classes:
            overrides["classes"] = classes or found.classes
        else:
            overrides["head"] = None
    elif classes is not None:
        overrides["classes"] = classes  # which `from_variant` refuses beside a head
    model = create(found.variant, **overrides)
    own_head = not isinstance(overrides.get("head", {}), dict)
    fresh = not keeps_classes or (own_head and found.classes > 0)
    skip = ("head",) if fresh else ()
    load_weights_from(model, source, skip=skip)
    model.metadata = checks.metadata({**describe(found, model, where), **metadata})
    if found.license.startswith("cc-by-nc"):
        warnings.warn(
            f"The weights '{tag}' are licensed for non-commercial use alone ({found.license})",
            stacklevel=stacklevel,
        )
    return model


def describe(tag: Tag, model: Parts, where: str) -> dict[str, Any]:
    """What belongs to the weights of a tag, for the metadata of a model."""
    layout = model.stem.layout
    layer = tag.preprocessing(data_format=layout.data_format)
    sizes = layout.pixels((None, *model.input_shape))
    if None not in sizes:  # a network of one size
        layer = Preprocessing(**{**layer.get_config(), "image_size": sizes})
    return {
        "pretrained": {
            "tag": tag.name,
            "source": where,
            "license": tag.license or None,
            "classes": tag.classes,
        },
        "preprocessing": keras.saving.serialize_keras_object(layer),
    }


def preprocessing(source: str | Parts, *, test: bool = False) -> Preprocessing:
    """The layer from raw images to what published weights expect.

    Args:
        source: A tag, or a network that `from_pretrained` made, reloaded or not.
        test: Whether images get the size that the authors of a tag evaluate at, instead of that
            of training. A network knows one size alone.

    Raises:
        ValueError: If there is no such tag, if the network's metadata has no preprocessing, or if
            it shall be that of a test.

    Example:

    >>> preprocessing("resnet50.a1_in1k")(keras.ops.ones((1, 300, 400, 3))).shape
    TensorShape([1, 224, 224, 3])
    """
    if isinstance(source, Parts):
        try:
            layer = from_metadata(source.metadata["preprocessing"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                "`source` must be a tag, or a model whose metadata has the preprocessing of "
                f"published weights or of `train`. Received: source=<ResNet '{source.name}'>"
            ) from None
        if test:
            raise ValueError(
                "`test` must be False where `source` is a model: its tag knows the size of tests. "
                f"Received: source=<ResNet '{source.name}'>, test=True"
            )
        return layer
    return tags.find(source).preprocessing(test=test, data_format="channels_last")


def _locate(tag: Tag, folder: str | os.PathLike[str] | None) -> tuple[Any, str]:
    """A source for `load_weights_from`, and its name in words."""
    places = [*_in_folder(tag, folder), *_in_hub_cache(tag)]
    for path in places:
        if path.is_file():
            return path, str(path)
    if tag.of_keras:
        return _from_keras(tag, places)
    return _download(tag, places), tag.repository


def _in_folder(tag: Tag, folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    if folder is not None:
        yield from (Path(folder) / f"{tag.name}{ending}" for ending in _ENDINGS)
        yield from (Path(folder) / tag.name / name for name in _HUB_FILES)
        if tag.of_keras:
            yield Path(folder) / _keras_file(tag)


def _in_hub_cache(tag: Tag) -> Iterator[Path]:
    if tag.of_keras:
        return
    try:
        import huggingface_hub
    except ImportError:
        return
    for name in _HUB_FILES:
        path = huggingface_hub.try_to_load_from_cache(tag.repository, name)
        if isinstance(path, str):  # not `None`, and not what stands for a file that is not there
            yield Path(path)


def _keras_file(tag: Tag) -> str:
    """What keras.applications calls the file."""
    return f"{tag.variant.removeprefix('keras_')}_weights_tf_dim_ordering_tf_kernels.h5"


def _from_keras(tag: Tag, places: list[Path]) -> tuple[Any, str]:
    name = _KERAS_CLASSES[tag.variant]
    try:
        return getattr(keras.applications, name)(weights="imagenet"), f"keras.applications.{name}"
    except Exception as error:  # of the network and the disk
        looked = f" Looked for {checks.some(places, str)}" if places else ""
        reason = first_line(error)
        raise FileNotFoundError(
            f"The weights '{tag.name}' could not be downloaded by keras.applications: {reason}. "
            f"A folder given by `folder` can have them as {_keras_file(tag)}.{looked}"
        ) from error


def _download(tag: Tag, places: list[Path]) -> str:
    looked = f". Looked for {checks.some(places, str)}" if places else ""
    try:
        import huggingface_hub
    except ImportError:
        raise FileNotFoundError(
            f"The weights '{tag.name}' must be in a folder given by `folder`; to download them "
            "from the Hugging Face hub, or find them in its cache, install huggingface_hub: "
            f'`pip install "resnet-layers[hub]"`{looked}'
        ) from None
    try:
        return huggingface_hub.hf_hub_download(tag.repository, _HUB_FILES[0])
    except Exception as error:  # of the network, the hub and the disk
        reason = first_line(error)
        raise FileNotFoundError(
            f"The weights '{tag.name}' could not be downloaded from {tag.repository}: {reason}"
            f"{looked}"
        ) from error
