"""Heat maps of pytorch-grad-cam in a process without TensorFlow, after which torch may not load.

`python -m tests.analysis.their_maps LIBRARY NETWORK IN.npz OUT.npz` reads `images`, channels last,
and `classes`; it writes the network's weights, and each map as large as the network makes it
(`small/`) and as large as the image (`large/`).
"""

import sys
from typing import Any

import numpy as np

METHODS = {"grad_cam": "GradCAM", "grad_cam++": "GradCAMPlusPlus", "hires_cam": "HiResCAM"}
STAGES = ("stage2", "stage3", "stage4")
NEEDS = ("torch", "torchvision", "timm", "pytorch_grad_cam")


def network(library: str, name: str) -> Any:
    """With random weights, and statistics that hide nothing.

    In float64: in float32 a unit or two, whose input is nearly 0, is off where it should be on, and
    what they pass back of a gradient is as large as that of others.
    """
    import torch

    torch.manual_seed(0)
    if library == "torchvision":
        from torchvision.models import get_model as make
    else:
        from timm import create_model as make
    model = make(name).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.1)
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
        model.fc.weight.abs_()  # or nothing may speak for a class
    return model.double()


def maps(model: Any, stage: str, method: str, images: Any, classes: Any) -> tuple[Any, Any]:
    """As large as the network makes them, and as large as the images; of the top class for none."""
    import pytorch_grad_cam
    import torch
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layer = getattr(model, stage.replace("stage", "layer"))
    made = getattr(pytorch_grad_cam, METHODS[method])(model, [layer])
    small: list[Any] = []
    before = made.get_cam_image

    def keep(*arguments: Any) -> Any:
        small.append(before(*arguments))
        return small[-1]

    made.get_cam_image = keep
    targets = None if classes is None else [ClassifierOutputTarget(one) for one in classes]
    with made:
        large = made(torch.from_numpy(images).permute(0, 3, 1, 2), targets)
    return np.maximum(small[0], 0), large


def main(library: str, name: str, given: str, wanted: str) -> None:
    """Reads, makes and writes all."""
    data, model = np.load(given), network(library, name)
    images, classes = data["images"].astype("float64"), data["classes"].tolist()
    found = {f"weights/{key}": value.numpy() for key, value in model.state_dict().items()}
    for method in METHODS:
        for stage in STAGES:
            key = f"{stage}/{method}"
            found[f"small/{key}"], found[f"large/{key}"] = maps(
                model, stage, method, images, classes
            )
        _, found[f"top/{method}"] = maps(model, STAGES[-1], method, images, None)
    np.savez(wanted, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
