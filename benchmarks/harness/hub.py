"""keras-hub's ResNet-50, with the values of ours."""

import re
from typing import Any

PART = re.compile(r"stack(\d)_block(\d+)_(\d)_(conv|bn)/(\w+)")
WHOLE = {"conv1_conv": "stem/conv/convolution", "conv1_bn": "stem/conv/normalization"}
UNITS = {"conv": "convolution", "bn": "normalization"}


def resnet50(ours: Any, classes: int) -> Any:
    """Has torchvision's strides and numbers, as `resnet50` here. Takes the global policy."""
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=ours.input_shape,
    )
    network = keras_hub.models.ResNetImageClassifier(backbone=backbone, num_classes=classes)
    sources = {variable.path: variable for variable in ours.weights}
    for variable in network.weights:
        variable.assign(sources.pop(path_of_ours(variable.path)))
    assert not sources
    return network


def path_of_ours(path: str) -> str:
    """Where ours has the variable that keras-hub has there."""
    layer, _, name = path.rpartition("/")
    if layer == "predictions":
        return f"head/dense/{name}"
    if layer in WHOLE:
        return f"{WHOLE[layer]}/{name}"
    found = PART.fullmatch(path)
    assert found, path
    stack, block, number, kind, name = found.groups()
    unit = f"conv{number}" if int(number) else "projection"
    return f"stage{int(stack) + 1}/block{int(block) + 1}/{unit}/{UNITS[kind]}/{name}"
