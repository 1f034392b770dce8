"""`HyperResNet`: a search space of residual networks for keras-tuner."""

import inspect
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import keras
import keras_tuner
import numpy as np

from resnet_layers import _checks, _cost
from resnet_layers._layout import Layout
from resnet_layers.model import ResNet
from resnet_layers.tuning import network, repairs, training
from resnet_layers.tuning.augmentation import Augmentation, augment, is_tf_data
from resnet_layers.tuning.parts import Part, standardize
from resnet_layers.tuning.space import Sample, Space


class HyperResNet(keras_tuner.HyperModel):
    """Residual networks and their training, as a search space for any tuner of keras-tuner.

    A sample is built as a plain `ResNet`, compiled, and trained by `fit` with the augmentation
    and the schedule that belong to it. All hyperparameters are declared before the first network
    is built, those that are not always active in conditional scopes, so the space is the same
    whatever is sampled.

    Each part of the space is the preset's unless it is given: as one value, which fixes it; as a
    list of values, the first of which is the default; or as a `Range`.

    Args:
        classes: Number of outputs, positive; 1 for a binary classifier.
        input_shape: `(height, width, channels)` of the images; `None` for sizes that differ.
        preset: `"small-images"` or `"imagenet"`.
        multi_label: Whether an image can have several classes, so that labels are rows of 0 and
            1, not indices of classes (or one-hot rows).
        classifier_activation: `None` for logits; or `"softmax"`, and `"sigmoid"` for binary and
            multi-label classifiers.
        loss: Of another kind than the labels suggest: a name or a `keras.losses.Loss`.
        metrics: In place of the accuracy (and the area under the ROC curve of binary and
            multi-label classifiers): a list of names or of `keras.metrics.Metric`s.
        max_parameters: Most numbers that a network may have in its variables, or `None`.
        max_macs: Most multiply-adds that it may take for an image, or `None`.
        dtype: Dtype policy of the networks; `None` for Keras' global one.
        seed: With which `build` seeds Python, NumPy and the backend, at least 0, so that equal
            samples train equally; or `None`.
        name: Name of the hypermodel.
        tunable: As of any `keras_tuner.HyperModel`.
        **parts: `stages`, `blocks` (of each stage, for all or as `{1: …, 2: …}`), `width` (of the
            first stage; it doubles from stage to stage), `block` (`"basic"`, `"bottleneck"`),
            `groups` and `inner_width` (of the 3×3 convolutions of a bottleneck; the second in
            times the width), `stem` (`"small"`, `"7x7"`, `"deep"`), `shortcut` (`"A"` to `"D"`),
            `preactivation`, `normalization` (`"batch"`, `"group"`, `"evonorm_s0"`, `"frn"`),
            `activation`, `attention` (`"none"`, `"se"`, `"eca"`), `attention_ratio`,
            `anti_aliasing` (`"none"`, `"blur"`, `"average"`), `drop_path`, `dropout`,
            `image_size` (shorter side in pixels that images are resized to; `None` to leave
            them), `optimizer` (`"sgd"`, `"adamw"`, `"adam"`, `"nadam"`, `"rmsprop"`, `"lion"`,
            `"lamb"`), `learning_rate` and `weight_decay` (for all or as `{"sgd": …}`),
            `schedule` (`"cosine"`, `"constant"`), `warmup` (share of the steps),
            `label_smoothing`, `augmentation` (`"none"`, `"flip"`, `"shift"`, `"shift_flip"`) and
            `mixup`.

    Raises:
        ValueError: If a value is out of range, if a name is unknown, or if no network of the
            space is within the budget.
        TypeError: If a value has the wrong type, or if a part is unknown.

    Example:

    >>> import keras_tuner
    >>> from resnet_layers.tuning import HyperResNet
    >>> hypermodel = HyperResNet(10, (8, 8, 1), width=[8, 16], max_parameters=100_000)
    >>> model = hypermodel.build(keras_tuner.HyperParameters())
    >>> model.output_shape, model.count_params() <= 100_000
    ((None, 10), True)

    Reference:
        He et al., Deep Residual Learning, 2015; Bello et al., Revisiting ResNets, 2021, section 4
        (what is worth to be searched); Goyal et al., Accurate, Large Minibatch SGD, 2017, section
        2.2 (warm-up); Loshchilov and Hutter, SGDR, 2016 (cosine).
    """

    def __init__(
        self,
        classes: int,
        input_shape: Sequence[int | None],
        *,
        preset: str = "small-images",
        multi_label: bool = False,
        classifier_activation: str | None = None,
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        max_parameters: float | None = None,
        max_macs: float | None = None,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
        tunable: bool = True,
        **parts: Part,
    ) -> None:
        super().__init__(name=name, tunable=tunable)
        self.classes = _checks.integer("classes", classes)
        self.input_shape = _checks.input_shape(input_shape, Layout())
        self.multi_label = _checks.boolean("multi_label", multi_label)
        activation = "softmax" if self._one_class_of_several else "sigmoid"
        self.classifier_activation = _checks.choice(
            "classifier_activation", classifier_activation, (None, activation)
        )
        self.loss = None if loss is None else keras.losses.get(loss)
        self.metrics = metrics
        self.dtype = dtype
        self.seed = None if seed is None else _checks.integer("seed", seed, minimum=0)
        self.space = Space(standardize(preset, parts))
        self.max_parameters = _budget("max_parameters", max_parameters)
        self.max_macs = _budget("max_macs", max_macs)
        self._smallest: Sample = {}
        if self.max_parameters or self.max_macs:
            self._check_budget()
        # Samples over budget by the hyperparameters that have others now.
        self._rejected: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()

    @property
    def _one_class_of_several(self) -> bool:
        return self.classes > 1 and not self.multi_label

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Registers every hyperparameter that can occur, as tuners ask for it once."""
        self.space.declare(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> ResNet:
        """The compiled network of a sample.

        A sample over budget is rejected before a variable is allocated, and another one takes its
        place, whose values `hp` has afterwards: keras-tuner would end a search after three
        samples that fail.

        Args:
            hp: The sample; hyperparameters that it lacks are declared with their defaults.

        Returns:
            A built and compiled `ResNet`.
        """
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        self.space.declare(hp)
        if not self._fits(self.space.sample(hp)):
            self._rejected[hp] = dict(hp.values)
            self.space.redraw(hp, self._fits, self._smallest)
        model = self.make_model(hp)
        self.compile_model(hp, model)
        return model

    def make_model(self, hp: keras_tuner.HyperParameters) -> ResNet:
        """The network of a sample, not compiled; for subclasses that change it."""
        return network.make(
            self.space.sample(hp),
            self.classes,
            self.input_shape,
            self.classifier_activation,
            self.dtype,
        )

    def compile_model(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> None:
        """Gives loss, metrics and optimizer to a network; for subclasses that change them."""
        sample = self.space.sample(hp)
        labels = (self.classes, self.multi_label, self.classifier_activation is None)
        metrics = self.metrics and [
            metric if isinstance(metric, str) else _copy(metric) for metric in self.metrics
        ]
        model.compile(
            training.optimizer(sample, model),
            self.loss or training.loss(*labels, sample["label_smoothing"]),
            metrics=metrics or training.metrics(*labels),
        )

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Trains a network as its sample says.

        Args:
            hp: The sample.
            model: What `build` made of it.
            *args: As of `keras.Model.fit`.
            **kwargs: Likewise.

        Returns:
            The history.
        """
        fit = dict(inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments)
        del fit["self"]
        callbacks = list(fit.pop("callbacks", None) or ())
        self.space.declare(hp)
        self._leave_grid(hp, callbacks)
        self._check_labels(fit.get("y"))
        if is_tf_data(fit.get("x")):
            fit.setdefault("shuffle", False)  # or Keras warns that it does not shuffle it
        sample = self.space.sample(hp)
        if sample["schedule"] == "cosine":
            peak = sample[f"{sample['optimizer']}_learning_rate"]
            callbacks.insert(0, training.WarmUpCosine(peak, sample["warmup"]))
        callbacks.insert(0, keras.callbacks.TerminateOnNaN())
        if sample["augmentation"] != "none" or sample["mixup"]:
            classes = self.classes if self._one_class_of_several else None
            augmentation = Augmentation(sample["augmentation"], sample["mixup"], classes, self.seed)
            fit = augment(fit, augmentation)
        with repairs.gradients_forgotten():
            return model.fit(**fit, callbacks=callbacks)

    def cost(self, sample: Sample) -> _cost.Cost:
        """Parameters and multiply-adds of a sample's network, without making it."""
        height, width = network.image_size(sample, self.input_shape)
        # Where the sizes are unknown, so are the multiply-adds, and nobody asks for them.
        shape = (height or 1, width or 1, self.input_shape[-1] or 1)
        return _cost.of(network.row(sample), self.classes, shape)

    def _excess(self, sample: Sample) -> float:
        """How many times the budget a sample takes, at most."""
        cost = self.cost(sample)
        return max(
            cost.parameters / self.max_parameters if self.max_parameters else 0.0,
            cost.macs / self.max_macs if self.max_macs else 0.0,
        )

    def _fits(self, sample: Sample) -> bool:
        return not (self.max_parameters or self.max_macs) or self._excess(sample) <= 1.0

    def _check_budget(self) -> None:
        sized = None not in self.input_shape or any(
            e.kind == "image_size" for e in self.space.entries
        )
        if self.max_macs and not sized:
            raise ValueError(
                "`max_macs` must be None where the size of images is unknown. Received: "
                f"max_macs={self.max_macs:g}, input_shape={self.input_shape}, image_size=None"
            )
        self._smallest = self.space.smallest(self._excess)
        if not self._fits(self._smallest):
            cost = self.cost(self._smallest)
            raise ValueError(
                "The budget must let the smallest network of the space through, which has "
                f"{cost.parameters} parameters and takes {cost.macs} multiply-adds. Received: "
                f"max_parameters={self.max_parameters}, max_macs={self.max_macs}"
            )
        hp = keras_tuner.HyperParameters()
        self.space.declare(hp)
        if not self._fits(self.space.sample(hp)):
            self.space.start_from(self._smallest)

    def _leave_grid(self, hp: keras_tuner.HyperParameters, callbacks: list[Any]) -> None:
        """A point of a grid cannot be replaced: it fails, and its network is not trained."""
        rejected = self._rejected.pop(hp, None)
        tuners = (getattr(callback, "tuner", None) for callback in callbacks)
        grid = next((one for one in tuners if isinstance(one, keras_tuner.GridSearch)), None)
        if rejected is None or grid is None:
            return
        hp.values = rejected
        if hasattr(grid.oracle, "max_consecutive_failed_trials"):  # not the one of a worker
            grid.oracle.max_consecutive_failed_trials += 1  # no failure of this kind is one
        cost = self.cost(self.space.sample(hp))
        raise keras_tuner.errors.FailedTrialError(
            f"Over budget: {cost.parameters} parameters, {cost.macs} multiply-adds"
        )

    def _check_labels(self, labels: Any) -> None:
        """Indices of classes are among the classes; an unknown one would teach nothing."""
        if not self._one_class_of_several or not isinstance(labels, np.ndarray):
            return
        if labels.ndim == 2 and labels.shape[-1] != 1 and labels.shape[-1] != self.classes:
            found = f"rows of {labels.shape[-1]} numbers"
        elif (
            labels.ndim == 1
            and labels.size
            and not 0 <= labels.min() <= labels.max() < self.classes
        ):
            found = f"indices from {labels.min()} to {labels.max()}"
        else:
            return
        raise keras_tuner.errors.FatalValueError(
            f"Labels must be indices of {self.classes} classes, from 0, or one-hot rows. "
            f"Received: {found}"
        )


def build_model(
    hp: keras_tuner.HyperParameters,
    classes: int,
    input_shape: Sequence[int | None],
    **options: Any,
) -> ResNet:
    """The compiled network of a sample, for a `build` function or a hypermodel of your own.

    Augmentation, mixup and schedule are part of `HyperResNet.fit`; without it they do nothing.

    Args:
        hp: The sample; the hyperparameters of `HyperResNet` are declared in it.
        classes: As of `HyperResNet`.
        input_shape: As of `HyperResNet`.
        **options: The other arguments of `HyperResNet`.

    Returns:
        A built and compiled `ResNet`.

    Raises:
        ValueError: As of `HyperResNet`.
        TypeError: As of `HyperResNet`.

    Example:

    >>> import keras_tuner
    >>> from resnet_layers.tuning import build_model
    >>> model = build_model(keras_tuner.HyperParameters(), 1, (8, 8, 3), width=8)
    >>> model.output_shape
    (None, 1)
    """
    return HyperResNet(classes, input_shape, **options).build(hp)


def _budget(name: str, value: float | None) -> float | None:
    return None if value is None else _checks.positive(name, value)


def _copy(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    """A metric of its own for each network, since it has variables."""
    return keras.metrics.deserialize(keras.metrics.serialize(metric))
