"""The names and signatures that others' code is written against."""

import inspect
import json
from typing import Any

import pytest

import resnet_layers as rl
from resnet_layers._support import checks
from tests.golden import signatures


def test_public_names_and_signatures_are_those_of_the_listing() -> None:
    listed = json.loads(signatures.FILE.read_text(encoding="utf-8"))
    assert signatures.listing() == listed, (
        "If a public name or a signature has changed on purpose, say so in CHANGELOG.md and run "
        "`python -m tests.golden.signatures`."
    )


LAYERS = [
    made for made in (getattr(rl, name) for name in rl.__all__) if hasattr(made, "own_config")
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer.__name__))
def test_names_of_other_libraries_lead_to_ours(layer: Any) -> None:
    """In every layer, and none of them takes an argument of such a name."""
    assert not set(checks._ELSEWHERE) & set(inspect.signature(layer).parameters)
    with pytest.raises(TypeError) as error:
        layer(stride=2)
    assert str(error.value) == "`stride` must be given as `strides`. Received: stride=2"


def test_a_class_of_ones_own_may_have_such_an_argument() -> None:
    class Strided(rl.ConvNorm):
        def __init__(self, stride: int, **kwargs: Any) -> None:
            super().__init__(4, 3, strides=stride, **kwargs)

    assert Strided(stride=2).strides == 2
