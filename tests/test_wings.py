"""Every module belongs to one wing."""

import pytest

from tests.messages import modules, wings


@pytest.mark.parametrize("module", modules())
def test_every_module_belongs_to_one_wing(module: str) -> None:
    assert len(wings(module)) == 1
