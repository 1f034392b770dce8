"""What a recipe is made of: Keras' optimizer and loss, and batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.training import optimizers
from resnet_layers.training.batches import Batches
from resnet_layers.training.chance import ColorJitter, Flip, RandomErasing
from resnet_layers.training.crops import PadAndCrop, RandomResizedCrop
from resnet_layers.training.headers import Header
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.labels import BinaryCrossentropy, CategoricalCrossentropy
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.policies import RandAugment
from resnet_layers.training.recipes import Recipe
from resnet_layers.training.schedules import SCHEDULES, Stretched

OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "adamw": optimizers.AdamW,
    "adam": optimizers.Adam,
    "nadam": optimizers.Nadam,
    "rmsprop": optimizers.RMSprop,
    "lion": optimizers.Lion,
    "lamb": optimizers.Lamb,
}
LOSSES = {"softmax": CategoricalCrossentropy, "sigmoid": BinaryCrossentropy}


def make_optimizer(
    recipe: Recipe,
    learning_rate: float,
    steps: int,
    stretched: Sequence[tuple[int, int]] = (),
) -> keras.optimizers.Optimizer:
    """The optimizer, for a known number of steps and a largest rate.

    Args:
        recipe: What says which.
        learning_rate: The largest rate.
        steps: How many steps there are.
        stretched: Steps from which on the rest of the schedule takes another number of them, each
            with how many there are in all from then on.
    """
    rate = SCHEDULES[recipe.schedule](learning_rate, steps, recipe.warmup)
    for begin, total in stretched:
        rate, steps = Stretched(rate, begin, steps, total), total
    keywords: dict[str, Any] = {
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.global_clipnorm,
    }
    if recipe.optimizer == "sgd":
        keywords |= {"momentum": 0.9, "nesterov": recipe.nesterov}
    if recipe.ema is not None:
        # Keras averages at each step, an update or not.
        keywords |= {"use_ema": True, "ema_momentum": recipe.ema ** (1 / recipe.accumulate)}
    if recipe.accumulate > 1:
        keywords |= {"gradient_accumulation_steps": recipe.accumulate}
    return OPTIMIZERS[recipe.optimizer](rate, **keywords)


def make_loss(recipe: Recipe, from_logits: bool, *, several: bool = False) -> keras.losses.Loss:
    """The loss, which takes indices of classes and mixtures of labels.

    Args:
        recipe: What says which.
        from_logits: Whether predictions are logits, not probabilities.
        several: Whether an image may have several classes, each of which is a question of its own.
    """
    made: keras.losses.Loss = LOSSES["sigmoid" if several else recipe.loss](
        from_logits=from_logits,
        label_smoothing=recipe.smoothing,
        reduction="mean_with_sample_weight",
    )
    return made


def make_batches(
    recipe: Recipe,
    images: Labelled,
    prepare: Preprocessing,
    batch_size: int,
    *,
    seed: int,
    size: int | None = None,
    multiple: int = 1,
    part: tuple[int, int] = (0, 1),
    headers: Sequence[Header] | None = None,
    skip_damaged: bool = False,
    class_weight: Mapping[int, float] | None = None,
) -> Batches:
    """The batches to train on, as of `Batches`; `size` is that of the images, if another."""
    whole: Any = prepare.image_size
    side = size or whole
    crop = None
    if recipe.scale is not None:
        crop = RandomResizedCrop(side, recipe.scale, interpolation=prepare.interpolation)
    config = {**prepare.get_config(), "image_size": side}
    steps: list[Any] = []
    if recipe.padding:
        steps.append(PadAndCrop(max(1, int(side * recipe.padding)), recipe.padding_mode))
    if recipe.flip:
        steps.append(Flip(recipe.flip))
    mean, std = ([255.0 * v for v in values] for values in (prepare.mean, prepare.std))
    if recipe.augment is not None:
        red, green, blue = (min(round(value), 255) for value in mean)
        steps.append(RandAugment(recipe.augment, fill=(red, green, blue)))
    if recipe.jitter:
        steps.append(ColorJitter(*[recipe.jitter] * 3))
    if recipe.erasing:
        steps.append(RandomErasing(recipe.erasing, mean=_three(mean), std=_three(std)))
    mixed = recipe.mixup or recipe.cutmix
    return Batches(
        images,
        Preprocessing(**config),
        batch_size,
        seed=seed,
        crop=crop,
        augment=steps,
        mixing=Mixing(recipe.mixup, recipe.cutmix) if mixed else None,
        multiple=multiple,
        part=part,
        repeats=recipe.repeats,
        headers=headers,
        skip_damaged=skip_damaged,
        class_weight=class_weight,
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
