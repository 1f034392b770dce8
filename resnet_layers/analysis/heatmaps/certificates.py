"""Whether a map can be trusted: tried on the image, and with weights that know nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.analysis.heatmaps import methods, places, scores
from resnet_layers.analysis.heatmaps.methods import Array
from resnet_layers.layers.head import last_activation

_SHARES = 10  # steps in which an image comes and goes
_ORDERS = 5  # random ones, each with its reverse
_CELLS = 7  # of a random order along each side
LEAST_ADVANTAGE = 0.1  # of the probability
MOST_SIMILAR = 0.8  # rank correlation


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What trying a map has come to.

    Args:
        insertion: Mean probability of the class while the pixels of the image take their places
            among its own pixels in disorder, those of the map's largest values first.
        deletion: The same while they leave them, the largest first.
        chance: The most by which insertion exceeds deletion in random orders that are as coarse
            as a map.
        similarity: Rank correlation of the map and of those of networks whose weights are put in
            another order from the top: of the head alone, then with the last stage, and so on down
            to the stem.
        is_empty: Whether nothing speaks for the class.
    """

    insertion: float
    deletion: float
    chance: float
    similarity: tuple[float, ...]
    is_empty: bool = False

    @property
    def advantage(self) -> float:
        """By how much insertion exceeds deletion."""
        return self.insertion - self.deletion

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the map, in words; nothing of one that can be trusted."""
        found = []
        if self.is_empty:
            found.append("nothing in the map speaks for the class")
        if self.advantage <= max(self.chance, LEAST_ADVANTAGE):
            found.append(
                f"its order of pixels changes the probability by {self.advantage:.2f}, where "
                f"random orders change it by up to {self.chance:.2f} and {LEAST_ADVANTAGE} is asked"
            )
        if self.similarity and self.similarity[-1] > MOST_SIMILAR:
            found.append(
                f"it hardly changes where the network knows nothing (rank correlation "
                f"{self.similarity[-1]:.2f})"
            )
        return tuple(found)

    @property
    def passes(self) -> bool:
        """Whether the map has no fault."""
        return not self.faults

    def __str__(self) -> str:
        """One line.

        >>> str(Certificate(0.9, 0.2, 0.1, (0.5, 0.1)))
        'passes: insertion 0.90, deletion 0.20'
        """
        if self.passes:
            return f"passes: insertion {self.insertion:.2f}, deletion {self.deletion:.2f}"
        return f"fails: {checks.some(self.faults, str, '; ')}"


def of(
    model: Any,
    images: Array,
    classes: NDArray[np.int64],
    maps: Array,
    made: Callable[[Array, Any], Array],
    pixels: tuple[int, int],
) -> list[Certificate]:
    """One for each map.

    Args:
        model: The classifier.
        images: As it takes them.
        classes: Index of each image's class.
        maps: What is tried, (N, H, W).
        made: Makes maps of images and classes, with the weights that the model has then.
        pixels: Axes of height and width.

    Reference:
        Petsiuk et al., RISE, 2018, section 4.2 (insertion and deletion); Adebayo et al., Sanity
        Checks for Saliency Maps, 2018, section 3.1 (weights that are made random from the top).
    """
    similar = np.array(
        [
            [_rank_correlation(a, b) for a, b in zip(maps, other, strict=True)]
            for other in _of_random(model, images, classes, made)
        ]
    )
    found = []
    for i, image in enumerate(images):
        rng = np.random.RandomState(i)
        orders = [maps[i], *(_coarse(rng, maps.shape[1:]) for _ in range(_ORDERS))]
        # What goes first comes in last.
        both = np.stack([sign * order for order in orders for sign in (1, -1)])
        probabilities = _insertions(model, image[None], int(classes[i]), both, pixels)
        insertion, deletion, *others = map(float, probabilities)
        chances = [abs(a - b) for a, b in zip(others[::2], others[1::2], strict=True)]
        found.append(
            Certificate(
                insertion=insertion,
                deletion=deletion,
                chance=max(chances),
                similarity=tuple(float(value) for value in similar[:, i]),
                is_empty=not maps[i].any(),
            )
        )
    return found


def _insertions(
    model: Any, image: Array, class_: int, orders: Array, pixels: tuple[int, int]
) -> Array:
    """Mean probability of the class while pixels come in, the largest of each order first.

    Args:
        model: The classifier.
        image: (1, height, width, channels), or channels first.
        class_: Index of the class.
        orders: (orders, height, width).
        pixels: Axes of height and width.
    """
    flat = orders.reshape(len(orders), -1)
    ranks = np.argsort(np.argsort(-flat, axis=1, kind="stable"), axis=1).reshape(orders.shape)
    shares = (np.arange(_SHARES) + 0.5) / _SHARES
    there = ranks[:, None] < shares[:, None, None] * flat.shape[1]  # (orders, shares, H, W)
    there = there.reshape(-1, *orders.shape[1:])
    channels = ({1, 2, 3} - set(pixels)).pop()
    partly = np.where(np.expand_dims(there, channels), image, _disordered(image, pixels))
    logits = scores.logits(model, partly)
    if last_activation(model) == "sigmoid" or logits.shape[1] == 1:  # whose softmax is 1
        found = 1 / (1 + np.exp(-logits))
    else:
        powers = np.exp(logits - logits.max(1, keepdims=True))
        found = powers / powers.sum(1, keepdims=True)
    means: Array = found[:, class_].reshape(len(orders), -1).mean(1)
    return means


def _disordered(image: Array, pixels: tuple[int, int]) -> Array:
    """The pixels of an image in a random order.

    Normalization meets colours as in the image; a blank one would be unlike all that it has seen.
    """
    height, width = (image.shape[axis] for axis in pixels)
    places = np.random.RandomState(0).permutation(height * width)
    flat = image.reshape(*image.shape[: pixels[0]], -1, *image.shape[pixels[1] + 1 :])
    found: Array = flat.take(places, pixels[0]).reshape(image.shape)
    return found


def _coarse(rng: Any, size: tuple[int, ...]) -> Array:
    """Random numbers that change over the image as slowly as a map does."""
    cells = rng.rand(1, _CELLS, _CELLS, 1).astype(np.float32)
    return methods.floats(ops.image.resize(cells, size, data_format="channels_last"))[0, ..., 0]


def _of_random(
    model: Any, images: Array, classes: Any, made: Callable[[Array, Any], Array]
) -> list[Array]:
    """Maps of networks whose weights are in another order, from the top down to the stem."""
    rng, mapping, found = np.random.RandomState(0), [], []
    for part in places.parts(model):
        for variable in part.weights:
            value = methods.floats(variable.value)
            shuffled = rng.permutation(value.reshape(-1)).reshape(value.shape)
            mapping.append((variable, ops.convert_to_tensor(shuffled, variable.dtype)))
        if part.weights:
            with keras.StatelessScope(state_mapping=mapping):  # the model keeps its own
                found.append(made(images, classes))
    return found


def _rank_correlation(first: Array, second: Array) -> float:
    """Spearman's; 0 where one of them is the same everywhere."""
    from scipy import stats

    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float(stats.spearmanr(first, second, axis=None).statistic)
