"""Every error of folding, precision and serving: its type and its whole text."""

from typing import Any

import pytest

import resnet_layers as rl
from tests.messages import Row, check, ids


def parts() -> tuple[Any, ...]:
    return rl.Stem(4, name="stem"), [rl.ResNetStage(4, 1, name="stage1")], rl.ClassifierHead(2)


ERRORS: list[Row] = [
    # Precision
    (
        lambda: rl.with_dtype(rl.ResNet(*parts()), None),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype=None",
    ),
    (
        lambda: rl.with_dtype(rl.ResNet(*parts()), "bf16"),
        ValueError,
        "`dtype` must be a dtype policy or its name. Received: dtype='bf16'",
    ),
]


@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)
