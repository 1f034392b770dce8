"""`functional_view`: a network as a flat functional model, for tools that look at one."""

from collections.abc import Iterator
from typing import Any

import keras

from resnet_layers.layers._composite import Composite, children, inlined
from resnet_layers.networks.model import ResNet


def functional_view(model: Any) -> Any:
    """The same network as a flat functional model of Keras layers, with the same variables.

    It is what tools for functional models take: `keras.utils.plot_model`, `summary`, pruning, and
    whatever asks for `inputs`, `outputs` or `get_layer`. Training one trains the other. How layers
    are set is as it was when the view was made: change the network, and make another view. Freeze
    layers of the network: what is frozen in a view are the variables of both, without the network's
    layers, and the network is refused by `save` until they are frozen too. Layers are named after
    their place: `stage1_block1_conv1_convolution`.

    Args:
        model: A `ResNet`. Parts with a `call` of somebody else, such as a `Sequential`, stay one
            layer each, as do those with an activity regularizer.

    Returns:
        A `keras.Model`, which is not compiled.

    Raises:
        TypeError: If `model` is no `ResNet`.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=10)
    >>> view = functional_view(model)
    >>> view.get_layer("head_dense").kernel is model.head.dense.kernel
    True
    """
    if not isinstance(model, ResNet):
        raise TypeError(f"`model` must be a ResNet. Received: model={model!r}")
    leaves = dict(_leaves(model))
    before = {name: (leaf.name, len(leaf._inbound_nodes)) for name, leaf in leaves.items()}
    inputs = keras.Input(model.input_shape, dtype=model.variable_dtype, name="inputs")
    try:
        for name, leaf in leaves.items():
            leaf.name = name  # a functional model wants them to be different
        with inlined():
            traced = keras.Model(inputs, model.call(inputs), name=model.name)
        return keras.models.clone_model(traced, clone_function=_twin)
    finally:
        for name, leaf in leaves.items():
            leaf.name, nodes = before[name]
            del leaf._inbound_nodes[nodes:]


def _leaves(model: Any) -> Iterator[tuple[str, Any]]:
    """Layers that are not made of others of this package, by the names of their places."""
    parts = {"stem": model.stem, "norm": model.norm, "head": model.head}
    parts |= {f"stage{i}": stage for i, stage in enumerate(model.stages, start=1)}
    known = [id(part) for part in parts.values()]
    others = {part.name: part for part in children(model) if id(part) not in known}
    for name, part in {**parts, **others}.items():
        if part is not None:
            yield from _within(name, part)


def _within(name: str, layer: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(layer, Composite) and layer.is_inlined():
        for child in children(layer):
            yield from _within(f"{name}_{child.name}", child)
    else:
        yield name, layer


def _twin(operation: Any) -> Any:
    """An operation or a layer of the same state, with a name and nodes of its own."""
    twin = object.__new__(type(operation))
    twin.__dict__.update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    if isinstance(operation, keras.Layer):
        object.__setattr__(twin, "quantize", _refuse_to_quantize)
    return twin


def _refuse_to_quantize(*args: Any, **kwargs: Any) -> None:
    # Keras' own, which is bound to the layer of the network, would quantize that one.
    raise NotImplementedError(
        "`quantize` must be left to an exported model, since a view shares its layers' variables"
    )
