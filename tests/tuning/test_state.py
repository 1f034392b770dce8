"""The files of a search: killed at any write, on a full disk, and damaged in every way."""

import contextlib
import errno
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.src import utils
from keras_tuner.src.engine.tuner_utils import SaveBestEpoch

from resnet_layers._support import files
from resnet_layers.tuning import repairs, state
from resnet_layers.tuning.state import DamagedSearchWarning, SaveError
from tests.support.tuning_script import KNOWN_WARNINGS, SEARCHES

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:DeprecationWarning") for message in KNOWN_WARNINGS
]
KINDS = list(SEARCHES)
POINTS = list(itertools.product((1, 2), (4, 8)))


@pytest.fixture(scope="module", autouse=True)
def repaired() -> None:
    repairs.repair()


class Killed(BaseException):
    """In place of SIGKILL."""


def space(hp: Any) -> None:
    """Of four points for a grid, and with a rate for others."""
    hp.Choice("stages", [1, 2])
    hp.Choice("width", [4, 8])


def open_space(hp: Any) -> None:
    space(hp)
    hp.Float("rate", 0.01, 0.1, sampling="log")


def made(kind: str, directory: Path) -> Any:
    """A tuner that trains nothing, and leaves what a training leaves; its `ran` are the trials."""

    class Tuner(getattr(keras_tuner, kind)):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **keywords: Any) -> float:
            self.ran.append(trial.trial_id)
            if past := trial.hyperparameters.values.get("tuner/trial_id"):
                assert state.damaged_result(Path(self.get_trial_dir(past))) is None
            folder = Path(self.get_trial_dir(trial.trial_id))
            with h5py.File(folder / "checkpoint.weights.h5", "w") as file:
                file["x"] = [0.0] * 100
            utils.save_json(str(folder / "build_config.json"), {"input_shape": [None, 8]})
            values = {k: v for k, v in trial.hyperparameters.values.items() if "/" not in k}
            return random.Random(str(sorted(values.items()))).random()

    Tuner.ran = []
    hypermodel = space if kind == "GridSearch" else open_space
    options = {"seed": 7, "directory": directory, "project_name": "search", **SEARCHES[kind][0]}
    return Tuner(hypermodel, keras_tuner.Objective("default_objective", "min"), **options)


def finished(tuner: Any) -> dict[str, tuple[float, dict[str, Any]]]:
    """Scores and values of the trials with a score."""
    return {
        name: (trial.score, trial.hyperparameters.values)
        for name, trial in tuner.oracle.trials.items()
        if trial.status == "COMPLETED"
    }


def interrupt(kind: str, directory: Path, trials: int) -> None:
    """A search that is killed in the training of a trial, after so many."""
    tuner = made(kind, directory)
    run_trial = type(tuner).run_trial

    def run(self: Any, trial: Any, *args: Any, **keywords: Any) -> float:
        if len(self.ran) == trials:
            raise Killed
        return float(run_trial(self, trial))

    type(tuner).run_trial = run
    try:
        tuner.search(verbose=0)
    except Killed:
        return


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    """Searches of each kind that ended after two trials, or are over."""
    found = {}
    for kind, trials in itertools.product(KINDS, (2, 99)):
        found[kind, trials] = tmp_path_factory.mktemp(kind)
        interrupt(kind, found[kind, trials], trials)
    return found


def _scores(directory: Path) -> dict[str, tuple[float, dict[str, Any]]]:
    """As `finished` says, from the files."""
    found = map(json.loads, (path.read_text() for path in directory.glob("*/*/trial.json")))
    return {
        trial["trial_id"]: (trial["score"], trial["hyperparameters"]["values"])
        for trial in found
        if trial["status"] == "COMPLETED"
    }


def _other_kind(path: Path) -> None:
    path.write_text('["something else"]')


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no JSON": lambda path: path.write_bytes(b"\xff\x00" * 50),
    "a list": _other_kind,
    "an empty object": lambda path: path.write_text("{}"),
    "missing": lambda path: path.unlink(),
}
FILES = {
    "oracle": ["oracle.json"],
    "tuner": ["tuner0.json"],
    "both": ["oracle.json", "tuner0.json"],
    "first": ["trial_*0/trial.json"],
    "second": ["trial_*1/trial.json"],
    "all": ["trial_*/trial.json"],
    "everything": ["oracle.json", "tuner0.json", "trial_*/trial.json"],
    "second and oracle": ["trial_*1/trial.json", "oracle.json"],
    "weights": ["trial_*1/checkpoint.weights.h5"],
    "shape": ["trial_*0/build_config.json"],
}
CASES = [*itertools.product(KINDS, (2, 99), FILES, DAMAGES)]
NIGHTLY = [pytest.mark.slow, pytest.mark.huge]
QUICK = set(random.Random(0).sample(CASES, 48))


@pytest.mark.share(8)
@pytest.mark.parametrize(
    ("kind", "trials", "which", "damage"),
    [pytest.param(*case, marks=[] if case in QUICK else NIGHTLY) for case in CASES],
)
def test_a_search_goes_on_from_what_is_whole(
    kind: str,
    trials: int,
    which: str,
    damage: str,
    searches: dict[tuple[str, int], Path],
    tmp_path: Path,
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(searches[kind, trials], directory)
    before = _scores(directory)
    paths = [path for name in FILES[which] for path in directory.glob(f"search/{name}")]
    for path in paths:
        DAMAGES[damage](path)
    no_trial = "trial_*/trial.json" in FILES[which]
    unneeded = {"an empty object": ["tuner0.json", "build_config.json"]}
    unneeded["missing"] = ["build_config.json"]
    known = [path for path in paths if path.name not in unneeded.get(damage, [])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedSearchWarning)
        tuner = made(kind, directory)
    said = [str(w.message) for w in caught if w.category is DamagedSearchWarning]
    if which != "everything":  # without a trial there is nothing to go on with
        assert len(said) == len(known), said
    for path in known if which != "everything" else []:
        assert sum(sentence.startswith(f"'{path}' is ") for sentence in said) == 1
    tuner.search(verbose=0)
    lost = {path.parent.name.removeprefix("trial_") for path in paths if path in known}
    lost |= {p.parent.name.removeprefix("trial_") for p in paths if p.name == "trial.json"}
    kept = {name: found for name, found in before.items() if name not in lost}
    after = finished(tuner)
    assert {name: after[name] for name in kept} == kept
    assert not set(kept) & set(tuner.ran)
    count = SEARCHES[kind][1]
    if kind != "Hyperband":
        assert len(after) == len(tuner.oracle.trials) == count
    else:  # a lost trial that others have gone on from is not made again
        assert len(after) in ((count,) if no_trial else (count - 1, count))
    if kind == "GridSearch":
        points = [(values["stages"], values["width"]) for _, values in after.values()]
        assert sorted(points) == POINTS
    with warnings.catch_warnings():
        warnings.simplefilter("error", DamagedSearchWarning)
        again = made(kind, directory)  # all is whole now
    assert finished(again) == after


def _failing(number: int, way: str) -> tuple[Any, list[int]]:
    """Writes of which one fails, before or after it is done or for want of space; their count."""
    count: list[int] = []

    @contextlib.contextmanager
    def replacing(path: Path) -> Iterator[list[Path]]:
        count.append(1)
        fails = len(count) == number
        if fails and way == "before":
            raise Killed
        if fails and way == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        with files.replacing(path) as paths:
            yield paths
        if fails:
            raise Killed

    return replacing, count


@pytest.mark.share(4)
@pytest.mark.parametrize("way", ["before", "after", "full"])
@pytest.mark.parametrize(
    "kind",
    # Its next trial takes a second.
    [pytest.param(kind, marks=pytest.mark.slow if "Bayes" in kind else []) for kind in KINDS],
)
def test_a_search_that_ends_at_any_write_is_the_same(
    kind: str, way: str, searches: dict[tuple[str, int], Path], tmp_path: Path
) -> None:
    whole = finished(made(kind, searches[kind, 99]))
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        error: type[BaseException] = SaveError if way == "full" else Killed
        with pytest.MonkeyPatch.context() as patch:
            replacing, count = _failing(number, way)
            patch.setattr(state, "replacing", replacing)
            tuner = made(kind, directory)
            with contextlib.suppress(error):
                tuner.search(verbose=0)
                break
        assert len(count) == number
        over = _scores(directory)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedSearchWarning)
            tuner = made(kind, directory)
        tuner.search(verbose=0)
        assert finished(tuner) == whole, number
        assert not set(over) & set(tuner.ran), number
    assert number > 15


def test_an_error_of_the_disk_says_which_file(tmp_path: Path) -> None:
    tuner = made("RandomSearch", tmp_path)
    (tmp_path / "search" / "trial_0").mkdir(parents=True)
    (tmp_path / "search" / "trial_0" / "trial.json").mkdir()
    with pytest.raises(SaveError) as caught:
        tuner.search(verbose=0)
    assert caught.value.filename == str(tmp_path / "search" / "trial_0" / "trial.json")
    assert caught.value.errno == errno.EISDIR


def test_checkpoints_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Keras writes them, or as they were."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    path = tmp_path / "checkpoint.weights.h5"
    saver = SaveBestEpoch(keras_tuner.Objective("loss", "min"), str(path))
    saver.set_model(model)
    saver.on_epoch_end(0, {"loss": 1.0})
    before = [np.copy(value) for value in model.get_weights()]
    model.set_weights([np.zeros_like(value) for value in before])
    with monkeypatch.context() as patch:
        patch.setattr(state, "replacing", _failing(1, "full")[0])
        with pytest.raises(SaveError):
            saver.on_epoch_end(1, {"loss": 0.5})
    assert list(tmp_path.iterdir()) == [path]
    model.load_weights(path)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_search_goes_on_with_its_kind_of_tuner_alone(
    searches: dict[tuple[str, int], Path],
) -> None:
    directory = searches["RandomSearch", 2]
    path = directory / "search" / "oracle.json"
    with pytest.raises(RuntimeError) as caught:
        made("Hyperband", directory)
    assert str(caught.value) == (
        "A search goes on with the kind of tuner that it began with. Received: "
        f"'{path}' without 'hyperband_iterations', which HyperbandOracle writes"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("brackets", [5]),
        ("brackets", [{"bracket_num": 1, "rounds": [["0"]]}]),
        ("start_order", [[]]),
        ("start_order", "0"),
        ("hyperparameters", {}),
        ("hyperparameters", {"space": [{"class_name": "Other", "config": {}}], "values": {}}),
        ("id_to_hash", 5),
        ("tried_so_far", [{}]),
        ("display", {"search_start": "now"}),
        ("seed_state", "1"),
    ],
)
def test_a_state_with_other_contents_is_damaged(
    key: str, value: Any, searches: dict[tuple[str, int], Path], tmp_path: Path
) -> None:
    shutil.copytree(searches["Hyperband", 2], tmp_path / "copy")
    path = tmp_path / "copy" / "search" / "oracle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    before = _scores(tmp_path / "copy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedSearchWarning)
        tuner = made("Hyperband", tmp_path / "copy")
    tuner.search(verbose=0)
    assert finished(tuner) == finished(made("Hyperband", searches["Hyperband", 99]))
    assert not set(before) & set(tuner.ran)


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
def test_keras_tuner_cannot_read_a_search_of_which_a_file_is_empty(
    name: str, searches: dict[tuple[str, int], Path], tmp_path: Path
) -> None:
    shutil.copytree(searches["RandomSearch", 2], tmp_path / "copy")
    oracle = made("RandomSearch", tmp_path / "copy").oracle
    (tmp_path / "copy" / "search" / name).write_bytes(b"")
    with pytest.raises(json.JSONDecodeError):
        keras_tuner.Oracle.reload.__wrapped__(oracle)  # as it is without our repairs


@pytest.mark.upstream
def test_keras_tuner_writes_in_place(tmp_path: Path) -> None:
    path = tmp_path / "oracle.json"
    utils.save_json.__wrapped__(str(path), {})
    number = path.stat().st_ino
    utils.save_json.__wrapped__(str(path), {})
    assert path.stat().st_ino == number
    utils.save_json(str(path), {})
    assert path.stat().st_ino != number


FULL = """
import resource, sys
import h5py
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    with h5py.File(sys.argv[1], "w") as file:
        for number in range(20):
            file[f"variables/{number}"] = [0.0] * 10
except RuntimeError:
    pass
"""


@pytest.mark.upstream
@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no files")
def test_hdf5_ends_a_process_that_cannot_write_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "checkpoint.weights.h5")]
    result = subprocess.run(command, capture_output=True, timeout=100, check=False)
    assert result.returncode == -signal.SIGSEGV
