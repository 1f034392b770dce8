"""The operations of any Keras model, found without running it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from resnet_layers.networks.operations import Operation, Path, Shape, Walk

# From what is followed, a path, a layer and the indices of what it reads to that of what it makes.
Handler = Callable[["Following", Path, Any, Sequence[int]], int]
HANDLERS: dict[type, Handler] = {}


def handles(*classes: type) -> Callable[[Handler], Handler]:
    """Registers what follows the maps through layers of these classes."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(classes, handler))
        return handler

    return register


@dataclasses.dataclass
class Following:
    """A walk through layers.

    Args:
        walk: The operations so far.
        channels_first: Whether the layers have channels first; the walk has them last.
        unknown: Class of each layer whose multiply-adds nobody knows, by its path.
        unsized: Shapes of batches whose sizes nobody knows, by their indices.
    """

    walk: Walk
    channels_first: bool = False
    unknown: dict[Path, str] = dataclasses.field(default_factory=dict)
    unsized: dict[int, Sequence[int | None]] = dataclasses.field(default_factory=dict)
    _made: list[int] = dataclasses.field(default_factory=list)
    _settled: int = 0
    _counted: set[tuple[int, Path]] = dataclasses.field(default_factory=set)

    def follow(self, path: Path, layer: Any, inputs: Sequence[int], node: Any = None) -> int:
        """The index of what a layer makes.

        Args:
            path: Where the layer is.
            layer: The layer, model or operation.
            inputs: Indices of what it reads.
            node: The call in the graph of a model around it, or `None`.
        """
        handler = _handler(layer)
        if any(index in self.unsized for index in inputs):
            made = [self._without_sizes(path, layer, inputs, node)]
        elif handler is not None:
            made = [self._handled(handler, path, layer, inputs)]
        elif not isinstance(layer, keras.Layer):
            made = [_operation(self, path, layer, inputs, node)]
        elif _is_functional(layer):
            made = self._through(path, layer, inputs)
        else:
            made = self._traced(path, layer, inputs) or [self._unknown(path, layer, inputs, node)]
        self._settle(path, layer)
        self._made = made
        return made[0]

    def whole(self, model: Any, inputs: Sequence[int]) -> None:
        """A whole model, whose outputs are kept."""
        self.follow((), model, inputs)
        self.walk.outputs = tuple(self._made)

    def sequence(self, path: Path, layers: Sequence[Any], inputs: Sequence[int]) -> int:
        """Layers in turn, each under its name."""
        (x,) = inputs
        for layer in layers:
            x = self.follow((*path, layer.name), layer, [x])
        return x

    def keras_shape(self, index: int) -> tuple[int | None, ...]:
        """The shape of a batch, as Keras has it."""
        if index in self.unsized:
            return tuple(self.unsized[index])
        *pixels, channels = self.walk.shape(index)
        if self.channels_first and pixels:
            return (None, channels, *pixels)
        return (None, *pixels, channels)

    def walked_shape(self, shape: Sequence[int | None]) -> Shape:
        """The shape of one image, channels last, for that of a batch."""
        sizes = tuple(size or 1 for size in shape[1:]) or (1,)
        return (*sizes[1:], sizes[0]) if self.channels_first else sizes

    def makes(
        self, kind: str, path: Path, layer: Any, inputs: Sequence[int], node: Any = None, **of: Any
    ) -> int:
        """An operation whose shape the layer or operation itself says."""
        shape = _shape(self, layer, inputs, node)
        made = self.walk.add(Operation(path, kind, tuple(inputs), self.walked_shape(shape), **of))
        if None in shape[1:]:
            self.unsized[made] = shape
        return made

    def _handled(self, handler: Handler, path: Path, layer: Any, inputs: Sequence[int]) -> int:
        """By the arguments of a layer; it is unknown if it has other variables than these say."""
        start = len(self.walk.operations)
        made = handler(self, path, layer, inputs)
        if not (isinstance(layer, keras.Layer) and layer.built):
            return made
        new = self.walk.operations[start:]
        others = _size(layer) - sum(o.weights + o.statistics for o in new)
        if others > 0 and not list(layer._flatten_layers(include_self=False)):  # LoRA, a scale
            self.unknown[path] = type(layer).__name__
            weighted = next((i for i, o in enumerate(new, start) if o.weights), None)
            if weighted is not None:
                operation = self.walk.operations[weighted]
                more = operation._replace(weights=operation.weights + others)
                self.walk.operations[weighted] = more
        return made

    def _without_sizes(self, path: Path, layer: Any, inputs: Sequence[int], node: Any) -> int:
        """What reads maps of unknown sizes: unknown if it has weights."""
        if isinstance(layer, keras.Layer) and layer.weights:
            return self._unknown(path, layer, inputs, node)
        return self.makes("unsized", path, layer, inputs, node, sees_all=True)

    def _traced(self, path: Path, layer: Any, inputs: Sequence[int]) -> list[int]:
        """Through what a layer of somebody's calls; nothing if that is not all of the layer."""
        graph = _graph(layer, [self.keras_shape(i) for i in inputs])
        if graph is None:
            return []
        walk = Walk(self.walk.image, [*self.walk.operations])
        alone = Following(walk, self.channels_first, _settled=len(walk.operations))
        alone._through(path, graph, inputs)
        alone._settle(path, layer)
        new = walk.operations[len(self.walk.operations) :]
        reached = sum(operation.weights + operation.statistics for operation in new)
        return self._through(path, graph, inputs) if reached == _size(layer) else []

    def _through(self, path: Path, model: Any, inputs: Sequence[int]) -> list[int]:
        """The nodes of a graph of Keras, those first that others read."""
        known = {id(tensor): index for tensor, index in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if not node.is_input:
                    read = [known[id(tensor)] for tensor in node.arguments.keras_tensors]
                    operation = node.operation
                    index = self.follow((*path, operation.name), operation, read, node)
                    several = len(self._made) == len(node.outputs)
                    made = self._made if several else [index] * len(node.outputs)
                    known |= dict(zip(map(id, node.outputs), made, strict=True))
        return [known[id(tensor)] for tensor in model.outputs]

    def _unknown(self, path: Path, layer: Any, inputs: Sequence[int], node: Any) -> int:
        self.unknown[path] = type(layer).__name__
        held = {"weights": 0, "statistics": 0}
        if layer.built:
            each = layer._flatten_layers()
            fixed = sum(math.prod(v.shape) for part in each for v in part._non_trainable_variables)
            held = {"weights": _size(layer) - fixed, "statistics": fixed}
        return self.makes("unknown", path, layer, inputs, node, **held, sees_all=True)

    def _settle(self, path: Path, layer: Any) -> None:
        """Counts variables once, also those of a layer that is called twice, and what trains."""
        operations = self.walk.operations
        for i in range(self._settled, len(operations)):
            operation = operations[i]
            if not (operation.weights or operation.statistics):
                continue
            leaf, rest = _leaf(layer, operation.path[len(path) :])
            if (id(leaf), rest) in self._counted:
                operations[i] = operation._replace(weights=0, statistics=0)
            elif not getattr(leaf, "trainable", True):
                operations[i] = operation._replace(trainable=False)
            self._counted.add((id(leaf), rest))
        self._settled = len(operations)


def _size(layer: Any) -> int:
    """Numbers in the variables of a layer."""
    return sum(math.prod(variable.shape) for variable in layer.weights)


def _handler(layer: Any) -> Handler | None:
    """What is registered for a layer's class, unless it has a `call` of somebody else's."""
    module = getattr(type(layer).call, "__module__", "")
    if _has_its_own_call(layer) or module.partition(".")[0] not in ("keras", "resnet_layers"):
        return None
    return next((HANDLERS[kind] for kind in type(layer).__mro__ if kind in HANDLERS), None)


def _leaf(layer: Any, path: Path) -> tuple[Any, Path]:
    """The innermost layer on a path below a layer, and what is left of the path."""
    while path:
        parts = {part.name: part for part in layer._flatten_layers(False, recursive=False)}
        if path[0] not in parts:
            break
        layer, path = parts[path[0]], path[1:]
    return layer, path


def _is_functional(layer: Any) -> bool:
    """Whether a model computes as its graph says."""
    is_of_keras = type(layer).call.__module__.startswith("keras.") and not _has_its_own_call(layer)
    return hasattr(layer, "_nodes_by_depth") and is_of_keras


def _has_its_own_call(layer: Any) -> bool:
    """Whether an instance computes otherwise than its class."""
    return "call" in vars(layer)


def _graph(layer: Any, shapes: Sequence[Any]) -> Any:
    """The graph of a built layer of somebody's that calls others, or `None`."""
    parts = list(layer._flatten_layers(include_self=False))
    if not parts or not all(part.built for part in parts):
        return None
    before = [(part, len(part._inbound_nodes)) for part in parts]
    inputs = [keras.KerasTensor(shape, dtype=layer.compute_dtype) for shape in shapes]
    try:
        return keras.Function(inputs, layer.call(*inputs))
    except Exception:  # whatever somebody's code may raise: then nobody knows what it computes
        return None
    finally:
        for part, nodes in before:
            del part._inbound_nodes[nodes:]


def _shape(following: Following, layer: Any, inputs: Sequence[int], node: Any) -> Any:
    """The shape of a batch that a layer or an operation makes."""
    shapes = [following.keras_shape(index) for index in inputs]
    if node is None:
        return _shape_alone(layer, shapes)
    read = node.arguments.keras_tensors
    tensors = [
        keras.KerasTensor(shape, dtype=tensor.dtype)
        for shape, tensor in zip(shapes, read, strict=True)
    ]
    given = {id(tensor): new for tensor, new in zip(read, tensors, strict=True)}
    arguments, keywords = node.arguments.fill_in(given)
    made = layer.compute_output_spec(*arguments, **keywords)
    return keras.tree.flatten(made)[0].shape


def _shape_alone(layer: Any, shapes: Sequence[Any]) -> Any:
    """The shape that a layer outside of a graph makes."""
    try:
        return layer.compute_output_shape(*shapes)
    except NotImplementedError:
        if not layer.built:
            raise ValueError(
                f"`model` must be built where a layer does not say what shape it makes, as "
                f"{type(layer).__name__} '{layer.name}' has no `compute_output_shape`. "
                f"Received: input_shape={shapes[0]}"
            ) from None
    inputs = [keras.KerasTensor(shape, dtype=layer.compute_dtype) for shape in shapes]
    return keras.tree.flatten(keras.Operation.compute_output_spec(layer, *inputs))[0].shape


# Operations of `keras.ops`, by what they do; what is not here is unknown.
_OPERATIONS = {
    "addition": ("Add", "AddApart", "Subtract", "Maximum", "Minimum"),
    "product": ("Multiply", "Divide", "TrueDivide", "Power", "Where"),
    "activation": (
        *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Sigmoid", "HardSigmoid"),
        *("HardSilu", "Softmax", "LogSoftmax", "Softplus", "Softsign", "Swish", "Tanh", "Mish"),
        *("Exp", "Log", "Sqrt", "Rsqrt", "Square", "Abs", "Absolute", "Negative", "Clip", "Sign"),
    ),
    "reshape": ("Reshape", "Squeeze", "ExpandDims", "Identity", "StopGradient"),
    "rearrangement": (
        *("Moveaxis", "Transpose", "Swapaxes", "Flip", "GetItem", "Cast", "Split"),
        *("Concatenate", "Stack"),
    ),
    "padding": ("Pad",),
    "pooling": ("MaxPool", "AveragePool", "AdaptiveAveragePool", "AdaptiveMaxPool"),
    "means": ("Mean", "Max", "Min", "Sum", "Var", "Std"),
}
_KINDS = {name: kind for kind, names in _OPERATIONS.items() for name in names}


def _operation(
    following: Following, path: Path, operation: Any, inputs: Sequence[int], node: Any
) -> int:
    """An operation of `keras.ops`."""
    name = type(operation).__name__
    kind = _KINDS.get(name, "unknown")
    if kind == "unknown":
        following.unknown[path] = name
    # Which pixels it reads is not followed: a network of layers says that.
    sees_all = kind not in ("addition", "product", "activation")
    return following.makes(kind, path, operation, inputs, node, sees_all=sees_all)
