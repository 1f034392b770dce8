"""What layers made of other layers share: how children inherit, and what a config keeps."""

from collections.abc import Iterator
from typing import Any

import keras


class Composite(keras.layers.Layer):
    """A layer whose sub-layers are created in its constructor and built in its `build`.

    Sub-layers have fixed names, follow the layer's dtype policy, and are frozen with it. A
    config also lists the sub-layers that were frozen one by one, so that they stay frozen in a
    copy and in a file.
    """

    def child_keywords(self) -> dict[str, Any]:
        """Keywords that every sub-layer gets."""
        return {"dtype": self.dtype_policy, "trainable": self.trainable}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        frozen = list(_frozen_paths(self)) if self.trainable else []
        return {**config, "frozen": frozen} if frozen else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Composite":
        config = dict(config)
        frozen = config.pop("frozen", ())
        layer = super().from_config(config)
        for path in frozen:
            _descendant(layer, path).trainable = False
        return layer

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build(tuple(config["input_shape"]))  # a list in JSON


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return layer._flatten_layers(include_self=False, recursive=False)


def _frozen_paths(layer: keras.layers.Layer) -> Iterator[str]:
    for child in _children(layer):
        if child.trainable:
            yield from (f"{child.name}/{path}" for path in _frozen_paths(child))
        else:
            yield child.name


def _descendant(layer: keras.layers.Layer, path: str) -> keras.layers.Layer:
    for name in path.split("/"):
        layer = next(child for child in _children(layer) if child.name == name)
    return layer
