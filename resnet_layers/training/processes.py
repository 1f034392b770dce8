"""Several processes that train one network on JAX: which one this is, and what all do together."""

import os
import re
import signal
from typing import Any

import keras

from resnet_layers._support.environment import split_cpu
from resnet_layers._support.errors import InputError

_VARIABLES = [
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
]
# What JAX says where a process that it needs is gone, in the words of its engines.
_GONE = re.compile("gloo|nccl|coordination|heartbeat|preempt|connection (closed|reset)", re.I)


def enter(devices: int) -> None:
    """Joins the others, if Keras' environment variables say that there are some.

    Args:
        devices: Those of all processes, parts of their CPUs where they have nothing else.

    Raises:
        InputError: If a variable is missing or wrong, or if the backend is not JAX.
    """
    if not any(os.environ.get(name) for name in _VARIABLES):
        return
    values = [os.environ.get(name, "") for name in _VARIABLES]
    for name, value, pattern in zip(
        _VARIABLES, values, (".+", "[1-9][0-9]*", "[0-9]+"), strict=True
    ):
        if not re.fullmatch(pattern, value, re.ASCII):
            what = "a number" if pattern != ".+" else "the address of the first process"
            raise InputError(
                f"`{name}` must be {what} where training has several processes. Received: {value!r}"
            )
    addresses, number, index = values[0], int(values[1]), int(values[2])
    if index >= number:
        raise InputError(
            f"`{_VARIABLES[2]}` must be less than `{_VARIABLES[1]}`. Received: {index}, {number}"
        )
    if keras.backend.backend() != "jax":
        raise InputError(
            "Several processes can train on the JAX backend alone. Received: "
            f"{keras.backend.backend()}"
        )
    if devices % number:
        raise InputError(
            "`devices` must be a multiple of the number of processes. "
            f"Received: devices={devices}, {number} processes"
        )
    split_cpu(devices // number)
    keras.distribution.initialize(addresses, number, index)


def count() -> int:
    """How many processes train together."""
    return _jax().process_count() if _are_several() else 1


def index() -> int:
    """Which one this is, counted from 0."""
    return _jax().process_index() if _are_several() else 0


def is_first() -> bool:
    """Whether it is this process that writes."""
    return index() == 0


def spread(images: Any) -> Any:
    """A whole batch for a model that is called, of which this process has its part."""
    distribution = keras.distribution.distribution()
    if distribution is None or count() == 1:
        return images
    layout = distribution.get_data_layout(images.shape).backend_layout
    return _jax().make_array_from_process_local_data(layout, keras.ops.convert_to_numpy(images))


def meet(place: str) -> None:
    """Waits until all processes are here."""
    if count() > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(place)


def stop_after(step: int) -> bool:
    """Whether all are to stop after this step, since one of them has got SIGTERM.

    Args:
        step: One more at each call, the same in all processes.
    """
    if count() == 1:
        return False
    from jax.experimental.multihost_utils import reached_preemption_sync_point

    return bool(reached_preemption_sync_point(step))


def leave() -> None:
    """Lets the others go: what comes now each does alone."""
    if count() > 1:
        _jax().distributed.shutdown()
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # JAX had taken it over


def are_left(error: Exception) -> bool:
    """Whether a step has failed because another process is gone."""
    return (
        count() > 1 and type(error).__name__ == "JaxRuntimeError" and bool(_GONE.search(str(error)))
    )


def _are_several() -> bool:
    if keras.backend.backend() != "jax":
        return False
    return _jax().distributed.is_initialized() and _jax().process_count() > 1


def _jax() -> Any:
    import jax

    return jax
