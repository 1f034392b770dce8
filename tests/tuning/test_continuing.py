"""Trials that are killed within an epoch, and go on there."""

import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.src.engine.tuner_utils import SaveBestEpoch

import resnet_layers as rl
from resnet_layers import training
from resnet_layers.training import checkpoint_files
from resnet_layers.training.waiting import Told
from resnet_layers.tuning import HyperResNet, continuing
from resnet_layers.tuning.state import DamagedSearchWarning, SaveError
from tests.support.tuning_script import KNOWN_WARNINGS
from tests.support.uncompiled import uncompiled
from tests.training.resuming import PREPARE, Ends
from tests.tuning.test_space import ONE

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:DeprecationWarning") for message in KNOWN_WARNINGS
]
SPACE: dict[str, Any] = {
    **ONE,
    "stages": 1,
    "augmentation": "shift_flip",
    "mixup": True,
    "schedule": "cosine",
    "warmup": 0.2,
    "drop_path": 0.2,
    "dropout": 0.1,
    "optimizer": "adamw",
    "learning_rate": (0.01, 0.1),
}
EPOCHS = 2
CLASS_WEIGHT = {1: 2.0}


def batches(size: int = 40) -> tuple[training.Batches, training.Batches]:
    """To train on, three steps, and to look at."""
    digits = training.labelled.digits()
    shown, held_out = digits.select(np.arange(size)), digits.select(np.arange(size, size + 16))
    return (
        training.Batches(shown, PREPARE, 16, seed=3),
        training.Batches(held_out, PREPARE, 16),
    )


def search(
    folder: Path,
    *callbacks: Any,
    kind: str = "RandomSearch",
    trials: int = 1,
    executions_per_trial: int = 1,
    **keywords: Any,
) -> Any:
    """A search in a folder, or what is left of it."""
    limits = (
        {"max_trials": trials} if kind == "RandomSearch" else {"max_epochs": EPOCHS, "factor": 2}
    )
    tuner: Any = getattr(keras_tuner, kind)(
        HyperResNet(10, (8, 8, 3), seed=5, **SPACE),
        objective="val_accuracy",
        seed=1,
        directory=folder,
        project_name="search",
        executions_per_trial=executions_per_trial,
        **limits,
    )
    shown, held_out = batches()
    keywords = {"checkpoint_every": 2, "epochs": EPOCHS, **keywords}
    early = keras.callbacks.EarlyStopping("val_loss", patience=5)
    tuner.search(
        shown,
        validation_data=held_out,
        class_weight=CLASS_WEIGHT,
        callbacks=[early, *callbacks],
        verbose=0,
        **keywords,
    )
    return tuner


def found(tuner: Any) -> dict[str, Any]:
    """What each trial has come to, bit for bit."""
    trials = tuner.oracle.trials.values()
    weights = {trial.trial_id: tuner.load_model(trial).get_weights() for trial in trials}
    scores = {t.trial_id: (t.status, t.score, t.best_step) for t in trials}
    return {"scores": scores, "weights": weights}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["scores"] == other["scores"]
    for name, expected in other["weights"].items():
        for a, b in zip(one["weights"][name], expected, strict=True):
            np.testing.assert_array_equal(a, b)


def checkpoints(folder: Path) -> list[str]:
    """Those that are in a search."""
    search = folder / "search"
    return [str(path.relative_to(search)) for path in sorted(search.rglob("*.safetensors"))]


class Seen(keras.callbacks.Callback):
    """Notes the steps of the first trial that are trained, and not skipped."""

    steps: ClassVar[list[tuple[int, int]]] = []  # tuners copy callbacks

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if logs:
            self.steps.append((self.epoch, batch))


class Where(Told):
    """Notes where trials begin."""

    places: ClassVar[list[tuple[int, int, bool]]] = []

    def begins_at(self, epochs: int, steps: int, *, shared: bool = False) -> None:
        self.places.append((epochs, steps, shared))


@pytest.mark.share(24)
@uncompiled()
@pytest.mark.parametrize("kind", ["RandomSearch", "Hyperband"])
def test_a_trial_that_is_killed_goes_on_within_its_epoch(kind: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    epochs = {"RandomSearch": 2, "Hyperband": 1}[kind]  # of the first trial
    trials = 2  # and four of Hyperband
    step = 3 * epochs - 1
    with pytest.raises(KeyboardInterrupt):
        search(cut, Ends(signal.SIGINT, step), kind=kind, trials=trials)
    (there,) = checkpoints(cut)
    assert Path(there).name == f"epoch-{epochs - 1:05}-step-0000002.safetensors"
    trial = (cut / "search" / there).parents[1]
    assert continuing.done(trial) == (epochs - 1, 2)
    Seen.steps.clear()
    Where.places.clear()
    tuner = search(cut, Seen(), Where(), kind=kind, trials=trials)
    assert Where.places[:2] == [(epochs - 1, 2, False), (0, 0, False)]
    # The last of the steps that are skipped has logs, too.
    assert Seen.steps[:3] == [(epochs - 1, 1), (epochs - 1, 2), (0, 0)]
    whole = search(tmp_path / "whole", kind=kind, trials=trials)
    assert_same(found(tuner), found(whole))
    assert checkpoints(cut) == checkpoints(tmp_path / "whole") == []


@pytest.mark.share(6)
@uncompiled()
def test_a_checkpoint_of_something_else_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Ends(signal.SIGINT, 2))
    (there,) = checkpoints(tmp_path)
    path = tmp_path / "search" / there
    Seen.steps.clear()
    text = (
        r"^The checkpoint must be of the same settings\. Received: epochs=1, in the checkpoint "
        r"epochs=2: its trial is trained from the beginning$"
    )
    with pytest.warns(DamagedSearchWarning, match=text):
        search(tmp_path, Seen(), epochs=1)
    assert Seen.steps[:2] == [(0, 0), (0, 1)]
    assert not path.exists()


@pytest.mark.share(3)
@uncompiled()
def test_a_damaged_checkpoint_lets_its_trial_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Ends(signal.SIGINT, 2))
    (there,) = checkpoints(tmp_path)
    path = tmp_path / "search" / there
    path.write_bytes(path.read_bytes()[:-1])
    Seen.steps.clear()
    text = f"^'{re.escape(str(path))}' is no whole checkpoint: its trial is trained from the beg"
    with pytest.warns(DamagedSearchWarning, match=text):
        search(tmp_path, Seen(), epochs=2)
    assert Seen.steps[:2] == [(0, 0), (0, 1)]


@pytest.mark.share(6)
@uncompiled()
def test_a_trial_of_another_process_is_trained_without_checkpoints(tmp_path: Path) -> None:
    """A chief that was killed gives out again what its workers still train."""
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "search" / "trial_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    with (folder / "lock").open() as file:  # as another process would
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hypermodel = HyperResNet(10, (8, 8, 3), **SPACE)
        hp = keras_tuner.HyperParameters()
        model = hypermodel.build(hp)
        objective = keras_tuner.Objective("val_accuracy", "max")
        saver = SaveBestEpoch(objective, str(folder.parent / "checkpoint.weights.h5"))
        shown, held_out = batches()
        Where.places.clear()
        told = [saver, Where()]
        history = hypermodel.fit(
            hp, model, shown, validation_data=held_out, callbacks=told, verbose=0
        )
    assert Where.places == [(0, 0, True)]
    assert len(history.history["val_accuracy"]) == 1
    assert checkpoint_files.files(folder) == []


@pytest.mark.share(6)
@uncompiled()
def test_a_full_disk_ends_the_search_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote: Any = checkpoint_files.write

    def write(path: Path, state: Any) -> None:
        if state.epoch:
            raise OSError(28, os.strerror(28))
        wrote(path, state)

    with monkeypatch.context() as patch:
        patch.setattr(training.checkpoints, "write", write)
        with pytest.raises(SaveError, match="No space left on device"):
            search(tmp_path)
    assert checkpoints(tmp_path) == ["trial_0/checkpoints/epoch-00000-step-0000002.safetensors"]
    assert search(tmp_path).oracle.trials["0"].status == "COMPLETED"


@pytest.mark.share(3)
@uncompiled()
def test_a_trial_that_fails_leaves_no_checkpoint(tmp_path: Path) -> None:
    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise ZeroDivisionError("no luck")

    tuner = search(tmp_path, Fails())
    assert tuner.oracle.trials["0"].status == "FAILED"
    assert checkpoints(tmp_path) == []


@pytest.mark.share(9)
@uncompiled()
def test_another_network_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Ends(signal.SIGINT, 2))
    monkeypatch.setattr(HyperResNet, "fit", of_another_network(HyperResNet.fit))
    text = r"^The checkpoint must be of the same network\. Received: .*: its trial is trained from"
    with pytest.warns(DamagedSearchWarning, match=text):
        tuner = search(tmp_path)
    assert tuner.oracle.trials["0"].status == "COMPLETED"


def of_another_network(fit: Any) -> Any:
    """As an edited subclass would have it."""

    def fitted(self: Any, hp: Any, model: Any, *args: Any, **keywords: Any) -> Any:
        network = rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(10))
        network.build((None, 8, 8, 3))
        self.compile_model(hp, network)
        network.optimizer.build(network.trainable_variables)
        return fit(self, hp, network, *args, **keywords)

    return fitted


@pytest.mark.share(6)
@uncompiled()
def test_a_trial_of_several_trainings_begins_anew(tmp_path: Path) -> None:
    """Killed in the second, whose checkpoint is not the first one's."""
    several: dict[str, Any] = {"executions_per_trial": 2, "epochs": 1}
    ends = Second(signal.SIGINT, 2)
    Second.begun.clear()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", ends, **several)
    with pytest.warns(DamagedSearchWarning, match=r"Received: execution=1, in the .* execution=2:"):
        cut = search(tmp_path / "cut", **several)
    assert_same(found(cut), found(search(tmp_path / "whole", **several)))


class Second(Ends):
    """Ends the second training."""

    begun: ClassVar[list[int]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.begun.append(1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if len(self.begun) > 1:
            super().on_train_batch_end(batch, logs)


@pytest.mark.share(3)
@uncompiled()
def test_a_kill_at_the_end_of_a_trial_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial is over, so that nobody ends it again."""

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(continuing, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path)
    (left,) = tmp_path.rglob("checkpoints")
    search(tmp_path)
    assert not left.exists()


def test_the_end_of_a_trial_removes_checkpoints_alone(tmp_path: Path) -> None:
    """And none that another process still writes."""
    fcntl = pytest.importorskip("fcntl")
    HyperResNet(10, (8, 8, 3), **SPACE)  # which repairs keras-tuner
    folder = tmp_path / "trial_0" / "checkpoints"
    folder.mkdir(parents=True)
    theirs, ours = folder / "mine.keras", folder / "epoch-00000-step-0000002.safetensors"
    for path in (theirs, ours, folder / "lock"):
        path.touch()
    oracle = SimpleNamespace(end_trial=lambda trial: None)
    tuner = SimpleNamespace(
        oracle=oracle, save=lambda: None, get_trial_dir=lambda _: str(folder.parent)
    )

    def end() -> list[str]:
        keras_tuner.Tuner.on_trial_end(tuner, SimpleNamespace(trial_id="0"))
        return sorted(path.name for path in folder.glob("*"))

    with (folder / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert end() == ["epoch-00000-step-0000002.safetensors", "lock", "mine.keras"]
    assert end() == ["mine.keras"]
    theirs.unlink()
    end()
    assert not folder.exists()


@pytest.mark.share(3)
@uncompiled()
def test_without_a_search_batches_are_trained_on_as_they_are(tmp_path: Path) -> None:
    """The winner of a search, say; there is no folder to go on from."""
    shown, held_out = batches(16)
    lengths = []
    for initial_epoch in (0, 1):
        hypermodel = HyperResNet(10, (8, 8, 3), seed=5, **SPACE)
        hp = keras_tuner.HyperParameters()
        history = hypermodel.fit(
            hp,
            hypermodel.build(hp),
            shown,
            validation_data=held_out,
            initial_epoch=initial_epoch,
            epochs=2,
            validation_freq=2 - initial_epoch,
            verbose=0,
        )
        lengths.append((len(history.history["loss"]), len(history.history["val_loss"])))
        assert history.epoch == list(range(initial_epoch, 2))
    assert lengths == [(2, 1), (1, 1)]


@pytest.mark.share(6)
def test_batches_are_augmented_by_their_numbers() -> None:
    shown, _ = batches()
    plain = continuing.augmented(shown, "none", False, None)
    np.testing.assert_array_equal(plain.batch(1, 2)[0], shown.batch(1, 2)[0])
    for kind, mixup in (("flip", False), ("shift", False), ("shift_flip", True)):
        changed = continuing.augmented(shown, kind, mixup, CLASS_WEIGHT)
        x, y, w = changed.batch(1, 2)
        again = continuing.augmented(shown, kind, mixup, CLASS_WEIGHT).batch(1, 2)
        np.testing.assert_array_equal(x, again[0])
        assert not np.array_equal(x, shown.batch(1, 2)[0])
        assert x.shape == (len(y), 8, 8, 3)
        rows = np.asarray(y) if mixup else np.eye(10)[np.asarray(y)]
        np.testing.assert_allclose(w, 1.0 + rows[:, 1], rtol=1e-6)
