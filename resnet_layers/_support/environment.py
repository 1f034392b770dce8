"""What must hold of the Keras that is installed."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from resnet_layers._support import signals


def start() -> None:
    """Imports Keras for a command, without what TensorFlow logs of processors and libraries.

    Some of it is written whatever `TF_CPP_MIN_LOG_LEVEL` says: when TensorFlow is imported, and
    when it first looks for a GPU. Who sets the variable to less than 3 wants to see it.
    """
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    with signals.silenced() if quiet else contextlib.nullcontext():
        _import_backend()
    check()


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """In a command, without what another library of C++ logs at its start."""
    if signals.runs_command() and os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
        with signals.silenced():
            yield
    else:
        yield


def _import_backend() -> None:
    import keras

    try:  # on JAX as well, where it is imported later and would log then
        import tensorflow as tf
    except ImportError:  # which other backends can do without
        return
    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # whose memory is the backend's
    tf.config.list_logical_devices()


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
