"""Numbers of timm 1.0.31 and torchvision 0.29.1, under weights made from the tensors' names.

`data/reference` has, for one network each, the state dict's names and shapes, and for some images
the first logits and eight values, the mean and the root mean square of each feature map.
"""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers import variants
from tests.torch_names import named_variables, to_keras, torch_shape

FILES = {
    path.name.removesuffix(".json.gz"): path
    for path in sorted((Path(__file__).parent / "data" / "reference").glob("*.json.gz"))
}
# Of the largest value. timm's own float32 stays under 1e-5 of its float64 for these networks.
TOLERANCE = 1e-4


def networks(*quick: str) -> pytest.MarkDecorator:
    """One test for each reference file; all but the quick ones are slow."""
    return pytest.mark.parametrize(
        "name",
        [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in FILES],
    )


def create(name: str) -> rl.ResNet:
    """The network with zeros in its convolutions, which are there at once."""
    return rl.ResNet.from_variant(name, kernel_initializer="zeros")


def load(name: str) -> dict[str, Any]:
    reference: dict[str, Any] = json.loads(gzip.decompress(FILES[name].read_bytes()))
    # A counter of torch's, which has no part in the numbers.
    reference["tensors"] = {
        tensor: tuple(shape)
        for tensor, shape in reference["tensors"]
        if not tensor.endswith(".num_batches_tracked")
    }
    return reference


def torch_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values that the reference networks had in the tensor of this name."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        value = rng.uniform(0.5, 1.5, shape)
    elif leaf in ("running_mean", "bias"):
        value = 0.05 * rng.standard_normal(shape)
    elif len(shape) == 1:
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = 0.9 / math.sqrt(math.prod(shape[1:])) * rng.standard_normal(shape)
    return value.astype("float32")


def reference_images(shape: tuple[int, ...]) -> np.ndarray:
    """The images that the reference networks saw."""
    rng = np.random.RandomState(0)
    tint = rng.uniform(-2, 2, (shape[0], 1, 1, shape[-1]))
    return (tint + rng.uniform(-1, 1, shape)).astype("float32")


def assert_close(actual: Any, expected: Any, message: str) -> None:
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape, message
    difference = np.abs(actual - expected).max() / np.abs(expected).max()
    assert difference < TOLERANCE, f"{message}: relative difference {difference:.1e}"


@networks("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2")
def test_variables_are_the_tensors_of_torch(name: str) -> None:
    model, reference = create(name), load(name)
    pairs = list(named_variables(model))
    assert {tensor: torch_shape(variable) for tensor, variable in pairs} == reference["tensors"]
    assert len(pairs) == len(reference["tensors"])
    assert {id(variable) for _, variable in pairs} == {id(variable) for variable in model.weights}
    assert sum(math.prod(v.shape) for v in model.trainable_weights) == reference["params"]


@networks("resnet18", "resnext50_32x4d")
def test_outputs_equal_those_of_torch(name: str) -> None:
    model, reference = create(name), load(name)
    for tensor, variable in named_variables(model):
        variable.assign(to_keras(torch_tensor(tensor, torch_shape(variable))))
    assert len(reference["cases"]) >= 2
    for case in reference["cases"]:
        images = reference_images(tuple(case["input"]))
        logits = keras.ops.convert_to_numpy(model(images, training=False))
        rms = np.sqrt(np.mean(logits**2, axis=-1))
        assert_close(logits[:, : len(case["logits"][0])], case["logits"], "logits")
        assert_close(rms, case["logits_rms"], "logits_rms")

        features = model.features(images, training=False)
        assert list(features) == ["stem", "stage1", "stage2", "stage3", "stage4"]
        for (part, tensor), expected in zip(features.items(), case["features"], strict=True):
            values = keras.ops.convert_to_numpy(tensor).astype("float64")
            assert list(values.shape) == expected["shape"], part
            assert_close(values.flatten()[expected["index"]], expected["value"], part)
            assert_close(values.mean(), expected["mean"], f"mean of {part}")
            assert_close(np.sqrt(np.mean(values**2)), expected["rms"], f"rms of {part}")


# torchvision 0.29.1, models/resnet.py: blocks, bottleneck, groups, width of a group in the first
# stage (None for what `filters` says), parameters; resnet200 from timm 1.0.31, models/resnet.py.
TORCHVISION: dict[str, tuple[tuple[int, ...], bool, int, int | None, int]] = {
    "resnet18": ((2, 2, 2, 2), False, 1, None, 11_689_512),
    "resnet34": ((3, 4, 6, 3), False, 1, None, 21_797_672),
    "resnet50": ((3, 4, 6, 3), True, 1, None, 25_557_032),
    "resnet101": ((3, 4, 23, 3), True, 1, None, 44_549_160),
    "resnet152": ((3, 8, 36, 3), True, 1, None, 60_192_808),
    "resnet200": ((3, 24, 36, 3), True, 1, None, 64_673_832),
    "resnext50_32x4d": ((3, 4, 6, 3), True, 32, 4, 25_028_904),
    "resnext101_32x8d": ((3, 4, 23, 3), True, 32, 8, 88_791_336),
    "resnext101_64x4d": ((3, 4, 23, 3), True, 64, 4, 83_455_272),
    "wide_resnet50_2": ((3, 4, 6, 3), True, 1, 128, 68_883_240),
    "wide_resnet101_2": ((3, 4, 23, 3), True, 1, 128, 126_886_696),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_variant_has_the_geometry_of_torchvision(name: str) -> None:
    row = variants.find(name)
    geometry = (row.blocks, row.bottleneck, row.groups, row.group_width, row.parameters)
    assert geometry == TORCHVISION[name]
    assert row.filters == (64, 128, 256, 512)


def test_reference_files_are_there_for_all_but_these() -> None:
    assert set(TORCHVISION) - set(FILES) == {"resnext101_64x4d", "wide_resnet101_2"}
