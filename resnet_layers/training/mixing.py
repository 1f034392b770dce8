"""Images mixed with others of their batch, and their labels likewise: mixup and cutmix."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_layers._support import checks
from resnet_layers.training.chance import probability, uniform

MODES = ("batch", "pair", "elem")


@dataclass(frozen=True)
class Mixing:
    r"""Mixup and cutmix of a batch with itself in reverse order, as timm has them.

    $$\tilde{\mathbf{x}}_i = \mathbf{m} \odot \mathbf{x}_i +
    (1 - \mathbf{m}) \odot \mathbf{x}_{N+1-i}, \qquad
    \tilde{\mathbf{y}}_i = \lambda \mathbf{y}_i + (1 - \lambda) \mathbf{y}_{N+1-i}$$

    In mixup $\mathbf{m} = \lambda \sim \mathrm{Beta}(\alpha, \alpha)$. In cutmix $\mathbf{m}$ is 0
    in a rectangle of the share $1 - \lambda$ of the image, around a uniform pixel and cut off at
    the border, and $\lambda$ of the labels is then the share of whole pixels outside of it. Keras'
    `CutMix` draws $\alpha$ itself, and weighs labels by the rectangle before it is cut to pixels;
    both layers of Keras take indices for labels without a word.

    Args:
        mixup: $\alpha$ of mixup, at least 0; 0 is none of it. The article has 0.1 to 0.4.
        cutmix: $\alpha$ of cutmix, at least 0; 0 is none of it. The article has 1.
        chance: Probability that images are mixed at all, in [0, 1].
        switch: Probability of cutmix where both are on, in [0, 1].
        mode: What draws for itself: the whole `"batch"`, each `"pair"` of images, or each image,
            `"elem"`.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of range, or what it is called with has other shapes.

    Example:

    >>> import tensorflow as tf
    >>> from resnet_layers.training.mixing import Mixing
    >>> mix = Mixing(mixup=0.2, cutmix=1.0)
    >>> images, labels = tf.zeros((4, 8, 8, 3)), tf.one_hot([0, 1, 2, 0], 3)
    >>> images, labels = mix(images, labels, seed=(0, 7))
    >>> images.shape, labels.shape
    (TensorShape([4, 8, 8, 3]), TensorShape([4, 3]))

    Reference:
        Zhang et al., mixup, 2017, https://arxiv.org/abs/1710.09412; Yun et al., CutMix, 2019,
        https://arxiv.org/abs/1905.04899; the rules are those of timm 1.0.31
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    chance: float = 1.0
    switch: float = 0.5
    mode: str = "batch"

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            checks.not_negative(name, getattr(self, name))
        for name in ("chance", "switch"):
            probability(name, getattr(self, name))
        checks.choice("mode", self.mode, MODES)

    def __call__(
        self, images: Any, labels: Any, seed: Any, places: Any = None, size: Any = None
    ) -> tuple[Any, Any]:
        """Images, (N, H, W, C), and rows of labels, (N, classes) of a float type, mixed.

        Args:
            images: The images.
            labels: The rows.
            seed: Two integers.
            places: Where each image is in the whole batch, of which these are a part that has the
                partner of each; `None` where they are all of it.
            size: That of the whole batch.
        """
        import tensorflow as tf

        images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
        _check_rows(images, labels)
        if not self.mixup and not self.cutmix:
            return images, labels
        pixels = tf.cast(images, tf.float32)
        number = tf.shape(images)[0]
        other = partners(tf.range(number), number) if places is None else partners(places, size)
        whole = number if size is None else tf.cast(size, tf.int32)
        shape = tf.concat([[whole], tf.shape(images)[1:]], 0)
        kept, share = self._kept(shape, seed)
        if places is not None and self.mode != "batch":  # which draws once
            kept, share = tf.gather(kept, places), tf.gather(share, places)
        mixed = kept * pixels + (1.0 - kept) * tf.gather(pixels, other)
        if images.dtype.is_integer:
            mixed = tf.round(mixed)
        share = tf.cast(share, labels.dtype)
        rows = share * labels + (1.0 - share) * tf.gather(labels, other)
        return tf.cast(mixed, images.dtype), rows

    def _kept(self, shape: Any, seed: Any) -> tuple[Any, Any]:
        """What stays of each pixel, (N or 1, H, W, 1), and of each label, (N or 1, 1)."""
        import tensorflow as tf

        number = {"batch": 1, "pair": (shape[0] + 1) // 2, "elem": shape[0]}[self.mode]
        seeds = tf.unstack(tf.random.split(seed, 4, alg="philox"))
        chance, switch, y, x = tf.unstack(uniform((4, number), seeds[0]))
        both = bool(self.mixup and self.cutmix)
        of_cutmix = switch < (self.switch if both else float(self.cutmix > 0))
        alpha = tf.where(of_cutmix, self.cutmix or 1.0, self.mixup or 1.0)
        share = tf.where(chance < self.chance, _beta(alpha, seeds[1:3]), 1.0)
        outside = _outside(share, y, x, shape)
        of_box = tf.reduce_mean(outside, (1, 2, 3))
        kept = tf.where(of_cutmix[:, None, None, None], outside, share[:, None, None, None])
        share = tf.where(of_cutmix, of_box, share)[:, None]
        if self.mode == "pair":  # the second half has the first half's numbers, from its end
            half = shape[0] // 2
            kept, share = (tf.concat([all_, all_[:half][::-1]], 0) for all_ in (kept, share))
        return kept, share


def partners(places: Any, size: Any) -> Any:
    """Where among some images of a batch the partner of each is: at its place from the end."""
    import tensorflow as tf

    return tf.argmax(places[None, :] == size - 1 - places[:, None], axis=1)


def _beta(alpha: Any, seeds: Any) -> Any:
    """Numbers of Beta(alpha, alpha), by way of logarithms, since those of small alpha underflow."""
    import tensorflow as tf

    logs = []
    for seed in seeds:
        gamma = tf.random.stateless_gamma(tf.shape(alpha), seed, alpha + 1.0)
        power = 1.0 - uniform(tf.shape(alpha), tf.random.fold_in(seed, 1, alg="philox"))
        logs.append(tf.math.log(gamma) + tf.math.log(power) / alpha)
    return tf.sigmoid(logs[0] - logs[1])


def _outside(share: Any, y: Any, x: Any, shape: Any) -> Any:
    """1 outside of a rectangle around a pixel, 0 in it, (N, H, W, 1)."""
    import tensorflow as tf

    axes = []
    for drawn, size in ((y, shape[1]), (x, shape[2])):
        whole = tf.cast(size, tf.float32)
        length = tf.cast(whole * tf.sqrt(1.0 - share), tf.int32)
        centre = tf.cast(drawn * whole, tf.int32)
        first, last = centre - length // 2, centre + (length + 1) // 2
        places = tf.range(size)
        axes.append((places >= first[:, None]) & (places < last[:, None]))
    rows, columns = axes
    return 1.0 - tf.cast(rows[:, :, None, None] & columns[:, None, :, None], tf.float32)


def smoothed(labels: Any, smoothing: float, several: bool = False) -> Any:
    """Rows of labels that are less sure: mixed with equal shares of all classes.

    Args:
        labels: Rows of shares, (N, classes), or (N, 1) for two classes.
        smoothing: The part of equal shares, in [0, 1).
        several: Whether an image can have several classes; each label then moves towards 0.5.
    """
    checks.fraction("smoothing", smoothing)
    classes = labels.shape[-1]
    return labels * (1.0 - smoothing) + smoothing * (
        0.5 if several or classes == 1 else 1 / classes
    )


def weighted(labels: Any, class_weight: Mapping[int, float]) -> Any:
    """The weight of each row of labels, (N,): the mixture of the weights of its classes.

    Keras would take that of the largest share. By operators, which work in `tf.data` on every
    backend, and before labels are smoothed.

    Args:
        labels: Rows of shares, (N, classes), or (N, 1) for two classes.
        class_weight: As of `keras.Model.fit`; 1 for a class that it leaves out.
    """
    binary = labels.shape[-1] == 1
    numbers = range(2 if binary else labels.shape[-1])
    weights = np.array([class_weight.get(i, 1.0) for i in numbers], "float32")
    if binary:
        return (weights[0] + labels * (weights[1] - weights[0]))[:, 0]
    return (labels @ weights[:, None])[:, 0]


def check_weights(class_weight: Any, classes: int | None = None) -> None:
    """Says no to weights of classes by which a loss would be no mean.

    Args:
        class_weight: As of `keras.Model.fit`, or `None`.
        classes: How many there are; `None` where that is not known.

    Raises:
        TypeError: If it is no mapping of numbers, nor `None`.
        ValueError: If a weight is less than 0, or of no class.
    """
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "`class_weight` must be a mapping from indices of classes to their weights. "
            f"Received: class_weight={reprlib.repr(class_weight)}"
        )
    for label, weight in class_weight.items():
        checks.not_negative(f"class_weight[{label}]", weight)
    if classes is not None and not set(class_weight) <= set(range(classes)):
        raise ValueError(
            f"`class_weight` must have indices of {classes} classes. Received: "
            f"class_weight={reprlib.repr(class_weight)}"
        )


def _check_rows(images: Any, labels: Any) -> None:
    """Refuses indices, which would be broadcast to a square of all images."""
    if images.shape.rank != 4 or labels.shape.rank != 2 or not labels.dtype.is_floating:
        raise ValueError(
            "Images to mix must be (N, H, W, C), and their labels rows of a float type, "
            f"(N, classes). Received: images={images.shape}, labels={labels.shape} of "
            f"{labels.dtype.name}"
        )
