"""Fine-tuning: which parts of a network train, from which epoch on, and at which rates."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers.training.schedules import Scaled
from resnet_layers.weights.plan import named_parts
from resnet_layers.weights.protocol import Parts

# What excludes variables from weight decay, which no config of Keras' optimizers has.
_EXCLUDED = (
    *("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"),
    "_excluded_by_user",  # of the optimizers of this package
)


def freeze_until(model: Any, part: str) -> None:
    """Freezes all parts of a network before one, and lets that one and those behind it train.

    Frozen parts keep their weights and the statistics of their normalization, also in training.
    Called again with an earlier part, it unfreezes. A compiled model stays compiled, and what the
    optimizer knows of the parts that train in both cases is kept.

    Args:
        model: A network of the package's parts.
        part: `"stem"`, which unfreezes everything, `"stage1"` and so on, `"norm"` or `"head"`.

    Raises:
        TypeError: If `model` is no `ResNet`.
        ValueError: If it has no such part.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=2)
    >>> freeze_until(model, "stage4")
    >>> [variable.path for variable in model.trainable_variables][:1]
    ['stage4/block1/conv1/convolution/kernel']
    """
    place = _place(model, part)
    model.trainable = True
    for i, layer in enumerate(_parts(model).values()):
        set_trainable(layer, i >= place)
    if getattr(model, "compiled", False):
        _compile_again(model)


def is_frozen_until(model: Any, part: str) -> bool:
    """Whether nothing before a part trains."""
    before = list(_parts(model).values())[: _place(model, part)]
    return not any(layer.trainable_variables for layer in before)


def set_trainable(layer: Any, value: bool) -> None:
    """Lets a layer or a model train, or not, with all that is in it.

    `layer.trainable = True` does not reach inner layers where the layer itself is not frozen: on
    TensorFlow, Keras passes over values that attributes have already.
    """
    for inner in layer._flatten_layers():
        inner.trainable = value


class Unfreeze(keras.callbacks.Callback):
    """Lets more parts of a network train from given epochs of `fit` on, as `freeze_until` does it.

    Args:
        schedule: By part, the epoch from whose start it and those behind it train, counted from 1.
            Until the first of them the model trains as it was given.

    Raises:
        TypeError: If the model is no `ResNet`, `schedule` no mapping, or an epoch no integer.
        ValueError: If the model has no such part, which training begins with, or an epoch is less
            than 1.

    Example:

    >>> model = ResNet.from_variant("test_resnet", classes=2)
    >>> freeze_until(model, "head")
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> images, labels = keras.ops.ones((4, 32, 32, 3)), keras.ops.zeros(4)
    >>> callback = Unfreeze({"stage4": 2, "stage3": 3})
    >>> history = model.fit(images, labels, epochs=2, callbacks=[callback], verbose=0)
    >>> [part.name for part in (*model.stages, model.head) if part.trainable]
    ['stage4', 'head']

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018,
        section 3.3, gradual unfreezing.
    """

    def __init__(self, schedule: Mapping[str, int]) -> None:
        super().__init__()
        if not isinstance(schedule, Mapping):
            raise TypeError(
                "`schedule` must be a mapping from parts to epochs. Received: "
                f"schedule={schedule!r}"
            )
        self.schedule = {
            part: checks.integer(f"schedule[{part!r}]", epoch) for part, epoch in schedule.items()
        }
        self._first: str | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._first = None
        for part in self.schedule:
            _place(self.model, part)
        logging.getLogger("tensorflow").addFilter(_is_meant)

    def on_train_end(self, logs: Any = None) -> None:
        logging.getLogger("tensorflow").removeFilter(_is_meant)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        due = [part for part, start in self.schedule.items() if start <= epoch + 1]
        first = min(due, key=lambda part: _place(self.model, part), default=None)
        if first is not None and first != self._first:
            freeze_until(self.model, first)
            self.model.make_train_function()  # which `fit` has made, and compiling has forgotten
            self._first = first


def layer_decay(model: Any, optimizer: Any, decay: float) -> keras.optimizers.MultiOptimizer:
    """An optimizer whose learning rate falls from the head to the stem.

    The head and the normalization before it have the rate of `optimizer`, the last stage `decay`
    times that, the stage before it `decay`² times, and so on to the stem. A schedule falls with
    them, and `ReduceLROnPlateau` lowers each; `LearningRateScheduler` would give all the same.

    Args:
        model: A network of the package's parts.
        optimizer: What each part gets a copy of; it is not built yet.
        decay: Factor from part to part, in (0, 1].

    Raises:
        TypeError: If `model` is no `ResNet`, or `optimizer` no optimizer of Keras for all
            variables.
        ValueError: If `decay` is out of range, or the optimizer is built or clips by the norm of
            all gradients, which it would take of each part.

    Example:

    >>> model = ResNet.from_variant("resnet18", classes=2)
    >>> optimizer = layer_decay(model, keras.optimizers.SGD(0.1, momentum=0.9), 0.5)
    >>> model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> [round(float(inner.learning_rate), 4) for inner in optimizer.optimizers]  # the head's last
    [0.05, 0.025, 0.0125, 0.0063, 0.0031, 0.1]

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018,
        section 3.1, discriminative fine-tuning.
    """
    checks.share("decay", decay)
    wrappers = (keras.optimizers.MultiOptimizer, keras.optimizers.LossScaleOptimizer)
    if not isinstance(optimizer, keras.optimizers.Optimizer) or isinstance(optimizer, wrappers):
        raise TypeError(
            "`optimizer` must be one of keras.optimizers that takes all variables. "
            f"Received: optimizer={optimizer!r}"
        )
    for what, is_wrong in (
        ("not be built", optimizer.built),
        ("have no `global_clipnorm`", optimizer.global_clipnorm is not None),
    ):
        if is_wrong:
            raise ValueError(
                f"`optimizer` must {what}, since each part gets a copy of it. "
                f"Received: optimizer={optimizer!r}"
            )
    parts = {name: part for name, part in _parts(model).items() if name not in ("norm", "head")}
    falling = {
        f"{re.escape(part.path)}/.*": _scaled(optimizer, decay ** (i + 1), name)
        for i, (name, part) in enumerate(reversed(parts.items()))
    }
    rest = _scaled(optimizer, 1.0, "head")
    by_path = keras.optimizers.OptimizerMap(rest, falling)
    return keras.optimizers.MultiOptimizer(by_path, name=optimizer.name)


def _is_meant(record: logging.LogRecord) -> bool:
    """Not TensorFlow's warning of steps that are traced again, which unfreezing needs."""
    return "tf.function retracing" not in record.getMessage()


def _parts(model: Any) -> dict[str, Any]:
    if not isinstance(model, Parts):
        raise TypeError(f"`model` must be a ResNet. Received: model={model!r}")
    return {name: part for name, part in named_parts(model).items() if part is not None}


def _place(model: Any, part: Any) -> int:
    names = list(_parts(model))
    if part not in names:
        raise ValueError(f"`part` must be one of {checks.some(names)}. Received: part={part!r}")
    return names.index(part)


def _compile_again(model: Any) -> None:
    """Compiles as before, for what trains now; an optimizer keeps to what it was built for."""
    old, metrics = model.optimizer, model._compile_metrics
    new = _copy(old)
    # The arguments themselves: not each of them has a config.
    model.compile(**{**model._compile_config.config, "optimizer": new})
    if metrics is not None and metrics.built:  # which JAX asks for before the next step makes it
        vars(model)["_compile_metrics"] = metrics  # an attribute would be listed twice
    if old.built:
        new.build(model.trainable_variables)
        _carry(old, new)


def _scaled(optimizer: Any, factor: float, part: str) -> Any:
    """A copy with a share of the rate, and with a name of its own for its state."""
    copy = _copy(optimizer, name=f"{optimizer.name}_{part}")
    rate = optimizer._learning_rate
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    copy.learning_rate = Scaled(rate, factor) if is_schedule else float(rate) * factor
    return copy


def _copy(optimizer: Any, **changes: Any) -> Any:
    """An optimizer like another, not built yet."""
    kinds: Any = keras.optimizers
    if isinstance(optimizer, kinds.MultiOptimizer):
        # Not by its config, from which an optimizer that stands twice comes back as two.
        given = optimizer._optimizer_map
        copies = {id(inner): _copy(inner) for inner in optimizer.optimizers}
        by_path = {path: copies[id(inner)] for path, inner in given.items()}
        again = kinds.OptimizerMap(copies[id(given.default_optimizer)], by_path)
        return kinds.MultiOptimizer(again, optimizer.loss_scale_factor, optimizer.name)
    config = {**optimizer.get_config(), **changes}
    if isinstance(optimizer, kinds.LossScaleOptimizer):
        return type(optimizer)(**{**config, "inner_optimizer": _copy(optimizer.inner_optimizer)})
    copy = type(optimizer).from_config(config)
    for name in _EXCLUDED:
        if name in vars(optimizer):
            setattr(copy, name, vars(optimizer)[name])
    return copy


def _inside(optimizer: Any) -> list[Any]:
    """An optimizer, and those that it wraps."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer, *_inside(optimizer.inner_optimizer)]
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return [optimizer, *optimizer.optimizers]
    return [optimizer]


def _carry(old: Any, new: Any) -> None:
    """Steps, rates, moments and averages of what both were built for."""
    for before, after in zip(_inside(old), _inside(new), strict=True):
        known = {variable.path: variable for variable in before._variables}
        for variable in after._variables:
            if variable.path in known:
                variable.assign(known[variable.path])
