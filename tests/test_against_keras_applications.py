"""A network of the package's parts against the ResNet-50 that Keras itself brings."""

from typing import Any

import keras
import pytest

import resnet_layers as rl
from tests.randomize import images, randomize, relative_difference

# Its dialect: the first publication's ResNet. Its padding is torch's, written as layers.
STYLE = rl.BlockStyle(
    epsilon=1.001e-5,
    momentum=0.99,
    use_bias=True,
    padding="symmetric",
    strides_on="first",
    kernel_initializer="zeros",  # there at once; the test replaces them
)
# Both networks do the same operations in the same order. The bound leaves room for a convolution
# that sums its terms in another order on another machine.
TOLERANCE = 1e-5


def composed_resnet50() -> rl.ResNet:
    """ResNet-50 from public parts, without the table of variants."""
    filters, blocks = (64, 128, 256, 512), (3, 4, 6, 3)
    stages = [
        rl.ResNetStage(
            width, count, strides=1 if i == 0 else 2, bottleneck=True, style=STYLE, name=f"s{i}"
        )
        for i, (width, count) in enumerate(zip(filters, blocks, strict=True))
    ]
    head = rl.ClassifierHead(10, activation="softmax")
    return rl.ResNet(rl.Stem(64, style=STYLE), stages, head)


def variant_resnet50() -> rl.ResNet:
    """ResNet-50 from the table, in another dialect."""
    return rl.ResNet.from_variant(
        "resnet50", classes=10, classifier_activation="softmax", **STYLE.get_config()
    )


def layer_pairs(model: rl.ResNet, stock: keras.Model) -> list[tuple[Any, Any]]:
    """Our layers with variables, and theirs."""
    head: Any = model.head
    pairs = [(model.stem.conv, "conv1"), (head.dense, "predictions")]
    for s, stage in enumerate(model.stages, start=2):
        for b, block in enumerate(stage.block_layers, start=1):
            name = f"conv{s}_block{b}"
            pairs += [(layer, f"{name}_{i}") for i, layer in enumerate(block.body, start=1)]
            if isinstance(block, rl.ConvBlock):
                pairs.append((block.projection, f"{name}_0"))
    layers = []
    for ours, name in pairs:
        if isinstance(ours, rl.ConvNorm):
            layers.append((ours.convolution, stock.get_layer(f"{name}_conv")))
            layers.append((ours.normalization, stock.get_layer(f"{name}_bn")))
        else:
            layers.append((ours, stock.get_layer(name)))
    return layers


def variable_pairs(model: rl.ResNet, stock: keras.Model) -> list[tuple[Any, Any]]:
    """Variables of equal meaning: all of both networks."""
    pairs: list[tuple[Any, Any]] = []
    for ours, theirs in layer_pairs(model, stock):
        assert [v.name for v in ours.weights] == [v.name for v in theirs.weights]
        pairs += zip(ours.weights, theirs.weights, strict=True)
    for side, network in enumerate((model, stock)):
        assert {id(pair[side]) for pair in pairs} == {id(v) for v in network.weights}
    return pairs


@pytest.mark.parametrize(
    ("create", "shape"), [(composed_resnet50, (65, 97, 3)), (variant_resnet50, (64, 64, 3))]
)
def test_resnet50_equals_keras_applications(create: Any, shape: tuple[int, int, int]) -> None:
    stock = keras.applications.ResNet50(weights=None, input_shape=shape, classes=10)
    model = create()
    randomize(stock)
    for ours, theirs in variable_pairs(model, stock):
        ours.assign(theirs)

    head: Any = model.head
    blocks = ("conv2_block3", "conv3_block4", "conv4_block6", "conv5_block3")
    names = ["conv1_relu", *(f"{block}_out" for block in blocks), "predictions"]
    extractor = keras.Model(stock.input, [stock.get_layer(name).output for name in names])
    image = images(2, *shape)
    for training in (False, True):
        expected = extractor(image, training=training)
        maps = model.features(image, training=training)
        actual = [*maps.values(), head(maps["stage4"])]
        for name, left, right in zip(names, actual, expected, strict=True):
            difference = relative_difference(left, right)
            assert difference < TOLERANCE, f"{name}, {training=}"
        for ours, theirs in variable_pairs(model, stock):  # after training: moving statistics
            assert relative_difference(ours, theirs) < TOLERANCE, ours.path
