"""With weights of torchvision and timm, heat maps are those of pytorch-grad-cam."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.analysis.heatmaps import methods, places, scores, watching
from resnet_layers.analysis.heatmaps.maps import Method, grad_cam
from tests.analysis import their_maps
from tests.support.randomize import images

ROOT = Path(__file__).parents[2]
CLASSES = [3, 77, 998]
CLOSE = 1e-4
# At 96×160 pixels height and width cannot be taken for each other.
CASES = {"resnet18": ("torchvision", (96, 96)), "resnet50": ("timm", (96, 160))}
METHODS = [cast("Method", name) for name in their_maps.METHODS]
MISSING = [name for name in their_maps.NEEDS if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our network with their weights, the images, and what they make of them."""
    name, folder = request.param, tmp_path_factory.mktemp("theirs")
    library, size = CASES[name]
    pixels = images(len(CLASSES), *size, 3)
    given, wanted = folder / "in.npz", folder / "out.npz"
    np.savez(given, images=pixels, classes=CLASSES)
    command = [sys.executable, "-m", "tests.analysis.their_maps"]
    ended = subprocess.run(
        [*command, library, name, given, wanted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = dict(np.load(wanted))
    weights = {
        key.removeprefix("weights/"): value
        for key, value in found.items()
        if key.startswith("weights/")
    }
    ours = rl.ResNet.from_variant(name)
    rl.load_weights_from(ours, weights)
    return ours, pixels, found


def small_map(ours: Any, stage: str, method: Method, pixels: Any) -> Any:
    """Ours before it is as large as the images."""
    output, gradient = watching.output_and_gradient(
        places.find(ours, stage).layer,
        lambda: scores.of(ours(pixels, training=False), np.array(CLASSES)),
    )
    return methods.OF_STAGES[method](methods.floats(output), methods.floats(gradient))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", their_maps.STAGES)
def test_maps_are_those_of_pytorch_grad_cam(case: Any, stage: str, method: Method) -> None:
    ours, pixels, found = case
    small, large = (found[f"{size}/{stage}/{method}"] for size in ("small", "large"))
    highest = small.max((1, 2), keepdims=True)
    assert highest.min() > 0  # or there is nothing to compare
    mine = small_map(ours, stage, method, pixels)
    np.testing.assert_allclose(mine / highest, small / highest, rtol=0, atol=CLOSE)
    maps = grad_cam(ours, pixels, CLASSES, stage, method=method)
    np.testing.assert_allclose(maps, large, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("method", METHODS)
def test_without_classes_they_take_the_same(case: Any, method: Method) -> None:
    ours, pixels, found = case
    maps = grad_cam(ours, pixels, method=method)
    np.testing.assert_allclose(maps, found[f"top/{method}"], rtol=0, atol=CLOSE)
