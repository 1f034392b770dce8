"""Every network of timm and torchvision has the tensors and the numbers of the original."""

import math
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.weights import plan
from tests.support.reference import FILES, images, load, torch_tensor

# One of each kind in the default run.
QUICK = (
    "resnet18",
    "test_resnet",
    "seresnet18",
    "ecaresnet50d_pruned",
    "resnetblur18",
    "resnetaa34d",
    "resnetv2_18d",
    "resnetv2_50x1_bit",
    "r3d_18",
    "r2plus1d_18",
)
HUGE = 40e6  # parameters: all of more than 101 layers, and most of 101


def networks() -> pytest.MarkDecorator:
    """One test for each reference file; all but the quick ones are slow, or huge as well."""

    def marks(name: str) -> list[pytest.MarkDecorator]:
        if name in QUICK:
            return []
        huge = variants.row(name).parameters > HUGE
        return [pytest.mark.slow, *([pytest.mark.huge] if huge else [])]

    names = [pytest.param(name, marks=marks(name)) for name in FILES]
    return pytest.mark.parametrize("name", names)


def create(reference: dict[str, Any], **arguments: Any) -> rl.ResNet:
    """The network with zeros in its convolutions, which are there at once."""
    name = reference["name"].removeprefix("tv:")
    classes = list(reference["tensors"].values())[-1][0]
    return rl.ResNet.from_variant(name, classes, kernel_initializer="zeros", **arguments)


def tolerance(name: str) -> float:
    """Of the largest value. timm's own float32 stays under 1e-5 for most networks."""
    if not name.endswith("_bit"):
        return 1e-4
    # Standardized weights amplify rounding: in these two timm's own float32 differs by 2.2e-4.
    return 3e-4 if "152" in name else 2e-4


@pytest.mark.share(5)
@networks()
def test_plan_is_a_bijection_with_the_tensors_of_the_original(name: str) -> None:
    reference = load(name)
    model = create(reference)
    rows = plan.named_tensors(model, plan.torch_dialect(model))
    assert {row.name: row.shape for row in rows} == reference["tensors"]
    assert len(rows) == len(reference["tensors"])
    variables = [row.variable for row in rows if row.variable is not None]
    assert len(variables) == len(model.weights)
    assert {id(variable) for variable in variables} == {id(v) for v in model.weights}
    assert sum(math.prod(v.shape) for v in model.trainable_weights) == reference["params"]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("_pruned")])
def test_channels_of_pruned_networks_are_those_of_the_original(name: str) -> None:
    """In the row alone, since most of these networks are slow to build."""
    tensors = load(name)["tensors"]
    for s, stage in enumerate(variants.find(name).widths, start=1):
        for b, block in enumerate(stage):
            shapes = [tensors[f"layer{s}.{b}.conv{i}.weight"] for i in range(1, len(block) + 1)]
            assert tuple(shape[0] for shape in shapes) == tuple(block)


@pytest.mark.share(10)
@networks()
def test_outputs_equal_those_of_the_original(name: str) -> None:
    reference, limit = load(name), tolerance(name)
    tensors = {tensor: torch_tensor(tensor, s) for tensor, s in reference["tensors"].items()}

    def assert_close(actual: Any, expected: Any, message: str, scale: float = 0.0) -> None:
        """`scale` is for maps whose eight values are all zero, as in `resnet14t`."""
        actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
        assert actual.shape == expected.shape, message
        difference = np.abs(actual - expected).max() / (np.abs(expected).max() or scale)
        assert difference < limit, f"{message}: relative difference {difference:.1e}"

    assert len(reference["cases"]) >= 2
    model, made_with = None, None
    for case in reference["cases"]:
        arguments = case.get("args", {})
        if model is None or arguments != made_with:  # cases of the same network follow each other
            model, made_with = create(reference, **arguments), arguments
            rl.load_weights_from(model, tensors)
        x = images(tuple(case["input"]))
        logits = keras.ops.convert_to_numpy(model(x, training=False))
        rms = np.sqrt(np.mean(logits**2, axis=-1))
        assert_close(logits[:, : len(case["logits"][0])], case["logits"], "logits")
        assert_close(rms, case["logits_rms"], "logits_rms")
        if "features" not in case:  # of videos
            continue
        features = model.features(x, training=False)
        for (part, tensor), expected in zip(features.items(), case["features"], strict=True):
            values = keras.ops.convert_to_numpy(tensor).astype("float64")
            assert list(values.shape) == expected["shape"], part
            samples = values.flatten()[expected["index"]]
            assert_close(samples, expected["value"], part, expected["rms"])
            rms = np.sqrt(np.mean(values**2))
            assert_close(rms, expected["rms"], f"rms of {part}")
            assert abs(values.mean() - expected["mean"]) < limit * expected["rms"], part


def test_reference_is_there_for_every_network_of_timm_and_torchvision() -> None:
    others = ("keras_", "cifar_", "article_", "paper_", "plain34", "vgg")
    assert set(FILES) == {name for name in variants.VARIANTS if not name.startswith(others)}
    assert len(FILES) == 81 + 20 + 3
