"""Several devices share a batch: numbers equal those of one, and what cannot be is refused."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from resnet_layers import training
from resnet_layers.training import devices
from resnet_layers.training.batches import Batches
from tests.training.fitting import PREPARE, coloured
from tests.training.parallel import CASES

UNSUPPORTED = {"accumulated", "clipped"}  # on TensorFlow
QUICK = "averages, mixing and weights of classes"


def trained(folder: Path, backend: str, *names: str, resumes: bool = False) -> dict[str, Any]:
    """What `tests.training.parallel` says, in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.training.parallel", str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": backend, "RESUMES": "1" if resumes else ""},
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout.strip().rpartition("\n")[2])
    return found


def check_equal(one: dict[str, Any], two: dict[str, Any], tolerance: float = 1e-4) -> None:
    """Losses and history, and the variables of what is written."""
    np.testing.assert_allclose(two["losses"][:5], one["losses"][:5], rtol=0, atol=tolerance)
    assert len(one["table"]) == len(two["table"])
    image = 1.01 / 40 if tolerance > 1e-4 else 0  # of validation, which half precision may turn
    for mine, other in zip(two["table"], one["table"], strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            allowed = max(20 * tolerance, image) if name == "val_accuracy" else 20 * tolerance
            assert value == pytest.approx(other[name], abs=allowed), name
    np.testing.assert_allclose(two["variables"], one["variables"], rtol=0, atol=20 * tolerance)
    assert not two["synchronized"]  # as the network was made


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_as_one(backend: str, tmp_path: Path) -> None:
    found = trained(tmp_path, backend, QUICK)
    check_equal(found[f"{QUICK}/1"], found[f"{QUICK}/2"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        (backend, name)
        for backend in ("tensorflow", "jax")
        for name in CASES
        if name != QUICK and not (backend == "tensorflow" and name in UNSUPPORTED)
    ],
)
@pytest.mark.share(9)
def test_every_recipe_trains_on_two_devices_as_on_one(
    backend: str, name: str, tmp_path: Path
) -> None:
    found = trained(tmp_path, backend, name)
    check_equal(found[f"{name}/1"], found[f"{name}/2"], 1e-3 if name == "float16" else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.share(2)
def test_a_run_goes_on_with_another_number_of_devices(backend: str, tmp_path: Path) -> None:
    """From two to one and back, each time within an epoch."""
    found = trained(tmp_path, backend, resumes=True)
    whole, resumed = found["whole"], found["resumed"]
    assert resumed["multiple"] == 2
    check_equal(whole, {**resumed, "losses": whole["losses"]})


def test_images_that_are_left_over_come_in_other_epochs() -> None:
    batches = Batches(coloured(), PREPARE, 4, seed=0, multiple=4)
    number = len(coloured().labels)
    assert number % 4  # or none would be left over
    orders = [batches.order(epoch) for epoch in range(8)]
    assert all(len(set(order)) == len(order) == number - number % 4 for order in orders)
    assert len({image for order in orders for image in order}) == number
    first = [image.shape[0] for image, _ in batches.dataset().take(2 * len(batches))]
    assert first == 2 * batches.sizes
    # An epoch begins where it would if one began with it.
    for step in (len(batches), 2 * len(batches) - 1):
        epoch, place = divmod(step, len(batches))
        (whole,) = batches.dataset().skip(step).take(1)
        np.testing.assert_array_equal(whole[0], batches.batch(epoch, place)[0])


def test_an_evaluation_that_fills_up_counts_each_image_once() -> None:
    images = coloured()
    filled, plain = (Batches(images, PREPARE, 8, multiple=multiple) for multiple in (4, 1))
    assert sum(filled.sizes) > sum(plain.sizes)
    weights = np.concatenate([batch[2] for batch in filled.dataset()])
    assert weights.tolist() == [1.0] * len(images.labels) + [0.0] * (
        len(weights) - len(images.labels)
    )
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(len(images.class_names))])
    model.compile(
        loss=training.labels.CategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[training.labels.CategoricalAccuracy(name="accuracy")],
        run_eagerly=True,
    )
    both = [
        model.evaluate(batches.dataset(), return_dict=True, verbose=0)
        for batches in (filled, plain)
    ]
    assert both[0]["accuracy"] == pytest.approx(both[1]["accuracy"], abs=1e-7)
    assert list(filled.damaged()) == []


def test_one_device_is_no_different() -> None:
    with devices.data_parallel(1):
        assert devices.count() == 1
    assert devices.share(np.ones(3)) == 1.0


def accuracy(folder: Path, seed: int, backend: str, *options: str) -> float:
    """Of the test, after all epochs of the recipe for the digits."""
    command = [
        *(sys.executable, "-m", "resnet_layers", "train", "--variant", "cifar_resnet20"),
        *("--image-size", "8", "--json", "--seed", str(seed), "--output", str(folder), *options),
    ]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return float(json.loads(process.stdout.splitlines()[-1])["test_accuracy"])


def is_within(found: float, seeds: list[float]) -> bool:
    """Whether an accuracy is one of those of other seeds, as far as one image tells."""
    return abs(found - float(np.mean(seeds))) <= 3 * max(float(np.std(seeds)), 1 / 179)


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_whole_run_is_as_accurate_on_two_devices(backend: str, tmp_path: Path) -> None:
    seeds = [accuracy(tmp_path / str(seed), seed, backend) for seed in range(5)]
    found = accuracy(tmp_path / "two", 0, backend, "--devices", "2")
    assert min(seeds) > 0.9
    assert is_within(found, seeds), (found, seeds)


FAULTS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
def step(number, **settings):
    with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(number)]).scope():
        layers = [keras.layers.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.SGD(1.0, **settings), "mse", jit_compile=False)
    x, y = np.ones((4, 1), "float32"), np.array([[2.0], [2.0], [-1.0], [-1.0]], "float32")
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    return model.get_weights()[0].item()
print(abs(step(1, global_clipnorm=0.1) - step(2, global_clipnorm=0.1)))
try:
    print(step(2, gradient_accumulation_steps=2))
except Exception as error:
    print("merge_call" in str(error))
"""


@pytest.mark.slow
@pytest.mark.upstream
def test_keras_neither_clips_nor_accumulates_on_several_devices() -> None:
    process = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    apart, fails = process.stdout.strip().splitlines()[-2:]
    assert float(apart) > 0.01
    assert fails == "True"


@pytest.mark.slow
@pytest.mark.share(4)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_command_trains_on_two_devices_and_goes_on_with_one(
    backend: str, tmp_path: Path
) -> None:
    def train(*options: str) -> str:
        command = [sys.executable, "-m", "resnet_layers", "train", *options]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    run = tmp_path / "run"
    options = ("--variant", "cifar_resnet20", "--image-size", "8", "--batch-size", "256")
    out = train(*options, "--epochs", "2", "--keep", "2", "--devices", "2", "--output", str(run))
    assert "A new process agrees" in out
    with (run / "settings.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert (settings["devices"], settings["multiple"]) == (2, 2)
    (run / "checkpoints" / "ended").unlink()  # as if it had not come to its end
    training.checkpoint_files.files(run / "checkpoints")[-1].unlink()
    out = train("--resume", str(run), "--devices", "1")
    assert "The training goes on after epoch 1 of 2" in out
    with (run / "settings.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert (settings["devices"], settings["multiple"]) == (1, 2)
    known = (*options[2:], "--from", str(run / "model.keras"), "--epochs", "1", "--devices", "2")
    assert "A new process agrees" in train(*known, "--output", str(tmp_path / "other"))
