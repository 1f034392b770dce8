"""What layers made of other layers share: how children inherit, and what a config keeps."""

import contextlib
import contextvars
import inspect
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.layers import _shapes
from resnet_layers.layers._layout import Layout
from resnet_layers.layers._settled import Settled, check_inner, is_derived
from resnet_layers.layers.styles import BlockStyle

# Whether symbolic calls go on into a layer's `call`, where they otherwise stop at one node.
_inlined: contextvars.ContextVar[bool] = contextvars.ContextVar("inlined", default=False)

# What a config says of any layer, whatever its constructor takes.
_OF_ANY_LAYER = ("name", "trainable", "dtype")


class KeepsConstruction:
    """Makes a config say how the layer was constructed, and which sub-layers train.

    A class of the package lists its arguments in `own_config`. For a class that somebody derived
    from it the config holds what its constructor received, so that it can be called again.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls, *args, **kwargs)
        if not is_derived(cls):  # others may have any argument
            checks.own_names(kwargs)
        else:
            # Past Keras' tracking, which would take these layers for sub-layers.
            object.__setattr__(layer, "_received", _bind(cls, args, kwargs))
        return layer

    def own_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as plain values."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()  # type: ignore[misc]
        config |= self._received_config() if is_derived(type(self)) else self.own_config()
        changes = dict(_trainable_changes(self))
        return {**config, "trainable_changes": changes} if changes else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        changes = _checked_changes(config.pop("trainable_changes", {}))
        trainable = config.pop("trainable", True)
        layer = _construct_again(cls, config) if is_derived(cls) else cls(**config)
        if not trainable:
            layer.trainable = False
        for path, value in changes.items():
            _descendant(layer, path).trainable = value
        return layer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # In a functional model, an image layer of Keras (`call(…, training=True)`) has what comes
        # after it train when the model is called. A node that says `training` does not follow it.
        if "training" in self.call_signature_parameters and any(  # type: ignore[attr-defined]
            isinstance(tensor, keras.KerasTensor) for tensor in keras.tree.flatten((args, kwargs))
        ):
            kwargs.setdefault("training", None)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if _changes_call(type(self)):  # only a trace knows what it does
            return keras.Operation.compute_output_spec(self, *args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)  # type: ignore[misc]

    def _received_config(self) -> dict[str, Any]:
        received = {k: v for k, v in self._received.items() if k not in _OF_ANY_LAYER}  # type: ignore[attr-defined]
        try:
            return {k: keras.saving.serialize_keras_object(v) for k, v in received.items()}
        except (TypeError, ValueError) as error:
            raise NotImplementedError(
                f"`{type(self).__name__}` must have a `get_config` and a `from_config` of its own, "
                f"since an argument of its constructor cannot be serialized: {error}"
            ) from None


class Composite(KeepsConstruction, Settled, keras.layers.Layer):
    """A layer whose sub-layers are created in its constructor and built in its `build`.

    Sub-layers have fixed names, follow the layer's dtype policy, and are frozen with it.
    """

    layout: Layout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Keras would name numbers of axes and no rank. A derived class may take other ranks.
        ndim = getattr(self.input_spec, "ndim", None)
        if args and ndim is not None and ndim == self.layout.ndim:
            _shapes.check_rank(self, getattr(args[0], "shape", None), self.layout)
        if _inlined.get() and self.is_inlined():
            x, *others = args
            if keras.backend.is_float_dtype(x.dtype):  # as Keras does around a call
                x = _shapes.cast(x, self.compute_dtype)
            return self.call(x, *others, **kwargs)
        return super().__call__(*args, **kwargs)

    def is_inlined(self) -> bool:
        """Whether its sub-layers in turn are all that it does."""
        return not _has_own_call(type(self)) and self.activity_regularizer is None

    def follow(self, style: BlockStyle) -> None:
        """Keeps a style, and takes what has its axes."""
        self.style, self.layout = style, style.layout
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim)

    def get_config(self) -> dict[str, Any]:
        check_inner(self)
        return super().get_config()

    def child_keywords(self) -> dict[str, Any]:
        """Keywords that every sub-layer gets."""
        return {"dtype": self.dtype_policy, "trainable": self.trainable}

    def in_turn(self) -> Iterable[Any]:
        """The sub-layers in the order of their calls, `None` for one that is not there."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        """Builds the sub-layers that are not built yet, each from the shape before it."""
        shape = input_shape = _shapes.batch_shape(self, input_shape, self.layout)
        for layer in self.in_turn():
            if layer is not None:
                build_once(layer, shape)
                shape = layer.compute_output_shape(shape)
        axis = self.layout.channel_axis
        self.input_spec = keras.InputSpec(ndim=self.layout.ndim, axes={axis: input_shape[axis]})

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build(tuple(config["input_shape"]))  # a list in JSON

    def load_own_variables(self, store: Any) -> None:
        # Keras can skip the weights of a sub-layer that is not built without a word.
        for layer in self._flatten_layers(include_self=False) if self.built else ():
            if not layer.built:
                raise ValueError(
                    f"The sub-layers of {type(self).__name__} '{self.name}' must be built before "
                    f"weights are loaded: build them in its `build`. Received: '{layer.name}', "
                    "which is not built"
                )
        super().load_own_variables(store)


@contextlib.contextmanager
def inlined() -> Iterator[None]:
    """Calls of composites are those of their sub-layers, as nodes of a functional model."""
    token = _inlined.set(True)
    try:
        yield
    finally:
        _inlined.reset(token)


def build_once(layer: Any, input_shape: Any) -> None:
    """Builds a layer, unless it comes built out of a file."""
    if not layer.built:
        layer.build(input_shape)


def _derived_from_ours(cls: type) -> Iterator[type]:
    """The class and its bases, up to the one of the package."""
    return itertools.takewhile(is_derived, cls.__mro__)


def _changes_call(cls: type) -> bool:
    """Whether a derived class has a `call` of its own and leaves the shape of it to us."""
    for base in _derived_from_ours(cls):
        if "compute_output_shape" in vars(base):
            return False
        if "call" in vars(base):
            return True
    return False


def _has_own_call(cls: type) -> bool:
    return any("call" in vars(base) for base in _derived_from_ours(cls))


def _bind(cls: type, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments by their names, a variable number of them as `*name`."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind(None, *args, **kwargs).arguments
    except TypeError:
        return {}  # the constructor is about to say so itself
    arguments: dict[str, Any] = {}
    for name, value in list(bound.items())[1:]:  # without self
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= value
        else:
            arguments["*" * (kind is inspect.Parameter.VAR_POSITIONAL) + name] = value
    # Other lists and dicts than the caller's, which may change.
    return {k: keras.tree.map_structure(lambda leaf: leaf, v) for k, v in arguments.items()}


def _construct_again(cls: Any, config: dict[str, Any]) -> Any:
    """A derived class from a config: its name and policy come from outside where it takes none."""
    if not any("get_config" in vars(base) for base in _derived_from_ours(cls)):
        config = {key: keras.saving.deserialize_keras_object(v) for key, v in config.items()}
    parameters = inspect.signature(cls.__init__).parameters
    outside = {
        key: config.pop(key) for key in _OF_ANY_LAYER if key in config and key not in parameters
    }
    args = [value for key in list(config) if key[0] == "*" for value in config.pop(key)]
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(keras.dtype_policies.get(outside.get("dtype", policy)))
        layer = cls(*args, **config)
    finally:
        keras.config.set_dtype_policy(policy)
    if "name" in outside:
        layer.name = outside["name"]
    return layer


def children(layer: Any) -> list[Any]:
    """The sub-layers of a layer itself, in the order in which it keeps them."""
    return layer._flatten_layers(include_self=False, recursive=False)


def _trainable_changes(layer: Any) -> Iterator[tuple[str, bool]]:
    """Sub-layers, by their order, that train although their parent does not, or the reverse."""
    for i, child in enumerate(children(layer)):
        settable = type(child).trainable is keras.Layer.trainable
        if settable and child.trainable != layer.trainable:
            yield str(i), child.trainable
        yield from ((f"{i}/{path}", value) for path, value in _trainable_changes(child))


def _checked_changes(changes: Any) -> dict[str, bool]:
    """What `_trainable_changes` has found, out of a file."""
    if not isinstance(changes, dict) or not all(
        isinstance(value, bool) and re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})*", str(path))
        for path, value in changes.items()
    ):
        raise ValueError(
            "`trainable_changes` must be a dict from the places of sub-layers, such as '0/1', to "
            f"True or False. Received: trainable_changes={changes!r}"
        )
    return changes


def _descendant(layer: Any, path: str) -> Any:
    descendant = layer
    for i in map(int, path.split("/")):
        inner = children(descendant)
        if i >= len(inner):
            raise ValueError(
                f"`{type(layer).__name__}` must make its sub-layers in its constructor, so that "
                f"its config can say which of them train. Received: no sub-layer {path}"
            )
        descendant = inner[i]
    return descendant
