"""Files: golden ones, other processes, other backends, subclasses, frozen parts."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from tests.golden import models as golden
from tests.support.randomize import (
    assert_same_weights,
    images,
    normalizations,
    randomize,
    relative_difference,
    value,
)
from tests.support.uncompiled import uncompiled

SIZES = [(16, 16), (17, 17), (33, 33), (16, 33), (1, 1)]


def tiny(**keywords: Any) -> rl.ResNet:
    return randomize(
        rl.ResNet(
            rl.Stem(4),
            [rl.ResNetStage(4, 2), rl.ResNetStage(8, 2, strides=2, bottleneck=True, groups=2)],
            rl.ClassifierHead(3),
            **keywords,
        )
    )


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new process, with the same interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.share(6)
def test_weight_paths_equal_the_golden_listing(tmp_path: Path) -> None:
    assert golden.listing(tmp_path) == json.loads(golden.PATHS.read_text()), (
        "The paths inside `.keras` files changed, so older files would not load. If that is "
        "meant, say so under 'Format' in CHANGELOG.md and run `python -m tests.golden.models`."
    )


def test_file_of_the_first_format_loads_with_its_recorded_output() -> None:
    model = keras.saving.load_model(golden.FIRST_FILE)
    recorded = np.load(golden.FIRST_OUTPUT)
    # Another version of Keras may sum in another order.
    np.testing.assert_allclose(value(model(recorded["x"])), recorded["y"], rtol=1e-4, atol=1e-5)
    assert model.metadata == {"class_names": ["ant", "bee", "cat"]}
    assert not model.stages[0].block_layers[1].trainable
    assert model.stages[0].block_layers[0].trainable


# Without the import first; then a whole file, and a file of weights for a network made anew.
READ = """
import sys
import numpy as np
import keras
path = sys.argv[1]
try:
    keras.saving.load_model(f"{path}/model.keras")
except Exception as error:
    print(error, file=sys.stderr)
else:
    sys.exit("loaded without the import")
import resnet_layers as rl
whole = keras.saving.load_model(f"{path}/model.keras")
made = rl.ResNet(
    rl.Stem(4),
    [rl.ResNetStage(4, 2), rl.ResNetStage(8, 2, strides=2, bottleneck=True, groups=2)],
    rl.ClassifierHead(3),
)
made.load_weights(f"{path}/m.weights.h5")
x = np.load(f"{path}/x.npz")
for model, name, sizes in ((whole, "whole", x.files), (made, "made", x.files[3:4])):
    # Operation by operation JAX compiles each one; as a whole it is quick.
    call = model if keras.backend.backend() == "tensorflow" else model.predict_on_batch
    y = {size: keras.ops.convert_to_numpy(call(x[size])) for size in sizes}
    np.savez(f"{path}/{name}.npz", **y)
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, rl.ResNet]:
    """A folder with a network, its weights and images, and the network."""
    path = tmp_path_factory.mktemp("written")
    model = tiny(name="somebody")
    for _ in range(3):  # advances the counters behind automatic names
        tiny()
    model.save(path / "model.keras")
    model.save_weights(path / "m.weights.h5")
    np.savez(path / "x.npz", **{f"{h}x{w}": images(2, h, w, 3) for h, w in SIZES})  # type: ignore[arg-type]
    return path, model


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def read(
    request: pytest.FixtureRequest, written: tuple[Path, rl.ResNet]
) -> tuple[str, subprocess.CompletedProcess[str]]:
    """A backend, and what its process answered that read the files."""
    backend = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f'{backend} is missing: pip install "resnet-layers[{backend}]"')
    return backend, run_python(READ, str(written[0]), KERAS_BACKEND=backend)


Read = tuple[str, subprocess.CompletedProcess[str]]


@pytest.mark.share(12)
@pytest.mark.parametrize("name", ["whole", "made"])
def test_files_open_in_another_process_and_on_another_backend(
    read: Read, written: tuple[Path, rl.ResNet], name: str
) -> None:
    (backend, result), (path, model) = read, written
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [backend]
    x, y = np.load(path / "x.npz"), np.load(path / f"{name}.npz")
    assert y.files == (x.files if name == "whole" else x.files[3:4])
    for size in y.files:
        if backend == "tensorflow":
            np.testing.assert_array_equal(y[size], value(model(x[size])))
        else:
            assert relative_difference(y[size], model(x[size])) < 1e-4


@pytest.mark.share(3)
def test_file_without_the_import_names_the_class_that_is_missing(read: Read) -> None:
    result = read[1]
    assert result.returncode == 0, result.stderr
    assert "ResNet" in result.stderr
    assert "resnet_layers" in result.stderr


def test_weights_of_another_width_are_refused_with_both_shapes(tmp_path: Path) -> None:
    tiny().save_weights(tmp_path / "m.weights.h5")
    other = rl.ResNet(
        rl.Stem(6),
        [rl.ResNetStage(4, 2), rl.ResNetStage(8, 2, strides=2, bottleneck=True, groups=2)],
        rl.ClassifierHead(3),
    )
    with pytest.raises(
        ValueError, match=r"variable\.shape=\(3, 3, 6, 4\), Received: value\.shape=\(3, 3, 4, 4\)"
    ):
        other.load_weights(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "no_weights"])
def test_damaged_file_raises(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    tiny().save(path)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("no model")
    else:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
            for name in ("config.json", "metadata.json"):
                new.writestr(name, old.read(name))
        (tmp_path / "new").replace(path)
    with pytest.raises((ValueError, OSError, KeyError)):
        keras.saving.load_model(path)


@pytest.mark.share(6)
def test_reload_export_save_again_reload_again(tmp_path: Path) -> None:
    model = tiny()
    x = images(2, 17, 16, 3)
    expected = value(model(x))
    model.save(tmp_path / "a.keras")
    first = keras.saving.load_model(tmp_path / "a.keras")
    first.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    for shape in ((1, 17, 16, 3), (3, 33, 17, 3)):  # any batch, any size
        image = images(*shape)
        assert relative_difference(served.serve(image), model(image)) < 1e-5
    assert "serving_default" in served.signatures
    first.save(tmp_path / "b.keras")
    second = keras.saving.load_model(tmp_path / "b.keras")
    assert_same_weights(second.weights, model.weights)
    np.testing.assert_array_equal(value(second(x)), expected)


@pytest.mark.share(6)
@uncompiled()
def test_training_state_is_saved_with_the_model(tmp_path: Path) -> None:
    # No groups, whose gradients some processors have under XLA alone.
    model = randomize(rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 2)], rl.ClassifierHead(3)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = images(8, 16, 16, 3), np.arange(8) % 3
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 2
    assert_same_weights(loaded.optimizer.variables, model.optimizer.variables)
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    for trained in (model, loaded):
        keras.utils.set_random_seed(3)
        trained.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    assert_same_weights(loaded.weights, model.weights)


@pytest.mark.slow
@pytest.mark.share(2)
def test_checkpoint_is_a_whole_model(tmp_path: Path) -> None:
    model = tiny()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = images(8, 16, 16, 3), np.arange(8) % 3
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint])
    loaded = keras.saving.load_model(path)
    assert int(loaded.optimizer.iterations) > 0
    loaded.fit(x, y, epochs=1, verbose=0)


@pytest.mark.share(6)
def test_normalizations_frozen_for_fine_tuning_stay_frozen(tmp_path: Path) -> None:
    model = tiny()
    for normalization in normalizations(model):
        normalization.trainable = False
    model.stages[1].trainable = False
    trainable = [v.path for v in model.trainable_weights]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    for copied in (loaded, cloned):
        assert [v.path for v in copied.trainable_weights] == trainable
        x = images(4, 16, 16, 3)
        np.testing.assert_array_equal(value(copied(x, training=True)), value(copied(x)))


def test_clone_has_variables_of_its_own() -> None:
    model = tiny()
    cloned = keras.models.clone_model(model)
    assert type(cloned) is rl.ResNet
    assert cloned.get_config() == model.get_config()
    assert not {id(v) for v in cloned.variables} & {id(v) for v in model.variables}
    cloned.set_weights(model.get_weights())
    x = images(2, 16, 17, 3)
    np.testing.assert_array_equal(value(cloned(x)), value(model(x)))


def test_model_from_json_needs_no_code() -> None:
    model = tiny()
    text = model.to_json()
    assert "Lambda" not in text
    restored = keras.models.model_from_json(text)
    assert json.loads(restored.to_json()) == json.loads(text)


@pytest.mark.share(6)
def test_policy_in_the_file_wins_over_the_one_of_the_process(tmp_path: Path) -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3, dtype="mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("mixed_float16")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.dtype_policy.name for layer in loaded._flatten_layers()] == [
        layer.dtype_policy.name for layer in model._flatten_layers()
    ]


@keras.saving.register_keras_serializable("users")
class Composed(keras.Model):
    """A user's own model of our stages, several levels deep, without a build."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.a = rl.ResNetStage(8, 2)
        self.inner = keras.Sequential([rl.ResNetStage(16, 2, strides=2), rl.ClassifierHead(3)])

    def call(self, inputs: Any) -> Any:
        return self.inner(self.a(inputs))


@pytest.mark.share(4)
@pytest.mark.parametrize("kind", ["subclass", "sequential", "functional", "time_distributed"])
def test_models_of_the_users_own_reload_equal(kind: str, tmp_path: Path) -> None:
    x = images(2, 16, 16, 3)
    if kind == "subclass":
        model = Composed()
        model(x)
    elif kind == "sequential":
        model = keras.Sequential([keras.Input((16, 16, 3)), rl.Stem(4), tiny_stage(), rl_head()])
    elif kind == "functional":
        inputs = keras.Input((16, 16, 3))
        model = keras.Model(inputs, rl_head()(tiny_stage()(rl.Stem(4)(inputs))))
    else:
        x = images(2, 3, 16, 16, 3)
        inputs = keras.Input((3, 16, 16, 3))
        model = keras.Model(inputs, keras.layers.TimeDistributed(tiny())(inputs))
    randomize(model)
    statistics = [value(v).copy() for v in model.weights if v.name.startswith("moving")]
    training = model(x, training=True)
    assert relative_difference(training, model(x)) > 1e-3
    moved = [value(v) for v in model.weights if v.name.startswith("moving")]
    assert all((a != b).any() for a, b in zip(statistics, moved, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(loaded.weights, model.weights)
    np.testing.assert_array_equal(value(loaded(x)), value(model(x)))


def tiny_stage() -> rl.ResNetStage:
    return rl.ResNetStage(4, 2, bottleneck=True)


def rl_head() -> rl.ClassifierHead:
    return rl.ClassifierHead(3)
