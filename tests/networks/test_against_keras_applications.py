"""A network of the package's parts against the ResNet-50 that Keras itself brings."""

from typing import Any

import keras
import pytest

import resnet_layers as rl
from tests.support.keras_applications import variable_pairs
from tests.support.randomize import images, randomize, relative_difference

# Its dialect: the first publication's ResNet. Its padding is torch's, written as layers.
STYLE = rl.BlockStyle(
    epsilon=1.001e-5,
    momentum=0.99,
    use_bias=True,
    padding="symmetric",
    strides_on="first",
    kernel_initializer="zeros",  # there at once; the test replaces them
)
# Both networks do the same operations in the same order. The bounds leave room for a convolution
# that sums its terms in another order on another machine. In training our normalization does so in
# float32, too, and what is normalized by few pixels amplifies rounding; in float64 it does not.
INFERENCE = (False, "float32", 1e-5)
TRAINING = (True, "float64", 1e-12)


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


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    ("create", "shape"), [(composed_resnet50, (65, 97, 3)), (variant_resnet50, (64, 64, 3))]
)
def test_resnet50_equals_keras_applications(create: Any, shape: tuple[int, int, int]) -> None:
    stock = keras.applications.ResNet50(weights=None, input_shape=shape, classes=10)
    model = create()
    randomize(stock)
    for ours, theirs in variable_pairs(model, stock):
        ours.assign(theirs)

    blocks = ("conv2_block3", "conv3_block4", "conv4_block6", "conv5_block3")
    names = ["conv1_relu", *(f"{block}_out" for block in blocks), "predictions"]
    image = images(2, *shape)
    ours, theirs = model, stock
    for training, dtype, tolerance in (INFERENCE, TRAINING):
        if dtype != "float32":
            ours, theirs = rl.with_dtype(model, dtype), rl.with_dtype(stock, dtype)
        outputs = [theirs.get_layer(name).output for name in names]
        expected = keras.Model(theirs.input, outputs)(image, training=training)
        maps = ours.features(image, training=training)
        actual = [*maps.values(), ours.head(maps["stage4"])]
        for name, left, right in zip(names, actual, expected, strict=True):
            assert left.dtype == right.dtype == dtype
            assert relative_difference(left, right) < tolerance, f"{name}, {training=}"
        for left, right in variable_pairs(ours, theirs):  # after training: moving statistics
            assert relative_difference(left, right) < tolerance, left.path
