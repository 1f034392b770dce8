"""A setting changed on a Keras layer inside acts at once and in functions traced afterwards, alike.

Files and copies refuse it: see `test_settled.py`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.layers._settled import Settled
from tests.layers.test_settled import _attributes, _of_keras
from tests.support.cases import CASES, CASES_BY_NAME, Case
from tests.support.randomize import images, randomize, value

OFTEN = ("conv_norm_folded", "head_video")


def _built(layer: Any, input_shape: Any) -> Any:
    if not layer.built:
        layer.build(input_shape)
    return randomize(layer)


@cache
def _first_owners() -> dict[str, list[tuple[dict[str, Any], Any, tuple[int, ...], int]]]:
    """By case, the layers of ours directly around the first Keras layer of each class."""
    found: dict[str, Any] = {}
    seen: set[type] = set()
    for case in CASES:
        found[case.name] = []
        built = _built(case.create(), case.input_shape)
        owners: list[Any] = [o for o in built._flatten_layers() if isinstance(o, Settled)]
        for owner in owners:
            for i, inner in enumerate(_of_keras(owner)):
                if type(inner) not in seen:
                    seen.add(type(inner))
                    shape = owner._build_shapes_dict["input_shape"]
                    shape = (2, *(n or 8 for n in shape[1:]))
                    found[case.name].append((owner.get_config(), type(owner), shape, i))
    return found


def _changed(before: Any) -> Any:
    """Another value of the same kind, or something that no layer takes."""
    match before:
        case keras.Variable():
            return keras.Variable(1.5 * value(before) + 0.25, dtype=before.dtype, name=before.name)
        case keras.DTypePolicy():
            return keras.DTypePolicy("float64" if before.name != "float64" else "float32")
        case bool():
            return not before
        case int():
            return before + 1
        case float():
            return 0.5 * before + 0.125
        case tuple() if before and all(isinstance(n, int) for n in before):
            return tuple(n + 1 for n in before)
        case "valid" | "same":
            return "same" if before == "valid" else "valid"
        case "channels_first" | "channels_last":
            return "channels_last" if before == "channels_first" else "channels_first"
    return keras.activations.tanh if callable(before) else 3


def _settings(inner: Any) -> Iterator[str]:
    """Each attribute in turn, while it has another value."""
    for name in sorted(_attributes(inner)):
        before = getattr(inner, name)
        changed = keras.regularizers.L2(0.1) if name.endswith("regularizer") else _changed(before)
        setattr(inner, name, changed) if name == "dtype_policy" else object.__setattr__(
            inner, name, changed
        )
        yield name
        setattr(inner, name, before) if name == "dtype_policy" else object.__setattr__(
            inner, name, before
        )


def _results(layer: Any, x: Any, start: list[Any], *, training: bool, traced: bool) -> Any:
    """Outputs, losses and variables after a call, or `None` for one that is refused."""
    for variable, old in zip(layer.variables, start, strict=True):
        variable.assign(old)

    def call(x: Any) -> Any:
        return [layer(x, training=training), *layer.losses]

    try:
        found = (tf.function(call) if traced else call)(tf.constant(x))
    except Exception:
        return None
    return [value(y).astype("float64") for y in (*found, *layer.variables)]


def acts_alike(case: Case) -> None:
    for config, owner, shape, i in _first_owners()[case.name]:
        layer = _built(owner.from_config(config), shape)
        start, x = [value(v).copy() for v in layer.variables], images(*shape)
        for name in _settings(_of_keras(layer)[i]):
            for training in (False, True):
                eager, traced = (
                    _results(layer, x, start, training=training, traced=traced)
                    for traced in (False, True)
                )
                path = f"{_of_keras(layer)[i].name}.{name}"
                assert (eager is None) == (traced is None), path
                for a, b in zip(eager or (), traced or (), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=path)


@pytest.mark.share(2)
@pytest.mark.parametrize("name", OFTEN)
def test_settings_inside_act_alike_in_calls_and_functions(name: str) -> None:
    acts_alike(CASES_BY_NAME[name])


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_settings_of_every_class_inside_act_alike(case: Case) -> None:
    if not _first_owners()[case.name]:
        pytest.skip("another case has its classes")
    acts_alike(case)
