"""What is imported within `telemetry.off` sends nothing, unless its user wants it to."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from resnet_layers._support import telemetry


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "")  # for what is set to be taken back
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    (tmp_path / "intel").mkdir()
    return tmp_path


def imported(monkeypatch: pytest.MonkeyPatch) -> Any:
    """OpenVINO's sender, as a program has imported it."""
    sender: Any = ModuleType("sender")
    sender.TelemetrySender = SimpleNamespace(send=lambda *_: "sent")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", ModuleType("openvino_telemetry"))
    monkeypatch.setitem(sys.modules, "openvino_telemetry.utils.sender", sender)
    return sender.TelemetrySender


def test_the_sender_seems_not_to_be_installed_meanwhile(home: Path) -> None:
    with telemetry.off(), telemetry.off(), pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")
    assert "openvino_telemetry" not in sys.modules
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_a_sender_that_was_imported_before_sends_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = imported(monkeypatch)
    with telemetry.off():
        assert sender.send("event") is None


def test_what_the_user_has_turned_on_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "intel" / "openvino_telemetry").write_text("1\n")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    sender = imported(monkeypatch)
    with telemetry.off():
        assert sender.send("event") == "sent"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
