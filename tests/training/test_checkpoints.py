"""Checkpoints: what is killed goes on as if nothing had been, and what is wrong is refused."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from resnet_layers import training
from resnet_layers.serving.precision import with_dtype
from resnet_layers.training import checkpoint_files, states
from resnet_layers.training.fine_tuning import Unfreeze, freeze_until
from resnet_layers.training.fitting import Fitting
from resnet_layers.training.schedules import Stretched
from resnet_layers.training.states import CheckpointError, State, UnwrittenError
from tests.support.uncompiled import uncompiled
from tests.training.resuming import PREPARE, Ends, images, network

DIGITS = training.RECIPES["digits"]
EPOCHS = 3
CASES: dict[str, dict[str, Any]] = {
    "ema and cutmix": {"recipe": {"ema": 0.9, "cutmix": 1.0}},
    "accumulated": {"recipe": {"accumulate": 3, "mixup": 0.2}},
    "float16": {"recipe": {"precision": "float16"}},
    "LAMB": {
        "recipe": {"optimizer": "lamb", "global_clipnorm": 1.0, "repeats": 2, "smoothing": 0.1}
    },
    "growing": {
        "recipe": {"grow_from": 4, "grow": (0.3, 0.6), "scale": (0.5, 1.0), "flip": 0.5},
    },
    "unfrozen": {"unfreeze": {"stage2": 2, "stage1": 3}},
    "unfrozen, layer decay": {
        "recipe": {"optimizer": "adamw", "learning_rate": 1e-3},
        "unfreeze": {"stage2": 2},
        "layer_decay": 0.5,
    },
    "stopped early": {"patience": 1, "recipe": {"cutmix": 1.0}},
}


def trained(
    folder: Path,
    *ends: Ends,
    recipe: dict[str, Any] | None = None,
    unfreeze: dict[str, int] | None = None,
    patience: int | None = None,
    layer_decay: float | None = None,
    epochs: int = EPOCHS,
    every: int | None = 5,
) -> tuple[list[Any], list[dict[str, float]]]:
    """What a training comes to that goes on from the folder's last checkpoint, if it has one."""
    shown, validation = images()
    model, callbacks = network(), list[keras.callbacks.Callback]()
    if unfreeze is not None:
        freeze_until(model, "head")
        callbacks.append(Unfreeze(unfreeze))
    if patience is not None:
        early = keras.callbacks.EarlyStopping(
            patience=patience, min_delta=0.2, restore_best_weights=True
        )
        callbacks.append(early)
    chosen = dataclasses.replace(DIGITS, **(recipe or {}))
    if chosen.precision != "float32":
        model = with_dtype(model, f"mixed_{chosen.precision}")
    if checkpoint_files.files(folder):
        checkpoint = training.resume(folder, callbacks)
    else:
        checkpoint = training.Checkpoint(folder, every=every, callbacks=callbacks)
    fitting = Fitting(
        training.Settings(
            model=model,
            images=shown.images,
            validation=validation.images,
            prepare=PREPARE,
            recipe=chosen,
            epochs=epochs,
            batch_size=32,
            seed=3,
            layer_decay=layer_decay,
            checkpoint=checkpoint,
            callbacks=[*callbacks, *ends],
        )
    )
    fitting.run()
    variables = [*model.variables, *model.optimizer.variables]
    table = [
        {name: value for name, value in row.items() if name != "data_wait"} for row in fitting.table
    ]
    return [np.array(keras.ops.convert_to_numpy(one)) for one in variables], table


def equal(a: Any, b: Any) -> bool:
    """Bit for bit."""
    same = len(a[0]) == len(b[0]) and all(map(np.array_equal, a[0], b[0]))
    return same and a[1] == b[1]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_was_interrupted_ends_as_what_was_not(case: dict[str, Any], tmp_path: Path) -> None:
    """Within an epoch, while images are evaluated, and again."""
    with uncompiled():
        expected = trained(tmp_path / "whole", **case)
        for step, evaluates in ((2, False), (5, True), (8, False)):
            with pytest.raises(KeyboardInterrupt):
                trained(tmp_path / "cut", Ends(signal.SIGINT, step, evaluates), **case)
        assert equal(trained(tmp_path / "cut", **case), expected)
        # What is over stays so.
        assert equal(trained(tmp_path / "cut", **case), expected)


def runs(*jobs: dict[str, Any], backend: str) -> list[int]:
    """Codes of processes that train one after the other."""
    found = []
    for job in jobs:
        command = [sys.executable, "-m", "tests.training.resuming", json.dumps(job)]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        process = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert process.returncode in (0, -9, -15, -1), process.stderr.decode()
        found.append(process.returncode)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize(
    ("seed", "kills"),
    [(0, 2), pytest.param(1, 20, marks=[pytest.mark.huge, pytest.mark.timeout(3600)])],
)
def test_a_killed_process_leaves_no_trace(
    seed: int, kills: int, backend: str, tmp_path: Path
) -> None:
    """At random steps, by signals that nobody can catch, or that ask."""
    rng = np.random.default_rng(seed)
    steps = sorted(int(step) for step in rng.choice(np.arange(1, 20), kills, replace=True))
    jobs: list[dict[str, Any]] = [
        {
            "folder": str(tmp_path / "cut"),
            "result": str(tmp_path / "cut.npz"),
            "ends": [
                {
                    "number": ("SIGKILL", "SIGTERM", "SIGHUP")[rng.integers(3)],
                    "step": step,
                    "evaluates": bool(rng.random() < 0.2),
                }
            ],
        }
        for step in steps
    ]
    last = {"folder": str(tmp_path / "cut"), "result": str(tmp_path / "cut.npz"), "ends": []}
    whole = {"folder": str(tmp_path / "whole"), "result": str(tmp_path / "whole.npz"), "ends": []}
    codes = runs(*jobs, last, whole, backend=backend)
    assert codes[-2:] == [0, 0]
    assert any(codes)
    cut, expected = np.load(tmp_path / "cut.npz"), np.load(tmp_path / "whole.npz")
    assert cut.files == expected.files
    for name in cut.files:
        np.testing.assert_array_equal(cut[name], expected[name])


def state(epoch: int = 1, step: int = 0, **fields: Any) -> State:
    tensors = {"model/00000": np.arange(6.0).reshape(2, 3), "callback0/best": np.array(2.0)}
    row = {"loss": 1.0}
    rows = [{**row, "val_loss": 1.0 + i} for i in range(epoch)]
    return State(epoch=epoch, step=step, steps=4, history=rows, tensors=tensors, **fields)


def test_a_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    import ml_dtypes

    one = state(options={"name": "café", "list": [1, None, float("inf")]})
    one.callbacks = [["A", {"b": 1}]]
    for dtype in ("bool", "int64", "uint32", "float16", ml_dtypes.bfloat16):
        for shape in ((), (0, 3), (2, 1)):
            one.tensors[f"{dtype}{shape}"] = np.ones(shape, dtype)
    checkpoint_files.write(tmp_path / "a", one)
    again = checkpoint_files.read(tmp_path / "a")
    assert dataclasses.replace(again, tensors={}) == dataclasses.replace(one, tensors={})
    assert again.tensors.keys() == one.tensors.keys()
    for name, tensor in one.tensors.items():
        assert again.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(again.tensors[name], tensor, strict=True)


def test_no_bit_of_a_file_can_change(tmp_path: Path) -> None:
    path = tmp_path / "epoch-00001-step-0000000.safetensors"
    checkpoint_files.write(path, state())
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    changed = [bytearray(sound) for _ in range(200)]
    for content in changed:
        content[rng.integers(len(sound))] ^= 1 << rng.integers(8)
    cut = [sound[: rng.integers(len(sound))] for _ in range(20)]
    damaged = [*map(bytes, changed), *cut, b"", sound + b"\0", b"\0" * len(sound)]
    for one in damaged:
        path.write_bytes(one)
        with pytest.raises(CheckpointError, match=r"^'.*' is no whole checkpoint$"):
            checkpoint_files.read(path)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    """The lowest loss is that of the first epoch."""
    for keep, kept in ((0, [4]), (1, [1, 4]), (2, [1, 2, 4])):
        checkpoint = training.Checkpoint(tmp_path / str(keep), keep=keep)
        checkpoint.folder.mkdir()
        for epoch in range(5):
            step = 3 if epoch == 3 else 0
            checkpoint._write(state(epoch, step))
        names = [path.name for path in checkpoint_files.files(checkpoint.folder)]
        assert names == [f"epoch-{epoch:05}-step-0000000.safetensors" for epoch in kept]


def test_what_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    checkpoint = training.Checkpoint(tmp_path)
    broken = state()
    broken.tensors["model/00000"][0, 0] = np.nan
    checkpoint._write(broken)
    assert checkpoint.last is None


def test_a_checkpoint_that_is_refused_leaves_the_lock_to_the_training_there(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    checkpoint_files.lock(tmp_path)
    checkpoint_files.write(tmp_path / "epoch-00001-step-0000000.safetensors", state())
    before = dict(checkpoint_files._LOCKS)
    with pytest.raises(CheckpointError, match=r"^`folder` must hold no checkpoints"):
        training.Checkpoint(tmp_path)
    assert before == checkpoint_files._LOCKS
    checkpoint_files.unlock(tmp_path)


@pytest.mark.share(6)
@uncompiled()
def test_a_loss_that_is_no_number_names_the_step_and_the_checkpoint(tmp_path: Path) -> None:
    text = (
        r"^The loss is no longer a number in epoch 1, step \d: `learning_rate` must be smaller\. "
        r"Received: learning_rate=5e\+29; the last good checkpoint is "
        rf"'{re.escape(str(tmp_path))}/epoch-00000-step-0000000\.safetensors', with which `--from` "
        "begins$"
    )
    with pytest.raises(ValueError, match=text):
        trained(tmp_path, recipe={"learning_rate": 1e30})
    newest = checkpoint_files.read(checkpoint_files.files(tmp_path)[-1])
    assert all(np.isfinite(tensor).all() for tensor in newest.tensors.values())


LOCKED = (
    "import sys; from pathlib import Path; from resnet_layers.training import checkpoint_files\n"
    "try:\n    checkpoint_files.lock(Path(sys.argv[1]))\nexcept ValueError as e:\n    print(e)"
)


@pytest.mark.share(3)
def test_a_folder_has_one_process_at_a_time(tmp_path: Path) -> None:
    def other() -> str:
        command = [sys.executable, "-c", LOCKED, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    fcntl = pytest.importorskip("fcntl")
    checkpoint_files.lock(tmp_path)
    checkpoint_files.lock(tmp_path)  # of this process
    expected = "`folder` must not be trained into by another process. Received: "
    expected += f"folder='{tmp_path}'"
    assert other() == expected
    checkpoint_files.unlock(tmp_path)
    with (tmp_path / "lock").open() as file:  # as another process would
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.share(6)
def test_a_disk_that_is_full_ends_training_and_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote: Any = checkpoint_files.write

    def write(path: Path, one: State) -> None:
        if one.epoch:
            raise OSError(28, os.strerror(28))
        wrote(path, one)

    monkeypatch.setattr(training.checkpoints, "write", write)
    with (
        uncompiled(),
        pytest.raises(UnwrittenError, match=f"No space left on device: '{tmp_path}'"),
    ):
        trained(tmp_path, every=None)
    (last,) = checkpoint_files.files(tmp_path)
    assert checkpoint_files.read(last).epoch == 0


def test_the_rest_of_a_schedule_takes_as_many_steps_as_there_are() -> None:
    whole = keras.optimizers.schedules.CosineDecay(1.0, 100)
    stretched = Stretched(whole, 40, 100, 160)
    config = keras.saving.serialize_keras_object(stretched)
    for one in (stretched, keras.saving.deserialize_keras_object(config)):
        rates = [float(one(step)) for step in (0, 20, 40, 100, 160)]
        expected = [float(whole(step)) for step in (0, 20, 40, 70, 100)]
        np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.share(3)
@uncompiled()
def test_other_epochs_stretch_what_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Ends(signal.SIGINT, 2))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Ends(signal.SIGINT, 8), epochs=5)
    trained(tmp_path, epochs=6)
    (*_, last) = checkpoint_files.files(tmp_path)
    asked = checkpoint_files.read(last).options["training"]
    steps = asked["steps"] // EPOCHS
    assert (asked["epochs"], asked["stretched"]) == (6, [[2, 5 * steps], [8, 6 * steps]])
    for epochs in (4, 7):
        text = rf"^`epochs` must stay .*\. Received: epochs={epochs}, after 6 of 6$"
        with pytest.raises(ValueError, match=text):
            trained(tmp_path, epochs=epochs)


def test_callbacks_keep_what_they_have_noted() -> None:
    early = keras.callbacks.EarlyStopping(monitor="loss", min_delta=0.5)
    early._set_monitor_op()
    early.best, early.best_weights = 0.25, [np.ones((2, 1), "float32"), np.zeros(())]
    tensors: states.Tensors = {}
    found = json.loads(json.dumps(states.attributes(early, "callback0", tensors)))
    again = {name: states.decoded(value, tensors) for name, value in found.items()}
    assert "model" not in again
    assert again["min_delta"] == early.min_delta == -0.5
    assert again["monitor_op"] is early.monitor_op
    assert again["best"] == 0.25
    np.testing.assert_array_equal(again["best_weights"][0], early.best_weights[0])
    noted = keras.callbacks.LambdaCallback(on_epoch_end=print)
    noted.both = (1, [2.0, {"three": None}])
    noted.file = [sys.stdout]
    found = states.attributes(noted, "callback0", {})
    assert states.decoded(found["both"], {}) == (1, [2.0, {"three": None}])
    assert "file" not in found


class Counts(keras.callbacks.Callback):
    """Notes what it sees."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.steps, self.told = name, 0, list[int]()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self.told.append(batch)


def other_model(subclassed: bool) -> Any:
    """A model of somebody else's, compiled."""
    keras.utils.set_random_seed(0)

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(10)

        def call(self, x: Any) -> Any:
            return self.dense(self.flat(x))

    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    model = Subclassed() if subclassed else keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


@pytest.mark.share(2)
@pytest.mark.parametrize("subclassed", [False, True])
@uncompiled()
def test_models_of_others_go_on_and_their_callbacks(subclassed: bool, tmp_path: Path) -> None:
    """Those that have no variables before the first step, too; and callbacks count once."""
    _, validation = images()

    def fit(folder: Path, name: str, *ends: Ends) -> tuple[Any, Counts]:
        model, counts = other_model(subclassed), Counts(name)
        if checkpoint_files.files(folder):
            model(np.zeros((1, 8, 8, 3)))  # which makes its variables
            checkpoint = training.resume(folder, [counts])
        else:
            checkpoint = training.Checkpoint(folder, every=1, callbacks=[counts])
        batches = training.Batches(validation.images, PREPARE, 8, seed=0)
        model.fit(
            batches.dataset(checkpoint.start),
            steps_per_epoch=len(batches),
            initial_epoch=checkpoint.epoch,
            epochs=2,
            shuffle=False,
            callbacks=[counts, *ends, checkpoint],
            verbose=0,
        )
        return model, counts

    expected, all_ = fit(tmp_path / "whole", "a")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", "a", Ends(signal.SIGINT, 3))
    model, counts = fit(tmp_path / "cut", "another")
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (counts.steps, counts.told) == (all_.steps, all_.told)
    assert counts.name == "another"  # what it was given is not what it noted


@pytest.mark.share(12)
@uncompiled()
def test_a_checkpoint_before_parts_unfreeze_is_gone_on_from(tmp_path: Path) -> None:
    """And from there into another folder, within an epoch."""
    case: dict[str, Any] = {"unfreeze": {"stage2": 2}, "every": None}
    expected = trained(tmp_path / "whole", **case)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Ends(signal.SIGINT, 2), **case)
    with pytest.raises(RuntimeError, match=r"^killed$"):
        trained(tmp_path / "cut", *[Dies(1)], **case)
    assert [path.name[:11] for path in checkpoint_files.files(tmp_path / "cut")] == ["epoch-00001"]
    assert equal(trained(tmp_path / "cut", **case), expected)


class Dies(Ends):
    """Ends a training at the begin of an epoch, as a kill does, after the checkpoint is there."""

    def __init__(self, epoch: int) -> None:
        super().__init__(signal.SIGTERM, 10**9)
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise RuntimeError("killed")


@uncompiled()
def test_another_folder_begins_with_the_checkpoint_that_was_gone_on_from(tmp_path: Path) -> None:
    checkpoint = training.Checkpoint(tmp_path / "a")
    state_ = state(epoch=0, step=3, options={"every": None, "keep": 1})
    checkpoint.folder.mkdir()
    checkpoint._write(state_)
    moved = training.resume(tmp_path / "a")
    moved.folder = tmp_path / "b"
    model: Any = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    moved.set_model(model)
    moved.set_params({"epochs": 1, "steps": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.checkpoints.Checkpoint, "_restore", lambda *_: None)
        moved.on_train_begin()
    moved._wait()
    (path,) = checkpoint_files.files(tmp_path / "b")
    assert path.name == "epoch-00000-step-0000003.safetensors"
    assert checkpoint_files.read(path).step == 3
    moved.close()


@uncompiled()
def test_an_error_leaves_neither_a_lock_nor_handlers(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError, match=r"^killed$"):
        trained(tmp_path, Dies(0))
    assert not any(tmp_path in path.parents for path in checkpoint_files._LOCKS)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
