"""`fold_batch_norm`: batch normalization inside the convolutions before it."""

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.layers import styles
from resnet_layers.layers._composite import Composite, children
from resnet_layers.layers.conv_norm import ConvNorm, NormAct, make_normalization
from resnet_layers.layers.primitives import normalization
from resnet_layers.layers.primitives.convolution import standardized_kernel
from resnet_layers.networks.remake import as_resnet, remake
from resnet_layers.serving import source
from resnet_layers.serving.likeness import check_likeness

Array = NDArray[np.float64]

# What folding takes from a normalization in memory, or needs no more.
_FOLDED = frozenset({"epsilon", "scale", "center", "momentum", "trainable"})

_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    normalization.GroupNormalization,
    normalization.EvoNormS0,
    normalization.FilterResponseNormalization,
)


def fold(
    kernel: Array,
    bias: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
) -> tuple[Array, Array]:
    """The kernel and the bias of a convolution together with the normalization after it.

    `gamma (W x + b - mean) / sqrt(variance + epsilon) + beta = W' x + b'` with
    `s = gamma / sqrt(variance + epsilon)`, `W' = s W` and `b' = beta + s (b - mean)`.

    Args:
        kernel: W, its last axis the filters.
        bias: b, one number for each filter.
        gamma: Scale of the normalization, one number for each filter.
        beta: Offset of the normalization.
        mean: Moving mean.
        variance: Moving variance.
        epsilon: Added to the variance.

    Returns:
        W' and b'.

    Example:

    >>> one = np.ones(1)
    >>> fold(np.full((1, 1, 1, 1), 3.0), 0 * one, 2 * one, 5 * one, one, 4 * one, 0.0)
    (array([[[[3.]]]]), array([4.]))
    """
    scale = gamma / np.sqrt(variance + epsilon)
    return kernel * scale, beta + scale * (bias - mean)


def fold_batch_norm(model: Any) -> Any:
    """A new model of equal outputs whose convolutions hold the normalization after them.

    Every `ConvNorm` computes `activation(W' x + b')` in place of `activation(normalization(W x))`,
    where `s = gamma / sqrt(variance + epsilon)`, `W' = s W` and `b' = beta + s (b - mean)`, worked
    out in float64. Kernels that are standardized before are stored as what they standardize to.

    What is left is what no convolution precedes, such as the first normalization of a
    pre-activation block; group normalization, EvoNorm and FRN, whose statistics are those of each
    image; and classes derived from `ConvNorm`.

    The new model is for inference: it can be trained, but as a network without normalization.

    Args:
        model: `ResNet`, or another built Keras model of this package's layers, of any dtype
            policy. It stays as it is. Where it has been compiled, the new one has not.

    Returns:
        A model of the same class, or a plain `ResNet` for a class derived from it that computes as
        it does; with the same name, metadata and dtype policy.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, or if its config does not make its layers again as they
            are.
        DisagreementError: If the outputs are others when it is folded.

    Warns:
        UserWarning: If normalizations are left that are not those of pre-activation.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=10)
    >>> len(model.weights), len(fold_batch_norm(model).weights)
    (102, 42)

    Reference:
        Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2.
    """
    parts = as_resnet(model)
    folded = remake(parts, _fold_style, _fold_unit)
    check_likeness(parts, folded, except_for=frozenset({"use_bias"}))
    source.check_outputs(model, folded)
    left = left_over(folded)
    if left:
        names = checks.some(left.items(), lambda item: f"{item[1]} {item[0]}")
        warnings.warn(
            f"{names} of '{model.name}' are left as they are: only a batch normalization that "
            f"follows the convolution of a `ConvNorm` can be folded{_without_style(folded)}",
            stacklevel=2,
        )
    return folded


def left_over(model: Any) -> Counter[str]:
    """How many normalizations a folded model has of each class, but for pre-activation's."""
    return Counter(type(layer).__name__ for layer in _normalizations(model))


def kept(model: Any) -> Counter[str]:
    """How many normalizations a model has of each class, pre-activation's included."""
    layers = model._flatten_layers()
    return Counter(type(layer).__name__ for layer in layers if isinstance(layer, _NORMALIZATIONS))


def _normalizations(layer: Any) -> Iterator[Any]:
    """Those of a layer and in it, but for the batch normalization of pre-activation."""
    if isinstance(layer, _NORMALIZATIONS):
        yield layer
    for child in children(layer):
        if not (isinstance(layer, NormAct) and isinstance(child, keras.layers.BatchNormalization)):
            yield from _normalizations(child)


def _fold_style(made: type, config: dict[str, Any]) -> None:
    """Folds the style of a layer, unless it has batches normalized in a way of its own."""
    if issubclass(made, ConvNorm) and made is not ConvNorm:
        return
    ours = issubclass(made, Composite)
    style = config.get("style", _default_style(made) if ours else None)
    if isinstance(style, dict) and style.get("class_name") == "BlockStyle":  # of derived classes
        style = style["config"]
    if style is None:
        return
    try:
        style = styles.get(style)
    except (TypeError, ValueError):
        if ours:
            raise
        return  # somebody else's word
    if style.normalization in ("batch", "frozen_batch"):
        config["style"] = style.replace(folded=True, standardize_kernels=False).get_config()


def _without_style(folded: Any) -> str:
    """Which layers have units that cannot be folded, since no style of theirs says so."""
    layers = [
        layer
        for layer in folded._flatten_layers()
        if not isinstance(layer, (Composite, keras.Model))
        and any(type(child) is ConvNorm and child.normalization for child in children(layer))
    ]
    if not layers:
        return ""
    names = checks.some(layers, lambda layer: f"'{layer.name}' ({type(layer).__name__})")
    return f". A layer of one's own needs a `style` in its config that it hands on: {names}"


def _default_style(made: type) -> Any:
    """The style of a layer whose config has none, if it could be given one."""
    for base in made.__mro__:
        parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
        if "style" in parameters:
            return parameters["style"].default
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return None
    return None


def _fold_unit(unit: Any, folded: Any) -> bool:
    """Fills a `ConvNorm` whose style has been folded."""
    if not isinstance(unit, ConvNorm) or unit.style == folded.style:
        return False
    convolution, norm = unit.convolution, unit.normalization
    kernel = _exact(convolution.kernel)
    biased = convolution.use_bias and convolution.bias is not None
    bias = _exact(convolution.bias) if biased else np.zeros(unit.filters)
    if unit.style.standardize_kernels:
        kernel = standardized_kernel(kernel)
    if norm is not None:
        fresh = make_normalization(unit.style)
        check_likeness(norm, fresh, except_for=_FOLDED, path=f"{unit.name}.normalization")
        gamma = _exact(norm.gamma) if norm.scale else np.ones(unit.filters)
        beta = _exact(norm.beta) if norm.center else np.zeros(unit.filters)
        mean, variance = _exact(norm.moving_mean), _exact(norm.moving_variance)
        kernel, bias = fold(kernel, bias, gamma, beta, mean, variance, norm.epsilon)
    folded.convolution.kernel.assign(kernel)
    if folded.convolution.bias is not None:
        folded.convolution.bias.assign(bias)
    return True


def _exact(variable: Any) -> Array:
    return ops.convert_to_numpy(variable.value).astype("float64")
