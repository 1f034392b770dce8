"""Losses and metrics for labels that are indices, rows, or mixtures of them."""

import math
from typing import Any

import keras
from keras import ops

from resnet_layers._support import checks
from resnet_layers.training import devices
from resnet_layers.training.chance import probability


class _OfAll:
    """Divides by the weight of the whole batch where devices share it."""

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        kept: Any = super()
        loss = kept.__call__(y_true, y_pred, sample_weight)
        if sample_weight is None or getattr(self, "reduction", "") != "mean_with_sample_weight":
            return loss
        return loss * ops.cast(devices.share(sample_weight), loss.dtype)


@keras.saving.register_keras_serializable(package="resnet_layers")
class CategoricalCrossentropy(_OfAll, keras.losses.CategoricalCrossentropy):
    """`-sum(p * log(q))`, with labels `p` as indices of classes as well.

    Keras' loss of this name with its arguments, `label_smoothing` among them. Indices become
    one-hot rows first, so that a network can train on mixtures of labels (mixup) and be evaluated
    on indices.

    Args:
        from_logits: Whether predictions are logits, not probabilities.
        label_smoothing: Share of the label that is spread over all classes, in [0, 1].
        **kwargs: The other arguments of Keras' loss.

    Input shape:
        Labels `(batch,)`, `(batch, 1)` or `(batch, classes)`; predictions `(batch, classes)`.

    Output shape:
        A number.

    Raises:
        ValueError: If shapes do not fit, or if the smoothing is out of range.

    Example:

    >>> loss = CategoricalCrossentropy(from_logits=True)
    >>> logits = keras.ops.convert_to_tensor([[0.0, 9.0], [9.0, 0.0]])
    >>> bool(loss([1, 0], logits) == loss([[0.0, 1.0], [1.0, 0.0]], logits))
    True

    Reference:
        Szegedy et al., Rethinking the Inception Architecture, 2015, section 7 (smoothing).
    """

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, **kwargs: Any
    ) -> None:
        probability("label_smoothing", label_smoothing)
        super().__init__(from_logits=from_logits, label_smoothing=label_smoothing, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return super().call(one_hot(y_true, y_pred.shape[-1]), y_pred)


@keras.saving.register_keras_serializable(package="resnet_layers")
class BinaryCrossentropy(_OfAll, keras.losses.BinaryCrossentropy):
    """`-mean(p * log(q) + (1 - p) * log(1 - q))` over classes, with indices as labels as well.

    Keras' loss of this name with its arguments, for images with one class each: indices become
    one-hot rows first, and each class is a question of its own. Labels are smoothed among classes;
    Keras would move each towards 0.5, as if a thousand classes were there by halves.

    Args:
        label_smoothing: Share of the label that is spread over all classes, in [0, 1].
        **kwargs: The other arguments of Keras' loss, such as `from_logits`.

    Input shape:
        Labels `(batch,)`, `(batch, 1)` or `(batch, classes)`; predictions `(batch, classes)`.

    Output shape:
        A number.

    Raises:
        ValueError: If shapes do not fit, or if the smoothing is out of range.

    Example:

    >>> loss = BinaryCrossentropy(from_logits=True)
    >>> logits = keras.ops.convert_to_tensor([[0.0, 9.0], [9.0, 0.0]])
    >>> bool(loss([1, 0], logits) == loss([[0.0, 1.0], [1.0, 0.0]], logits))
    True

    Reference:
        Wightman et al., ResNet strikes back, 2021, section 3.2; smoothing as in timm 1.0.31
    """

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.smoothing = probability("label_smoothing", label_smoothing)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[-1]
        rows = ops.cast(one_hot(y_true, classes), y_pred.dtype)
        return super().call(rows * (1.0 - self.smoothing) + self.smoothing / classes, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="resnet_layers")
class CategoricalAccuracy(keras.metrics.CategoricalAccuracy):
    """Share of predictions whose largest number is the label's, with indices as labels as well.

    Args:
        name: Name of the metric.
        **kwargs: The other arguments of Keras' metric.

    Input shape:
        Labels `(batch,)`, `(batch, 1)` or `(batch, classes)`; predictions `(batch, classes)`.

    Output shape:
        A number.

    Raises:
        ValueError: If shapes do not fit.

    Example:

    >>> accuracy = CategoricalAccuracy()
    >>> accuracy.update_state([1, 0], [[0.0, 9.0], [0.0, 9.0]])
    >>> float(accuracy.result())
    0.5

    Reference:
        Keras' metric of the same name.
    """

    def __init__(self, name: str = "categorical_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = one_hot(y_true, y_pred.shape[-1])
        return super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="resnet_layers")
class MeanAveragePrecision(keras.metrics.AUC):
    r"""Mean over classes of $\sum_t (R_{t} - R_{t+1}) P_t$, precision by recall over thresholds.

    Keras' area under the curve of precision and recall is another number: it interpolates between
    thresholds, and a class without images counts as 0 where it is left out here.

    Args:
        classes: Number of classes, positive.
        num_thresholds: Number of thresholds, at least 2.
        from_logits: Whether predictions are logits, not probabilities.
        name: Name of the metric.
        dtype: As of Keras' metrics.

    Input shape:
        Labels, 0 or 1, and predictions `(batch, classes)`.

    Output shape:
        A number; 0 where no image has a class.

    Raises:
        ValueError: If shapes do not fit.

    Example:

    >>> precision = MeanAveragePrecision(classes=2)
    >>> precision.update_state([[1, 0], [0, 1]], [[0.9, 0.8], [0.1, 0.4]])
    >>> float(precision.result())
    0.75

    Reference:
        Everingham et al., The PASCAL Visual Object Classes Challenge, 2010, section 4.2, with
        scikit-learn's sum of steps in place of the interpolation.
    """

    def __init__(
        self,
        classes: int,
        num_thresholds: int = 200,
        from_logits: bool = False,
        name: str = "mean_average_precision",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            checks.integer("num_thresholds", num_thresholds, minimum=2),
            name=name,
            dtype=dtype,
            multi_label=True,
            num_labels=checks.integer("classes", classes),
            from_logits=from_logits,
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if sample_weight is not None:  # of images, where Keras takes one of each label
            sample_weight = ops.reshape(sample_weight, (-1, 1))
        return super().update_state(one_hot(y_true, self.num_labels), y_pred, sample_weight)

    def result(self) -> Any:
        right, wrong = self.true_positives, self.false_positives  # (thresholds, classes)
        there = right[0] + self.false_negatives[0]
        recall = ops.divide_no_nan(right, there)
        precision = ops.divide_no_nan(right, right + wrong)
        steps = recall - ops.concatenate([recall[1:], ops.zeros_like(recall[:1])])
        has_images = ops.cast(there > 0, recall.dtype)
        of_classes = ops.sum(steps * precision, axis=0) * has_images
        return ops.divide_no_nan(ops.sum(of_classes), ops.sum(has_images))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        kept = {name: config[name] for name in ("name", "dtype", "num_thresholds", "from_logits")}
        return {**kept, "classes": self.num_labels}


def one_hot(labels: Any, classes: int) -> Any:
    """Labels as rows of `classes` numbers; those that are rows already stay as they are.

    The row of an index that no class has is not a number, so that it cannot go unnoticed.
    """
    labels = ops.convert_to_tensor(labels)  # Keras makes a list of numbers a list of tensors
    if len(labels.shape) == 2 and labels.shape[-1] == classes and classes > 1:
        return labels
    indices = ops.cast(ops.reshape(labels, (-1,)), "int32")
    known = ops.logical_and(indices >= 0, indices < classes)
    return ops.where(known[:, None], ops.one_hot(indices, classes), math.nan)
