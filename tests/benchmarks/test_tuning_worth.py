"""The comparison of searches: its splits and patches, its page, and one small run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tuning_worth import __main__ as tuning_worth
from benchmarks.tuning_worth import tables as tuning_tables
from benchmarks.tuning_worth.__main__ import Split, Task
from benchmarks.tuning_worth.tables import Data


def keys(part: tuple[Any, Any]) -> set[bytes]:
    """What tells images apart: their pixels."""
    return {image.tobytes() for image in part[0]}


def counts(part: tuple[Any, Any]) -> list[int]:
    return np.bincount(part[1]).tolist()


def test_digits_are_split_class_by_class_into_all_of_them() -> None:
    split = tuning_worth.digits(0)
    parts = (split.training, split.validation, split.test)
    assert [pixels.shape[1:] for pixels, _ in parts] == [(16, 16, 3)] * 3
    assert [len(labels) for _, labels in parts] == [1151, 287, 359]
    assert [sorted(set(labels.tolist())) for _, labels in parts] == [list(range(10))] * 3


def test_digits_of_the_parts_do_not_overlap() -> None:
    split = tuning_worth.digits(1)
    assert not keys(split.training) & keys(split.validation)
    assert not keys(split.training) & keys(split.test)
    assert not keys(split.validation) & keys(split.test)


def test_digits_are_split_anew_by_each_seed() -> None:
    first, again, second = (tuning_worth.digits(seed) for seed in (0, 0, 1))
    assert keys(first.test) == keys(again.test)
    assert keys(first.test) != keys(second.test)


def test_patches_are_the_squares_of_a_photograph() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    cut = tuning_worth.patches(photo)
    assert cut.shape == (2, 3, 16, 16, 3)
    np.testing.assert_array_equal(cut[1, 2], photo[16:32, 32:48])


def test_photographs_have_two_equal_classes() -> None:
    split = tuning_worth.photographs(0)
    assert split.classes == 2
    assert [counts(part) for part in (split.training, split.validation, split.test)] == [
        [546, 546],  # 3 strips of 7 columns and 26 rows
        [182, 182],
        [182, 182],
    ]
    assert split.training[0].shape[1:] == (16, 16, 3)


@pytest.mark.parametrize("seed", range(5))
def test_strips_do_not_touch(seed: int) -> None:
    parts = tuning_worth.strips_of(seed)
    assert sorted(strip for part in parts for strip in part) == [0, 1, 2, 3, 4]
    columns = [
        {int(column) for strip in part for column in tuning_worth.columns_of(strip, 40)}
        for part in parts
    ]
    for i, part in enumerate(columns):
        others = set.union(*columns[:i], *columns[i + 1 :])
        beside = {column + step for column in part for step in (-1, 0, 1)}
        assert not beside & others


def test_each_strip_is_tested_on_once() -> None:
    tested = [tuning_worth.strips_of(seed)[2] for seed in range(5)]
    assert tested == [[0], [1], [2], [3], [4]]


def test_photographs_show_the_strip_that_is_tested_on() -> None:
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[0]
    first: Split = tuning_worth.photographs(1)
    np.testing.assert_array_equal(first.test[0][0], photo[:16, 8 * 16 : 9 * 16])


def result(contender: str, seed: int, test: float, **values: Any) -> dict[str, Any]:
    return {
        "data": "digits",
        "contender": contender,
        "seed": seed,
        "trials": 2,
        "epochs": 4,
        "images": [640, 160, 200],
        "validation": 0.9,
        "test": test,
        "parameters": 1_500_000,
        "failed": 0,
        "seconds": 20.0,
        "values": {},
        **values,
    }


@pytest.fixture
def data() -> Data:
    """Two seeds of ours, one of which keras-tuner's reaches, and one of ResNet-18."""
    return {
        "settings": {"trials": 2, "epochs": 4, "batch": 64, "size": 16, "max_macs": 2e7},
        "machine": {"processor": "Some CPU"},
        "results": [
            result("resnet_layers", 0, 0.9),
            result("resnet_layers", 1, 0.8, parameters=500_000, seconds=40.0),
            result("keras-tuner", 0, 0.5, failed=1, validation=0.6),
            result("keras-tuner", 1, 0.8),
            result("ResNet-18", 1, 0.85),
        ],
    }


def test_differences_are_those_of_equal_seeds(data: Data) -> None:
    assert tuning_tables.differences(data, "digits", "keras-tuner") == pytest.approx([40.0, 0.0])
    assert tuning_tables.differences(data, "digits", "ResNet-18") == pytest.approx([-5.0])


def test_page_shows_means_spreads_and_pairs(data: Data) -> None:
    text = tuning_tables.page(data)
    start, end = text.index("## Digits"), text.index("## How to read")
    assert (
        text[start:end]
        == """\
## Digits

scikit-learn's 1797 digits, 8 × 8 grey, upscaled to 16 × 16 × 3 as `train` does. Each seed splits \
them anew, class by class.
640 images are trained on, 160 validate, and 200 are for the test.

Accuracy in percent, mean ± standard deviation over the seeds, then the test of each. Parameters \
of the winners, in millions, and seconds of a search are medians.

| | test | validation | parameters | seconds | seed 0 | seed 1 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| **resnet_layers** | 85.0 ± 7.1 | 90.0 ± 0.0 | 1.00 | 30 | 90.0 | 80.0 |
| keras-tuner | 65.0 ± 21.2 | 75.0 ± 21.2 | 1.50 | 20 | 50.0 | 80.0 |
| ResNet-18 | 85.0 | 90.0 | 1.50 | 20 |  | 85.0 |

Test accuracy of resnet_layers less that of the other, seed by seed, in percentage points: mean ± \
standard deviation, and in how many seeds it is above, equal and below.

| beside | difference | above | equal | below |
| --- | ---: | ---: | ---: | ---: |
| keras-tuner | +20.0 ± 28.3 | 1 | 1 | 0 |
| ResNet-18 | -5.0 | 0 | 0 | 1 |

"""
    )


def test_page_says_the_settings_and_what_failed(data: Data) -> None:
    text = tuning_tables.page(data)
    assert "Each search has 2 trials of 4 epochs" in text
    assert "`max_macs=2e+07`" in text
    assert "| processor | Some CPU |" in text
    assert "- Failed trials: 1." in text
    assert "after 40 steps 67% of them" in text  # 640 / 64 steps in each of 4 epochs; 0.99 ** 40
    assert "## Photographs" not in text


def test_measure_leaves_out_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task("digits", "resnet_layers", seed, 2, 4) for seed in range(2)]
    there = [result("resnet_layers", seed, 0.9) for seed in range(2)]
    monkeypatch.setattr(tuning_worth, "ProcessPoolExecutor", None)  # no process may be started
    saved: list[int] = []
    tuning_worth.measure(tasks, there, lambda: saved.append(len(there)))
    assert (len(there), saved) == (2, [])


def test_command_refuses_a_file_of_other_settings(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(SystemExit):
        tuning_worth.main(["--trials", "3", "--output", str(path)])
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"python -m benchmarks.tuning_worth: error: {path} has other settings: {data['settings']}"
    )


@pytest.mark.slow
@pytest.mark.huge
def test_command_measures_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tuning.json"
    options = ["--data", "digits", "--seeds", "1", "--trials", "1", "--epochs", "1"]
    options += ["--contenders", "resnet_layers", "ResNet-18", "--output", str(path)]
    tuning_worth.main(options)
    written = json.loads(path.read_text(encoding="utf-8"))
    first, second = written["results"]
    assert (first["contender"], second["contender"]) == ("resnet_layers", "ResNet-18")
    assert first["images"] == [1151, 287, 359]
    assert 0.0 <= first["test"] <= 1.0
    assert second["parameters"] == 11_191_242  # trainable ones and statistics
    assert (first["failed"], second["failed"]) == (0, 0)
    assert capsys.readouterr().out == tuning_tables.page(written)
    tuning_worth.main(options)  # measures nothing again
    assert json.loads(path.read_text(encoding="utf-8"))["results"] == [first, second]
