"""What is timed side by side: a network of the package and the same one without the package."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import resnet_layers as rl
from benchmarks.harness import devices, flat
from benchmarks.harness.execution import Execution
from tests.support.keras_applications import variable_pairs
from tests.support.randomize import images, randomize, relative_difference, value

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# By arithmetic: the largest difference over the largest value; for less than float32, the root
# mean square of the difference over that of the values.
LARGEST = {"float32": 1e-4, "tf32": 0.01, "bfloat16": 0.05}
LARGEST_CHANGE = {"float32": 0.01, "tf32": 0.1, "bfloat16": 0.3}
PIXELS = (56, 56)  # the map that the parts take, as in the first stage of ResNet-50


@dataclass(frozen=True)
class Kind:
    """A network that is compared.

    Args:
        shape: Of an image, or of the map that a part takes.
        ours: Makes ours: shape, classes and policy of precision.
        stock: Makes its twin: shape and classes.
        baseline: Whose the twin is.
    """

    shape: tuple[int, ...]
    ours: Callable[[tuple[int, ...], int, str], Any]
    stock: Callable[[tuple[int, ...], int], Any]
    baseline: str = "stock layers"


def _part(make: Callable[[int, str], Any]) -> Callable[..., Any]:
    """A model of a layer and the means over the pixels."""

    def ours(shape: tuple[int, ...], classes: int, policy: str) -> Any:
        inputs = keras.Input(shape)
        outputs = make(shape[-1], policy)(inputs)
        means = keras.layers.GlobalAveragePooling2D(dtype=policy)(outputs)
        return keras.Model(inputs, means)

    return ours


def _variant(name: str) -> Callable[..., Any]:
    def ours(shape: tuple[int, ...], classes: int, policy: str) -> Any:
        return rl.ResNet.from_variant(name, classes=classes, input_shape=shape, dtype=policy)

    return ours


def _applications(name: str) -> Callable[..., Any]:
    def stock(shape: tuple[int, ...], classes: int) -> Any:
        make = getattr(keras.applications, name)
        return make(weights=None, input_shape=shape, classes=classes, classifier_activation=None)

    return stock


def _of_part(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda shape, classes: make(shape)


def _identity_block(channels: int, policy: str) -> Any:
    return rl.IdentityBlock(channels // 4, bottleneck=True, name="block", dtype=policy)


def _conv_block(channels: int, policy: str) -> Any:
    return rl.ConvBlock(channels // 2, bottleneck=True, strides=2, name="block", dtype=policy)


def _stage(channels: int, policy: str) -> Any:
    return rl.ResNetStage(channels // 2, 4, bottleneck=True, strides=2, name="block", dtype=policy)


_MAP = (*PIXELS, 256)
_IMAGE = (224, 224, 3)
KINDS = {
    "IdentityBlock": Kind(_MAP, _part(_identity_block), _of_part(flat.identity_block)),
    "ConvBlock": Kind(_MAP, _part(_conv_block), _of_part(flat.conv_block)),
    "ResNetStage": Kind(_MAP, _part(_stage), _of_part(flat.stage)),
    "cifar_resnet20": Kind((32, 32, 3), _variant("cifar_resnet20"), flat.cifar_resnet20),
    "resnet18": Kind(_IMAGE, _variant("resnet18"), flat.resnet18),
    "resnet50": Kind(_IMAGE, _variant("resnet50"), flat.resnet50),
    "keras_resnet50": Kind(
        _IMAGE, _variant("keras_resnet50"), _applications("ResNet50"), "keras.applications"
    ),
    "keras_resnet152": Kind(
        _IMAGE, _variant("keras_resnet152"), _applications("ResNet152"), "keras.applications"
    ),
    "resnext50_32x4d": Kind(_IMAGE, _variant("resnext50_32x4d"), flat.resnext50),
    "seresnet50": Kind(_IMAGE, _variant("seresnet50"), flat.seresnet50),
}


@dataclass(frozen=True)
class Pair:
    """A network, its twin, and their variables of equal meaning, which have equal values."""

    ours: Any
    stock: Any
    baseline: str
    shape: tuple[int, ...]
    classes: int
    variables: list[tuple[Any, Any]]

    def batch(self, count: int) -> tuple[Any, Any]:
        """Images, or maps, and labels."""
        return images(count, *self.shape), np.arange(count) % self.classes


def make(
    name: str,
    precision: str = "float32",
    *,
    size: int | None = None,
    classes: int = 1000,
    device: str = "cpu:0",
) -> Pair:
    """Both networks with equal random variables, statistics included.

    Args:
        name: Of `KINDS`.
        precision: `"float32"` or `"bfloat16"`: how both compute.
        size: Pixels on a side; `None` for those of the kind.
        classes: Number of classes of a network.
        device: Where the variables are.
    """
    kind = KINDS[name]
    shape = kind.shape if size is None else (size, size, kind.shape[-1])
    with devices.scope(device):
        ours = _damped(randomize(kind.ours(shape, classes, POLICIES[precision])))
        keras.config.set_dtype_policy(POLICIES[precision])
        try:
            stock = kind.stock(shape, classes)
        finally:
            keras.config.set_dtype_policy("float32")
    applications = kind.baseline == "keras.applications"
    pairs = variable_pairs(ours, stock) if applications else pairs_by_path(ours, stock)
    copy(pairs)
    return Pair(ours, stock, kind.baseline, shape, ours.output_shape[-1], pairs)


def _damped(network: Any) -> Any:
    """Makes bodies small beside shortcuts, as in trained networks.

    Else rounding is amplified from block to block: gradients of 50 random layers, each of them
    right to 1e-7, differ by 5 %.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, rl.IdentityBlock | rl.ConvBlock):
            gamma = layer.body[-1].normalization.gamma
            gamma.assign(0.1 * gamma)
    return network


def pairs_by_path(ours: Any, stock: Any) -> list[tuple[Any, Any]]:
    """Variables of equal path: all of both networks."""
    sources = {_key(variable): variable for variable in ours.weights}
    targets = {_key(variable): variable for variable in stock.weights}
    assert set(sources) == set(targets)
    return [(sources[key], targets[key]) for key in sources]


def copy(pairs: list[tuple[Any, Any]]) -> None:
    """Gives the second of each pair the value of the first."""
    for source, target in pairs:
        target.assign(source)


def arithmetic(precision: str, device: str) -> str:
    """What products are made of: by default GPUs keep ten bits of a float32, NVIDIA's TF32."""
    return "tf32" if precision == "float32" and device.startswith("gpu") else precision


def assert_same_output(
    ours: Any, stock: Any, precision: str = "float32", device: str = "cpu:0"
) -> float:
    """Equal results, and how far they differ."""
    products = arithmetic(precision, device)
    found = difference(ours, stock, products)
    assert found < LARGEST[products], f"results differ by {found:.1e}"
    return found


def assert_same_change(
    pair: Pair,
    ours: Execution,
    stock: Execution,
    precision: str = "float32",
    device: str = "cpu:0",
) -> float:
    """Equal losses, equal gradients of all kernels together, and equal statistics.

    Returns:
        How far the gradients differ.
    """
    assert_same_output(ours.first, stock.first, precision, device)
    products = arithmetic(precision, device)
    left, right = ours.learned(), stock.learned()
    gradients = []
    for one, other in pair.variables:
        a, b = left[id(one)], right[id(other)]
        if not one.trainable:
            found = difference(a, b, products)
            assert found < LARGEST_CHANGE[products], f"{one.path} changed otherwise: {found:.1e}"
        elif one.name == "kernel":  # biases before normalization have none but rounding
            assert np.any(a), f"{one.path} did not change"
            gradients.append((a.ravel(), b.ravel()))
    a, b = map(np.concatenate, zip(*gradients, strict=True))
    found = difference(a, b, "bfloat16")
    assert found < LARGEST_CHANGE[products], f"kernels changed otherwise: {found:.1e}"
    return found


def difference(a: Any, b: Any, products: str) -> float:
    """How far values differ: see `LARGEST`."""
    a, b = value(a).astype("float64"), value(b).astype("float64")
    if products == "float32":
        return relative_difference(a, b)
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


def _key(variable: Any) -> str:
    # Names of layers in the functional API cannot hold a slash.
    return str(variable.path).replace("/", "_")
