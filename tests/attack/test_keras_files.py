"""`.keras` files of somebody else: what they cost until they are refused."""

import functools
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.shell import classifier
from resnet_layers.shell.errors import InputError
from tests.attack.figures import counted
from tests.attack.memory import cost

pytestmark = pytest.mark.slow

# More than a sound small file takes.
MEMORY, SECONDS = 2**28, 3.0
Parts = dict[str, bytes]


def packed(parts: Parts, path: Path, compress: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A sound file of 0.6 MB."""
    stages = [rl.ResNetStage(8, 1), rl.ResNetStage(64, 2)]
    path = tmp_path_factory.mktemp("sound") / "model.keras"
    rl.ResNet(rl.Stem(8, kernel_size=3), stages, rl.ClassifierHead(5)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(parts: Parts, change: Callable[[Any], Any]) -> Parts:
    """With another config."""
    config = json.loads(parts["config.json"])
    change(config["config"])
    return {**parts, "config.json": json.dumps(config).encode()}


def put(*path: Any) -> Callable[[Any], None]:
    """Another value, the last one, at some place of a config."""

    def change(config: Any) -> None:
        *keys, last, value = path
        for key in keys:
            config = config[key]
        config[last] = value

    return change


def head(*layers: Any) -> Callable[[Any], None]:
    return put("head", keras.saving.serialize_keras_object(keras.Sequential(layers)))


def weights(*shape: int) -> bytes:
    """HDF5 of zeros, compressed, where the classifier's kernel has such a shape."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        chunks = tuple(min(size, 2**10) for size in shape)
        dataset = file.create_dataset(
            "head/dense/vars/0", shape, "f4", chunks=chunks, compression="gzip"
        )
        dataset[:1] = 0
    return stream.getvalue()


STAGE = ("stages", 0, "config")
CONFIGS: dict[str, Callable[[Any], None]] = {
    "a thousand million blocks": put(*STAGE, "blocks", 10**9),
    "forty blocks": put(*STAGE, "blocks", 40),
    "a million filters": put(*STAGE, "filters", 10**6),
    "wide and many": put(*STAGE, "filters", 512),
    "groups": put(*STAGE, "group_width", 10**6),
    "ten million classes": put("head", "config", "classes", 10**7),
    "hidden units": put("head", "config", "hidden_units", 10**8),
    "a large kernel": put("stem", "config", "kernel_size", 10**5),
    "many channels": put("input_shape", [None, None, 10**8]),
    "stages": lambda config: config["stages"].extend(config["stages"] * 400),
    "dense upon dense": head(keras.layers.Dense(200_000), keras.layers.Dense(200_000)),
    "nested": put("metadata", json.loads("[" * 900 + "]" * 900)),
    "lists": put("metadata", {"a": [[] for _ in range(300_000)]}),
    "class names": put("metadata", {"class_names": [str(i) for i in range(100_000)]}),
}
# Metadata can be so.
ANYTHING = ("nested", "lists", "class names")
FILES: dict[str, Callable[[Parts], Parts]] = {
    **{name: functools.partial(changed, change=change) for name, change in CONFIGS.items()},
    "an inflated config": lambda parts: {**parts, "config.json": bytes(1_300_000_000)},
    "a config of lists": lambda parts: {
        **parts,
        "config.json": b'{"registered_name": "resnet_layers>ResNet", "a": [%s[]]}'
        % (b"[]," * 400_000),
    },
    "a deep config": lambda parts: {**parts, "config.json": b"[" * 1_000_000},
    "inflated weights": lambda parts: {**parts, "model.weights.h5": bytes(300_000_000)},
    "inflated assets": lambda parts: {**parts, "assets/a": bytes(300_000_000)},
    "claimed weights": lambda parts: {
        **changed(parts, put("head", "config", "classes", 10**6)),
        "model.weights.h5": weights(64, 10**6),
    },
    "no weights": lambda parts: {**parts, "model.weights.h5": weights(1, 1)},
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_claim_much_cost_little(parts: Parts, tmp_path: Path, name: str) -> None:
    sound = packed(parts, tmp_path / "sound.keras", zipfile.ZIP_STORED)
    classifier.open_model(sound)  # what the first one costs is TensorFlow's start
    usual = cost(lambda: classifier.open_model(sound))
    path = packed(FILES[name](parts), tmp_path / "model.keras")
    assert path.stat().st_size < 2_000_000
    found = cost(lambda: classifier.open_model(path))
    assert found.seconds < usual.seconds + SECONDS
    assert found.memory < max(usual.memory, 0) + MEMORY
    if name in ANYTHING:
        assert isinstance(found.result, (InputError, rl.ResNet))
    else:
        assert isinstance(found.result, InputError)
        assert str(path) in str(found.result)


@pytest.mark.parametrize(("seed", "count"), [(0, 25), pytest.param(1, 400, marks=pytest.mark.huge)])
def test_damage_is_one_sentence(parts: Parts, tmp_path: Path, seed: int, count: int) -> None:
    """The archive's own sums tell every bit, but for those that nothing reads."""
    whole = packed(parts, tmp_path / "model.keras", zipfile.ZIP_STORED).read_bytes()
    expected = classifier.open_model(tmp_path / "model.keras").get_weights()
    rng = random.Random(seed)
    with counted("damaged .keras files") as figures:
        for i in range(count):
            place, size = rng.randrange(len(whole)), rng.randrange(1, 4000)
            content = (
                whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :],
                whole[:place],
                whole[:place] + bytes(len(whole[place : place + size])) + whole[place + size :],
                whole[:place] + rng.randbytes(size) + whole[place + size :],
            )[i % 4]
            path = tmp_path / "damaged.keras"
            path.write_bytes(content)
            try:
                found = classifier.open_model(path).get_weights()
            except InputError as error:
                figures["right" if str(path) in str(error) else str(error)] += 1
                continue
            same = all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            figures["right" if same else "other weights"] += 1
    assert set(figures) == {"right"}
