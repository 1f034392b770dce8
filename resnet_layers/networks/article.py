"""`ResNet34`: the network of the article."""

from collections.abc import Sequence

from resnet_layers._support import checks
from resnet_layers.networks.model import ResNet


def ResNet34(shape: Sequence[int] = (32, 32, 3), classes: int = 10) -> ResNet:  # noqa: N802
    """The article's ResNet-34: `softmax(dense(relu(dense(flatten(average(stages(stem(x))))))))`.

    It has Keras' defaults throughout: `"same"` padding, biases, batch normalization with epsilon
    1e-3 and momentum 0.99. Its shortcuts are 1×1 convolutions without normalization. Use
    `ResNet.from_variant("resnet34")` for the network that published weights belong to.

    Args:
        shape: Height and width in pixels, and the number of channels; all known.
        classes: Number of classes, positive.

    Returns:
        A built `ResNet` named `"ResNet34"`, from images to probabilities.

    Raises:
        TypeError: If a size is unknown.
        ValueError: If a size is not positive.

    Example:

    >>> ResNet34(shape=(32, 32, 3), classes=10).count_params()
    21574410
    """
    return ResNet.from_variant(
        "article_resnet34",
        classes=classes,
        input_shape=checks.integers("shape", shape),
        classifier_activation="softmax",
        name="ResNet34",
    )
