"""The search space: its hyperparameters, its networks, its budgets."""

import copy
import itertools
import pickle
import random
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers.networks import variants
from resnet_layers.networks.cost import cost_of
from resnet_layers.tuning import HyperResNet, Range, build_model, network
from resnet_layers.tuning.parts import KINDS, OPTIMIZERS, PRESETS, STEMS
from tests.support.measured import MACHINE

SHAPE = (12, 16, 3)
# Every value that can be counted up, and small numbers.
OPEN: dict[str, Any] = {
    **{name: list(kind) for name, kind in KINDS.items() if isinstance(kind, tuple)},
    "stages": [2, 1, 3],
    "blocks": Range(1, 2),
    "width": [8, 16],
    "groups": [1, 4],
    "inner_width": [1, 2],
    "attention_ratio": [0.125, 0.5],
    "image_size": [12, 9, 20],
    "learning_rate": Range(1e-3, 1e-1, log=True),
    "weight_decay": [0.0, 1e-4],
}
ONE: dict[str, Any] = {  # a space of one point
    **{name: kind[0] for name, kind in KINDS.items() if isinstance(kind, tuple)},
    "stages": 2,
    "blocks": 1,
    "width": 8,
    "groups": 1,
    "inner_width": 1,
    "attention_ratio": 0.25,
    "drop_path": 0.0,
    "dropout": 0.0,
    "image_size": None,
    "learning_rate": 0.05,
    "weight_decay": 1e-4,
    "warmup": 0.0,
    "label_smoothing": 0.0,
}
open_space = HyperResNet(5, SHAPE, **OPEN)


def sampled(hypermodel: HyperResNet, seed: int) -> Any:
    """Hyperparameters with random values, as an oracle would draw them."""
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    rng = random.Random(seed)
    for parameter in hp.space:
        hp.values.pop(parameter.name, None)
        if hp.is_active(parameter):
            hp.values[parameter.name] = parameter.random_sample(rng.getrandbits(30))
    return hp


def described(hp: Any) -> list[Any]:
    return hp.get_config()["space"]


@given(seed=st.integers(0, 2**30))
def test_space_is_the_same_whatever_is_sampled(seed: int) -> None:
    rng = random.Random(seed)
    hp = keras_tuner.HyperParameters()
    hp.values = {p["config"]["name"]: rng.choice(_values(p)) for p in described(WHOLE)}
    open_space.declare_hyperparameters(hp)
    assert described(hp) == described(WHOLE)


def _values(parameter: Any) -> list[Any]:
    config = parameter["config"]
    if parameter["class_name"] == "Boolean":
        return [False, True]
    return config.get("values") or [config["min_value"], config["max_value"]]


WHOLE = sampled(open_space, 0)


def test_names_are_unique_and_stable() -> None:
    names = [parameter.name for parameter in WHOLE.space]
    assert names == [
        *("stages", "stage1_blocks", "stage2_blocks", "stage3_blocks", "width", "block", "groups"),
        *("inner_width", "stem", "shortcut", "preactivation", "normalization", "activation"),
        *("attention", "attention_ratio", "anti_aliasing", "drop_path", "dropout", "image_size"),
        "optimizer",
        *(f"{optimizer}_learning_rate" for optimizer in OPTIMIZERS),
        *(f"{optimizer}_weight_decay" for optimizer in OPTIMIZERS),
        *("schedule", "warmup", "label_smoothing", "augmentation", "mixup"),
    ]


def test_what_is_not_always_active_is_conditional() -> None:
    conditions = {p.name: [(c.name, c.values) for c in p.conditions] for p in WHOLE.space}
    assert conditions["stage1_blocks"] == []
    assert conditions["stage3_blocks"] == [("stages", [3])]
    assert conditions["groups"] == [("block", ["bottleneck"])]
    assert conditions["warmup"] == [("schedule", ["cosine"])]
    assert conditions["lion_weight_decay"] == [("optimizer", ["lion"])]


def test_a_tuner_builds_one_network_before_its_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = []
    hypermodel = HyperResNet(5, SHAPE, **OPEN)

    def tiny(hp: Any) -> rl.ResNet:
        built.append(hp)
        return rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(5))

    monkeypatch.setattr(hypermodel, "make_model", tiny)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=2)
    keras_tuner.Tuner(oracle, hypermodel, directory=tmp_path)
    assert len(built) == 1
    assert described(oracle.hyperparameters) == described(WHOLE)


@pytest.mark.share(4)
@pytest.mark.parametrize("seed", range(8))
def test_a_sample_is_a_plain_network_of_the_counted_cost(seed: int) -> None:
    hp = sampled(open_space, seed)
    model = open_space.build(hp)
    assert type(model) is rl.ResNet
    assert model.output_shape == (None, 5)
    assert model.count_params() == open_space.budget.cost(open_space.space.sample(hp)).parameters
    config = keras.saving.serialize_keras_object(model)
    assert keras.saving.deserialize_keras_object(config).get_config() == model.get_config()


@pytest.mark.share(6)
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_many_samples_train(seed: int) -> None:
    hp = sampled(open_space, seed)
    model = open_space.build(hp)
    assert model.count_params() == open_space.budget.cost(open_space.space.sample(hp)).parameters
    images = np.random.default_rng(seed).normal(size=(10, *SHAPE)).astype("float32")
    history = open_space.fit(hp, model, images, np.arange(10) % 5, verbose=0).history
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize("preset", PRESETS)
def test_default_of_a_preset_is_a_known_network(preset: str) -> None:
    known = {
        "small-images": variants.find("cifar_resnet20").override(
            blocks=(2, 2, 2),
            filters=(32, 64, 128),
            shortcut="B",
            stem={"filters": 32},
            kernel_initializer=rl.BlockStyle().kernel_initializer,
        )[0],
        "imagenet": variants.find("resnet50"),
    }[preset]
    hypermodel = HyperResNet(1000, (224, 224, 3), preset=preset)
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    cost = hypermodel.budget.cost(hypermodel.space.sample(hp))
    assert cost == cost_of(known, 1000, (224, 224, 3))


@pytest.mark.parametrize(
    ("variant", "sample"),
    [
        ("resnet18", {"block": "basic", **{f"stage{i}_blocks": 2 for i in (1, 2, 3, 4)}}),
        ("resnet50d", {"stem": "deep", "shortcut": "D"}),
        ("resnext50_32x4d", {"groups": 32, "inner_width": 2}),
        ("wide_resnet50_2", {"inner_width": 2}),
        ("seresnet50", {"attention": "se"}),
        ("resnetblur50", {"anti_aliasing": "blur"}),
        ("resnet50_gn", {"normalization": "group"}),
        ("resnetv2_50", {"preactivation": True}),
        ("resnet101c", {"stage3_blocks": 23, "stem": "deep"}),
        ("ecaresnet50d", {"stem": "deep", "shortcut": "D", "attention": "eca"}),
    ],
)
def test_space_has_the_networks_that_have_names(variant: str, sample: dict[str, Any]) -> None:
    hypermodel = HyperResNet(1000, (224, 224, 3), preset="imagenet")
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    known = {
        parameter.name: parameter.values for parameter in hp.space if hasattr(parameter, "values")
    }
    for name, value in sample.items():
        assert value in known[name]
    hp.values |= sample
    hypermodel.declare_hyperparameters(hp)
    row, expected = network.row(hypermodel.space.sample(hp)), variants.find(variant)
    shape = (224, 224, 3)
    assert cost_of(row, 1000, shape) == cost_of(expected, 1000, shape)


def test_parts_are_fixed_narrowed_and_open() -> None:
    hypermodel = HyperResNet(
        3,
        SHAPE,
        width=8,
        block=["basic"],
        blocks={1: 1, 2: [1, 2], 3: Range(1, 3)},
        dropout=Range(0.1, 0.2),
        mixup=True,
        optimizer=["adamw", "lion"],
        learning_rate={"adamw": 1e-3, "lion": Range(1e-5, 1e-3, log=True)},
    )
    space = {p.name: p for p in sampled(hypermodel, 1).space}
    kinds = {name: type(p).__name__ for name, p in space.items()}
    assert kinds["width"] == kinds["mixup"] == kinds["stage1_blocks"] == "Fixed"
    assert kinds["stage2_blocks"] == "Choice"
    assert (space["stage3_blocks"].min_value, space["stage3_blocks"].max_value) == (1, 3)
    assert (space["dropout"].min_value, space["dropout"].max_value) == (0.1, 0.2)
    assert space["adamw_learning_rate"].value == 1e-3
    assert space["lion_learning_rate"].sampling == "log"
    assert not {"groups", "inner_width", "sgd_learning_rate"} & set(space)
    assert kinds["activation"] == "Choice"


@pytest.mark.parametrize(("width", "groups"), [(4, (1,)), ([32, 64], (1, 32)), (Range(4, 9), (1,))])
def test_groups_of_a_preset_give_way_to_the_width(width: Any, groups: tuple[int, ...]) -> None:
    hypermodel = HyperResNet(3, SHAPE, width=width, preset="imagenet")
    assert {e.name: e.part for e in hypermodel.space.entries}["groups"] == groups


def test_a_space_of_one_point_has_only_fixed_hyperparameters() -> None:
    hp = sampled(HyperResNet(3, SHAPE, **ONE), 0)
    assert {type(parameter).__name__ for parameter in hp.space} == {"Fixed"}


@pytest.mark.parametrize("stem", STEMS)
def test_network_takes_images_of_any_size_that_it_is_given(stem: str) -> None:
    hypermodel = HyperResNet(3, (None, None, 3), **{**ONE, "stem": stem, "image_size": 16})
    model = hypermodel.build(keras_tuner.HyperParameters())
    for pixels in ((16, 16), (31, 9), (1, 1)):
        assert model(np.ones((2, *pixels, 3), "float32")).shape == (2, 3)
    maps = model.features(np.ones((1, 40, 20, 3), "float32"))
    assert maps["stage1"].shape[1:3] == ((16, 16) if stem == "small" else (4, 4))


def test_values_that_somebody_set_are_taken() -> None:
    hp = keras_tuner.HyperParameters()
    hp.values = {"width": 16, "optimizer": "lion", "stages": 1}
    model = open_space.build(hp)
    assert model.stages[0].filters == 16
    assert len(model.stages) == 1
    assert isinstance(model.optimizer, keras.optimizers.Lion)
    assert "stage3_blocks" not in hp.values


def test_hyperparameters_can_be_overridden_as_keras_tuner_does_it() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("width", 24)  # not among the values of the space
    assert open_space.build(hp).stages[0].filters == 24


def test_names_live_in_name_scopes() -> None:
    hp = keras_tuner.HyperParameters()
    with hp.name_scope("left"):
        left = build_model(hp, 3, SHAPE, **ONE)
    with hp.name_scope("right"):
        right = build_model(hp, 3, SHAPE, **{**ONE, "width": 16})
    assert (left.stages[0].filters, right.stages[0].filters) == (8, 16)
    assert (hp.get("left/width"), hp.get("right/width")) == (8, 16)


def test_hypermodel_can_be_subclassed() -> None:
    class Mine(HyperResNet):
        def make_model(self, hp: Any) -> rl.ResNet:
            model = super().make_model(hp)
            units = hp.Int("units", 4, 8)
            head = keras.Sequential(
                [
                    keras.layers.GlobalMaxPooling2D(),
                    keras.layers.Dense(units),
                    keras.layers.Dense(3),
                ]
            )
            return rl.ResNet(model.stem, model.stages, head, norm=model.norm, input_shape=SHAPE)

        def compile_model(self, hp: Any, model: Any) -> None:
            super().compile_model(hp, model)
            model.optimizer.learning_rate = 0.5

    hp = keras_tuner.HyperParameters()
    model = Mine(3, SHAPE, **ONE).build(hp)
    assert hp.get("units") == 4
    assert float(model.optimizer.learning_rate) == 0.5


def test_dtype_is_the_policy_of_all_parts() -> None:
    hypermodel = HyperResNet(3, SHAPE, dtype="mixed_bfloat16", **{**ONE, "image_size": 16})
    model = hypermodel.build(keras_tuner.HyperParameters())
    assert model.stages[0].compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model(np.ones((1, *SHAPE))).dtype) == "float32"


BUDGET: dict[str, Any] = {**OPEN, "width": [64, 8, 256], "stages": [3, 2]}


@pytest.mark.slow
@pytest.mark.share(2)
@given(seed=st.integers(0, 2**30))
def test_no_sample_is_over_budget(seed: int) -> None:
    hypermodel = HyperResNet(5, SHAPE, max_parameters=30_000, max_macs=2e6, **BUDGET)
    hp = sampled(hypermodel, seed)
    drawn = dict(hp.values)
    hypermodel.budget.replace(hp)
    sample = hypermodel.space.sample(hp)
    cost = hypermodel.budget.cost(sample)
    assert cost.parameters <= 30_000
    assert cost.macs <= 2e6
    assert set(sample) == set(hp.values)  # no inactive ones
    for name in ("optimizer", "schedule", "label_smoothing"):
        assert hp.values[name] == drawn[name]
    again = sampled(hypermodel, seed)
    hypermodel.budget.replace(again)
    assert again.values == hp.values


@pytest.mark.share(6)
def test_no_network_is_slower_than_asked() -> None:
    parts = {**BUDGET, "image_size": None}
    hypermodel = HyperResNet(5, SHAPE, max_milliseconds=0.4, machine=MACHINE, **parts)
    budget, replaced = hypermodel.budget, 0
    for seed in range(20):
        hp = sampled(hypermodel, seed)
        before = budget.milliseconds(hypermodel.space.sample(hp))
        replaced += before > 0.4
        budget.replace(hp)
        sample = hypermodel.space.sample(hp)
        model = hypermodel.make_model(hp)
        found = rl.predict_latency(model, SHAPE, machine=MACHINE).milliseconds
        assert found == pytest.approx(budget.milliseconds(sample))
        assert found <= 0.4
    assert 0 < replaced < 20


@pytest.mark.share(6)
def test_a_sample_over_budget_is_replaced_before_a_variable_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hypermodel = HyperResNet(5, SHAPE, max_parameters=50_000, **{**BUDGET, "width": [8, 2**20]})
    hp = sampled(hypermodel, 0)
    hp.values["width"] = 2**20
    elements = []
    initialize = keras.Variable.__init__

    def counted(self: Any, initializer: Any, shape: Any = None, **kwargs: Any) -> None:
        initialize(self, initializer, shape=shape, **kwargs)
        elements.append(int(np.prod(self.shape)))

    monkeypatch.setattr(keras.Variable, "__init__", counted)
    model = hypermodel.build(hp)
    assert model.count_params() <= 50_000
    assert max(elements) < 50_000
    assert hp.values["width"] == 8
    values = dict(hp.values)
    assert hypermodel.build(hp).count_params() == model.count_params()
    assert hp.values == values


def test_defaults_are_within_the_budget() -> None:
    hypermodel = HyperResNet(5, SHAPE, max_parameters=50_000, **BUDGET)
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    sample = hypermodel.space.sample(hp)
    assert hypermodel.budget.cost(sample).parameters <= 50_000


@pytest.mark.parametrize("max_parameters", [44_000, 60_000])
def test_no_budget_is_refused_that_a_network_meets(max_parameters: int) -> None:
    """Bottlenecks are smaller than basic blocks, but with groups alone."""
    hypermodel = HyperResNet(10, (8, 8, 3), groups=[1, 8], max_parameters=max_parameters)
    assert hypermodel.budget.cost(hypermodel.budget.smallest).parameters <= max_parameters


@pytest.mark.slow
@pytest.mark.share(2)
@given(seed=st.integers(0, 2**30))
def test_smallest_network_is_the_smallest(seed: int) -> None:
    rng = random.Random(seed)
    parts: dict[str, Any] = {
        **ONE,
        "width": rng.sample([8, 16, 32], 2),
        "stages": rng.sample([1, 2, 3], 2),
        "block": ["basic", "bottleneck"],
        "groups": [1, 8],
        "inner_width": rng.sample([1, 2, 3], 2),
        "stem": rng.sample(STEMS, 2),
        "shortcut": rng.sample(["A", "B", "C", "D"], 2),
        "attention": rng.sample(["none", "se", "eca"], 2),
    }
    hypermodel = HyperResNet(4, SHAPE, max_parameters=1e9, **parts)
    found = hypermodel.budget.cost(hypermodel.budget.smallest).parameters
    hp = keras_tuner.HyperParameters()
    for values in itertools.product(
        *(value for value in parts.values() if isinstance(value, list))
    ):
        names = (name for name, value in parts.items() if isinstance(value, list))
        hp.values = dict(zip(names, values, strict=True))
        hypermodel.declare_hyperparameters(hp)
        assert found <= hypermodel.budget.cost(hypermodel.space.sample(hp)).parameters


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_hypermodel_can_be_copied(copied: Any) -> None:
    hypermodel = copied(HyperResNet(5, SHAPE, max_parameters=50_000, **BUDGET))
    model = hypermodel.build(keras_tuner.HyperParameters())
    assert model.count_params() <= 50_000
