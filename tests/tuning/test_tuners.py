"""Every tuner, made in every way from every space, ends after a bounded number of builds."""

import contextlib
import functools
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from resnet_layers.tuning import HyperResNet, build_model, hypermodel
from resnet_layers.tuning.budget import Budget
from resnet_layers.tuning.parts import KINDS, complete
from tests.docs.test_docs import BLOCK
from tests.docs.test_docs import PAGES as DOCS
from tests.support.tuning_script import KNOWN_WARNINGS, SEARCHES
from tests.support.uncompiled import uncompiled
from tests.tuning.test_space import ONE, OPEN

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:DeprecationWarning") for message in KNOWN_WARNINGS
]
CLASSES, SHAPE = 3, (8, 8, 3)
SPACES: dict[str, dict[str, Any]] = {
    "preset": {},
    "imagenet": {"preset": "imagenet"},
    "open": OPEN,
    "fixed": ONE,
    # Each has a part that depends on it.
    "conditional": {
        **ONE,
        "stages": [1, 2, 3],
        "block": ["basic", "bottleneck"],
        "inner_width": [1, 2],
        "normalization": ["frn", "batch"],
        "activation": ["relu", "silu"],
        "attention": ["none", "se"],
        "optimizer": ["sgd", "lion"],
        "schedule": ["constant", "cosine"],
    },
    "budget": {"max_parameters": 60_000, **OPEN},
}


class _Subclass(HyperResNet):
    """With hyperparameters of its own, one below a part that no network within a budget has."""

    def make_model(self, hp: Any) -> Any:
        model = super().make_model(hp)
        with hp.conditional_scope("block", ["bottleneck"]):
            hp.Int("units", 1, 4)
        hp.Boolean("more")
        with hp.conditional_scope("more", [True]):
            hp.Int("layers", 1, 4)
        return model


def _function(**parts: Any) -> Callable[[Any], Any]:
    return lambda hp: build_model(hp, CLASSES, SHAPE, **parts)


def _scoped(**parts: Any) -> Callable[[Any], Any]:
    """One of two networks, below a choice of the user's."""

    def build(hp: Any) -> Any:
        kind = hp.Choice("kind", ["none", "small"])
        model = None
        for name in ("none", "small"):
            with hp.conditional_scope("kind", [name]), hp.name_scope(name):
                if kind == name:
                    model = build_model(hp, CLASSES, SHAPE, **parts)
        return model

    return build


WAYS: dict[str, Callable[..., Any]] = {
    "HyperResNet": functools.partial(HyperResNet, CLASSES, SHAPE),
    "subclass": functools.partial(_Subclass, CLASSES, SHAPE),
    "build_model": _function,
    "partial": functools.partial(
        functools.partial, build_model, classes=CLASSES, input_shape=SHAPE
    ),
    "scopes": _scoped,
}


@functools.wraps(keras.Model.fit)  # whose signature is asked for
def _trained(*args: Any, **kwargs: Any) -> Any:
    for callback in kwargs["callbacks"]:
        if hasattr(callback, "filepath"):  # of the checkpoint, which Hyperband goes on from
            args[0].save_weights(callback.filepath)
    history = keras.callbacks.History()
    history.history, history.epoch = {"val_loss": [1.0]}, [0]
    return history


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks are built; they are tiny, and the search ends where there are too many."""
    built: list[int] = []

    def tiny(*args: Any) -> Any:
        del args
        built.append(1)
        if len(built) > 40:
            raise keras_tuner.errors.FatalRuntimeError("too many builds")
        inputs = keras.Input(SHAPE)
        outputs = keras.layers.GlobalAveragePooling2D()(inputs)
        return keras.Model(inputs, keras.layers.Dense(CLASSES)(outputs))

    monkeypatch.setattr("resnet_layers.tuning.network.make_network", tiny)
    monkeypatch.setattr(keras.Model, "fit", _trained)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # which takes longer than all the rest
    return built


@pytest.mark.share(8)
@pytest.mark.parametrize(
    "space",
    [pytest.param(name, marks=[] if name == "open" else pytest.mark.slow) for name in SPACES],
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SEARCHES)
def test_tuner_ends(kind: str, way: str, space: str, tmp_path: Path, builds: list[int]) -> None:
    options, trials = SEARCHES[kind]
    options = options if "max_epochs" in options else {**options, "max_trials": 2}
    made = getattr(keras_tuner, kind)(
        WAYS[way](**SPACES[space]), "val_loss", directory=tmp_path, seed=1, **options
    )
    # keras-tuner explores each scope of the user's own, some twice.
    assert len(builds) <= {"subclass": 6, "scopes": 3}.get(way, 1)
    del builds[:]
    made.search(np.zeros((4, *SHAPE)), np.zeros(4), verbose=0)
    found = made.oracle.trials.values()
    assert len(builds) <= len(found) <= max(trials, 2)
    for trial in found:
        assert trial.status == "COMPLETED" or "OverBudgetError" in trial.message


def _below_ours(hp: Any) -> None:
    """Scopes of the user's: below a part of ours that a budget may rule out, and below that."""
    with hp.conditional_scope("block", ["bottleneck"]):
        hp.Int("units", 1, 4)
        hp.Boolean("more")
    with hp.conditional_scope("block", ["bottleneck"]), hp.conditional_scope("more", [True]):
        hp.Int("layers", 1, 4)


class _ScopesAfterwards(HyperResNet):
    def build(self, hp: Any) -> Any:
        model = super().build(hp)
        _below_ours(hp)
        return model


def _function_with_scopes(**parts: Any) -> Callable[[Any], Any]:
    def build(hp: Any) -> Any:
        model = build_model(hp, CLASSES, SHAPE, **parts)
        _below_ours(hp)
        return model

    return build


def _hypermodel_with_scopes(**parts: Any) -> Callable[[Any], Any]:
    def build(hp: Any) -> Any:
        model = HyperResNet(CLASSES, SHAPE, **parts).build(hp)
        _below_ours(hp)
        return model

    return build


def _fixed_before(**parts: Any) -> Callable[[Any], Any]:
    """With a choice of the user's in place of ours, whose default may be over the budget."""

    def build(hp: Any) -> Any:
        hp.Choice("block", ["bottleneck", "basic"])
        model = build_model(hp, CLASSES, SHAPE, **parts)
        _below_ours(hp)
        return model

    return build


BELOW: dict[str, Callable[..., Any]] = {
    "make_model": functools.partial(_Subclass, CLASSES, SHAPE),
    "build": functools.partial(_ScopesAfterwards, CLASSES, SHAPE),
    "build_model": _function_with_scopes,
    "HyperResNet.build": _hypermodel_with_scopes,
    "default": _fixed_before,
}


@pytest.mark.share(4)
@pytest.mark.parametrize("widths", [8, [8, 4]], ids=["never", "narrow"])
@pytest.mark.parametrize("way", BELOW)
@pytest.mark.parametrize(
    "kind", ["RandomSearch", *(pytest.param(k, marks=pytest.mark.slow) for k in [*SEARCHES][1:])]
)
def test_a_budget_that_keeps_a_scope_inactive_does_not_keep_a_tuner_from_being_made(
    kind: str, way: str, widths: Any, tmp_path: Path, builds: list[int]
) -> None:
    parts: dict[str, Any] = {**ONE, "block": ["basic", "bottleneck"], "groups": 1}
    costs = {}
    for block in parts["block"]:
        for width in (4, 8):
            one = HyperResNet(
                CLASSES, SHAPE, **{**parts, "block": block, "width": width}, max_parameters=1e9
            )
            costs[block, width] = one.budget.cost(one.budget.smallest).macs
    assert costs["bottleneck", 4] < costs["basic", 8] < costs["bottleneck", 8]
    options, trials = SEARCHES[kind]
    made = getattr(keras_tuner, kind)(
        BELOW[way](max_macs=costs["basic", 8], **{**parts, "width": widths}),
        "val_loss",
        directory=tmp_path,
        seed=1,
        **options,
    )
    assert len(builds) <= 6
    assert {"units", "layers"} <= {parameter.name for parameter in made.oracle.get_space().space}
    del builds[:]
    if kind == "GridSearch":  # which has a point for each value
        return
    made.search(np.zeros((4, *SHAPE)), np.zeros(4), verbose=0)
    found = made.oracle.trials.values()
    assert len(builds) <= len(found) <= trials
    for trial in found:
        assert trial.status == "COMPLETED" or "OverBudgetError" in trial.message


@pytest.mark.slow
@pytest.mark.share(2)
def test_a_search_of_a_function_with_an_open_space_trains_and_finds(tmp_path: Path) -> None:
    made = keras_tuner.RandomSearch(
        lambda hp: build_model(
            hp, 4, (8, 8, 3), width=8, stages=1, blocks=1, optimizer="sgd", warmup=0.0
        ),
        objective="val_accuracy",
        max_trials=2,
        directory=tmp_path,
    )
    images = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("float32")
    labels = np.arange(16) % 4
    with uncompiled():
        made.search(images, labels, validation_data=(images, labels), verbose=0)
    best = made.get_best_models()[0]
    score = made.oracle.get_best_trials()[0].score
    assert best.evaluate(images, labels, verbose=0)[1] == pytest.approx(score)


TUNER = re.compile(rf"keras_tuner\.({'|'.join(SEARCHES)})\(")
PAGES = [path for path in DOCS if TUNER.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tuners_of_the_docs_are_made_with_the_space_open(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[int]
) -> None:
    """Without the parts that an example fixes."""
    made = []

    def opened(entries: Any, preset: str, parts: dict[str, Any]) -> Any:
        return entries(preset, {name: parts[name] for name in parts if name not in KINDS})

    def budget(space: Any, *arguments: Any) -> Any:
        return Budget(space, arguments[0], arguments[1], None, None)

    def search(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        raise NameError  # as for all that follows from it

    monkeypatch.setattr(hypermodel, "complete", functools.partial(opened, complete))
    monkeypatch.setattr(hypermodel, "Budget", budget)
    monkeypatch.setattr(keras_tuner.Tuner, "search", search)
    monkeypatch.chdir(tmp_path)
    text, namespace = path.read_text(encoding="utf-8"), {"__name__": path.stem}
    for block in filter(TUNER.search, BLOCK.findall(text)):
        del builds[:]
        with contextlib.suppress(NameError):
            exec(compile(block, str(path), "exec"), namespace)
        assert len(builds) <= 1
    assert len(made) == len(TUNER.findall(text))
