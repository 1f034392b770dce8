"""What a layer within a model puts out, and the gradient of a score by it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from resnet_layers.analysis.gradients import gradient


def output_and_gradient(layer: Any, score: Callable[[], Any]) -> tuple[Any, Any]:
    """The output of a layer while a score is computed, and the gradient of the score by it.

    Only what comes after the layer is differentiated.

    Args:
        layer: Any layer, however deep within the model.
        score: Calls the model, and returns a number.

    Raises:
        ValueError: If the model calls the layer several times, or not at all.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        seen: list[Any] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def watch(output: Any) -> Any:
                tape.watch(output)
                seen.append(output)
                return output

            with _with_output(layer, watch):
                number = score()
        output = _only(layer, seen)
        zero = tf.UnconnectedGradients.ZERO
        return output, tape.gradient(number, output, unconnected_gradients=zero)
    import jax

    def shapes() -> list[Any]:
        seen: list[Any] = []

        def keep(output: Any) -> Any:
            seen.append(output)
            return output

        with _with_output(layer, keep):
            score()
        return seen

    spec = _only(layer, jax.eval_shape(shapes))  # which computes nothing

    def shifted(change: Any) -> tuple[Any, Any]:
        seen: list[Any] = []

        def add(output: Any) -> Any:
            seen.append(output)
            return output + change

        with _with_output(layer, add):
            return score(), seen[0]

    by_change, output = gradient(shifted, jax.numpy.zeros(spec.shape, spec.dtype))
    return output, by_change


@contextlib.contextmanager
def _with_output(layer: Any, changed: Callable[[Any], Any]) -> Iterator[None]:
    """Lets a function see, and change, what a layer returns to the model."""
    call = layer.call

    def watched(*inputs: Any, **keywords: Any) -> Any:
        return changed(call(*inputs, **keywords))

    vars(layer)["call"] = watched  # not by `setattr`, which models refuse
    try:
        yield
    finally:
        del vars(layer)["call"]


def _only(layer: Any, outputs: list[Any]) -> Any:
    if len(outputs) != 1:
        raise ValueError(
            f"`stage` must be a layer that the model calls once. Received: '{layer.name}', which "
            f"it calls {len(outputs)} times"
        )
    return outputs[0]
