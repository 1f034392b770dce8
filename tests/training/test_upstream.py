"""What Keras does wrong around trainings, with stock parts; `docs/upstream.md` has the rows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.upstream
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


def compiled(**settings: Any) -> Any:
    layers = [keras.layers.Input((4,)), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1, **settings), "mse")
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 1) -> None:
    model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


def on_jax(code: str) -> list[str]:
    """What a program of its own prints, with a model and what it is trained on."""
    begin = (
        "import keras, numpy as np\nfrom tests.training.test_upstream import X, Y, compiled, fit\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", begin + code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    return process.stdout.splitlines()


def test_averages_stay_in_the_model_after_prediction() -> None:
    model = compiled(use_ema=True, ema_momentum=0.5)
    fit(model)
    before = model.get_weights()
    average = [np.array(one) for one in model.optimizer._model_variables_moving_average]
    before[0] += 1.0  # as if it had been trained on
    model.set_weights(before)
    model.predict(X, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
    np.testing.assert_allclose(model.get_weights()[0], average[0], rtol=1e-5)
    assert np.abs(model.get_weights()[0] - before[0]).min() > 0.5


def test_averages_are_swapped_by_adding() -> None:
    """A small one beside a large weight is lost."""
    model = compiled(use_ema=True)
    model.optimizer.build(model.trainable_variables)
    model.set_weights([np.full((4, 1), 1e8, "float32"), np.zeros(1, "float32")])
    average = model.optimizer._model_variables_moving_average[0]
    average.assign(np.ones((4, 1)))
    callback = keras.callbacks.SwapEMAWeights()
    callback.set_model(model)
    callback.on_test_begin()
    assert model.get_weights()[0][0, 0] == 0.0  # 1 it should be
    callback.on_test_end()


def test_a_backup_repeats_batches_in_place_and_keeps_no_callbacks(tmp_path: Path) -> None:
    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise KeyboardInterrupt

    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(tmp_path, save_freq=2, delete_checkpoint=False)

    model = compiled()
    with pytest.raises(KeyboardInterrupt):
        fit(model, backup(), Ends())
    (weights,) = tmp_path.glob("*.weights.h5")
    before = weights.stat().st_ino
    noted = json.loads((tmp_path / "training_metadata.json").read_text(encoding="utf-8"))
    assert set(noted) == {"epoch", "batch"}
    resumed = compiled()
    fit(resumed, backup())
    assert int(resumed.optimizer.iterations.numpy()) == 2 + 4  # of four batches
    assert weights.stat().st_ino == before


def test_rand_augment_draws_once_for_a_batch() -> None:
    images = np.zeros((8, 4, 4, 3), "float32")
    drawn = keras.layers.RandAugment(num_ops=3).get_random_transformation(images)
    assert drawn["layer_idxes"].shape == (3,)


@pytest.mark.parametrize("layer", [keras.layers.MixUp(), keras.layers.CutMix()])
def test_labels_that_are_indices_are_mixed_to_a_square(layer: Any) -> None:
    pairs = {"images": np.zeros((6, 4, 4, 3), "float32"), "labels": np.arange(6.0)}
    assert layer(pairs, training=True)["labels"].shape == (6, 6)


def test_the_factor_of_cutmix_is_not_alpha() -> None:
    """By Beta(1, 1) the deviation of the shares is 0.29, whatever the batch."""
    number, deviations = 400, []
    mix = keras.layers.CutMix(factor=1.0, seed=0)
    images = np.zeros((number, 4, 4, 1), "float32")
    for _ in range(6):
        labels = mix({"images": images, "labels": np.eye(number)}, training=True)["labels"]
        deviations.append(np.array(labels).diagonal().std())
    assert max(deviations) - min(deviations) > 0.05


def test_each_traced_step_stays_in_the_registry_of_gradients() -> None:
    from tensorflow.python.framework import ops

    layers = [keras.layers.Input((4,)), keras.layers.Dense(1, activation="silu")]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    registry = ops.gradient_registry._registry
    before = len(registry)
    fit(model)
    assert len(registry) > before


SAVED = """
model = compiled()
def save(batch, logs):
    try:
        model.get_weights()
    except TypeError as error:  # they are None
        print("NoneType" in str(error))
fit(model, keras.callbacks.LambdaCallback(on_train_batch_end=save))
"""
SHARDED = """
distribution = keras.distribution.DataParallel(devices=["cpu:0"])
distribution._is_multi_process = True
keras.distribution.set_distribution(distribution)
try:
    fit(compiled())
except ValueError as error:
    print("auto-sharding" in str(error))
"""
ORBAX = """
import sys
class Keeps(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        seen.append(self.model.get_weights()[0].copy())
model, seen = compiled(), []
fit(model, Keeps(), keras.callbacks.OrbaxCheckpoint(sys.argv[1], save_freq="epoch"), epochs=3)
other = compiled()
other.load_weights(sys.argv[1])
print(min(np.abs(other.get_weights()[0] - one).max() for one in seen) > 1e-3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [SAVED, SHARDED], ids=["a save within an epoch", "arrays"])
def test_keras_on_jax(code: str) -> None:
    """A model that is not asked for by its callback has no weights; only `tf.data` is shared."""
    assert on_jax(code)[-1] == "True"


@pytest.mark.slow
def test_orbax_restores_other_weights_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint")
    code = ORBAX.replace("sys.argv[1]", repr(str(tmp_path)))
    assert on_jax(code)[-1] == "True"
