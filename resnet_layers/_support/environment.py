"""What must hold of the Keras that is installed."""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from resnet_layers._support import signals

# Variables for whose other values TensorFlow ends the process, by SIGABRT.
_NUMBERS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_SWITCHES = ("TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC")


def start(devices: int = 1) -> None:
    """Imports Keras for a command, without what TensorFlow logs of processors and libraries.

    Some of it is written whatever `TF_CPP_MIN_LOG_LEVEL` says: when TensorFlow is imported, and
    when it first looks for a GPU. Who sets the variable to less than 3 wants to see it.

    Args:
        devices: How many the CPU is to be, where it has to be more than one.

    Raises:
        ValueError: If an environment variable is one that TensorFlow ends the process for, or if
            Keras' settings are not in a file.
    """
    _check_variables()
    os.environ["MPLBACKEND"] = "agg"  # Keras cannot be imported with one that is none
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    quiet &= "TF_XLA_FLAGS" not in os.environ  # TensorFlow ends after it has named a wrong one
    with signals.silenced() if quiet else contextlib.nullcontext():
        _import_backend(devices)
    check()


def open_streams() -> None:
    """Opens standard streams that are closed, on nothing.

    A file that is opened later would have the number of one, and get what native code logs.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the least number that is free
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _check_variables() -> None:
    for names, values, what in (
        (_NUMBERS, "[0-9]{1,4}", "a number from 0 to 9999"),
        (_SWITCHES, "0|1|true|false", "0, 1, true or false"),
    ):
        for name in names:
            value = os.environ.get(name)
            if value and not re.fullmatch(values, value.lower(), re.ASCII):
                raise ValueError(f"the variable {name} must be {what}. Received: {value!r}")
    if os.path.exists(settings()) and not os.path.isfile(settings()):  # a pipe may never end
        raise ValueError(f"'{settings()}' must be a file")


def settings() -> str:
    """Where Keras looks for its settings."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(home, "keras.json")


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """In a command, without what another library of C++ logs at its start."""
    if signals.runs_command() and os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
        with signals.silenced():
            yield
    else:
        yield


def split_cpu(devices: int) -> None:
    """Makes the CPU as many devices, unless TensorFlow or JAX use it already, or have a GPU."""
    import keras

    with contextlib.suppress(RuntimeError):  # it is in use
        if keras.backend.backend() == "jax":
            import jax

            config: Any = jax.config
            if config.jax_num_cpu_devices < devices:
                config.update("jax_num_cpu_devices", devices)
        else:
            import tensorflow as tf

            if not tf.config.list_physical_devices("GPU"):
                parts = [tf.config.LogicalDeviceConfiguration()] * devices
                (cpu,) = tf.config.list_physical_devices("CPU")
                if len(tf.config.get_logical_device_configuration(cpu) or ()) >= devices:
                    return  # somebody has split it
                tf.config.set_logical_device_configuration(cpu, parts)


def _import_backend(devices: int) -> None:
    import keras

    try:  # on JAX as well, where it is imported later and would log then
        import tensorflow as tf
    except ImportError:  # which other backends can do without
        return
    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")  # whose memory is the backend's
    elif devices > 1:
        split_cpu(devices)
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
