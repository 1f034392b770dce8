"""`with_dtype`: a model of the same weights under another dtype policy."""

from typing import Any

import keras

from resnet_layers.networks.remake import checked, remake
from resnet_layers.serving.likeness import check_likeness


def with_dtype(model: Any, dtype: Any) -> Any:
    """A new model with the same weights that computes under another dtype policy.

    Under a mixed policy variables, statistics and logits stay float32, and all else follows the
    policy. Layers whose policy differs from the model's, such as a softmax that somebody put
    into float32, keep theirs; that of a Functional or Sequential model is the one of its first
    layer with weights.

    Args:
        model: `ResNet`, or another built Keras model. It stays as it is. Where it has been
            compiled, the new one has not.
        dtype: A dtype policy or its name, such as `"float32"`, `"mixed_bfloat16"` or
            `"mixed_float16"`.

    Returns:
        A model of the same class, name and metadata.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, if its config does not make its layers again as they are,
            or if `dtype` is no policy.

    Example:

    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> half = with_dtype(model, "mixed_bfloat16")
    >>> half.compute_dtype, half(keras.ops.ones((1, 32, 32, 3))).dtype.name
    ('bfloat16', 'float32')

    Reference:
        Micikevicius et al., Mixed Precision Training, 2018, section 3.
    """
    message = f"`dtype` must be a dtype policy or its name. Received: dtype={dtype!r}"
    try:
        policy = None if dtype is None else keras.dtype_policies.get(dtype)
    except (TypeError, ValueError):
        policy = None
    if policy is None:
        raise ValueError(message)
    return _remade(model, policy, every=False)


def in_float32(model: Any) -> Any:
    """The model itself if all of it computes in float32; otherwise a new one that does."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    return _remade(model, keras.DTypePolicy("float32"), every=True)


def made_again(model: Any) -> Any:
    """The same model of the same policies, by its config: what all that is remade goes through."""
    return remake(model, lambda made, config: None, lambda layer, successor: False)


def _remade(model: Any, policy: Any, every: bool) -> Any:
    new = keras.dtype_policies.serialize(policy)

    def change(made: type, config: dict[str, Any]) -> None:
        if "dtype" in config and (every or config["dtype"] == old):
            config["dtype"] = new

    old = keras.dtype_policies.serialize(_policy(checked(model)))
    successor = remake(model, change, lambda layer, successor: False)
    check_likeness(model, successor)
    return successor


def _policy(model: Any) -> Any:
    """The model's; that of the first layer with weights where a model's config has none."""
    of_its_own = not isinstance(model, keras.Sequential) and "dtype" in model.get_config()
    if of_its_own or not model.layers:
        return model.dtype_policy
    return next((layer.dtype_policy for layer in model.layers if layer.weights), None)
