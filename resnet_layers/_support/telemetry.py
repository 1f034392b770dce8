"""Runtimes that are imported here contact nobody, unless their user has turned it on."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SENDER = "openvino_telemetry"


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Around imports of ONNX Runtime, OpenVINO and NNCF, which decide then what they send.

    What the user has set stays: `ORT_DISABLE_TELEMETRY=0`, or `opt_in_out --opt_in`. Where a
    program has imported OpenVINO's sender before, it sends nothing from now on.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if _opted_in():
        yield
        return
    if _SENDER in sys.modules:
        if sys.modules[_SENDER] is not None:  # and not one that is left out
            sender: Any = importlib.import_module(f"{_SENDER}.utils.sender")
            sender.TelemetrySender.send = _send_nothing
        yield
        return
    sys.modules[_SENDER] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        del sys.modules[_SENDER]


def _send_nothing(*_: Any, **__: Any) -> None: ...


def _opted_in() -> bool:
    """Whether OpenVINO's own command was told so."""
    folder = "Intel Corporation" if sys.platform == "win32" else "intel"
    try:
        answer = Path.home() / folder / _SENDER
        return answer.read_text(encoding="utf-8").strip() == "1"
    except (OSError, RuntimeError, ValueError):  # there is none
        return False
