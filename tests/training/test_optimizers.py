"""Optimizers whose weight decay spares vectors, and is where it was published to be."""

import json

import keras
import numpy as np
import pytest

from resnet_layers.training import optimizers
from tests.data import lamb


def test_what_a_user_excludes_takes_the_place_of_ours() -> None:
    kernel = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
    scale = keras.Variable(np.ones(2, "float32"), name="gamma")
    for names, decayed in ((None, [True, False]), (["kernel"], [False, True])):
        optimizer = optimizers.AdamW(weight_decay=0.1)
        if names:
            optimizer.exclude_from_weight_decay(var_names=names)
        optimizer.build([kernel, scale])
        assert [optimizer._use_weight_decay(v) for v in (kernel, scale)] == decayed


@pytest.mark.parametrize("reloaded", [False, True])
def test_lamb_takes_the_steps_that_timm_takes(reloaded: bool) -> None:
    data = json.loads(lamb.FILE.read_text(encoding="utf-8"))
    variables = [keras.Variable(np.array(one, "float32")) for one in data["start"]]
    optimizer = optimizers.Lamb(lamb.RATE, weight_decay=lamb.DECAY, global_clipnorm=1.0)
    for step in data["steps"]:
        if reloaded:
            again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
            again.build(variables)
            if optimizer.built:
                for new, old in zip(again.variables, optimizer.variables, strict=True):
                    new.assign(old)
            optimizer = again
        gradients = [np.array(one, "float32") for one in step["gradients"]]
        optimizer.apply(list(map(keras.ops.convert_to_tensor, gradients)), variables)
        for variable, expected in zip(variables, step["after"], strict=True):
            np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-4, atol=2e-5)
