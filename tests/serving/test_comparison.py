"""Comparisons: with all bits of float32, whatever a GPU keeps of them."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from resnet_layers.serving import comparison

SWITCHES: dict[str, Callable[[], Any]] = {
    "tensorflow": tf.config.experimental.tensor_float_32_execution_enabled,
    "jax": lambda: getattr(jax.config, "jax_default_matmul_precision"),  # noqa: B009
}
ALL_BITS = {"tensorflow": False, "jax": "highest"}


@pytest.mark.parametrize("backend", SWITCHES)
def test_all_bits_are_kept_while_outputs_are_compared(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    seen = []

    def run(images: Any) -> Any:
        seen.append(SWITCHES[backend]())
        return images

    before = SWITCHES[backend]()
    comparison.on_seeded_images(run, run, [(2, 4, 4, 3)])
    assert set(seen) == {ALL_BITS[backend]}
    with pytest.raises(ZeroDivisionError), comparison.with_all_bits():
        raise ZeroDivisionError
    assert SWITCHES[backend]() == before


def test_threads_that_compare_side_by_side_keep_all_bits() -> None:
    enabled = SWITCHES["tensorflow"]
    first, second = comparison.with_all_bits(), comparison.with_all_bits()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not enabled()
    second.__exit__(None, None, None)
    assert enabled()


@keras.saving.register_keras_serializable("resnet_layers_tests")
class Asks(keras.layers.Layer):
    """A layer that looks at how float32 is multiplied."""

    seen: list[Any] = []  # noqa: RUF012

    def call(self, x: Any) -> Any:
        """The same."""
        self.seen.append(SWITCHES["tensorflow"]())
        return x


def test_a_folded_model_is_compared_with_all_bits() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), rl.ConvNorm(4, 3), Asks()])
    Asks.seen.clear()
    rl.fold_batch_norm(model)
    assert False in Asks.seen
    Asks.seen.clear()
    model(np.zeros((1, 8, 8, 3), "float32"))
    assert Asks.seen == [True]
