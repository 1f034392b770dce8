"""Importing the package: what it needs, and what it costs nobody."""

import os
import subprocess
import sys

import pytest

import resnet_layers as rl
from resnet_layers._support import environment


def test_legacy_keras_is_named_in_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    message = r"TF_USE_LEGACY_KERAS is set, so `tf\.keras` is Keras 2 \(tf_keras\)"
    with pytest.warns(UserWarning, match=message):
        environment.check()


@pytest.mark.slow
@pytest.mark.share(2)
def test_layers_are_layers_of_tf_keras() -> None:
    code = "import tensorflow as tf, resnet_layers as rl; print(issubclass(rl.ResNet, tf.keras.Model), issubclass(rl.ConvBlock, tf.keras.layers.Layer))"  # noqa: E501
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.split() == ["True", "True"]


@pytest.mark.slow
@pytest.mark.share(2)
def test_import_loads_nothing_that_only_the_shell_interface_needs() -> None:
    code = (
        "import sys, keras; before = set(sys.modules); import resnet_layers; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"matplotlib", "sklearn", "PIL", "scipy", "pandas", "keras_tuner", "safetensors"}
    assert not heavy & set(result.stdout.split())


@pytest.mark.slow
@pytest.mark.share(2)
def test_import_on_another_backend_does_not_load_tensorflow() -> None:
    code = (
        "import sys, keras; before = 'tensorflow' in sys.modules; import resnet_layers; "
        "print(before or 'tensorflow' not in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert result.stdout.split() == ["True"]


def test_every_public_name_is_there() -> None:
    assert sorted(rl.__all__) == rl.__all__
    for name in rl.__all__:
        assert getattr(rl, name).__doc__
