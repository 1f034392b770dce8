"""Where a model has maps: the stages of the `ResNet` in it, or else the layers by their names."""

import dataclasses
from difflib import get_close_matches
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.networks.model import ResNet

_FEW = 12  # names that are listed all


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer whose output is a map.

    Args:
        name: What it is asked for by.
        layer: The layer.
        channels_first: Whether the axes of its map begin with the channels.
    """

    name: str
    layer: Any
    channels_first: bool


def find(model: Any, stage: str | None) -> Place:
    """The layer of a stage; of the last one for `None`.

    Raises:
        TypeError: If the model is none of Keras, or the stage no name.
        ValueError: If there is no such stage, which lists those that there are.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    if not isinstance(stage, str | None):
        raise TypeError(f"`stage` must be a name, or None. Received: stage={stage!r}")
    network, layers = _layers(model)
    if not layers:
        raise ValueError(
            "`model` must have a ResNet or layers in it, whose maps can be looked at. "
            f"Received: {model.name}"
        )
    asked = layers[-1:] if stage is None else [one for one in layers if one[0] == stage]
    if not asked:
        listed = list(dict.fromkeys(name for name, _ in layers))
        if len(listed) > _FEW:
            listed = get_close_matches(str(stage), listed, n=_FEW, cutoff=0.3) or listed[-_FEW:]
        of = "" if network is model else f" in {model.name}"
        raise ValueError(
            f"`stage` must be one of {checks.some(listed)}{of}, or None for the last. "
            f"Received: stage={stage!r}"
        )
    if len(asked) > 1:
        raise ValueError(
            "`stage` must be the name of one layer. "
            f"Received: stage={stage!r}, as {len(asked)} layers of {model.name} are called"
        )
    ((name, layer),) = asked
    return Place(name, layer, _channels_first(layer, network or model))


def parts(model: Any) -> list[Any]:
    """Parts of the network from the head to the stem, for a model with a `ResNet` in it.

    Layers behind the network come first, those before it last.
    """
    network, layers = _layers(model)
    if network is None:
        return [layer for _, layer in reversed(layers) if layer.weights]
    before, behind = _around(model, network)
    mine = [part for part in network._parts() if part.weights]
    added = [one for one in network.layers if one.weights and not any(one is p for p in mine)]
    return [*reversed(behind), *added, *reversed(mine), *reversed(before)]


def _around(model: Any, network: ResNet) -> tuple[list[Any], list[Any]]:
    """Layers with weights before and behind a network, however deep in a model it is."""
    before: list[Any] = []
    behind: list[Any] = []
    side = before
    parts = getattr(model, "layers", None) or model._flatten_layers(False, recursive=False)
    for layer in parts if model is not network else ():
        if network in layer._flatten_layers():
            outer, inner = _around(layer, network)
            before, behind = [*before, *outer], inner
            side = behind
        elif layer.weights:
            side.append(layer)
    return before, behind


def _layers(model: Any) -> tuple[ResNet | None, list[tuple[str, Any]]]:
    """The `ResNet` of a model, and its stem and stages by their names; otherwise all layers."""
    found = [one for one in model._flatten_layers() if isinstance(one, ResNet)]
    if len(found) > 1:
        raise ValueError(
            "`model` must have one ResNet in it. Received: "
            f"{checks.some([one.name for one in found])} in {model.name}"
        )
    if found:
        stages = [(f"stage{i}", stage) for i, stage in enumerate(found[0].stages, start=1)]
        return found[0], [("stem", found[0].stem), *stages]
    layers = model._flatten_layers(include_self=False)
    seldom = (keras.layers.InputLayer, keras.Model)
    return None, [(layer.name, layer) for layer in layers if not isinstance(layer, seldom)]


def _channels_first(layer: Any, model: Any) -> bool:
    layout = getattr(getattr(model, "stem", None), "layout", None)
    for one in (layout, layer, *model._flatten_layers()):
        data_format = getattr(one, "data_format", None)
        if data_format is not None:
            return bool(data_format == "channels_first")
    return keras.config.image_data_format() == "channels_first"
