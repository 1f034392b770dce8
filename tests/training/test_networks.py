"""`load_network`: a checkpoint has its network with it."""

import dataclasses
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from resnet_layers import training
from resnet_layers.layers.head import last_activation
from resnet_layers.serving.precision import with_dtype
from resnet_layers.training import checkpoint_files, states
from resnet_layers.training.fine_tuning import freeze_until
from tests.support.uncompiled import uncompiled
from tests.training.fitting import coloured, network, settings
from tests.training.resuming import Ends


def several() -> dict[str, Any]:
    images = coloured()
    return {"images": dataclasses.replace(images, labels=images.rows())}


def half() -> dict[str, Any]:
    return {"model": with_dtype(network(), "mixed_float16"), "recipe": {"precision": "float16"}}


def frozen() -> dict[str, Any]:
    model = network(metadata={"class_names": ["a", "b", "c"]})
    freeze_until(model, "head")
    return {"model": model}


@pytest.mark.share(3)
@uncompiled()
@pytest.mark.parametrize("case", [dict, several, half, frozen])
def test_the_network_of_a_checkpoint_is_what_was_trained(case: Any, tmp_path: Path) -> None:
    checkpoint = training.Checkpoint(tmp_path)
    trained = training.train(settings(**{**case(), "checkpoint": checkpoint, "epochs": 1})).model
    last = checkpoint.last
    assert last is not None
    found = training.load_network(last)
    assert (found.compiled, found.metadata) == (False, trained.metadata)
    assert all(layer.trainable for layer in found._flatten_layers())
    assert last_activation(found) == last_activation(trained)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(found(images), trained(images))


def test_other_versions_may_have_written_the_network(tmp_path: Path) -> None:
    path = tmp_path / "epoch-00001-step-0000000.safetensors"
    model = network()
    state = states.State(
        tensors=states.taken("model", model.variables),
        network=training.networks.described(model),
        made_by={**states.made_by(), "keras": "3.0", "backend": "another"},
    )
    checkpoint_files.write(path, state)
    images = np.ones((1, 8, 8, 3))
    np.testing.assert_array_equal(training.load_network(path)(images), model(images))


@uncompiled()
def test_a_run_that_goes_on_has_the_metadata_of_its_network(tmp_path: Path) -> None:
    """Which say nothing of how it computes, and may have changed."""
    first, second = (
        network(metadata={"class_names": list(names)}, name=names) for names in ("abc", "xyz")
    )
    with pytest.raises(KeyboardInterrupt):
        training.train(
            settings(
                model=first,
                checkpoint=training.Checkpoint(tmp_path, callbacks=[]),
                callbacks=[Ends(signal.SIGINT, 5)],
            )
        )
    checkpoint: Any = training.resume(tmp_path)
    training.train(settings(model=second, checkpoint=checkpoint))
    found = training.load_network(checkpoint.last)
    assert (found.name, found.metadata) == (second.name, second.metadata)


def test_only_a_network_of_ours_describes_itself() -> None:
    """Others are made again by the program that has made them."""

    class Unknown(keras.layers.Identity):
        def get_config(self) -> Any:
            raise NotImplementedError

    assert training.networks.described(keras.Sequential([keras.layers.Dense(3)])) is None
    assert training.networks.described(network().replace(head=Unknown())) is None
