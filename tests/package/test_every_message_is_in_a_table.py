"""Every module belongs to a wing, and every wing that raises has a table of its messages."""

import importlib

import pytest

from tests.support.messages import FOLDERS, NAMES, WINGS, modules, raises, wing_of


@pytest.mark.parametrize("module", modules())
def test_every_module_belongs_to_a_wing(module: str) -> None:
    assert (module in NAMES) != (wing_of(module) in WINGS)


@pytest.mark.parametrize("wing", [*WINGS, *NAMES])
def test_every_wing_that_raises_has_a_table(wing: str) -> None:
    owned = [path for module, path in modules().items() if wing_of(module) == wing]
    assert owned
    if any(map(raises, owned)):
        tests = importlib.import_module(f"tests.{FOLDERS.get(wing, wing)}.test_messages")
        assert wing == tests.WING
        assert tests.ERRORS
        assert callable(tests.test_error_has_type_and_whole_text)
        assert callable(tests.test_every_raise_is_in_the_table)
