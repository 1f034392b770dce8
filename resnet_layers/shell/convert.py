# ruff: noqa: T201 (printing is what commands are for)
"""`convert`: weights of other libraries to a model file, and back."""

import json
import sys
from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers._support.files import replacing, save_model
from resnet_layers.networks.model import ResNet
from resnet_layers.serving.precision import with_dtype
from resnet_layers.shell import classifier, errors
from resnet_layers.shell.errors import InputError
from resnet_layers.training.checkpoint_names import is_checkpoint
from resnet_layers.training.networks import load_network
from resnet_layers.weights import pretrained, tags
from resnet_layers.weights.loading import load_weights_from
from resnet_layers.weights.saving import save_torch_weights
from resnet_layers.weights.sources import Source, open_source

# The tensor whose rows are the classes, and the axis that counts them.
_CLASSIFIERS = {"fc.weight": 0, "head.fc.weight": 0, "predictions/kernel": -1}


def run(
    file: Path,
    output: Path,
    variant: str | None,
    tag: str | None,
    averaged: bool | None,
    to: str,
    as_json: bool,
) -> int:
    """Writes weights of other libraries as a model, or those of a model for torch."""
    if to == "torch":
        model = to_torch(file, output)
    else:
        model = to_keras(file, output, variant, tag, averaged)
    size, outputs = model.count_params(), model.output_shape[-1]
    pretrained_as = model.metadata.get("pretrained")
    licence = pretrained_as.get("license") if isinstance(pretrained_as, dict) else None
    if as_json:
        said = {"name": model.name, "parameters": size, "outputs": outputs, "license": licence}
        print(json.dumps({"path": str(output), **said}))
        return 0
    print(
        f"Wrote '{errors.printable(output)}': {model.name}, {size:,} parameters, {outputs} outputs"
    )
    if licence:
        print(f"Licence of the weights: {errors.printable(licence)}")
    return 0


def to_keras(
    source: Path,
    output: Path,
    variant: str | None,
    tag: str | None,
    averaged: bool | None = None,
) -> ResNet:
    """Writes a `.keras` file with the weights of another library.

    Args:
        source: As of `known`.
        output: File to write.
        variant: As of `known`.
        tag: As of `known`.
        averaged: As of `known`.

    Returns:
        The network.

    Raises:
        InputError: If the weights are not those of the network, or a name is unknown.
    """
    model = known(source, variant, tag, averaged)
    try:
        with replacing(output) as (path,):
            save_model(model, path)
    except OSError as error:
        raise errors.not_writable(output.parent, error) from None
    return model


def known(
    source: Path, variant: str | None, tag: str | None = None, averaged: bool | None = None
) -> ResNet:
    """The network of a file of weights, with as many classes as they have.

    Args:
        source: File of weights, as of `load_weights_from`, or a checkpoint of `train`.
        variant: Name of the network; `None` for that of the tag, or of the checkpoint.
        tag: Tag of the weights, which says how images must be prepared; `None` for that in the
            name of the file, if there is one.
        averaged: As of `load_weights_from`.

    Raises:
        InputError: If the weights are not those of the network, or a name is unknown.
    """
    if is_checkpoint(source):
        return _of_checkpoint(source, variant=variant, tag=tag, averaged=averaged)
    if tag is None and source.stem in tags.table():
        named = tags.find(source.stem)
        tag = source.stem if variant in (None, named.variant) else None
    try:
        found = tags.find(tag) if tag else None
        variant = variant or (found.variant if found else None)
        if found and found.variant != variant:
            raise InputError(
                f"`--tag` must be one of the network. Received: variant={variant!r}, tag={tag!r}"
            )
        if variant is None:
            raise InputError(
                f"The network must be named with `--variant`, since the name of '{source}' is no "
                "tag of published weights"
            )
        with open_source(source, averaged) as tensors:
            model = ResNet.from_variant(variant, **_head(tensors))
            averages = tensors.averages
        load_weights_from(model, source, averaged=averages is not None)
        if averaged is None and averages is not None:
            print("These are the averaged weights; --no-averaged takes the others", file=sys.stderr)
        if found:
            model.metadata = checks.metadata(pretrained.describe(found, model, str(source)))
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(str(error)) from None
    return model


def _of_checkpoint(source: Path, **given: str | bool | None) -> ResNet:
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"`--{name}` must be left out with a checkpoint, which has its network. Received: "
                f"{name}={value!r}"
            )
    return with_dtype(load_network(source), "float32")


def to_torch(source: Path, output: Path) -> ResNet:
    """Writes the weights of a `.keras` file for timm and torchvision.

    Args:
        source: File of a `ResNet`, or a checkpoint of one.
        output: File to write, which ends in `.safetensors`.

    Returns:
        The network.

    Raises:
        InputError: If the file holds no `ResNet`, or one whose weights torch has no names for.
    """
    model = known(source, None) if is_checkpoint(source) else classifier.open_model(source)
    try:
        save_torch_weights(model, output)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise errors.not_writable(output.parent, error) from None
    return model


def _head(source: Source) -> dict[str, Any]:
    """As many classes as the file has."""
    for name, axis in _CLASSIFIERS.items():
        shape = source.tensors[name].shape if name in source.tensors else ()
        if len(shape) > 1 and all(shape):  # an empty one may claim any number
            return {"classes": shape[axis]}
    return {} if set(_CLASSIFIERS) & set(source.tensors) else {"head": None}
