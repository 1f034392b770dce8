"""`AlwaysBuilt`: a model that is built on construction, and whose files lose nothing."""

from typing import Any

import keras

from resnet_layers.layers._composite import KeepsConstruction


class AlwaysBuilt(KeepsConstruction, keras.Model):
    """A model of parts that are called in turn.

    Its constructor calls `AlwaysBuilt.build` itself. A derived class may add layers, and a `build`
    of its own; both are done before the weights of a file arrive.
    """

    input_shape: tuple[int | None, ...]

    def _parts(self) -> list[keras.layers.Layer]:
        raise NotImplementedError

    @property
    def built(self) -> bool:
        """Whether all variables exist, those of a subclass's own layers and `build` included."""
        own_build = type(self).build is not AlwaysBuilt.build
        return self._marked_built or (not own_build and _all_built(self))

    @built.setter
    def built(self, value: bool) -> None:
        self._marked_built = value

    def build(self, input_shape: Any) -> None:
        """Builds the parts that are not built yet, each from the output of the one before."""
        x = keras.KerasTensor(tuple(input_shape), dtype=self.compute_dtype)
        for part in self._parts():
            x = part(x)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds what a subclass added, before a file's weights arrive."""
        if not self.built:
            self.build((None, *self.input_shape))
        self._build_by_call()

    def load_own_variables(self, store: Any) -> None:
        # Keras skips the weights of a layer that is not built without a word.
        self._build_by_call()
        super().load_own_variables(store)

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Exports like any Keras model; one that was never called as well."""
        self(keras.KerasTensor((None, *self.input_shape), dtype=self.compute_dtype))
        super().export(filepath, *args, **kwargs)

    def __dir__(self) -> list[str]:
        # Keras' files walk over these names. Without `layers`, each layer is reached once and by
        # its attribute: a second visit would replace the error of the first.
        return [name for name in super().__dir__() if name != "layers"]

    def _build_by_call(self) -> None:
        if not _all_built(self):
            inputs = keras.KerasTensor((None, *self.input_shape), dtype=self.compute_dtype)
            keras.Operation.compute_output_spec(self, inputs)


def _all_built(model: keras.Model) -> bool:
    return all(layer.built for layer in model._flatten_layers(include_self=False))
