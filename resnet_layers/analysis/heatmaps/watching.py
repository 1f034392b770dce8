"""What a layer within a model puts out, and the gradient of a score by it."""

import contextlib
import threading
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
        ValueError: If the model calls the layer several times, or not at all, or if no gradient
            comes from the score to it.
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
        return output, _connected(layer, tape.gradient(number, output))
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
    is_hidden = isinstance(output, jax.core.Tracer)  # within a function that JAX has traced
    return output, _connected(layer, None if is_hidden else by_change)


@contextlib.contextmanager
def kept(model: Any) -> Iterator[None]:
    """Lets a model keep what its layers put out, which a `RematScope` hides from gradients."""
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            for one in (layer, *getattr(layer, "_operations", ())):
                if one._remat_mode is not None:
                    stack.enter_context(replaced(one, "_remat_mode", None))
        yield


@contextlib.contextmanager
def replaced(layer: Any, name: str, other: Any) -> Iterator[None]:
    """Gives a layer another attribute for a while; not by `setattr`, which models refuse."""
    its = vars(layer)
    before = {name: its[name]} if name in its else {}
    its[name] = other
    try:
        yield
    finally:
        del its[name]
        its.update(before)


def here(new: Callable[..., Any], old: Callable[..., Any]) -> Callable[..., Any]:
    """One function in this thread, and another in those that use the model meanwhile."""
    mine = threading.get_ident()

    def call(*inputs: Any, **keywords: Any) -> Any:
        return (new if threading.get_ident() == mine else old)(*inputs, **keywords)

    return call


def _with_output(layer: Any, changed: Callable[[Any], Any]) -> Any:
    """Lets a function see, and change, what a layer returns to the model."""
    call = layer.call

    def watched(*inputs: Any, **keywords: Any) -> Any:
        return changed(call(*inputs, **keywords))

    return replaced(layer, "call", here(watched, call))


def _only(layer: Any, outputs: list[Any]) -> Any:
    if len(outputs) != 1:
        raise ValueError(
            f"`stage` must be a layer that the model calls once. Received: '{layer.name}', which "
            f"it calls {len(outputs)} times"
        )
    return outputs[0]


def _connected(layer: Any, found: Any) -> Any:
    if found is None:
        raise ValueError(
            "`stage` must be a layer that gradients come to from the score of a class: none do "
            f"through `stop_gradient`, nor to the inside of `keras.remat`. Received: '{layer.name}'"
        )
    return found
