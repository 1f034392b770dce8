"""`Preprocessing` against Pillow, with which torch's users resize, and keras.applications."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

import resnet_layers as rl
from resnet_layers.layers.preprocessing import for_keras_applications
from tests.support.randomize import randomize, value

METHODS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Numbers from 0 to 255.
RAW: dict[str, Any] = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def resized(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """By Pillow, axis by axis and in floats: without its rounding to whole numbers."""
    channels = []
    for pixels in np.moveaxis(image.astype("float32"), -1, 0):
        channel = pixels
        for size in ((width, len(pixels)), (width, height)):
            picture = Image.fromarray(channel).resize(size, METHODS[interpolation])
            channel = np.clip(np.asarray(picture), 0, 255)
        channels.append(channel)
    return np.stack(channels, axis=-1)


def cut(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The centre, as torchvision rounds it."""
    top = round((image.shape[0] - height) / 2.0)
    left = round((image.shape[1] - width) / 2.0)
    return image[top : top + height, left : left + width]


def expected(image: np.ndarray, size: int, crop_pct: float, interpolation: str) -> np.ndarray:
    """torchvision's `Resize(floor(size / crop_pct))` and `CenterCrop(size)`."""
    height, width = image.shape[:2]
    shorter = math.floor(size / crop_pct)
    if height < width:
        height, width = shorter, int(shorter * width / height)
    else:
        height, width = int(shorter * height / width), shorter
    whole = resized(image, height, width, interpolation)
    return cut(whole, size, size)


SIZES = [(500, 375), (375, 501), (37, 91), (1, 1), (3, 1), (224, 224), (225, 300), (700, 31)]


@pytest.mark.share(8)
@pytest.mark.parametrize("interpolation", METHODS)
@pytest.mark.parametrize(("size", "crop_pct"), [(224, 0.875), (160, 0.95), (64, 1.0), (33, 0.9)])
@pytest.mark.parametrize("image_size", SIZES)
def test_resizing_and_cutting_equal_pillow(
    interpolation: str, size: int, crop_pct: float, image_size: tuple[int, int]
) -> None:
    image = photo(*image_size)
    layer = rl.Preprocessing(image_size=size, crop_pct=crop_pct, interpolation=interpolation, **RAW)
    reference = expected(image, size, crop_pct, interpolation)
    np.testing.assert_allclose(value(layer(image)), reference, atol=2e-3)
    np.testing.assert_allclose(value(layer(image.astype("float32"))), reference, atol=2e-3)


@pytest.mark.parametrize("image_size", SIZES)
def test_nearest_takes_the_pixel_that_a_centre_lies_in(image_size: tuple[int, int]) -> None:
    """Exactly; Pillow adds up fractions of a pixel, and takes another one here and there."""
    image = photo(*image_size)
    layer = rl.Preprocessing(image_size=64, crop_pct=1.0, interpolation="nearest", **RAW)
    height, width = (64 * size // min(image_size) for size in image_size)
    rows, columns = (
        (2 * np.arange(after) + 1) * before // (2 * after)
        for before, after in zip(image_size, (height, width), strict=True)
    )
    reference = cut(image[rows][:, columns].astype("float32"), 64, 64)
    np.testing.assert_allclose(value(layer(image)), reference, atol=2e-3)


@pytest.mark.share(8)
@pytest.mark.parametrize("interpolation", METHODS)
@pytest.mark.parametrize("size", [64, 16, 150])
@pytest.mark.parametrize("image_size", [*SIZES[:6], (32, 32), (31, 200), (8, 13)])
def test_fitting_equals_pillow(interpolation: str, size: int, image_size: tuple[int, int]) -> None:
    """By whole numbers: halves go up or down as Pillow's weights of 22 bits are rounded."""
    image = photo(*image_size)
    arguments: dict[str, Any] = {
        "image_size": size,
        "crop_pct": 1.0,
        "interpolation": interpolation,
    }
    layer = rl.Preprocessing(**arguments, resizing="fit", **RAW)
    picture = ImageOps.fit(Image.fromarray(image), (size, size), METHODS[interpolation])
    theirs = np.asarray(picture, "float32")
    unknown = tf.function(layer, [tf.TensorSpec((None, None, 3), tf.uint8)])
    for result in (layer(image), unknown(image)):
        difference = np.abs(np.rint(value(result)) - theirs)
        assert difference.mean() < 3e-2  # where an image is enlarged; else 4e-4
        assert (difference > 1).mean() < 1e-4  # a half in both passes
        assert difference.max() <= 2


@pytest.mark.slow
@pytest.mark.share(2)
def test_pipelines_of_another_backend_get_the_same() -> None:
    """On JAX, in `tf.data`, for sizes that are known and that are not."""
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout == "the same\n", done.stderr


ON_JAX = """
import keras
import numpy as np
import tensorflow as tf
import resnet_layers as rl

rng = np.random.default_rng(0)
images = [rng.integers(0, 256, (20 + i, 30 - i, 3), np.uint8) for i in range(2)]
signature = tf.TensorSpec((None, None, 3), tf.uint8)
arguments = [{"interpolation": name} for name in ("nearest", "bilinear", "bicubic", "lanczos")]
arguments += [{"image_size": (16, 20), "channels": "bgr", "data_format": "channels_first"}]
arguments += [{"resizing": "fit", "crop_pct": 1.0}]
for chosen in arguments:
    layer = rl.Preprocessing(**{"image_size": 16, **chosen})
    expected = [keras.ops.convert_to_numpy(layer(image)) for image in images]
    unknown = tf.data.Dataset.from_generator(lambda: iter(images), output_signature=signature)
    known = tf.data.Dataset.from_tensors(images[0])
    for data in (unknown.map(layer), known.map(layer)):
        for result, image in zip(data, expected):
            assert result.shape == image.shape
            np.testing.assert_allclose(result, image, atol=1e-4)
print("the same")
"""


@pytest.mark.parametrize("image_size", [(100, 75), (75, 100), (60, 60), (31, 200)])
def test_oblong_results_keep_the_ratio(image_size: tuple[int, int]) -> None:
    """timm's `ResizeKeepRatio`, then the cut."""
    height, width = image_size
    targets = (math.floor(48 / 0.875), math.floor(64 / 0.875))
    ratio = min(height / targets[0], width / targets[1])
    whole = resized(photo(*image_size), round(height / ratio), round(width / ratio), "bilinear")
    layer = rl.Preprocessing(image_size=(48, 64), **RAW)
    np.testing.assert_allclose(value(layer(photo(*image_size))), cut(whole, 48, 64), atol=2e-3)


@pytest.mark.share(3)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("image_size", [(104, 64), (12, 57), (57, 12)])
def test_oblong_sizes_round_halves_to_even(image_size: tuple[int, int], dynamic: bool) -> None:
    """Python's `round`, as timm calls it: one side would have half a pixel."""
    height, width = image_size
    for targets in ((32, 100), (54, 73), (73, 54)):
        layer = rl.Preprocessing(image_size=targets, crop_pct=1.0, **RAW)
        ratio = min(height / targets[0], width / targets[1])
        whole = resized(photo(*image_size), round(height / ratio), round(width / ratio), "bilinear")
        call = tf.function(layer, [tf.TensorSpec((None, None, 3), tf.uint8)]) if dynamic else layer
        result = value(call(photo(*image_size)))
        np.testing.assert_allclose(result, cut(whole, *targets), atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dynamic", [False, True])
def test_very_long_images_equal_pillow(axis: int, dynamic: bool) -> None:
    """Whole numbers of 32 bits overflow for the pixels that are far away."""
    image = photo(*((9000, 2) if axis == 0 else (2, 9000)))
    layer = rl.Preprocessing(image_size=224, **RAW)
    # Only what the centre is made of, since the whole would have 300 million pixels.
    part = image[4400:4600] if axis == 0 else image[:, 4400:4600]
    call = tf.function(layer, [tf.TensorSpec((None, None, 3), tf.uint8)]) if dynamic else layer
    result = value(call(image))
    np.testing.assert_allclose(result, expected(part, 224, 0.875, "bilinear"), atol=2e-3)


def test_pillows_rounding_differs_by_little() -> None:
    image = photo(300, 400)
    layer = rl.Preprocessing(image_size=224, interpolation="bicubic", **RAW)
    whole = Image.fromarray(image).resize((341, 256), METHODS["bicubic"])
    theirs = cut(np.asarray(whole, "float32"), 224, 224)
    assert np.abs(value(layer(image)) - theirs).max() <= 1.5


def test_numbers_become_those_of_training() -> None:
    image = photo(32, 32)
    layer = rl.Preprocessing(image_size=32, crop_pct=1.0)
    reference = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(value(layer(image)), reference, atol=1e-4)
    other = rl.Preprocessing(image_size=32, crop_pct=1.0, channels="bgr")
    np.testing.assert_allclose(value(other(image)), reference[..., ::-1], atol=1e-4)
    first = rl.Preprocessing(image_size=32, crop_pct=1.0, data_format="channels_first")
    np.testing.assert_allclose(value(first(image)), np.moveaxis(reference, -1, 0), atol=1e-4)
    assert first.compute_output_shape((5, None, None, 3)) == (5, 3, 32, 32)


@pytest.mark.parametrize("preactivation", [False, True])
def test_keras_applications_get_their_own(preactivation: bool) -> None:
    module = keras.applications.resnet_v2 if preactivation else keras.applications.resnet
    config = for_keras_applications(preactivation).get_config()
    layer = rl.Preprocessing(**{**config, "crop_pct": 1.0})
    image = photo(224, 224)[None]
    reference = module.preprocess_input(image.astype("float32"))
    np.testing.assert_allclose(value(layer(image)), reference, atol=1e-4)


def test_batches_single_images_graphs_and_xla_agree() -> None:
    layer = rl.Preprocessing(image_size=48)
    batch = np.stack([photo(100, 75, seed) for seed in range(3)])
    reference = value(layer(batch))
    assert reference.shape == layer.compute_output_shape(batch.shape) == (3, 48, 48, 3)
    for image, single in zip(batch, reference, strict=True):
        np.testing.assert_allclose(value(layer(image)), single, atol=1e-5)
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    for function in (
        tf.function(layer, input_signature=signature),
        tf.function(layer, jit_compile=True),
    ):
        np.testing.assert_allclose(value(function(batch)), reference, atol=1e-5)


@pytest.mark.parametrize("image_size", [(40, 31), (31, 40)])
def test_sizes_known_when_the_graph_runs_give_the_same(image_size: tuple[int, int]) -> None:
    for size in (24, (24, 30)):
        layer = rl.Preprocessing(image_size=size, interpolation="bicubic")
        unknown = tf.function(layer, [tf.TensorSpec((None, None, 3), tf.uint8)])
        image = photo(*image_size)
        np.testing.assert_allclose(value(unknown(image)), value(layer(image)), atol=1e-5)


def test_pipeline_of_images_of_every_size() -> None:
    layer = rl.Preprocessing(image_size=16)
    images = [photo(20 + i, 30 - i) for i in range(4)]
    data = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    )
    batch = next(iter(data.map(layer).batch(4)))
    np.testing.assert_allclose(value(batch), [value(layer(i)) for i in images], atol=1e-5)


def test_half_precision_comes_after_the_arithmetic() -> None:
    image = photo(100, 75)
    exact = rl.Preprocessing(image_size=48)(image)
    half = rl.Preprocessing(image_size=48, dtype="mixed_bfloat16")(image.astype("float32"))
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"
    np.testing.assert_array_equal(
        value(keras.ops.cast(half, "float32")),
        value(keras.ops.cast(keras.ops.cast(exact, "bfloat16"), "float32")),
    )


def test_layer_is_saved_inside_a_model(tmp_path: Path) -> None:
    photos = keras.Input((None, None, 3), dtype="uint8")
    prepare = rl.Preprocessing(image_size=16, interpolation="bicubic", channels="bgr")
    network = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    model = keras.Model(photos, network(prepare(photos)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    batch = photo(40, 50)[None]
    np.testing.assert_array_equal(value(again(batch)), value(model(batch)))
    np.testing.assert_allclose(value(model(batch)), value(network(prepare(batch))), atol=1e-5)


@pytest.mark.share(6)
def test_layer_is_the_first_of_a_sequence(tmp_path: Path) -> None:
    prepare = rl.Preprocessing(
        image_size=(16, 20), crop_pct=0.5, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )
    network = randomize(rl.ResNet.from_variant("cifar_resnet20", classes=3))
    model = keras.Sequential([keras.Input((None, None, 3), dtype="uint8"), prepare, network])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == prepare.get_config()
    batch = np.stack([photo(40, 50, seed) for seed in range(2)])
    np.testing.assert_array_equal(value(again(batch)), value(model(batch)))
    np.testing.assert_array_equal(again.predict(batch, verbose=0).shape, (2, 3))


@pytest.mark.share(6)
@pytest.mark.parametrize("interpolation", METHODS)
@pytest.mark.parametrize("image_size", [24, (20, 30)])
def test_every_argument_counts_wherever_the_layer_runs(
    interpolation: str, image_size: int | tuple[int, int]
) -> None:
    arguments: dict[str, Any] = {"image_size": image_size, "interpolation": interpolation}
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    layer = rl.Preprocessing(
        **arguments, mean=mean, std=std, channels="bgr", data_format="channels_first"
    )
    batch = np.stack([photo(37, 41, seed) for seed in range(2)])
    raw = value(rl.Preprocessing(**arguments, **RAW)(batch))  # compared with Pillow above
    reference = np.moveaxis(((raw / 255 - mean) / std)[..., ::-1], -1, 1)
    unknown = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    copied = rl.Preprocessing.from_config(layer.get_config())
    for function in (
        copied,
        tf.function(layer, input_signature=unknown),
        tf.function(layer, jit_compile=True),
    ):
        np.testing.assert_allclose(value(function(batch)), reference, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (2, 8, 8, 4), (2, 0, 8, 3), (1, 2, 8, 8, 3)])
def test_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    layer = rl.Preprocessing()
    with pytest.raises(ValueError, match="must have the axes"):
        layer(np.zeros(shape, "uint8"))
