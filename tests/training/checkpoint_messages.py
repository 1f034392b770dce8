"""Errors of checkpoints: their types and whole texts."""

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers import training
from resnet_layers._support.errors import InputError
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training import checkpoint_files, checkpoints, states
from resnet_layers.training.states import CheckpointError, State, UnwrittenError
from tests.support.messages import ANY, Row
from tests.training.fitting import PREPARE, coloured, network, settings
from tests.training.resuming import Ends

OTHERS = for_squares(8, (120.0,) * 3, (64.0,) * 3)
FIRST, SECOND, LAST = (Path("run", f"epoch-0000{i}-step-0000000.safetensors") for i in (1, 2, 3))


def write(path: Path = FIRST, **fields: Any) -> None:
    """A checkpoint of a variable."""
    path.parent.mkdir(exist_ok=True)
    usual = {"epoch": 1, "steps": 3, "options": {"every": None, "keep": 1}}
    tensors = {"model/00000": np.zeros((2, 3), "float32")}
    checkpoint_files.write(path, State(**{**usual, "tensors": tensors, **fields}))


def go_on_with_another_activation() -> None:
    """Whose weights have the same shapes."""
    style = rl.BlockStyle(activation="silu")
    stem = rl.Stem(4, kernel_size=3, strides=1, pooling=None, style=style)
    go_on(model=network().replace(stem=stem))


def begin_anew() -> None:
    write()
    training.Checkpoint("run")


def begin_where_another_has() -> None:
    """Since it was made."""
    checkpoint = training.Checkpoint("run")
    write()
    training.train(settings({"epochs": 1}, checkpoint=checkpoint))


def load_another_model() -> None:
    write()
    training.load_network(FIRST)


def load_an_unknown_layer() -> None:
    described = keras.saving.serialize_keras_object(network())
    write(network={**described, "class_name": "Other", "registered_name": "mine>Other"})
    training.load_network(FIRST)


def resume_damaged(*before: Path, damaged: Path | None = None) -> None:
    for path in before:
        write(path)
    write(LAST)
    for path in filter(None, (LAST, damaged)):
        path.write_bytes(path.read_bytes()[:-1])
    training.resume("run")


def resume_folder() -> None:
    FIRST.mkdir(parents=True)
    training.resume("run")


def resume_older() -> None:
    write(made_by={**states.made_by(), "keras": "3.0"})
    training.resume("run")


def give(*shapes: tuple[int, ...], dtype: str = "float32", to: str = "model") -> None:
    variables = [keras.Variable(np.zeros(shape), dtype=dtype, name="kernel") for shape in shapes]
    states.given(to, variables, {f"{to}/00000": np.zeros((2, 3), "float32")})


def lock_of_another() -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: Any) -> None:
        raise BlockingIOError

    Path("run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        checkpoint_files.lock(Path("run"))


def go_on(**changes: Any) -> None:
    """With a training that was interrupted."""

    def train(checkpoint: training.Checkpoint, **given: Any) -> None:
        training.train(settings({"epochs": 3}, checkpoint=checkpoint, **given))

    ends = Ends(signal.SIGINT, 5)
    with pytest.raises(KeyboardInterrupt):
        train(training.Checkpoint("run", every=1, callbacks=[]), callbacks=[ends], epochs=3)
    train(training.resume("run"), **{"epochs": 3, **changes})


def train_twice() -> None:
    checkpoint = training.Checkpoint("run")
    for _ in range(2):
        training.train(settings({"epochs": 1}, checkpoint=checkpoint))


def go_on_in_fit(batch_size: int = 10, **changes: int) -> None:
    """With a `fit` of one's own, of three steps."""
    for make, size, given in (
        (training.Checkpoint, 10, {}),
        (training.resume, batch_size, {"initial_epoch": 1, "epochs": 2, **changes}),
    ):
        model = network()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, run_eagerly=True)
        batches = training.Batches(coloured(), PREPARE, size, seed=0)
        keywords: Any = {"steps_per_epoch": len(batches), "shuffle": False, "verbose": 0, **given}
        checkpoint = make("run")
        model.fit(batches.dataset(checkpoint.start), callbacks=[checkpoint], **keywords)


def write_without_space() -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write", refuse)
        checkpoint = training.Checkpoint("run")
        training.train(dataclasses.replace(settings(), checkpoint=checkpoint))


SAME = "The checkpoint must be of the same "
CHECKPOINTS: list[Row] = [
    (
        begin_anew,
        CheckpointError,
        "`folder` must hold no checkpoints, with which `training.resume` goes on. Received: "
        "folder='run'",
    ),
    (
        begin_where_another_has,
        CheckpointError,
        "`folder` must hold no checkpoints, with which `training.resume` goes on. Received: "
        "folder='run'",
    ),
    (
        lambda: training.Checkpoint("run", options={"keep": 3}),
        ValueError,
        "`options` must not have `keep`, which is an argument. Received: options={'keep': 3}",
    ),
    (
        lambda: training.Checkpoint("run", options={"path": Path("photos")}),
        TypeError,
        f"`options` must be what JSON takes: Object of type {type(Path()).__name__} is not JSON "
        f"serializable. Received: options={{'path': {Path('photos')!r}}}",
    ),
    (lambda: training.resume("run"), CheckpointError, "There is no checkpoint in 'run'"),
    (
        lambda: resume_damaged(SECOND, damaged=SECOND),
        CheckpointError,
        f"'{LAST}' is no whole checkpoint",
    ),
    (
        lambda: resume_damaged(FIRST, SECOND, damaged=SECOND),
        CheckpointError,
        f"'{LAST}' is no whole checkpoint: remove what is newer than '{FIRST}' to go on from there",
    ),
    (resume_folder, CheckpointError, f"'{FIRST}' cannot be read: {ANY}"),
    (
        resume_older,
        CheckpointError,
        f"{SAME}versions. Received: keras='{keras.__version__}', in the checkpoint keras='3.0'",
    ),
    (
        lambda: give((2, 3), (4,)),
        CheckpointError,
        f"{SAME}network. Received: 2 variables of the model, in the checkpoint 1",
    ),
    (
        lambda: give((3, 2)),
        CheckpointError,
        f"{SAME}network. Received: kernel with shape=(3, 2), dtype=float32, in the checkpoint "
        "shape=(2, 3), dtype=float32",
    ),
    (
        lambda: give((2, 3), dtype="float16"),
        CheckpointError,
        f"{SAME}network. Received: kernel with shape=(2, 3), dtype=float16, in the checkpoint "
        "shape=(2, 3), dtype=float32",
    ),
    (
        lambda: give((3, 2), to="optimizer"),
        CheckpointError,
        f"{SAME}optimizer. Received: kernel with shape=(3, 2), dtype=float32, in the checkpoint "
        "shape=(2, 3), dtype=float32",
    ),
    (
        go_on_with_another_activation,
        CheckpointError,
        f"{SAME}network. Received: config.stem.config.style.activation='silu', in the checkpoint "
        "config.stem.config.style.activation='relu'",
    ),
    (
        load_another_model,
        CheckpointError,
        f"The checkpoint must be of a ResNet. Received: '{FIRST}'",
    ),
    (
        load_an_unknown_layer,
        CheckpointError,
        f"The network of the checkpoint cannot be made: {ANY}",
    ),
    (
        lock_of_another,
        CheckpointError,
        "`folder` must not be trained into by another process. Received: folder='run'",
    ),
    (
        lambda: go_on(seed=7),
        CheckpointError,
        f"{SAME}settings. Received: seed=7, in the checkpoint seed=0",
    ),
    (
        lambda: go_on(learning_rate=0.75),
        CheckpointError,
        f"{SAME}settings. Received: learning_rate=0.75, in the checkpoint learning_rate={ANY}",
    ),
    (
        lambda: go_on(images=coloured(33), prepare=OTHERS),
        CheckpointError,
        f"{SAME}settings. Received: images='{ANY}', in the checkpoint images='{ANY}'",
    ),
    (
        lambda: go_on(prepare=OTHERS),
        CheckpointError,
        f"{SAME}settings. Received: prepare.mean={ANY}, in the checkpoint "
        "prepare.mean=[0.5, 0.5, 0.5]",
    ),
    (
        train_twice,
        InputError,
        "`checkpoint` must be new, or what `training.resume` has returned. Received: one that "
        "another training has used",
    ),
    (
        lambda: go_on_in_fit(initial_epoch=0),
        CheckpointError,
        "`initial_epoch` must be 1, as in the checkpoint. Received: initial_epoch=0",
    ),
    (
        lambda: go_on_in_fit(batch_size=5),
        CheckpointError,
        "`steps_per_epoch` must be 3, as in the checkpoint. Received: steps_per_epoch=6",
    ),
    (
        lambda: go_on(epochs=1),
        InputError,
        "`epochs` must stay as they are where training is over, and be more than are over "
        "elsewhere. Received: epochs=1, after 1 of 3",
    ),
    (write_without_space, UnwrittenError, "[Errno 28] No space left on device: 'run'"),
]
