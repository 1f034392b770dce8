"""What no tensor reveals: whether a network computes as those do whose weights fit."""

import warnings
from collections.abc import Iterator
from typing import Any

from resnet_layers._support import checks
from resnet_layers.layers import styles
from resnet_layers.layers.conv_norm import NormAct
from resnet_layers.layers.stage import ResNetStage
from resnet_layers.layers.stem import Stem
from resnet_layers.weights import dialects, plan
from resnet_layers.weights.dialects import Dialect
from resnet_layers.weights.protocol import Parts

# Fields of a style that change outputs and no tensor.
_NUMERICS = (
    "activation",
    "epsilon",
    "padding",
    "strides_on",
    "strided_block",
    "standardize_kernels",
    "anti_aliasing",
    "shortcut",
)
_NONLINEAR = ("evonorm_s0", "frn")


def warn(model: Parts, dialect: Dialect, skip: tuple[str, ...]) -> None:
    """Says, where `load_weights_from` was called, what may make the outputs others."""
    found = list(_differences(model, dialect, skip))
    if found:
        theirs = f"those of {dialect.title} with the same weights"
        if all(field in dialect.told and _is_one(field, model, skip) for field, _ in found):
            said = f"be {theirs} only where {dialect.title} was told the same"
        else:
            said = f"not be {theirs}"
        differences = checks.some(dict.fromkeys(text for _, text in found), str)
        warnings.warn(
            f"The outputs of `model` will {said}, since it computes with {differences}",
            stacklevel=3,
        )


def _is_one(field: str, model: Parts, skip: tuple[str, ...]) -> bool:
    """Whether a field is the same throughout, and may be what another library was told for all."""
    if field == "pooling":
        return model.stem.pooling in ("max", "zero_padded_max")
    parts = [part for name, part in plan.named_parts(model).items() if name not in skip]
    found = [part.style for part in parts if hasattr(part, "style")]
    if field == "activation" and any(style.normalization in _NONLINEAR for style in found):
        return False  # they have one of their own
    return all(getattr(style, field) == getattr(found[0], field) for style in found)


def _differences(
    model: Parts, dialect: Dialect, skip: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Fields with values that no network of the dialect with such tensors has by default."""
    for name, part in plan.named_parts(model).items():
        if name in skip or not hasattr(part, "style"):
            continue
        for field in _NUMERICS:
            ours = getattr(part.style, field)
            theirs = _originals(field, model, part, dialect)
            if ours not in theirs and _matters(field, part, dialect):
                yield field, f"{field}={ours!r} (not {' or '.join(map(repr, theirs))})"
    if dialect is dialects.TIMM_V2 and "stem" not in skip:
        expected = "zero_padded_max" if _is_bit(model, model.stem.style) else "max"
        if model.stem.pooling != expected:
            yield "pooling", f"pooling={model.stem.pooling!r} (not {expected!r})"


def _originals(field: str, model: Parts, part: Any, dialect: Dialect) -> list[Any]:
    """The values that networks of the dialect have, as far as tensors can tell them apart."""
    if field == "activation" and part.style.normalization in _NONLINEAR:
        return [None]
    if dialect is dialects.TIMM_V2 and field == "standardize_kernels":
        return [_is_bit(model, part.style)]
    if dialect is dialects.TIMM_V2 and field == "shortcut":
        return ["D" if _has_deep_stem(model) else "B"]
    named = [getattr(styles.STYLES[style], field) for style in dialect.styles]
    return list(dict.fromkeys(named))


def _has_deep_stem(model: Parts) -> bool:
    return bool(getattr(model.stem, "hidden", ()))


def _is_bit(model: Parts, style: styles.BlockStyle) -> bool:
    """Whether such tensors are those of BiT: timm's other network of groups has a deep stem."""
    return style.normalization == "group" and not _has_deep_stem(model)


def _matters(field: str, part: Any, dialect: Dialect) -> bool:
    """Whether the outputs of a part depend on a field, as far as its geometry says."""
    if field in ("strides_on", "strided_block", "shortcut") and not isinstance(part, ResNetStage):
        return False
    if field == "strides_on":
        return part.bottleneck and (_steps(part, "strides") or _dilates(part))
    if field == "strided_block":
        return (part.blocks > 1 and _steps(part, "strides")) or _dilates(part)
    if field == "epsilon":
        return part.style.normalization is not None
    if field == "shortcut":  # elsewhere names tell
        return dialect is dialects.TIMM_V2 and part.projection and _pools(part)
    if field == "standardize_kernels":
        return not isinstance(part, NormAct)
    if field == "padding" or (field == "anti_aliasing" and field not in dialect.varying):
        if isinstance(part, Stem):
            wide = _steps(part, "kernel_size") and field == "padding"
            return part.pooling is not None or (wide and _steps(part, "strides"))
        pooled = field == "padding" and getattr(part.style, "shortcut", None) == "D"
        return isinstance(part, ResNetStage) and (
            _pools(part) if pooled else _steps(part, "strides")
        )
    return field not in dialect.varying


def _steps(part: Any, name: str) -> bool:
    """Whether strides, a rate or a size is above one pixel."""
    return max(part.style.layout.spread(getattr(part, name))) > 1


def _dilates(stage: ResNetStage) -> bool:
    """Whether dilation grows where the strides would be."""
    return stage.first_dilation_rate is not None


def _pools(stage: ResNetStage) -> bool:
    """Whether a pooled shortcut would do anything."""
    return _steps(stage, "strides") or _steps(stage, "dilation_rate")
