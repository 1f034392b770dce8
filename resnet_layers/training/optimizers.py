"""Keras' optimizers, with a weight decay that spares normalization and biases in a file as well."""

from typing import Any

import keras


class _Sparing:
    """Excludes from weight decay what is no kernel: scales, offsets and biases are vectors.

    Keras keeps what was excluded in no config, so that a reloaded optimizer would decay all.
    """

    def exclude_from_weight_decay(self: Any, *args: Any, **kwargs: Any) -> None:
        self._excluded_by_user = True
        super().exclude_from_weight_decay(*args, **kwargs)  # type: ignore[misc]

    def build(self: Any, variables: Any) -> None:
        if not self.built and not vars(self).get("_excluded_by_user"):
            vectors = [variable for variable in variables if len(variable.shape) < 2]
            super().exclude_from_weight_decay(var_list=vectors)  # type: ignore[misc]
        super().build(variables)  # type: ignore[misc]


def _sparing(kind: Any) -> Any:
    doc = f"Keras' {kind.__name__}, whose weight decay spares normalization and biases."
    made = type(kind.__name__, (_Sparing, kind), {"__module__": __name__, "__doc__": doc})
    return keras.saving.register_keras_serializable(package="resnet_layers")(made)


SGD = _sparing(keras.optimizers.SGD)
AdamW = _sparing(keras.optimizers.AdamW)
Adam = _sparing(keras.optimizers.Adam)
Nadam = _sparing(keras.optimizers.Nadam)
RMSprop = _sparing(keras.optimizers.RMSprop)
Lion = _sparing(keras.optimizers.Lion)
Lamb = _sparing(keras.optimizers.Lamb)
