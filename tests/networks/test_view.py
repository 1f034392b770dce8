"""`functional_view` and `summary`: a network as others look at it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from tests.support.cases import CASES, Case
from tests.support.randomize import images, randomize, value

MODELS = [case for case in CASES if isinstance(case.example, rl.ResNet)]
every_model = pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)


@pytest.mark.slow
@pytest.mark.share(2)
@every_model
def test_view_computes_and_trains_as_the_network(case: Case) -> None:
    model = randomize(case.create())
    view = rl.functional_view(model)
    x = images(*case.input_shape)
    np.testing.assert_array_equal(value(view(x)), value(model(x)))
    np.testing.assert_array_equal(view.predict(x, verbose=0), model.predict(x, verbose=0))
    assert {id(v) for v in view.variables} == {id(v) for v in model.variables}
    assert {id(v) for v in view.trainable_variables} == {id(v) for v in model.trainable_variables}
    before = [value(v) for v in model.trainable_variables]
    view.compile("sgd", "mse")
    view.fit(x, np.ones(value(model(x)).shape), verbose=0)
    after = [value(v) for v in model.trainable_variables]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    np.testing.assert_array_equal(value(view(x)), value(model(x)))


@pytest.mark.share(2)
@every_model
def test_view_leaves_the_network_as_it_was(case: Case, tmp_path: Path) -> None:
    model = case.create()
    before = [(layer.name, len(layer._inbound_nodes)) for layer in model._flatten_layers()]
    view = rl.functional_view(model)
    assert before == [(layer.name, len(layer._inbound_nodes)) for layer in model._flatten_layers()]
    x = images(*case.input_shape)
    for one in (model, view):
        one.save(tmp_path / "one.keras")
        again = keras.saving.load_model(tmp_path / "one.keras")
        np.testing.assert_array_equal(value(again(x)), value(model(x)))


def test_view_is_flat_and_named_by_places() -> None:
    stem = keras.Sequential([keras.layers.Resizing(16, 16), rl.Stem(4)], name="mine")
    model = rl.ResNet(stem, [rl.ResNetStage(4, 2), rl.ResNetStage(8, 1)], rl.ClassifierHead(3))
    view = rl.functional_view(model)
    assert keras.Model(view.input, view.get_layer("stage1_block2_conv2_normalization").output)
    for operation in view.operations:
        keras.Model(view.input, operation.output)
    names = [layer.name for layer in view.layers]
    assert names[:3] == ["inputs", "stem", "stage1_block1_conv1_convolution"]
    assert view.get_layer("stage2_block1_projection_normalization").axis == -1
    assert names[-2:] == ["head_pool", "head_dense"]
    assert [tuple(x.shape) for x in (*view.inputs, *view.outputs)] == [
        (None, None, None, 3),
        (None, 3),
    ]
    assert not any(isinstance(layer, (rl.ConvNorm, rl.ConvBlock)) for layer in view.layers)
    kinds = {type(operation).__name__ for operation in view.operations}
    assert "Cast" not in kinds


@pytest.mark.share(4)
@pytest.mark.parametrize(
    "variant", ["resnet26d", "seresnet50", "resnetv2_50x1_bit", "resnetblur50"]
)
def test_views_of_variants(variant: str) -> None:
    model = randomize(rl.ResNet.from_variant(variant, classes=3, dtype="mixed_bfloat16"))
    x = images(1, 32, 32, 3)
    np.testing.assert_array_equal(value(rl.functional_view(model)(x)), value(model(x)))


@pytest.mark.parametrize("activation", ["mish", "hard_silu"])
def test_views_of_activations_that_take_no_symbolic_tensors(
    activation: str, tmp_path: Path
) -> None:
    style = rl.BlockStyle(activation=activation)
    keywords: dict[str, Any] = {"style": style, "dtype": "mixed_bfloat16"}
    parts = rl.Stem(4, **keywords), [rl.ResNetStage(4, 2, **keywords)]
    view = rl.functional_view(randomize(model := rl.ResNet(*parts)))
    x = images(1, 32, 32, 3)
    np.testing.assert_array_equal(value(view(x)), value(model(x)))
    view.save(tmp_path / "one.keras")
    np.testing.assert_array_equal(
        value(keras.saving.load_model(tmp_path / "one.keras")(x)), value(model(x))
    )


@keras.saving.register_keras_serializable("resnet_layers_tests")
class _Silent(rl.Stem):
    """Does something else in training, and has a loss."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        y = super().call(inputs, training=training)
        self.add_loss(keras.ops.sum(y))
        return 0.0 * y if training else y


@pytest.mark.parametrize("stem", ["derived", "regularized", "half"])
def test_parts_that_do_more_than_their_layers_are_viewed_as_they_are(stem: str) -> None:
    made: Any = {
        "derived": lambda: _Silent(4),
        "regularized": lambda: rl.Stem(4, activity_regularizer="l2"),
        "half": lambda: rl.Stem(4, dtype="mixed_bfloat16"),
    }
    dtype = "float32" if stem == "half" else None
    model = rl.ResNet(made[stem](), [rl.ResNetStage(4, 1, dtype=dtype)], rl.ClassifierHead(3))
    view, x = rl.functional_view(randomize(model)), images(2, 32, 32, 3)
    for training in (False, True):
        np.testing.assert_array_equal(
            value(view(x, training=training)), value(model(x, training=training))
        )
        assert list(map(float, view.losses)) == list(map(float, model.losses))
    assert stem == "half" or len(view.losses) == 1


class _Longer(rl.ResNet):
    """A derived class with a layer and a `call` of its own."""

    def __init__(self, name: str | None = None) -> None:
        parts = rl.Stem(4, name="first"), [rl.ResNetStage(4, 2, name="second")]
        super().__init__(*parts, name=name)
        self.pool = keras.layers.GlobalAveragePooling2D(name="third")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.pool(super().call(inputs, training=training))


def test_derived_classes_are_viewed_by_their_call() -> None:
    model, x = _Longer(), images(2, 32, 32, 3)
    view = rl.functional_view(model)
    assert view.layers[-1].name == "third"
    np.testing.assert_array_equal(value(view(x)), value(model(x)))


def _lines(model: Any, **keywords: Any) -> list[str]:
    printed: list[str] = []
    model.summary(print_fn=printed.append, line_length=100, **keywords)
    return [line for line in printed[0].splitlines() if "(" in line]


def test_summary_shows_stages_and_blocks() -> None:
    model = _Longer()
    rows = [line.split("│")[1].strip() for line in _lines(model) if "│" in line]
    assert rows == [
        "first (Stem)",
        "second (ResNetStage)",
        "└ block1 (ConvBlock)",
        "└ block2 (IdentityBlock)",
        "third (GlobalAveragePooling2D)",
    ]
    assert len(_lines(model, expand_nested=False)) == len(_lines(model)) - 2
    assert (
        "(None, 8, 8, 4)"
        in _lines(rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], None, input_shape=(32, 32, 3)))[2]
    )
    assert f" {model.count_params():,} " in "\n".join(_lines(model))


def test_summary_inside_another_model_shows_parts_and_their_own_shows_blocks() -> None:
    outer = keras.Sequential([keras.Input((32, 32, 3)), _Longer(name="inner")])
    shown = "\n".join(_lines(outer, expand_nested=True))
    for name in ("inner (_Longer)", "└ first (Stem)", "└ second (ResNetStage)"):
        assert name in shown
    assert "└ block2 (IdentityBlock)" in "\n".join(_lines(outer.get_layer("inner")))


def test_a_range_of_a_summary_is_of_parts_and_their_blocks() -> None:
    rows = [line for line in _lines(_Longer(), layer_range=("second", "third")) if "│" in line]
    assert [row.split("│")[1].split("(")[0].strip(" └") for row in rows] == [
        *("second", "block1", "block2", "third"),
    ]


def test_nothing_of_ours_has_a_list_of_layers() -> None:
    """Keras' files would store what it holds a second time."""
    for case in CASES:
        assert "layers" not in dir(case.example), case.name
