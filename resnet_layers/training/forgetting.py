"""Keeps TensorFlow from keeping every training step that it has traced."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def gradients_forgotten(model: Any) -> Iterator[None]:
    """Around a training: TensorFlow keeps no graph of it, and no kernel.

    Each traced training step leaves functions in TensorFlow's registry of gradients, for ever,
    and with them the graph and the weights of the network. They are needed while it is traced.
    What somebody else has traced meanwhile, in a callback or another thread, stays. Kernels, which
    are kept as long, are made again when they are needed.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops

    registry: dict[str, Any] = ops.gradient_registry._registry
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-") and _is_of_training(registry[name], model):
                del registry[name]
        context.context().clear_kernel_cache()


def _is_of_training(entry: dict[str, Any], model: Any) -> bool:
    """Whether a gradient is of a step of Keras' training or evaluation of this model."""
    values = (getattr(v.value, "values", (v.value,)) for v in model.variables)  # one per device
    mine = {id(value) for each in values for value in each}
    return any(
        graph.name.startswith("one_step_on")
        # `variables` raises where some are gone, as an optimizer's that another took the place of.
        and any(id(kept()) in mine for kept in graph._weak_variables)
        for graph in _graphs(entry["type"])
    )


def _graphs(function: Any) -> Iterator[Any]:
    """The graphs of the tensors that a gradient keeps, and those around them."""
    for cell in getattr(function, "__closure__", None) or ():
        kept = cell.cell_contents
        for value in kept if isinstance(kept, (list, tuple)) else [kept]:
            if inspect.isfunction(value):
                yield from _graphs(inspect.unwrap(value))
            graph = getattr(value, "graph", None)
            while graph is not None:
                if hasattr(graph, "_weak_variables"):
                    yield graph
                graph = getattr(graph, "outer_graph", None)
