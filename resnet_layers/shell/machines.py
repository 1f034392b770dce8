"""Searches on many machines: what keras-tuner's environment variables make of this process."""

import contextlib
import os
import re
from collections.abc import Iterator

from resnet_layers._support.errors import first_line
from resnet_layers.shell.errors import InputError

_IP, _PORT, _NAME = (f"KERASTUNER_{n}" for n in ("ORACLE_IP", "ORACLE_PORT", "TUNER_ID"))


def are_many() -> bool:
    """Whether this process is the chief of a search or a worker of one."""
    return _IP in os.environ


def is_worker() -> bool:
    """Whether it is a worker of a chief."""
    return are_many() and "chief" not in os.environ.get(_NAME, "")


def check() -> None:
    """Says what is wrong with the variables before any image is read.

    Raises:
        InputError: If one is missing, or the port is none.
    """
    if not are_many():
        return
    for name in (_PORT, _NAME):
        if not os.environ.get(name):
            raise InputError(
                f"`{name}` must be set where `{_IP}` is, for a search on many machines"
            )
    port = os.environ[_PORT]
    if not re.fullmatch("[1-9][0-9]{0,4}", port, re.ASCII) or int(port) > 65535:
        raise InputError(f"`{_PORT}` must be a number from 1 to 65535. Received: {port!r}")


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Around all that the processes of a search tell each other.

    Raises:
        InputError: If a chief cannot listen, or a worker has waited an hour for its chief.
    """
    try:
        yield
    except Exception as error:
        if are_many():
            where = f"{os.environ[_IP]}:{os.environ.get(_PORT)}"
            if "bind to address" in str(error):
                raise InputError(f"The chief of the search cannot listen at '{where}'") from error
            if any(kind.__name__ == "RpcError" for kind in type(error).__mro__):  # of gRPC
                details = getattr(error, "details", None)
                why = details() if callable(details) else first_line(error)
                raise InputError(f"The chief of the search at '{where}' fails: {why}") from error
        raise
