"""`with_dtype`: a model of the same weights under another dtype policy."""

from typing import Any

import keras

from resnet_layers._remake import remake


def with_dtype(model: Any, dtype: Any) -> Any:
    """A new model with the same weights that computes under another dtype policy.

    Under a mixed policy variables, statistics and logits stay float32, and all else follows the
    policy. Layers whose policy differs from the model's, such as a softmax that somebody put
    into float32, keep theirs.

    Args:
        model: `ResNet`, or another built Keras model. It stays as it is. Where it has been
            compiled, the new one has not.
        dtype: A dtype policy or its name, such as `"float32"`, `"mixed_bfloat16"` or
            `"mixed_float16"`.

    Returns:
        A model of the same class, name and metadata.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, or if `dtype` is no policy.

    Example:

    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> half = with_dtype(model, "mixed_bfloat16")
    >>> half.compute_dtype, half(keras.ops.ones((1, 32, 32, 3))).dtype.name
    ('bfloat16', 'float32')

    Reference:
        Micikevicius et al., Mixed Precision Training, 2018, section 3.
    """
    new = keras.dtype_policies.serialize(keras.dtype_policies.get(dtype))

    def change(made: type, config: dict[str, Any]) -> None:
        if config.get("dtype") == old:
            config["dtype"] = new

    old = keras.dtype_policies.serialize(getattr(model, "dtype_policy", None))
    return remake(model, change, lambda layer, successor: False)
