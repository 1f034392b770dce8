"""`training.train`: what it returns and writes, and that it is what the recipe says."""

import csv
import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers import training
from resnet_layers._support.errors import InputError
from resnet_layers.layers.head import last_activation
from resnet_layers.training.batches import Batches
from resnet_layers.training.fitting import Fitting
from resnet_layers.training.waiting import Told
from tests.support.randomize import value
from tests.support.uncompiled import uncompiled
from tests.training.fitting import PREPARE, coloured, network, settings
from tests.training.resuming import Ends


def outputs(model: Any) -> Any:
    return value(model(np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")))


@pytest.mark.share(6)
def test_it_returns_model_history_and_paths(tmp_path: Path) -> None:
    images, validation = coloured(60).split(0, 0.2)
    given = settings(images=images, validation=validation, epochs=12, output=tmp_path / "a" / "run")
    found = training.train(given)
    columns = ["loss", "accuracy", "val_loss", "val_accuracy", "data_wait"]
    assert [list(row) for row in found.history] == [columns] * 12
    assert found.history[-1]["val_accuracy"] == 1.0
    assert list(found.paths) == ["model.keras", "history.csv", "curves.png"]
    assert set(found.paths.values()) == set((tmp_path / "a" / "run").iterdir())
    with found.paths["history.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in found.history]
    again = keras.saving.load_model(found.paths["model.keras"])
    np.testing.assert_array_equal(outputs(again), outputs(found.model))
    assert not found.model.compiled
    test = Batches(validation, PREPARE, 12)
    given.model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    assert given.model.evaluate(test.dataset(), verbose=0)[1] == 1.0


@pytest.mark.share(6)
@uncompiled()
def test_equal_seeds_train_equally_and_write_nothing_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = network()
    weights = first.get_weights()
    results = []
    for seed in (1, 1, 2):
        model = network()
        model.set_weights(weights)
        found = training.train(settings(model=model, seed=seed))
        assert found.paths == {}
        results.append([row["loss"] for row in found.history])
    assert results[0] == results[1] != results[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.share(6)
@uncompiled()
def test_a_recipe_is_what_trains() -> None:
    class Seen(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            seen.append(self.model.optimizer)

    seen: list[Any] = []
    recipe = {
        "optimizer": "adamw",
        "weight_decay": 0.25,
        "accumulate": 2,
        "ema": 0.5,
        "loss": "sigmoid",
    }
    given = settings(recipe, callbacks=[Seen()], learning_rate=0.125)
    training.train(given)
    (optimizer,) = seen
    assert (type(optimizer).__name__, float(optimizer.weight_decay)) == ("AdamW", 0.25)
    assert (optimizer.gradient_accumulation_steps, optimizer.use_ema) == (2, True)
    assert optimizer.get_config()["learning_rate"]["config"]["warmup_target"] == 0.125
    assert type(given.model.loss).__name__ == "BinaryCrossentropy"
    assert (
        training.Settings(model=network(), images=coloured(), prepare=PREPARE).learning_rate == 1e-3
    )


@pytest.mark.share(6)
@uncompiled()
def test_images_that_grow_and_rates_that_fall() -> None:
    class Seen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            rates.append([float(one.learning_rate) for one in self.model.optimizer.optimizers])

    rates: list[Any] = []
    recipe = {"grow_from": 32, "grow": (0.0, 0.75), "epochs": 4, "warmup": 0.0}
    prepare = rl.Preprocessing(**{**PREPARE.get_config(), "image_size": 96})
    fitting = Fitting(settings(recipe, prepare=prepare, layer_decay=0.5, callbacks=[Seen()]))
    fitting.run()
    sizes = [fitting.settings.recipe.size_in(epoch, 4, 96) for epoch in range(4)]
    assert sizes == [32, 64, 64, 96]
    assert fitting.batches.cache_info().currsize == 3
    assert len(fitting.table) == 4
    assert rates[0] == pytest.approx([0.05, 0.025, 0.0125, 0.1])  # the head's is the last


@pytest.mark.share(6)
@uncompiled()
def test_images_with_several_labels_make_a_file_that_says_so(tmp_path: Path) -> None:
    images = coloured(24)
    several = dataclasses.replace(images, labels=images.rows())
    model = network()
    found = training.train(settings(model=model, images=several, output=tmp_path))
    assert list(found.history[0])[:2] == ["loss", "mean_average_precision"]
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert last_activation(again) == last_activation(found.model) == "sigmoid"
    logits = outputs(model)
    np.testing.assert_allclose(outputs(again), 1 / (1 + np.exp(-logits)), rtol=1e-5, atol=1e-6)


def test_an_output_that_cannot_be_is_known_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = settings(output=tmp_path / "file")
    with pytest.raises(FileExistsError):
        training.train(given)
    assert not given.model.compiled


@pytest.mark.share(6)
@uncompiled()
def test_what_fails_late_keeps_what_was_trained(tmp_path: Path) -> None:
    images = coloured(24)
    sources = []
    for i, pixels in enumerate(images.sources):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.asarray(pixels)).save(path)
        sources.append(path)

    class Damaging(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            for path in sources:
                path.write_bytes(b"\x89PNG")

    given = settings(
        images=training.labelled.Labelled(**{**vars(images), "sources": sources}),
        callbacks=[Damaging()],
        epochs=9,
        output=tmp_path / "run",
    )
    with pytest.raises(InputError, match=r"\d+\.png' is not a JPEG"):
        training.train(given)
    again = keras.saving.load_model(tmp_path / "run" / "model.keras")
    np.testing.assert_array_equal(outputs(again), outputs(given.model))
    with (tmp_path / "run" / "history.csv").open() as file:
        assert 1 <= len(list(csv.DictReader(file))) < 9


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Of 1000×750 pixels each: within a tenth, and 400 MiB over as many bare steps at most.

    Bare steps grow as well, by a hundred MiB from 31 to 312 of them.
    """
    rng = np.random.default_rng(0)
    for i in range(200):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        coarse.resize((1000, 750), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.jpg")

    def peak(number: int, *bare: str) -> int:
        command = [sys.executable, "-m", "tests.training.epoch", str(tmp_path), str(number), *bare]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3000)
        return int(run.stdout.split()[-1])

    few, many = peak(2000), peak(20_000)
    assert abs(many - few) <= 0.1 * few
    assert few - peak(2000, "bare") <= 400
    assert many - peak(20_000, "bare") <= 400


class Where(Told):
    """Notes where a training begins."""

    place: tuple[int, int] | None = None

    def begins_at(self, epochs: int, steps: int, *, shared: bool = False) -> None:
        self.place = (epochs, steps)


@pytest.mark.share(6)
@uncompiled()
def test_callbacks_are_told_where_a_training_goes_on(tmp_path: Path) -> None:
    anew, later = Where(), Where()
    checkpoint = training.Checkpoint(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        training.train(settings(checkpoint=checkpoint, callbacks=[anew, Ends(signal.SIGINT, 6)]))
    assert anew.place == (0, 0)
    training.train(settings(checkpoint=training.resume(tmp_path), callbacks=[later]))
    assert later.place == (1, 2)
