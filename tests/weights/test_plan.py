"""The plan of a network's tensors: complete, without names twice, and inverse to itself."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.weights import dialects, plan
from tests.support.randomize import randomize, value
from tests.support.strategies import make_stage, stages
from tests.weights.test_reading import TINY, assert_untouched, keras_original, tensors
from tests.weights.test_saving import KINDS


def make_any(arguments: dict[str, Any]) -> rl.ResNet:
    """A network around a stage of any geometry and style."""
    stage, channels = make_stage({**arguments, "name": "stage1"})
    style = rl.BlockStyle.from_config(arguments["style"])
    norm = rl.NormAct(style, name="norm") if style.preactivation else None
    head = rl.ClassifierHead(2, name="head")
    return rl.ResNet(rl.Stem(channels, style=style, name="stem"), [stage], head, norm=norm)


# What both of timm's modules have names for.
STAGES = st.one_of(
    stages(preactivation=False),
    stages(preactivation=True, normalize_shortcut=False, attention=None),
)


@pytest.mark.share(6)
@given(STAGES)
def test_plan_names_every_variable_once(arguments: dict[str, Any]) -> None:
    model = make_any(arguments)
    rows = plan.named_tensors(model, plan.torch_dialect(model))
    assert len({row.name for row in rows}) == len(rows)
    variables = [id(row.variable) for row in rows if row.variable is not None]
    assert sorted(variables) == sorted(id(variable) for variable in model.weights)


@pytest.mark.slow
@pytest.mark.share(2)
@given(STAGES)
def test_tensors_of_a_model_load_into_its_twin(arguments: dict[str, Any]) -> None:
    model, twin = randomize(make_any(arguments)), make_any(arguments)
    for row in plan.named_tensors(model, plan.torch_dialect(model)):
        if row.variable is not None:
            assert row.to_source(value(row.variable)).shape == row.shape, row.name
    source = tensors(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numerics are of any kind here
        rl.load_weights_from(twin, source)
    assert_untouched(twin, model.get_weights())


@pytest.mark.share(8)
@pytest.mark.parametrize("variant", [*KINDS, "keras_resnet50", "keras_resnet50v2"])
def test_names_tell_the_part(variant: str) -> None:
    """So that the tensors of a skipped part are known, whatever blocks it has there."""
    changes = {"strides": (1, 2)} if "v2" in variant else KINDS.get(variant, {})
    model = rl.ResNet.from_variant(variant, **{**TINY, **changes})
    dialect = plan.torch_dialect(model)
    if variant.startswith("keras"):
        dialect = plan.keras_dialect(model)
    rows = plan.named_tensors(model, dialect)
    assert {row.part for row in rows} == set(plan.named_parts(model))
    for row in rows:
        assert dialect.part_of(row.name) == row.part, row.name


@pytest.mark.parametrize("skip", [("stem",), ("stage2", "head"), ("stem", "stage1", "stage2")])
def test_skipped_parts_have_no_rows(skip: tuple[str, ...]) -> None:
    model = rl.ResNet.from_variant("resnetv2_18", **TINY)
    rows = plan.named_tensors(model, dialects.TIMM_V2, skip)
    assert {row.part for row in rows} == set(plan.named_parts(model)) - set(skip)


def test_names_of_unknown_parts_belong_to_none() -> None:
    for name in ("fc2.weight", "layers1.0.conv1.weight", "xconv1.weight", "stem.conv.weight", ""):
        assert dialects.TIMM.part_of(name) is None


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("variant", ["keras_resnet50", "keras_resnet50v2"])
def test_plan_is_a_bijection_with_keras_applications(variant: str) -> None:
    theirs = keras_original(variant)
    expected = {
        f"{layer.name}/{variable.name}": tuple(variable.shape)
        for layer in theirs.layers
        for variable in layer.weights
    }
    model = rl.ResNet.from_variant(variant, classes=7, kernel_initializer="zeros")
    rows = plan.named_tensors(model, plan.keras_dialect(model))
    assert {row.name: row.shape for row in rows} == expected
    assert len(rows) == len(expected) == len(model.weights)


@pytest.mark.slow
@pytest.mark.share(2)
def test_dialect_follows_the_style() -> None:
    for name, row in variants.VARIANTS.items():
        if name.startswith(("resnetv2", "keras", "article")) or row.parameters > 15e6:
            continue
        model = rl.ResNet.from_variant(name, kernel_initializer="zeros")
        video = name in ("r3d_18", "mc3_18")
        assert plan.torch_dialect(model) is (dialects.TORCHVISION_VIDEO if video else dialects.TIMM)
        assert plan.keras_dialect(model) is dialects.KERAS
