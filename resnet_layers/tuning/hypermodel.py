"""`HyperResNet`: a search space of residual networks for keras-tuner."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from resnet_layers._support import checks
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.layers import _shapes
from resnet_layers.layers._layout import Layout
from resnet_layers.networks.model import ResNet
from resnet_layers.training.arrays import augment
from resnet_layers.training.augmentation import Augmentation
from resnet_layers.training.batches import Batches
from resnet_layers.training.forgetting import gradients_forgotten
from resnet_layers.training.objective import Objective
from resnet_layers.training.schedules import WarmUpCosine
from resnet_layers.tuning import continuing, data, network, optimizers, repairs
from resnet_layers.tuning.budget import Budget
from resnet_layers.tuning.parts import Part, complete
from resnet_layers.tuning.space import Space


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
        max_milliseconds: Most milliseconds that it may take for an image in ONNX Runtime, as
            `predict_latency` has them; or `None`.
        machine: The machine that they are predicted for; `None` for this one, as
            `measure_machine` found it.
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
            space is within the budget, or if milliseconds are asked of a machine that was never
            measured.
        TypeError: If a value has the wrong type, or if a part is unknown.
        ImportError: If keras-tuner is of a version that this package does not know.

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
        max_milliseconds: float | None = None,
        machine: Machine | None = None,
        dtype: Any = None,
        seed: int | None = None,
        name: str | None = None,
        tunable: bool = True,
        **parts: Part,
    ) -> None:
        repairs.repair()
        super().__init__(name=name, tunable=tunable)
        self.classes = checks.integer("classes", classes)
        self.input_shape = _shapes.input_shape(input_shape, Layout())
        self.multi_label = checks.boolean("multi_label", multi_label)
        one_of_several = self.classes > 1 and not self.multi_label
        self.classifier_activation = checks.choice(
            "classifier_activation",
            classifier_activation,
            (None, "softmax" if one_of_several else "sigmoid"),
        )
        self.labels = Objective(self.classes, self.multi_label, self.classifier_activation is None)
        self.loss = loss
        self.labels.loss(loss)  # or an error now, not in the first trial
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise TypeError(
                f"`metrics` must be a list of names and metrics. Received: metrics={metrics!r}"
            )
        self.metrics = metrics
        self.labels.metrics(metrics)
        self.dtype = None if dtype is None else keras.dtype_policies.get(dtype)
        self.seed = None if seed is None else checks.seed(seed)
        self.space = Space(complete(preset, parts))
        bounds = (max_parameters, max_macs, max_milliseconds, machine)
        self.budget = Budget(self.space, self.classes, self.input_shape, *bounds)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Registers every hyperparameter that can occur, as tuners ask for it once."""
        self.space.declare(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> ResNet:
        """The compiled network of a sample.

        A sample over budget is rejected before a variable is allocated, and another one takes its
        place, whose values `hp` has afterwards. `fit` makes the trial of a grid fail instead.

        Args:
            hp: The sample; hyperparameters that it lacks are declared with their defaults.

        Returns:
            A built and compiled `ResNet`.
        """
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        self.space.declare(hp)
        self.budget.replace(hp)
        model = self.make_model(hp)
        self.compile_model(hp, model)
        self.budget.end_exploring(hp)
        if not model.optimizer.built:  # or Keras would skip its state in checkpoints
            model.optimizer.build(model.trainable_variables)
        return model

    def make_model(self, hp: keras_tuner.HyperParameters) -> ResNet:
        """The network of a sample, not compiled; for subclasses that change it."""
        return network.make_network(
            self.space.sample(hp),
            self.classes,
            self.input_shape,
            self.classifier_activation,
            self.dtype,
        )

    def compile_model(self, hp: keras_tuner.HyperParameters, model: keras.Model) -> None:
        """Gives loss, metrics and optimizer to a network; for subclasses that change them."""
        sample = self.space.sample(hp)
        model.compile(
            optimizers.make_optimizer(sample),
            self.labels.loss(self.loss, sample["label_smoothing"]),
            metrics=self.labels.metrics(self.metrics),
        )

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        checkpoint_every: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Trains a network as its sample says.

        Args:
            hp: The sample.
            model: What `build` made of it.
            *args: As of `keras.Model.fit`; the images may also be `resnet_layers.training.Batches`,
                with which a trial of a search that was killed goes on where it was.
            checkpoint_every: Steps between two checkpoints within an epoch of such a trial,
                positive; `None` for one after each epoch, and before a signal ends the process.
            **kwargs: As of `keras.Model.fit`.

        Returns:
            The history.
        """
        fit = dict(inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments)
        del fit["self"]
        callbacks = list(fit.pop("callbacks", None) or ())
        self.space.declare(hp)
        self.budget.leave_grid(hp, callbacks)
        mixes = self.space.may_be("mixup", True)
        augments = mixes or self.space.may_be("augmentation", "flip", "shift", "shift_flip")
        given = fit.get("validation_data")
        held_out = given if isinstance(given, Batches) else None
        data.check(fit, self.labels if self.loss is None else None, augments, mixes)
        data.check_every(fit, checkpoint_every)
        if mixes and self.multi_label and fit.get("class_weight") is not None:
            raise keras_tuner.errors.FatalValueError(
                "Weights of classes must be left out with mixup where an image has several: fix it "
                "with mixup=False"
            )
        sample = self.space.sample(hp)
        if sample["schedule"] == "cosine":
            callbacks.insert(0, WarmUpCosine(sample["warmup"]))
        callbacks.insert(0, keras.callbacks.TerminateOnNaN())
        if isinstance(fit["x"], Batches):
            weights = fit.pop("class_weight", None)
            drawn = sample["augmentation"], sample["mixup"], weights
            fit["x"] = continuing.augmented(fit["x"], *drawn)
            options = {
                "hyperparameters": hp.values,
                "hypermodel_seed": self.seed,
                "validation": held_out and continuing.described(held_out),
            }
            with gradients_forgotten(model):
                return continuing.fit(model, fit, options, callbacks, checkpoint_every)
        if sample["augmentation"] != "none" or sample["mixup"]:
            classes = self.classes if self.labels.one_of_several else None
            weights = fit.pop("class_weight", None) if sample["mixup"] else None
            augmentation = Augmentation(
                sample["augmentation"], sample["mixup"], classes, self.seed, weights
            )
            fit = augment(fit, augmentation)
        with gradients_forgotten(model):
            return model.fit(**fit, callbacks=callbacks)


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
        OverBudgetError: If the sample is over budget; its trial fails, and the search goes on.
        ValueError: As of `HyperResNet`.
        TypeError: As of `HyperResNet`.

    Example:

    >>> import keras_tuner
    >>> from resnet_layers.tuning import build_model
    >>> model = build_model(keras_tuner.HyperParameters(), 1, (8, 8, 3), width=8)
    >>> model.output_shape
    (None, 1)
    """
    hypermodel = HyperResNet(classes, input_shape, **options)
    hypermodel.declare_hyperparameters(hp)
    if not repairs.is_exploring():
        hypermodel.budget.refuse(hp)
    return hypermodel.build(hp)
