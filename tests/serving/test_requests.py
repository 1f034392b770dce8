"""Requests to an open artifact: an error is one request's alone; processes and threads."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnet_layers as rl
from tests.support.randomize import images, randomize, relative_difference, value

ENDINGS = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}
SIZES = [(2, 32, 32, 3), (1, 40, 33, 3), (3, 32, 32, 3)]


@pytest.fixture(scope="module")
def model() -> Any:
    return randomize(rl.ResNet.from_variant("cifar_resnet20", classes=10))


@pytest.fixture(scope="module", params=ENDINGS)
def path(request: pytest.FixtureRequest, model: Any, tmp_path_factory: Any) -> Path:
    target = tmp_path_factory.mktemp("requests") / f"model{ENDINGS[request.param]}"
    try:
        return rl.export(model, target, format=request.param).path
    except ImportError as error:
        pytest.skip(str(error))


def agrees(artifact: Any, model: Any) -> bool:
    """In every size, the second time as the first."""
    found = [artifact(images(*size)) for size in SIZES * 2]
    expected = [value(model(images(*size))) for size in SIZES * 2]
    return all(relative_difference(a, b) < 1e-4 for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
def test_a_request_that_fails_is_the_only_one(path: Path, model: Any) -> None:
    artifact = rl.load_exported(path)
    assert agrees(artifact, model)
    wrong = [np.zeros((1, 32, 32, 4), np.float32)]
    if path.suffix == ".tflite":  # which finds out before it reads them that this is too much
        wrong.append(np.broadcast_to(np.float32(0), (1, 2**17, 2**17, 3)))
    for request in wrong:
        with pytest.raises(Exception):  # noqa: B017, PT011 (each runtime has its own)
            artifact.run(request)
    assert agrees(artifact, model)


@pytest.mark.share(4)
def test_what_is_no_number_is_no_number_or_refused(path: Path) -> None:
    artifact = rl.load_exported(path)
    x = images(3, 32, 32, 3)
    x[1, 5, 6, 0] = np.nan
    seen = np.isnan(artifact.run(x)).any(axis=-1).tolist()
    if seen == [False, False, False]:
        with pytest.raises(ValueError, match=r"Received: NaN in images\[1\]$"):
            artifact(x)
    else:
        assert seen == [False, True, False]
        assert np.isnan(artifact(x)).any(axis=-1).tolist() == seen


@pytest.mark.slow
def test_an_artifact_can_be_pickled_and_called_by_threads(
    path: Path, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(path.parent)
    opened = rl.load_exported(path.name)
    monkeypatch.chdir(tmp_path)  # the file is where it was
    artifact = pickle.loads(pickle.dumps(opened))
    x = images(2, 32, 32, 3)
    expected = value(model(x))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: artifact(x), range(24)))
    assert max(relative_difference(one, expected) for one in found) < 1e-4
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert relative_difference(processes.apply(artifact, (x,)), expected) < 1e-4
