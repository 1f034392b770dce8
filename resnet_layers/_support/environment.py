"""What must hold of the Keras that is installed."""

import os
import warnings


def start() -> None:
    """Imports Keras for a command, without what TensorFlow logs of processors and libraries."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    check()


def check() -> None:
    """Refuses Keras 2, and warns where `tf.keras` would be Keras 2."""
    import keras  # takes seconds, and nobody has asked for it before

    if int(keras.__version__.split(".")[0]) < 3:
        raise ImportError(f"resnet_layers needs Keras 3. Received: keras {keras.__version__}")
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):  # as TensorFlow reads it
        warnings.warn(
            "TF_USE_LEGACY_KERAS is set, so `tf.keras` is Keras 2 (tf_keras), whose models do not "
            "take Keras 3 layers. resnet_layers needs Keras 3: use `import keras`, or unset the "
            "variable.",
            stacklevel=3,
        )
