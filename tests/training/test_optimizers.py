"""Optimizers whose weight decay spares vectors."""

import keras
import numpy as np

from resnet_layers.training import optimizers


def test_what_a_user_excludes_takes_the_place_of_ours() -> None:
    kernel = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
    scale = keras.Variable(np.ones(2, "float32"), name="gamma")
    for names, decayed in ((None, [True, False]), (["kernel"], [False, True])):
        optimizer = optimizers.AdamW(weight_decay=0.1)
        if names:
            optimizer.exclude_from_weight_decay(var_names=names)
        optimizer.build([kernel, scale])
        assert [optimizer._use_weight_decay(v) for v in (kernel, scale)] == decayed
