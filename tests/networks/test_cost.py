"""Parameters and multiply-adds that are counted without a network."""

import keras
import pytest

import resnet_layers as rl
from benchmarks.harness import roofline
from resnet_layers.networks import variants
from resnet_layers.networks.cost import Cost, cost_of
from resnet_layers.networks.variant import Variant

# The networks that `cost_of` is for: of images, regular, with the strides in the first blocks.
REGULAR = [
    name
    for name, row in ((name, variants.find(name)) for name in variants.VARIANTS)
    if not row.widths
    and not row.head
    and row.layout.rank == 2
    and row.style.strided_block == "first"
]


def counted(name: str, shape: tuple[int, int, int]) -> Cost:
    return cost_of(variants.find(name), 10, shape)


def test_most_variants_are_regular() -> None:
    assert len(REGULAR) > 90


@pytest.mark.parametrize("name", REGULAR)
def test_trainable_parameters_are_those_of_the_row(name: str) -> None:
    row = variants.find(name)
    cost = cost_of(row, 1000, (224, 224, 3))
    frozen = _moving_statistics(row) if row.style.normalization == "batch" else 0
    assert cost.parameters - frozen == variants.row(name).parameters


def _moving_statistics(row: Variant) -> int:
    """Half of the numbers of normalization: what is left when there is none."""
    bare = row.override(normalization=None)[0]
    normalization = cost_of(row, 1, (8, 8, 3)).parameters - cost_of(bare, 1, (8, 8, 3)).parameters
    return normalization // 2


@pytest.mark.share(8)
@pytest.mark.parametrize(
    "name",
    [
        *("cifar_resnet20", "resnet18d", "resnetv2_18", "test_resnet"),
        *("seresnet18", "ecaresnet26t", "resnetblur18"),
    ],
)
@pytest.mark.parametrize("shape", [(33, 46, 3), (1, 1, 4), (64, 64, 1)], ids=str)
def test_cost_is_that_of_the_built_network(name: str, shape: tuple[int, int, int]) -> None:
    model = rl.ResNet.from_variant(name, classes=10, input_shape=shape, kernel_initializer="zeros")
    cost = counted(name, shape)
    assert cost.parameters == model.count_params()
    operations, _ = roofline.count(model, (1, *shape))
    assert 2 * cost.macs == operations


def test_nothing_is_allocated() -> None:
    keras.backend.clear_session()
    wide = variants.find("resnet50").override(filters=(2**20, 2**21, 2**22, 2**23))[0]
    assert cost_of(wide, 1000, (224, 224, 3)).parameters > 2**46
