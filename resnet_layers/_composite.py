"""What layers made of other layers share: how children inherit, and what a config keeps."""

from collections.abc import Iterator
from typing import Any

import keras


class KeepsFrozen:
    """Makes a config say which sub-layers were frozen one by one, however deep.

    Sub-layers are made by the constructor of their parent, so nothing else in a file could.
    """

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()  # type: ignore[misc]
        frozen = list(_frozen_paths(self)) if config["trainable"] else []
        return {**config, "frozen": frozen} if frozen else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        frozen = config.pop("frozen", ())
        trainable = config.pop("trainable", True)
        layer = super().from_config(config)  # type: ignore[misc]
        for path in frozen:
            _descendant(layer, path).trainable = False
        if not trainable:
            layer.trainable = False
        return layer


class Composite(KeepsFrozen, keras.layers.Layer):
    """A layer whose sub-layers are created in its constructor and built in its `build`.

    Sub-layers have fixed names, follow the layer's dtype policy, and are frozen with it.
    """

    def child_keywords(self) -> dict[str, Any]:
        """Keywords that every sub-layer gets."""
        return {"dtype": self.dtype_policy, "trainable": self.trainable}

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build(tuple(config["input_shape"]))  # a list in JSON


def _children(layer: Any) -> dict[str, Any]:
    """Sub-layers by their names where those are fixed, and by their order elsewhere."""
    children = layer._flatten_layers(include_self=False, recursive=False)
    fixed = isinstance(layer, Composite)
    return {child.name if fixed else str(i): child for i, child in enumerate(children)}


def _frozen_paths(layer: Any) -> Iterator[str]:
    for key, child in _children(layer).items():
        if child.trainable:
            yield from (f"{key}/{path}" for path in _frozen_paths(child))
        else:
            yield key


def _descendant(layer: Any, path: str) -> Any:
    for key in path.split("/"):
        layer = _children(layer)[key]
    return layer
