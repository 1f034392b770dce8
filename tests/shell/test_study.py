"""The command `study`: which images it takes, and what it says where others train."""

from pathlib import Path
from typing import Any

import pytest

from resnet_layers._support.errors import InputError
from resnet_layers.analysis.studies.results import Results
from resnet_layers.analysis.studies.settings import SETTINGS, Degradation
from resnet_layers.shell import study
from tests.shell.test_command_line import write_photos


def test_parts_stay_as_they_are_and_nothing_is_said_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"train": 4, "val": 2, "test": 3}
    for part, count in numbers.items():
        write_photos(tmp_path / "split" / part, count)
    seen: list[Degradation] = []

    def taken(settings: Degradation, tell: Any) -> Results:
        """As where another process trains all of it."""
        seen.append(settings)
        return Results(study={}, runs=[])

    monkeypatch.setattr(study, "degradation", taken)
    output = tmp_path / "studied"
    assert study.run(tmp_path / "split", 8, [8], [], 2, 1, 4, None, 1, output) == 0
    (settings,) = seen
    assert [len(part.labels) for part in (settings.images, settings.test)] == [12, 9]
    out = capsys.readouterr().out
    assert out.endswith("Another process still trains: 0 of 4 runs are there\n")
    assert "Wrote" not in out


@pytest.mark.parametrize("name", [*study.FILES, SETTINGS])
def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name}' must not be a folder, since a file is written"):
        study.run(None, 8, [8], [], 2, 1, 64, None, 1, tmp_path)
