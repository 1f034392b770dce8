"""What `keras.Model.summary` asks a model and its layers, answered for stages and their blocks."""

from typing import Any

from resnet_layers.layers.stage import ResNetStage


class Shown:
    """A model, or a part of one, with the parts that a summary lists below it as its `layers`.

    The layers themselves have no such attribute, where Keras' files would store them twice.
    """

    _inbound_nodes = ()

    def __init__(self, layer: Any, parts: Any, input_shape: Any) -> None:
        self._layer = layer
        self._build_shapes_dict = {"input_shape": input_shape}
        self.layers: list[Any] = []
        for part in parts:
            blocks = part.block_layers if isinstance(part, ResNetStage) else ()
            self.layers.append(Shown(part, blocks, input_shape))
            input_shape = part.compute_output_shape(input_shape)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # its name is printed
        return type(self._layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)
