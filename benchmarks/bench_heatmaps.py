"""Heat maps, beside one forward and one backward pass of the same classifier."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from keras import ops

import resnet_layers as rl
from benchmarks.harness.paired import stopwatch
from resnet_layers.analysis.gradients import gradient
from resnet_layers.analysis.heatmaps.maps import Method

# Network, images, their pixels, stage, method.
Case = tuple[str, int, int, str, str]
CASES: list[Case] = [("resnet50", 32, 224, "stage4", "grad_cam")]
SMOKE: list[Case] = [("cifar_resnet20", 2, 32, "stage3", "grad_cam")]
FULL: list[Case] = [
    *CASES,
    ("resnet50", 32, 224, "stage4", "grad_cam++"),
    ("resnet50", 32, 224, "stage4", "hires_cam"),
    ("resnet50", 32, 224, "stage1", "grad_cam"),
    ("resnet18", 32, 224, "stage4", "grad_cam"),
]
PASSES = "forward and backward pass"
MOST = 1.2  # times as long as these


def test_heat_maps(compare: Callable[..., Any], case: Case) -> None:
    """The backward pass is the one to the images; TensorFlow's finds those by weights as well."""
    name, count, size, stage, method = case
    model = rl.ResNet.from_variant(name)
    images = np.random.default_rng(0).standard_normal((count, size, size, 3), "float32")
    classes = np.zeros(count, "int64")

    def score(x: Any) -> tuple[Any, None]:
        return ops.sum(model(x, training=False)[:, 0]), None

    def passes() -> Any:
        return ops.convert_to_numpy(gradient(score, ops.convert_to_tensor(images))[0])

    def maps() -> Any:
        return rl.grad_cam(model, images, classes, stage, method=cast("Method", method))

    passes()
    maps()
    compare(
        "heat maps",
        {
            "network": name,
            "method": method,
            "stage": stage,
            "batch": f"batch {count}",
            "size": f"{size} px",
        },
        {PASSES: stopwatch(passes), "ours": stopwatch(maps)},
        PASSES,
        goals={"ours": 1 / MOST},
    )
