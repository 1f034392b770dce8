"""`train --from`: a network that begins with known weights, and what of it trains."""

import reprlib
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers.head import FLATTENING, ClassifierHead, last_activation
from resnet_layers.layers.preprocessing import SQUARES, Preprocessing, from_metadata
from resnet_layers.networks.model import ResNet
from resnet_layers.shell import classifier, convert, errors
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.images import Reader
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import networks
from resnet_layers.training.fine_tuning import Unfreeze, freeze_until, set_trainable
from resnet_layers.training.states import State
from resnet_layers.weights.plan import named_parts


def known(settings: TrainSettings, state: State | None = None) -> ResNet | None:
    """The network of `--from` as it is; `None` without it.

    Args:
        settings: What to do.
        state: Where a run goes on, whose network is taken, so that the file may be gone.

    Raises:
        InputError: If there is no such file or tag, if the weights are of another network, if it
            takes no images in three colours or has a stem of others, or if it has not the parts
            that are to be frozen.
    """
    if settings.from_ is None:
        return None
    model = None if state is None else networks.network_of(state)
    if model is None:
        model = _opened(settings.from_, settings)
    shape = model.input_shape
    if len(shape) != 3 or 3 not in (shape[0], shape[-1]):
        raise InputError(
            f"The network of '{settings.from_}' must take images in 3 channels. Received: "
            f"input_shape={shape}"
        )
    if getattr(model.stem, "layout", None) is None:
        raise InputError(
            f"The network of '{settings.from_}' must begin with a stem of this package. Received: "
            f"a {type(model.stem).__name__}"
        )
    _check_parts(settings, model)
    return model


def _opened(name: str, settings: TrainSettings) -> ResNet:
    path = settings.source
    if path is None:
        try:
            model: ResNet = ResNet.from_pretrained(name)
        except (ImportError, OSError, ValueError) as error:
            raise InputError(str(error)) from None
        return model
    errors.check_there("file of weights", path)
    if path.suffix == ".keras":
        return classifier.open_model(path)
    return convert.known(path, settings.variant)


def reader(model: ResNet, size: int | None) -> Reader | None:
    """What a network expects of images, for the middle squares of them; `None` where it is silent.

    Args:
        model: The network.
        size: Side of the squares in pixels; `None` for that of the network's images.
    """
    described = model.metadata.get("preprocessing")
    if described is None:
        return None
    try:
        config = from_metadata(described).get_config()
    except (TypeError, ValueError):
        raise InputError(
            "`preprocessing` in the metadata of the weights must be the config of a Preprocessing. "
            f"Received: {reprlib.repr(described)}"
        ) from None
    found = config["image_size"]
    sizes = (found, found) if isinstance(found, int) else found
    config |= {"image_size": size or min(sizes), "crop_pct": 1.0, "resizing": "fit"}
    config["data_format"] = model.stem.layout.data_format  # whatever the metadata were written for
    return Reader(Preprocessing(**{**config, "name": SQUARES}))


def network(model: ResNet, size: int, metadata: dict[str, Any], *, several: bool = False) -> ResNet:
    """The same network for other classes and images.

    Args:
        model: A network that `known` found.
        size: Side of the images in pixels.
        metadata: Of the new network; what it has not is the old one's.
        several: Whether an image may have several classes.
    """
    names = metadata["class_names"]
    head = model.head
    channels_first = model.stem.layout.data_format == "channels_first"
    whole = getattr(head, "pooling", None) in FLATTENING  # whose weights are of one size
    sides = (size, size) if whole else (None, None)
    shape = (3, *sides) if channels_first else (*sides, 3)
    same = not whole or tuple(model.input_shape) == shape
    same &= model.metadata.get("class_names") == names and model.output_shape == (None, len(names))
    if not (
        same and last_activation(model) in (("sigmoid",) if several else ("linear", "softmax"))
    ):
        layout = model.stem.layout
        fresh = ClassifierHead(1, rank=layout.rank, data_format=layout.data_format, name="head")
        like = head if isinstance(head, ClassifierHead) else fresh
        config = {**like.get_config(), "classes": len(names), "activation": None}
        head = type(like).from_config(config)
    kept = {k: v for k, v in model.metadata.items() if k not in ("class_names", "split", "run")}
    try:
        return model.replace(head=head, input_shape=shape, metadata={**kept, **metadata})
    except (TypeError, ValueError) as error:
        raise InputError(f"The network of `--from` cannot be trained: {error}") from None


def said(settings: TrainSettings, model: ResNet) -> list[str]:
    """What is worth knowing of the weights."""
    found = model.metadata.get("pretrained")
    licence = found.get("license") if isinstance(found, dict) else None
    sentences = [f"Licence of the weights: {printable(licence)}"] if licence else []
    if model.metadata.get("preprocessing") is None:
        sentences.append(
            f"Note: '{printable(settings.from_)}' does not say what it expects of images; they are "
            "brought to mean 0 and deviation 1"
        )
    return sentences


def freeze(settings: TrainSettings, model: ResNet) -> list[keras.callbacks.Callback]:
    """Freezes what `--freeze-until` says; what unfreezes it in time."""
    set_trainable(model, True)
    if settings.freeze_until is None:
        return []
    freeze_until(model, settings.freeze_until)
    schedule = settings.unfrozen()
    return [Unfreeze(schedule)] if schedule else []


def _check_parts(settings: TrainSettings, model: ResNet) -> None:
    """Says before images are read that the network has no such part, or that one is not frozen."""
    if settings.freeze_until is None:
        return
    places = {name: i for i, (name, part) in enumerate(named_parts(model).items())}
    schedule = settings.unfrozen()
    for name, part in (
        ("freeze_until", settings.freeze_until),
        *(("unfreeze", part) for part in schedule),
    ):
        if part not in places:
            raise InputError(
                f"`{name}` must name one of {checks.some(places)}. Received: {name}={part!r}"
            )
        if name == "unfreeze" and places[part] >= places[settings.freeze_until]:
            raise InputError(
                "`unfreeze` must name parts before that of `freeze_until`, which train anyway. "
                f"Received: unfreeze={settings.unfreeze!r}, freeze_until={settings.freeze_until!r}"
            )
