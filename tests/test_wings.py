"""Every module belongs to a wing, and every wing that raises has a table of its messages."""

import importlib

import pytest

from tests.messages import WINGS, modules, raises, wings


@pytest.mark.parametrize("module", modules())
def test_every_module_belongs_to_one_wing(module: str) -> None:
    assert len(wings(module)) == 1


@pytest.mark.parametrize("wing", WINGS)
def test_every_wing_that_raises_has_a_table(wing: str) -> None:
    owned = [path for module, path in modules().items() if wing in wings(module)]
    assert owned
    if any(map(raises, owned)):
        tests = importlib.import_module(f"tests.test_messages_{wing}")
        assert wing == tests.WING
        assert tests.ERRORS
        assert callable(tests.test_error_has_type_and_whole_text)
        assert callable(tests.test_every_raise_is_in_the_table)
