"""Whether a model that was made again has what the model in memory has."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from resnet_layers.layers._composite import children
from resnet_layers.layers.styles import BlockStyle

# What a layer has by being built, compiled or called, and not by its config.
_OF_USE = {"built", "compiled", "input_spec", "jit_compile", "loss", "name", "optimizer"}
_OF_USE |= {"run_eagerly", "steps_per_execution", "stop_evaluating", "stop_predicting"}
_OF_USE |= {"stop_training", "predict_function", "test_function", "train_function"}
_UNKNOWN = object()


def check_likeness(
    layer: Any, successor: Any, *, except_for: frozenset[str] = frozenset(), path: str = "model"
) -> None:
    """Refuses a successor with other public values than a layer, in it or in one inside.

    Keras lets anything be set on a finished layer; the config of a layer around it, or one of
    somebody's own, may know nothing of it.

    Args:
        layer: Of the model in memory.
        successor: What its config has made.
        except_for: Names of values that are meant to differ.
        path: Of the layer.

    Raises:
        ValueError: With the path of the first value that would be lost.
    """
    for name, mine, other in _values(layer, successor, except_for | _OF_USE):
        if mine != other:
            raise ValueError(
                "`model` must have configs that make its layers as they are. What is set on a "
                "finished layer belongs into the arguments or the style that it is made of. "
                f"Received: {path}.{name}={getattr(layer, name)!r}, where the config makes "
                f"{getattr(successor, name)!r}"
            )
    for child, next_child in zip(children(layer), children(successor), strict=False):
        check_likeness(
            child, next_child, except_for=except_for, path=f"{path}.{_attribute(layer, child)}"
        )


def _values(
    layer: Any, successor: Any, except_for: frozenset[str]
) -> Iterator[tuple[str, Any, Any]]:
    """The public attributes that both have, as what can be compared."""
    for name in sorted(set(vars(layer)) & set(vars(successor)) - except_for):
        # Keras wraps methods of models, and keeps the wrappers as attributes.
        if name.startswith("_") or callable(getattr(type(layer), name, None)):
            continue
        mine, other = (_comparable(vars(one)[name]) for one in (layer, successor))
        if mine is not _UNKNOWN and other is not _UNKNOWN:
            yield name, mine, other


def _comparable(value: Any) -> Any:
    """A value by its contents; `_UNKNOWN` for variables, layers and the like."""
    if isinstance(value, BlockStyle):  # what folding changes is not what somebody has set
        config = value.replace(folded=False, standardize_kernels=False).get_config()
        del config["kernel_initializer"]  # of no use any more, and with several spellings
        return _comparable(config)
    if value is None or isinstance(value, (bool, int, float, str)) or inspect.isfunction(value):
        return value
    if isinstance(value, (list, tuple)):
        items = [_comparable(item) for item in value]
        return _UNKNOWN if _UNKNOWN in items else items
    if isinstance(value, dict):
        items = [(key, _comparable(item)) for key, item in value.items()]
        return _UNKNOWN if any(item is _UNKNOWN for _, item in items) else items
    if isinstance(value, keras.regularizers.Regularizer):
        return type(value), value.get_config()
    return _UNKNOWN


def _attribute(layer: Any, child: Any) -> str:
    """What a layer calls one of those inside."""
    return next((name for name, value in vars(layer).items() if value is child), child.name)
