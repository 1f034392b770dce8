"""Attention over channels, against slow NumPy, and timm's rules for its sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet_layers.layers.primitives import attention
from tests.support.randomize import images, randomize, relative_difference, value

SHAPES = [(2, 7, 6), (2, 5, 4, 6), (2, 3, 4, 5, 6), (2, 1, 1, 6)]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def make(kind: str, shape: tuple[int | None, ...], **arguments: Any) -> Any:
    layer: Any = (
        attention.SqueezeExcitation(6, 4, **arguments)
        if kind == "se"
        else attention.EfficientChannelAttention(3, **arguments)
    )
    layer.build(shape)
    return randomize(layer)


def expected(layer: Any, x: np.ndarray) -> np.ndarray:
    means = x.mean(tuple(range(1, x.ndim - 1)), dtype="float64")  # (B, C)
    if isinstance(layer, attention.SqueezeExcitation):
        kernel, bias = map(value, layer.squeeze.weights)
        hidden = np.maximum(means @ kernel + bias, 0)
        kernel, bias = map(value, layer.excite.weights)
        weights = sigmoid(hidden @ kernel + bias)
    else:
        kernel = value(layer.convolution.kernel)[:, 0, 0]
        padded = np.pad(means, [(0, 0), (1, 1)])
        weights = sigmoid(sum(kernel[k] * padded[:, k : k + 6] for k in range(3)))
    return x * weights.reshape(len(x), *[1] * (x.ndim - 2), 6)


@pytest.mark.parametrize("kind", ["se", "eca"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_equals_slow_numpy(kind: str, shape: tuple[int, ...]) -> None:
    layer, x = make(kind, shape), images(*shape)
    assert relative_difference(layer(x), expected(layer, x)) < 1e-5
    first = make(kind, (shape[0], 6, *shape[1:-1]), data_format="channels_first")
    first.set_weights(layer.get_weights())
    y = np.moveaxis(value(first(np.moveaxis(x, -1, 1))), 1, -1)
    assert relative_difference(y, expected(layer, x)) < 1e-5


@pytest.mark.share(4)
@pytest.mark.parametrize("kind", ["se", "eca"])
@pytest.mark.parametrize(("data_format", "axis"), [("channels_last", -1), ("channels_first", 1)])
@pytest.mark.parametrize("sizes", [(7,), (5, 4), (1, 2), (3, 1, 5)])
def test_unknown_sizes_and_xla_change_nothing(
    kind: str, data_format: str, axis: int, sizes: tuple[int, ...]
) -> None:
    unknown: list[int | None] = [None, *(None for _ in sizes)]
    unknown.insert(axis % (len(sizes) + 2), 6)
    layer = make(kind, tuple(unknown), data_format=data_format)
    x = images(2, *sizes, 6)
    inputs = keras.Input(tuple(unknown[1:]))
    for function in (
        tf.function(layer, input_signature=[tf.TensorSpec(unknown, tf.float32)]),
        tf.function(layer, jit_compile=True),
        keras.Model(inputs, layer(inputs)),
    ):
        y = value(function(np.moveaxis(x, -1, axis)))
        assert relative_difference(np.moveaxis(y, axis, -1), expected(layer, x)) < 1e-5


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_means_in_half_precision_are_taken_in_float32(kind: str) -> None:
    layer = make(kind, (1, 200, 200, 6), dtype="mixed_float16")
    exact = make(kind, (1, 200, 200, 6))
    # 40000 pixels whose sum float16 cannot hold.
    x = keras.ops.cast(images(1, 200, 200, 6) + 3, "float16")
    y = value(keras.ops.cast(layer(x), "float32"))
    x = value(keras.ops.cast(x, "float32"))
    assert relative_difference(y, expected(exact, x)) < 3e-3


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_mixed_precision_keeps_variables_in_float32(kind: str) -> None:
    x = images(2, 9, 9, 6)
    layer = make(kind, x.shape, dtype="mixed_bfloat16")
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert relative_difference(keras.ops.cast(y, "float32"), expected(layer, x)) < 2e-2
    assert {v.dtype for v in layer.variables} == {"float32"}


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_config_and_file_round_trip(kind: str, tmp_path: Path) -> None:
    layer = make(kind, (None, 6, None, None), data_format="channels_first", name="attention")
    copied = type(layer).from_config(layer.get_config())
    assert copied.get_config() == layer.get_config()
    inputs = keras.Input((6, None, None))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, 6, 5, 4)
    np.testing.assert_array_equal(value(again(x)), value(model(x)))


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_every_variable_gets_a_gradient(kind: str) -> None:
    layer, x = make(kind, (2, 5, 4, 6)), tf.constant(images(2, 5, 4, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert len(gradients) == (4 if kind == "se" else 1)
    for gradient in gradients:
        assert np.abs(value(gradient)).max() > 0


@pytest.mark.parametrize("kind", ["se", "eca"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_output_shape_is_the_input_shape(kind: str, data_format: str) -> None:
    shape = (2, 6, 5, 6)
    layer = make(kind, shape, data_format=data_format)
    assert layer.compute_output_shape(shape) == tuple(layer(images(*shape)).shape) == shape


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: attention.SqueezeExcitation(0, 4),
            ValueError,
            "`filters` must be a positive integer. Received: filters=0",
        ),
        (
            lambda: attention.SqueezeExcitation(6, 2.5),  # type: ignore[arg-type]
            TypeError,
            "`squeezed` must be a positive integer. Received: squeezed=2.5",
        ),
        (
            lambda: attention.EfficientChannelAttention(0),
            ValueError,
            "`kernel_size` must be a positive integer. Received: kernel_size=0",
        ),
        *(
            (
                lambda make=make: make(data_format="first"),
                ValueError,
                "`data_format` must be one of 'channels_last', 'channels_first'. "
                "Received: data_format='first'",
            )
            for make in (
                lambda **keywords: attention.SqueezeExcitation(6, 4, **keywords),
                lambda **keywords: attention.EfficientChannelAttention(3, **keywords),
            )
        ),
        (
            lambda: attention.SqueezeExcitation(6, 4, name="se")(keras.Input((5, 4, 3))),
            ValueError,
            "Input 0 with name 'None' of layer 'se' is incompatible with the layer: expected axis "
            "-1 of input shape to have value 6, but received input with shape (None, 5, 4, 3)",
        ),
        (
            lambda: attention.EfficientChannelAttention(3, name="eca")(keras.Input((6,))),
            ValueError,
            "Input 0 with name 'None' of layer 'eca' is incompatible with the layer: "
            "expected min_ndim=3, found ndim=2. Full shape received: (None, 6)",
        ),
    ],
)
def test_bad_arguments_and_inputs_are_refused(
    call: Callable[[], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


# timm 1.0.31: seresnet18, seresnet50, resnetrs50; and the kernels of ecaresnet50d and others.
@pytest.mark.parametrize(
    ("ratio", "channels", "squeezed"),
    [
        (1 / 16, (64, 128, 256, 512), (8, 8, 16, 32)),
        (1 / 16, (256, 512, 1024, 2048), (16, 32, 64, 128)),
        (0.25, (256, 512, 1024, 2048), (64, 128, 256, 512)),
        (1 / 16, (184, 192, 320, 448), (8, 16, 24, 32)),  # halves go up, as in its make_divisible
    ],
)
def test_squeezed_channels_are_timms(
    ratio: float, channels: tuple[int, ...], squeezed: tuple[int, ...]
) -> None:
    assert tuple(attention.squeezed_channels(c, ratio) for c in channels) == squeezed


def test_eca_kernel_sizes_are_timms() -> None:
    sizes = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7, 19: 3, 1: 3}
    assert {channels: attention.eca_kernel_size(channels) for channels in sizes} == sizes
