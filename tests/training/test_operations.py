"""Operations on images beside timm's on Pillow: `tests/data/augmentation` has what those make."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.training import levels, operations, policies
from tests.data.augmentation.generate import ARGUMENTS, FILL, FOLDER, images

PIXELS = dict(np.load(FOLDER / "pixels.npz"))
READ = json.loads((FOLDER / "levels.json").read_text(encoding="utf-8"))
# timm's functions, by ours.
THEIRS = {"translate_x": "translate_x_rel", "translate_y": "translate_y_rel"}
OURS = {
    name: function
    for name, function in vars(operations).items()
    if inspect.isfunction(function) and not name.startswith("_") and name != "hue"
}  # that of no policy is beside Pillow in `test_chance.py`
# Between pixels TensorFlow adds in another order than Pillow; all else is equal.
INTERPOLATED = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}


def made(name: str, image: Any, argument: Any) -> Any:
    rest = (FILL,) if "fill" in inspect.signature(OURS[name]).parameters else ()
    return OURS[name](image, argument, *rest)


@pytest.mark.share(8)
@pytest.mark.parametrize("name", OURS)
def test_pixels_are_those_of_timm(name: str) -> None:
    theirs = THEIRS.get(name, name)
    for argument in ARGUMENTS[theirs]:  # of every operation, or this fails
        for which, image in images().items():
            np.testing.assert_array_equal(image, PIXELS[f"images/{which}"])
            found = made(name, tf.constant(image), argument).numpy()
            assert found.dtype == np.uint8
            apart = np.abs(found.astype(int) - PIXELS[f"{theirs}/{argument}/{which}"])
            assert apart.max() <= (name in INTERPOLATED), (argument, which)


@pytest.mark.share(8)
@pytest.mark.parametrize("name", OURS)
def test_operations_do_something_in_a_graph_of_any_size(name: str) -> None:
    argument = {"posterize": 2, "solarize": 100, "solarize_add": 30, "rotate": 20.0}.get(name, 0.4)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def in_graph(image: Any) -> Any:
        return made(name, image, argument)

    changed = 0.0
    for image in images().values():
        eager = made(name, tf.constant(image), argument).numpy()
        np.testing.assert_array_equal(in_graph(image), eager)
        changed = max(changed, (eager != image).mean())
    assert changed > 0.5


@pytest.mark.parametrize("bits", [0, -2])
def test_no_bits_are_black(bits: int) -> None:
    """As they were before Pillow 13, which refuses them."""
    assert not operations.posterize(tf.constant(images()["photo"]), bits).numpy().any()


def test_every_name_of_a_policy_is_in_the_table_and_every_operation_is_used() -> None:
    named = {name for table in policies._SETS.values() for name in table}
    assert named | set(policies._ALL) | set(policies._INCREASING) == set(levels.OPERATIONS)
    used = {operation.function.__name__ for operation in levels.OPERATIONS.values()}
    assert used == set(OURS)


def rows(name: str) -> Iterator[tuple[float, float, float]]:
    yield from READ["operations"][name]["arguments"]


@pytest.mark.parametrize("name", levels.OPERATIONS)
def test_operation_and_its_number_are_those_of_timm(name: str) -> None:
    operation = levels.OPERATIONS[name]
    function = operation.function.__name__
    theirs = READ["operations"][name]["function"]
    assert theirs == ("desaturate" if name == "Desaturate" else THEIRS.get(function, function))
    fills = "fill" in inspect.signature(operation.function).parameters
    assert operation.fills == fills
    for level, sign, argument in rows(name):
        # timm's `desaturate` makes a factor of its argument, as ours has done already.
        expected = 1.0 - argument if name == "Desaturate" else argument
        found = operation.argument(tf.constant(level, tf.float64), tf.constant(sign, tf.float64))
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
        assert found.dtype.is_integer == isinstance(argument, int)
