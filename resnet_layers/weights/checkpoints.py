"""Which of the weights in a checkpoint are meant, as training scripts and frameworks write them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from resnet_layers._support import checks

# What stands above the weights of a network, the first that is there coming first: of timm,
# torchvision, Lightning and Composer, of training on several devices, and of compiling.
_RAW = (
    *("state_dict", "model", "model_state_dict", "state", "module", "_orig_mod"),
    *("net", "network", "backbone"),
)
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "swa_model")
# torch's own averages count their updates beside the weights.
_COUNTER = "n_averaged"
# Where Lightning averages, `state_dict` are the averages, and this is what was averaged.
_LIGHTNING_RAW = "current_model_state"


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Weights out of a checkpoint.

    Args:
        weights: By their names, as far as they are weights.
        averages: Where averaged weights were found, if they were taken; `""` for the top.
        hint: Why names have kept a prefix, or nothing.
    """

    weights: Mapping[Any, Any]
    averages: str | None = None
    hint: str = ""


def choose(checkpoint: Mapping[Any, Any], averaged: bool | None, title: str) -> Chosen:
    """The weights of one network in a checkpoint.

    Args:
        checkpoint: Mappings in mappings, or names with dots for them.
        averaged: Whether averaged weights are taken; `None` for where there are some.
        title: What messages call the source.

    Raises:
        ValueError: If there are no averaged weights, or no others, and these are asked for; if
            there are several of a kind, or averages without names.
    """
    averages, level = None, checkpoint
    if _LIGHTNING_RAW in level and "averaging_state" in level:
        level = {_AVERAGED[0]: level["state_dict"], "state_dict": level[_LIGHTNING_RAW]}
    while True:
        if _COUNTER in level:
            averages = averages or ""
            level = {name: value for name, value in level.items() if name != _COUNTER}
        below = {name: _below(level, name) for name in (*_AVERAGED, *_RAW)}
        below = {name: inner for name, inner in below.items() if _has_arrays(inner)} or below
        raw = [name for name in _RAW if below.get(name)]
        found = [name for name in _AVERAGED if below.get(name)]
        if averages is None and averaged is not False:
            _check_named(level, title)
        if averages is None and found and (averaged is not False or not raw):
            name = averages = _only(level, found, title)
        elif raw:
            name = _only(level, raw, title)
        else:
            break
        hint = _beside(level, name, [*found, *raw[:1]])
        if hint:
            return Chosen(level, averages, hint)
        level = below[name]
    if any(isinstance(value, Mapping) for value in level.values()):
        raise ValueError(
            f"A checkpoint must have its weights as one of {', '.join((*_RAW, *_AVERAGED))}. "
            f"Received: source={title} with {checks.some(level, str)}"
        )
    if averaged is not None and averaged != (averages is not None):
        kind = "averaged" if averaged else "other"
        raise ValueError(
            f"`averaged` must be {not averaged} or None where a checkpoint has no {kind} weights. "
            f"Received: source={title}, averaged={averaged}"
        )
    return Chosen(level, averages)


def _check_named(level: Mapping[Any, Any], title: str) -> None:
    for name in _AVERAGED:
        inner = level.get(name)
        if not isinstance(inner, Mapping) or _has_arrays(inner):
            continue
        for key, values in inner.items():
            if isinstance(values, (list, tuple)) and any(map(_is_array, values)):
                raise ValueError(
                    "Averaged weights must have names; averaged=False takes the others. "
                    f"Received: source={title} with {name} whose {key} is a list"
                )


def _only(level: Mapping[Any, Any], names: list[str], title: str) -> str:
    """The first of several, which must be the only mapping among them."""
    several = [name for name in names if isinstance(level.get(name), Mapping)]
    if len(several) > 1:
        raise ValueError(
            "A checkpoint must have one set of weights, and one that is averaged; give the one "
            f"that is meant as a mapping. Received: source={title} with {checks.some(several, str)}"
        )
    return names[0]


def _below(level: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    inner = level.get(name)
    if isinstance(inner, Mapping):
        return inner
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value
        for key, value in level.items()
        if isinstance(key, str) and key.startswith(prefix)
    }


def _has_arrays(level: Mapping[Any, Any]) -> bool:
    """Whether arrays have names in it: those of an optimizer's state have numbers."""
    return any(
        isinstance(key, str)
        and (_has_arrays(value) if isinstance(value, Mapping) else _is_array(value))
        for key, value in level.items()
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _beside(level: Mapping[Any, Any], name: str, known: list[str]) -> str:
    """Says which tensors keep a prefix from being taken away."""
    if isinstance(level.get(name), Mapping):
        return ""
    prefixes = tuple(f"{prefix}." for prefix in known)
    others = [str(key) for key in level if not str(key).startswith(prefixes)]
    if not others:
        return ""
    return (
        f"\nThe prefix '{name}.' is taken away where all names have it, which these have not: "
        f"{checks.some(others, str)}. Give a mapping of the network's tensors alone."
    )
