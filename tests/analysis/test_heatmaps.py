"""Heat maps: formulas, ways to a network, precision, certificates, and where the digit is."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from scipy import ndimage

import resnet_layers as rl
from resnet_layers.analysis.heatmaps import methods, places, scores
from resnet_layers.analysis.heatmaps.certificates import Certificate
from resnet_layers.analysis.heatmaps.maps import METHODS, Method, grad_cam
from resnet_layers.analysis.heatmaps.methods import OF_STAGES
from resnet_layers.analysis.heatmaps.overlays import draw_maps, overlay
from resnet_layers.analysis.scene import Image, Text
from tests.analysis import pasted
from tests.support.randomize import randomize

IMAGES = np.random.default_rng(0).normal(size=(3, 32, 24, 3)).astype("float32")
ALL = [cast("Method", name) for name in METHODS]


@functools.cache
def network(**changes: Any) -> rl.ResNet:
    model = rl.ResNet.from_variant("cifar_resnet20", 5, blocks=(1, 1, 1), **changes)
    randomize(model)
    dense = cast("Any", model.head).dense
    dense.kernel.assign(np.abs(np.asarray(dense.kernel)))  # or nothing may speak for a class
    return model


@functools.cache
def expected(method: Method) -> Any:
    return grad_cam(network(), IMAGES, [0, 4, 2], "stage3", method=method)


@pytest.mark.share(5)
@pytest.mark.parametrize("method", ALL)
def test_maps_have_the_size_of_the_images_and_reach_from_0_to_1(method: Method) -> None:
    maps = expected(method)
    assert (maps.shape, maps.dtype) == ((3, 32, 24), np.float32)
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max((1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("method", OF_STAGES)
def test_maps_are_those_of_the_formula(method: Method) -> None:
    """The score is linear in the last map: its gradient is known, `kernel / (h w)`."""
    model = network()
    maps = np.asarray(model.features(IMAGES)["stage3"], np.float64)
    kernel = np.asarray(cast("Any", model.head).dense.kernel, np.float64)[:, [0, 4, 2]].T
    height, width = maps.shape[1:3]
    gradients = np.broadcast_to(kernel[:, None, None] / (height * width), maps.shape)
    if method == "grad_cam++":
        whole = maps.sum((1, 2), keepdims=True)
        shares = gradients**2 / (2 * gradients**2 + whole * gradients**3 + 1e-6)
        weights = (shares * np.maximum(gradients, 0)).sum((1, 2), keepdims=True)
    else:  # equal here, since the gradient is the same at all pixels
        weights = gradients.mean((1, 2), keepdims=True)
    found = np.maximum((weights * maps).sum(-1), 0)
    found -= found.min((1, 2), keepdims=True)
    found /= found.max((1, 2), keepdims=True)
    # Bilinear with half pixels, as order 1 of SciPy has it on a grid of centres.
    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in ((32, height), (24, width)))
    grid = np.meshgrid(rows, columns, indexing="ij")
    large = np.stack([ndimage.map_coordinates(one, grid, order=1, mode="nearest") for one in found])
    large -= large.min((1, 2), keepdims=True)
    large /= large.max((1, 2), keepdims=True)
    np.testing.assert_allclose(expected(method), large, atol=1e-4)


def test_hires_cam_differs_where_the_gradient_does() -> None:
    first, second = (
        grad_cam(network(), IMAGES, 1, "stage2", method=method)
        for method in cast("list[Method]", ["grad_cam", "hires_cam"])
    )
    assert np.abs(first - second).max() > 0.05


@pytest.mark.share(8)
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("way", ["functional", "sequential", "softmax", "sigmoid", "view"])
def test_maps_are_equal_by_every_way_to_the_network(way: str, method: Method) -> None:
    model, inputs = network(), keras.Input((32, 24, 3))
    stage = "stage3"
    if way == "functional":
        scaled = keras.layers.Rescaling(1.0)(inputs)
        other: Any = keras.Model(inputs, keras.layers.Softmax()(model(scaled)))
    elif way == "sequential":
        last = keras.layers.Activation("sigmoid")
        other = keras.Sequential([inputs, keras.Sequential([model]), last])
    elif way == "view":
        other = rl.functional_view(model)
        stage = other.layers[-3].name  # before pooling and the classifier
    else:
        other = network(classifier_activation=way)
        other.set_weights(model.get_weights())
    found = grad_cam(other, IMAGES, [0, 4, 2], stage, method=method)
    np.testing.assert_allclose(found, expected(method), atol=1e-4)


@pytest.mark.parametrize("method", ALL)
def test_channels_first_makes_no_difference(method: Method) -> None:
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow's convolutions on a CPU take channels last")
    model = network(data_format="channels_first", input_shape=(3, None, None))
    model.set_weights(network().get_weights())
    found = grad_cam(model, np.moveaxis(IMAGES, -1, 1), [0, 4, 2], "stage3", method=method)
    np.testing.assert_allclose(found, expected(method), atol=1e-3)


@pytest.mark.parametrize(("policy", "atol"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)])
def test_mixed_precision_makes_nearly_the_same_maps(policy: str, atol: float) -> None:
    model = rl.with_dtype(network(), policy)
    found = grad_cam(model, IMAGES, [0, 4, 2], "stage3")
    assert found.dtype == np.float32
    assert np.abs(found - expected("grad_cam")).mean() < atol


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients"])
def test_small_gradients_are_not_lost_in_half_precision(method: Method) -> None:
    model = rl.ResNet.from_config(network().get_config())
    model.set_weights(network().get_weights())
    dense = cast("Any", model.head).dense
    dense.kernel.assign(1e-4 * dense.kernel)
    exact, half = (
        grad_cam(one, IMAGES, [0, 4, 2], "stage3", method=method)
        for one in (model, rl.with_dtype(model, "mixed_float16"))
    )
    assert np.abs(exact - half).mean() < 0.02


def test_a_batch_that_a_model_was_built_with_is_none_that_it_takes() -> None:
    inner = network()
    model = keras.Sequential([keras.layers.Rescaling(1.0), inner])
    model(IMAGES)
    found = grad_cam(model, IMAGES[:2], [0, 4], "stage3")
    np.testing.assert_allclose(found, grad_cam(inner, IMAGES[:2], [0, 4], "stage3"), atol=1e-4)


def test_an_activation_in_a_line_is_left_out() -> None:
    inner = network()
    last = keras.layers.Dense(5, activation=lambda x: keras.ops.softmax(x, axis=-1))
    model = keras.Sequential([keras.Input((32, 24, 3)), inner, last])
    found = grad_cam(model, IMAGES, [0, 4, 2], "stage3")
    last.activation = keras.activations.linear
    np.testing.assert_allclose(found, grad_cam(model, IMAGES, [0, 4, 2], "stage3"), atol=1e-4)


def test_the_top_class_is_the_default_and_names_are_classes() -> None:
    model = network().replace(metadata={"class_names": ["a", "b", "c", "d", "e"]})
    top = scores.logits(model, IMAGES).argmax(1)
    names = ["abcde"[i] for i in top]
    maps = grad_cam(model, IMAGES, stage=None)
    np.testing.assert_array_equal(grad_cam(model, IMAGES, top, "stage3"), maps)
    np.testing.assert_array_equal(grad_cam(model, IMAGES, names, "stage3"), maps)
    np.testing.assert_array_equal(
        grad_cam(model, IMAGES, 3, None)[1], grad_cam(model, IMAGES, "d", None)[1]
    )


def test_names_are_those_of_the_network_within() -> None:
    """Unless the model has its own, or there are others than outputs."""
    inner = network().replace(metadata={"class_names": ["a", "b", "c", "d", "e"]})
    inputs = keras.Input((32, 24, 3))
    outer = keras.Model(inputs, keras.layers.Activation("softmax")(inner(inputs)))
    deep = keras.Sequential([inputs, keras.Sequential([inner])])
    for model in (outer, deep):
        found = grad_cam(model, IMAGES, ["a", "e", "c"], "stage3")
        np.testing.assert_allclose(found, expected("grad_cam"), atol=1e-4)
    outer.metadata = {"class_names": ["v", "w", "x", "y", "z"]}
    assert scores._names(outer, 5) == ["v", "w", "x", "y", "z"]
    outer.metadata = {"class_names": None}
    assert scores._names(outer, 5) == ["a", "b", "c", "d", "e"]
    assert scores._names(deep, 4) == []


@pytest.mark.share(2)
@pytest.mark.parametrize("method", [one for one in ALL if one != "integrated_gradients"])
def test_models_of_whole_numbers_take_them(method: Method) -> None:
    inputs = keras.Input((32, 24, 3), dtype="uint8")
    model = keras.Model(inputs, network()(keras.layers.Rescaling(1 / 64, -2.0)(inputs)))
    pixels = np.random.default_rng(0).integers(0, 256, IMAGES.shape, dtype="uint8")
    found = grad_cam(model, pixels, [0, 4, 2], "stage3", method=method)
    if method != "occlusion":  # whose squares have a mean colour
        prepared = pixels.astype("float32") / 64 - 2
        other = grad_cam(network(), prepared, [0, 4, 2], "stage3", method=method)
        np.testing.assert_allclose(found, other, atol=1e-4)
    np.testing.assert_array_equal(
        found, grad_cam(model, pixels.astype("float32"), [0, 4, 2], "stage3", method=method)
    )


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_single_output_is_the_probability_of_a_sigmoid(activation: str | None) -> None:
    """It is the mean colour of a corner, which a map by occlusion finds."""
    inputs = keras.Input((16, 16, 1))
    corner = keras.layers.Cropping2D(((0, 12), (12, 0)), name="corner")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(corner)
    kernel = keras.initializers.Constant(8.0)
    outputs = keras.layers.Dense(1, activation, kernel_initializer=kernel)(pooled)
    model = keras.Model(inputs, outputs)
    image = np.full((1, 16, 16, 1), -1, "float32")
    image[:, :4, 12:] = 1
    for classes in (0, None):
        maps, (found,) = grad_cam(model, image, classes, method="occlusion", certificate=True)
        assert maps[0, :4, 12:].min() > 0.5
        assert found.insertion > 0.9
        assert found.advantage > max(found.chance, 0.5)


def test_weights_are_put_in_disorder_from_the_top() -> None:
    """However deep the network is in a model, and what is before it at the end."""
    inner = network()
    before, behind = (keras.layers.Conv2D(3, 1, name=name) for name in ("before", "behind"))
    last = keras.layers.Dense(3, name="last")
    start = keras.Input((32, 24, 3))
    ends = [keras.layers.Reshape((1, 1, 5)), keras.Sequential([behind]), keras.layers.Flatten()]
    middle = keras.Sequential([keras.Sequential([before, keras.Sequential([inner]), *ends]), last])
    parts = places.parts(keras.Model(start, middle(start)))
    stages = [f"stage{i}" for i in (3, 2, 1)]
    assert [part.name for part in parts[2:]] == ["head", *stages, "stem", "before"]
    assert parts[0] is last
    assert parts[1].layers[-1] is behind
    assert places.parts(inner) == parts[2:-1]


def test_the_model_is_as_before() -> None:
    model = network(classifier_activation="softmax")
    before, outputs = model.get_weights(), np.asarray(model(IMAGES))
    grad_cam(model, IMAGES, stage="stage1", certificate=True)
    with pytest.raises(ValueError, match="several pixels"):
        grad_cam(model, IMAGES[:, :4, :4], stage="stage3")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(np.asarray(model(IMAGES)), outputs)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.share(5)
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("mode", ["full", "activations", "larger_than"])
def test_maps_are_equal_where_keras_computes_again(mode: str, method: Method) -> None:
    """On TensorFlow the tape does not see into what is computed again, on JAX nothing may leave."""
    with keras.RematScope(mode=mode):
        inputs = keras.Input((32, 24, 3))
        inner = rl.ResNet.from_variant("cifar_resnet20", 5, blocks=(1, 1, 1))
        model = keras.Model(inputs, keras.ops.multiply(inner(inputs), 1.0))
    inner.set_weights(network().get_weights())
    modes = [one._remat_mode for one in (*inner._flatten_layers(), *model._operations)]
    found = grad_cam(model, IMAGES, [0, 4, 2], "stage3", method=method)
    np.testing.assert_allclose(found, expected(method), atol=1e-4)
    assert [one._remat_mode for one in (*inner._flatten_layers(), *model._operations)] == modes


def test_threads_share_a_model() -> None:
    """Several make maps of it, while others take its probabilities."""
    model = network(classifier_activation="softmax")
    model.set_weights(network().get_weights())
    outputs = np.asarray(model(IMAGES))

    def maps(_: int) -> Any:
        return grad_cam(model, IMAGES, [0, 4, 2], "stage3")

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(maps, i) for i in range(8)]
        while not all(task.done() for task in tasks):
            np.testing.assert_allclose(np.asarray(model(IMAGES)), outputs, atol=1e-5)
    for task in tasks:
        np.testing.assert_allclose(task.result(), expected("grad_cam"), atol=1e-4)


def test_what_an_instance_computes_stays() -> None:
    """A `call` that a layer has and its class does not."""
    inputs = keras.Input((16, 16, 3))
    stage, last = keras.layers.Conv2D(4, 3, name="stage"), keras.layers.Softmax()
    pooled = keras.layers.GlobalAveragePooling2D()(stage(inputs))
    model = keras.Model(inputs, last(keras.layers.Dense(3)(pooled)))
    call: Callable[[Any], Any] = stage.call
    doubled = stage.call = lambda x: 2 * call(x)
    found = grad_cam(model, IMAGES[:, :16, :16], 0, "stage")
    assert stage.call is doubled
    del vars(stage)["call"]
    stage.kernel.assign(2 * stage.kernel)
    np.testing.assert_allclose(found, grad_cam(model, IMAGES[:, :16, :16], 0, "stage"), atol=1e-5)


def test_integrated_gradients_add_up_to_what_the_image_changes() -> None:
    model = network()
    classes = np.array([0, 4, 2])
    found = methods.integrated_gradients(model, IMAGES, classes, (1, 2)).sum((1, 2))
    ends = (IMAGES, methods.blank(IMAGES, (1, 2)))
    first, second = (scores.logits(model, one)[np.arange(3), classes] for one in ends)
    np.testing.assert_allclose(found, first - second, rtol=0.1, atol=0.02)


def test_occlusion_finds_the_only_pixels_that_count() -> None:
    """A network whose score is the sum of a corner."""
    inputs = keras.Input((16, 16, 3))
    corner = keras.layers.Flatten()(keras.layers.Cropping2D(((0, 12), (12, 0)))(inputs))
    kernel = keras.initializers.Constant(1.0)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=kernel)(corner))
    image = np.zeros((1, 16, 16, 3), "float32")
    image[:, :4, 12:] = 1
    (found,) = grad_cam(model, image, 0, method="occlusion")
    assert found[:4, 12:].min() > 0.5
    assert found[8:, :8].max() == 0


def test_a_map_of_nothing_is_0_and_says_so() -> None:
    model = network()
    dense = cast("Any", model.head).dense
    other = model.replace(head=rl.ClassifierHead(5), name="other")
    cast("Any", other.head).dense.kernel.assign(-np.abs(np.asarray(dense.kernel)))
    maps, certificates = grad_cam(other, IMAGES, 0, None, certificate=True)
    assert not maps.any()
    assert str(certificates[0]).startswith("fails: nothing in the map speaks for the class; its")


def test_a_certificate_says_what_is_wrong() -> None:
    good = Certificate(0.9, 0.2, 0.1, (0.5, 0.1))
    assert good.passes
    assert str(good) == "passes: insertion 0.90, deletion 0.20"
    bad = Certificate(0.5, 0.45, 0.2, (0.9, 0.9), is_empty=True)
    assert not bad.passes
    assert str(bad) == (
        "fails: nothing in the map speaks for the class; its order of pixels changes the "
        "probability by 0.05, where random orders change it by up to 0.20 and 0.1 is asked; it "
        "hardly changes where the network knows nothing (rank correlation 0.90)"
    )


def test_overlays_and_sheets_show_the_maps() -> None:
    images = np.full((3, 8, 12, 1), 100, "uint8")
    maps = np.zeros((3, 8, 12), "float32")
    maps[:, :4] = 1
    mixed = overlay(images, maps, opacity=1.0)
    assert mixed.shape == (3, 8, 12, 3)
    assert mixed[0, 0, 0, 0] > mixed[0, 0, 0, 2]  # red
    assert mixed[0, 7, 0, 2] > mixed[0, 7, 0, 0]  # blue
    half = overlay(images, maps)
    np.testing.assert_allclose(half, (100 + mixed.astype(float)) / 2, atol=1)
    np.testing.assert_array_equal(overlay(images.astype("float32") / 255, maps), half)
    certificates = [Certificate(0.9, 0.1, 0.1, (0.1,)), *[Certificate(0.1, 0.1, 0.1, (0.1,))] * 2]
    picture = draw_maps(images, maps, ["cat", "dog", "cat"], certificates)
    texts = [shape.text for shape in picture.scene.shapes if isinstance(shape, Text)]
    assert texts == ["3 maps", "cat", "passes", "fails", "dog", "fails"]
    tiles = [shape for shape in picture.scene.shapes if isinstance(shape, Image)]
    assert len(tiles) == 6


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_names_are_one_line_of_a_sheet(ending: str, tmp_path: Path) -> None:
    """Whatever moves a cursor is escaped, and what is no Unicode is replaced."""
    names = ["a\nb", "c\x00d", "e\ud800f"]
    picture = draw_maps(np.zeros((3, 8, 8, 1), "uint8"), np.zeros((3, 8, 8)), names)
    texts = [shape.text for shape in picture.scene.shapes if isinstance(shape, Text)]
    assert texts == ["3 maps", "a\\nb", "c\\x00d", "e\ud800f"]
    picture.save(tmp_path / f"sheet.{ending}")
    if ending == "svg":
        ElementTree.fromstring((tmp_path / "sheet.svg").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_maps_lie_where_the_digit_is_and_certificates_know_it() -> None:
    trained, fresh = pasted.network(0), pasted.network(5)
    pasted.train(trained)
    images, labels, _ = pasted.images(200, seed=1)
    assert np.mean(scores.logits(trained, images).argmax(1) == labels) > 0.9
    for method in cast("list[Method]", list(OF_STAGES)):
        found, other = (pasted.tried(model, method, count=60) for model in (trained, fresh))
        assert 4.0 <= found.times <= 8.0
        assert 0.7 <= other.times <= 1.4
        assert found.passed >= 0.9
        assert other.passed <= 0.05
