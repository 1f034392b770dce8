"""`grad_cam`: which pixels decided."""

import threading
from typing import Any, Literal, overload

import numpy as np
from keras import ops

from resnet_layers._support import checks
from resnet_layers.analysis.heatmaps import certificates, methods, places, scores, watching
from resnet_layers.analysis.heatmaps.certificates import Certificate
from resnet_layers.analysis.heatmaps.methods import OF_IMAGES, OF_STAGES, Array
from resnet_layers.analysis.heatmaps.places import Place

METHODS = (*OF_STAGES, *OF_IMAGES)
_ONE_AT_A_TIME = threading.RLock()  # a map changes layers until it is there
Method = Literal["grad_cam", "grad_cam++", "hires_cam", "integrated_gradients", "occlusion"]


@overload
def grad_cam(
    model: Any,
    images: Any,
    classes: Any = None,
    stage: str | None = "stage4",
    *,
    method: Method = "grad_cam",
    certificate: Literal[False] = False,
) -> Array: ...
@overload
def grad_cam(
    model: Any,
    images: Any,
    classes: Any = None,
    stage: str | None = "stage4",
    *,
    method: Method = "grad_cam",
    certificate: Literal[True],
) -> tuple[Array, list[Certificate]]: ...
def grad_cam(
    model: Any,
    images: Any,
    classes: Any = None,
    stage: str | None = "stage4",
    *,
    method: Method = "grad_cam",
    certificate: bool = False,
) -> Array | tuple[Array, list[Certificate]]:
    """Which pixels of images speak for a class: `relu(Σ_k mean(∂y/∂A_k) A_k)`, in their size.

    The score y of the class is what the classifier puts out before its last activation, and A is
    the output of a stage.

    Args:
        model: A classifier: a `ResNet`, or a Keras model with one in it; of other models the layer
            is named.
        images: As the model takes them, `(N, height, width, channels)`: floats, or whole numbers if
            its input is of these.
        classes: Index or name of the class for all images, or one for each; `None` for the class
            that the model takes each image for.
        stage: `"stem"`, `"stage1"` and so on, or the name of a layer in a model without a
            `ResNet`; `None` for the last one. The last two methods do not ask for it.
        method: `"grad_cam"`; `"grad_cam++"` and `"hires_cam"`, which weigh each pixel of a map;
            `"integrated_gradients"` along the way from the mean colour to the image; or
            `"occlusion"` by squares of the mean colour.
        certificate: Whether each map is tried, which takes 120 forward passes for each image, and
            a map for each part of the network.

    Returns:
        float32, `(N, height, width)`, from 0 to 1 in each image; all 0 where nothing speaks for
        the class. With `certificate=True` a pair of them and a list of `Certificate`s.

    Raises:
        TypeError: If images are whole numbers and the model takes floats, or if an argument has
            the wrong type.
        ValueError: If there is no such stage, class or method, which lists those that there are;
            if the model does not take the images, has no map there, or a map of a single pixel, or
            if it gives probabilities of its own or numbers that are not finite.

    Example:

    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> grad_cam(model, keras.ops.ones((2, 32, 32, 3)), stage="stage3").shape
    (2, 32, 32)

    Reference:
        Selvaraju et al., Grad-CAM, 2017, section 3. The numbers are those of pytorch-grad-cam.
    """
    checks.choice("method", method, METHODS)
    checks.boolean("certificate", certificate)
    place = places.find(model, None if method in OF_IMAGES else stage)
    array = scores.check_images(model, images)
    given = scores.one_each(classes, len(array))
    if method == "integrated_gradients" and scores.whole_numbers(model):
        raise ValueError(
            "`method` must be another one for a model of whole numbers, which has no gradients by "
            f"its images. Received: method={method!r}"
        )

    def made(some: Array, their: Any) -> Array:
        found = _maps(model, place, some, their, method)
        if not np.isfinite(found).all():
            raise ValueError(
                "`model` must give finite numbers, and gradients, for `images`. Received: NaN or "
                f"infinity in the maps of {model.name}"
            )
        return found

    with _ONE_AT_A_TIME, watching.kept(model):
        scores.check_answer(model, array)
        if not certificate:
            return made(array, given)
        chosen = scores.chosen(model, given, array)
        maps = made(array, chosen)
        return maps, certificates.of(model, array, chosen, maps, made, _pixels(place))


def _maps(model: Any, place: Place, images: Array, classes: Any, method: str) -> Array:
    """Maps of a method, some images at a time."""
    return np.concatenate(
        [
            _some(model, place, images[one], None if classes is None else classes[one], method)
            for one in scores.groups(images)
        ]
    )


def _some(model: Any, place: Place, images: Array, classes: Any, method: str) -> Array:
    pixels = _pixels(place)
    size = (images.shape[pixels[0]], images.shape[pixels[1]])
    with scores.as_logits(model):
        if method in OF_IMAGES:
            chosen = scores.chosen(model, classes, images)
            found = OF_IMAGES[method](model, images, chosen, pixels)
            return methods.scaled(np.maximum(found, 0))
        inputs = ops.convert_to_tensor(images)
        scale = 1024.0 if methods.is_half(place.layer) else 1.0

        def score() -> Any:
            outputs = model(inputs, training=False)
            return scale * scores.of(outputs, scores.check_classes(model, classes, outputs))

        output, by_output = watching.output_and_gradient(place.layer, score)
    maps, gradients = methods.floats(output), methods.floats(by_output) / np.float32(scale)
    if maps.ndim != 4:
        raise ValueError(
            "`stage` must be a layer whose output is a map with two axes of pixels. "
            f"Received: '{place.name}', whose output has the shape {maps.shape}"
        )
    if place.channels_first:
        maps, gradients = np.moveaxis(maps, 1, -1), np.moveaxis(gradients, 1, -1)
    if maps.shape[1:3] == (1, 1):
        raise ValueError(
            "`stage` must have a map of several pixels, or there is nothing to tell apart; an "
            f"earlier one, or larger images, have. Received: '{place.name}', 1×1 pixels for images "
            f"of {size[0]}×{size[1]}"
        )
    return methods.scaled(OF_STAGES[method](maps, gradients), size)


def _pixels(place: Place) -> tuple[int, int]:
    """Axes of height and width."""
    return (2, 3) if place.channels_first else (1, 2)
