"""Several processes that train one network on JAX: which one this is, and what all do together."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers._support.environment import split_cpu
from resnet_layers._support.errors import InputError, first_line

_VARIABLES = [
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
]
_WAITS = 240.0  # seconds for the others to come, after 300 of which JAX aborts
# What JAX says where a process that it needs is gone, in the words of its engines.
_GONE = re.compile("gloo|nccl|coordination|heartbeat|preempt|connection (closed|reset)", re.I)
_questions = itertools.count(1)  # of whether to stop


class _This:
    """This process."""

    joins = False  # or has joined, and not left


def enter(devices: int) -> None:
    """Joins the others, if Keras' environment variables say that there are some.

    Args:
        devices: Those of all processes, parts of their CPUs where they have nothing else.

    Raises:
        InputError: If a variable is missing or wrong, if the backend is not JAX, or if the others
            do not come.
    """
    if not any(os.environ.get(name) for name in _VARIABLES):
        return
    addresses, number, index = _variables()
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
    if number == 1:
        return
    split_cpu(devices // number)
    # JAX waits in C++, where Python hears of no signal.
    failed = list[Exception]()

    def initialize() -> None:
        try:
            keras.distribution.initialize(addresses, number, index)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=initialize, daemon=True)
    _This.joins = True
    thread.start()
    thread.join(_WAITS)
    if thread.is_alive():
        raise InputError(
            f"The other processes of this training have not come to '{addresses}' within "
            f"{_WAITS / 60:.0f} minutes"
        )
    if failed:
        raise InputError(
            f"This process cannot join the others at '{addresses}': {first_line(failed[0])}"
        ) from failed[0]


def _variables() -> tuple[str, int, int]:
    values = [os.environ.get(name, "") for name in _VARIABLES]
    address = r"(\[[^][\s]+\]|[^][:,\s]+):[0-9]{1,5}"
    for name, value, pattern, what in zip(
        _VARIABLES,
        values,
        (f"{address}(,{address})*", "[1-9][0-9]*", "[0-9]+"),
        ("HOST:PORT of the first process", "a number", "a number"),
        strict=True,
    ):
        if not re.fullmatch(pattern, value, re.ASCII):
            raise InputError(
                f"`{name}` must be {what} where training has several processes. Received: {value!r}"
            )
    addresses, number, index = values[0], int(values[1]), int(values[2])
    if index >= number:
        raise InputError(
            f"`{_VARIABLES[2]}` must be less than `{_VARIABLES[1]}`. Received: {index}, {number}"
        )
    return addresses, number, index


def count() -> int:
    """How many processes train together."""
    return _jax().process_count() if _are_several() else 1


def index() -> int:
    """Which one this is, counted from 0."""
    return _jax().process_index() if _are_several() else 0


def is_first() -> bool:
    """Whether it is this process that writes."""
    return index() == 0


def is_bound() -> bool:
    """Whether JAX would wait for others at the end of this process."""
    return _This.joins or count() > 1


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


def gathered(array: NDArray[Any]) -> NDArray[Any]:
    """The arrays of all processes, one after the other: (processes, …)."""
    if count() == 1:
        return array[None]
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(array))


def check_same(asked: dict[str, Any]) -> None:
    """Says that processes were asked for different trainings, which would wait for each other.

    Raises:
        InputError: If they were.
    """
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()
    found = gathered(np.frombuffer(digest, np.uint8))
    if (found != found[0]).any():
        raise InputError("All processes must be given the same images, options and seed")


def stop_now() -> bool:
    """Whether all are to stop here, since one of them has got SIGTERM.

    All ask equally often, at the same places.
    """
    if count() == 1:
        return False
    from jax.experimental.multihost_utils import reached_preemption_sync_point

    return bool(reached_preemption_sync_point(next(_questions)))


def leave() -> None:
    """Lets the others go: what comes now each does alone."""
    if count() > 1:
        _jax().distributed.shutdown()
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # JAX had taken it over
    _This.joins = False


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Around what all do together: names what JAX says in many lines.

    Raises:
        InputError: If another process is gone, or has other variables.
    """
    try:
        yield
    except Exception as error:
        if count() > 1 and "is not the same on each process" in str(error):
            raise InputError(
                "All processes must be given the same images, options and seed"
            ) from error
        if count() > 1 and type(error).__name__ == "JaxRuntimeError" and _GONE.search(str(error)):
            raise InputError("Another process of this training has ended") from error
        raise


def _are_several() -> bool:
    if keras.backend.backend() != "jax":
        return False
    return _jax().distributed.is_initialized() and _jax().process_count() > 1


def _jax() -> Any:
    import jax

    return jax
