"""What folds, predicts: with every activation, in a graph, with oneDNN."""

from typing import Any

import keras
import pytest
import tensorflow as tf

import resnet_layers as rl
from tests.layers.test_empty_batches import in_child
from tests.support.randomize import images, randomize, relative_difference

# What TensorFlow fuses with convolutions, in one way or another.
FUSED = ("elu", "gelu", "leaky_relu", "mish", "relu", "relu6", "sigmoid", "swish", "tanh")
# What brings another addition before an activation.
STYLES: dict[str, dict[str, Any]] = {
    "default": {},
    "biased_shortcut": {"use_bias": True, "normalize_shortcut": False},
    "preactivation": {"preactivation": True, "normalization": None, "use_bias": True},
    "A": {"shortcut": "A"},
    "plain": {"shortcut": "none"},
}


@keras.saving.register_keras_serializable(package="tests")
def users_mish(x: Any) -> Any:
    return x * tf.tanh(tf.nn.softplus(x))


def agrees(activation: Any, rank: int, ways: str, style: str = "default") -> None:
    x = images(2, *(6,) * rank, 3)
    try:
        given = rl.BlockStyle(activation=activation, rank=rank, **STYLES[style])
        stem = rl.Stem(4, kernel_size=3, pooling=None, style=given)
        stages = [rl.ResNetStage(4, 1, projection=True, style=given)]
        model = randomize(rl.ResNet(stem, stages, input_shape=(*(None,) * rank, 3)))
        expected = model(x)
    except (TypeError, ValueError):  # `glu`, `threshold`
        return
    if not tf.reduce_all(tf.math.is_finite(expected)):  # such as `exponential`
        return
    folded = rl.fold_batch_norm(model)
    for way in ways.split():
        network: Any = folded if way != "view" else rl.functional_view(folded)
        compiled = tf.function(lambda x, f=network: f(x), jit_compile=way == "xla")
        difference = relative_difference(compiled(x), expected)
        assert difference < 1e-4, (activation, rank, way, style)


@pytest.mark.slow
@pytest.mark.share(2)
def test_activations_predict_with_onednn() -> None:
    code = """
from tests.serving.test_folded_activations import FUSED, STYLES, agrees, users_mish
for name in FUSED:
    agrees(name, 2, "graph")
agrees("mish", 3, "graph")
for style in STYLES:
    agrees("mish", 2, "graph view", style)
agrees(users_mish, 2, "graph view")
print("done")
"""
    assert in_child(code, TF_ENABLE_ONEDNN_OPTS="1").endswith("done\n")


@pytest.mark.slow
@pytest.mark.share(6)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_activation_predicts_in_every_way_with_onednn(rank: int) -> None:
    code = f"""
from tests.serving.activation_script import ACTIVATIONS
from tests.serving.test_folded_activations import STYLES, agrees, users_mish
for name in ACTIVATIONS:
    agrees(name, {rank}, "graph xla view")
for style in STYLES:
    for activation in ("mish", users_mish):
        agrees(activation, {rank}, "graph xla view", style)
print("done")
"""
    assert in_child(code, TF_ENABLE_ONEDNN_OPTS="1").endswith("done\n")


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.upstream
def test_onednn_has_no_kernel_for_the_fusion_with_mish() -> None:
    code = """
import tensorflow as tf
x = tf.ones((1, 8, 8, 4))
def block(x):
    y = tf.nn.bias_add(tf.nn.conv2d(x, tf.ones((3, 3, 4, 4)), 1, "SAME"), tf.ones(4)) + x
    return y * tf.tanh(tf.nn.softplus(y))
try:
    tf.function(block)(x)
except tf.errors.UnimplementedError as error:
    print("Fusion is not implemented: [BiasAdd,Add,Mish]" in str(error))
"""
    assert in_child(code, TF_ENABLE_ONEDNN_OPTS="1") == "True\n"
