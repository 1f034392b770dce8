"""The recipe of a training, and what is asked for in place of what it says."""

import dataclasses
from typing import Annotated, Any

from resnet_layers.shell.options import EITHER, INTEGER, THE_RECIPES, TRAINING
from resnet_layers.shell.settings import Settings
from resnet_layers.training.recipes import RECIPES, Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overrides(Settings):
    """A recipe, and its fields; `None` where it is as the recipe says.

    Args:
        recipe: How the network is trained, by name: digits, photos, finetune, probe, cifar, a1, a2,
            a3 or ffcv16. Without it, digits without `--data`, finetune with `--from`, and photos
            else; what follows overrides what the recipe says.
        learning_rate: The largest one; without it, the recipe's, in proportion to the batch.
        schedule: How the rate falls: cosine, linear or steps.
        warmup: Share of the steps in which the rate rises, in [0, 1).
        optimizer: sgd, adamw, adam, nadam, rmsprop, lion or lamb.
        nesterov: Whether the momentum of SGD is Nesterov's.
        weight_decay: On kernels alone, at least 0.
        global_clipnorm: Largest norm of the gradients of all variables together, or none for any.
        scale: Least and largest share of an image in a random crop, such as 0.35,1; none for the
            middle square.
        padding: Most pixels by which images are moved, as a share of their side, in [0, 1).
        padding_mode: What is there then: constant, which is black, or edge.
        grow_from: Height and width in pixels of the images of the first epochs; sizes between
            them and the last are multiples of 32.
        grow: Shares of the epochs between which the size grows, such as 0.6,0.8.
        repeats: How often an image comes in an epoch, which has as many fewer images.
        flip: Probability that left and right change places, in [0, 1]; 0 for letters and digits.
        augment: Policy by timm's name, such as rand-m9-mstd0.5, or none.
        jitter: Largest change of brightness, contrast and saturation, such as 0.4.
        erasing: Probability that a rectangle is erased, in [0, 1].
        mixup: Alpha of mixup, at least 0.
        cutmix: Alpha of cutmix, at least 0.
        smoothing: Share of the labels that all classes have equally, in [0, 1).
        loss: Cross-entropy of one choice, softmax, or of a question for each class, sigmoid.
        drop_path: Probability with which the last block's body is left out, in [0, 1).
        ema: Momentum of an average of the weights, in (0, 1), which is written in their place.
        accumulate: Steps whose gradients make one update.
        precision: How training computes; the network is written in float32.
        freeze_until: Part of the network before which nothing trains: stem, stage1 and so on,
            norm or head.

    Raises:
        ValueError: If a value is out of range.
        TypeError: If a value has the wrong type.
    """

    recipe: Annotated[str | None, TRAINING] = None
    epochs: Annotated[int, TRAINING, INTEGER] = THE_RECIPES
    batch_size: Annotated[int, TRAINING, INTEGER] = THE_RECIPES
    learning_rate: Annotated[float, TRAINING] = THE_RECIPES
    schedule: Annotated[str | None, TRAINING] = None
    warmup: Annotated[float | None, TRAINING] = None
    optimizer: Annotated[str | None, TRAINING] = None
    nesterov: Annotated[bool | None, TRAINING, EITHER] = None
    weight_decay: Annotated[float | None, TRAINING] = None
    global_clipnorm: Annotated[str | None, TRAINING] = None
    scale: Annotated[str | None, TRAINING] = None
    padding: Annotated[float | None, TRAINING] = None
    padding_mode: Annotated[str | None, TRAINING] = None
    grow_from: Annotated[int | None, TRAINING, INTEGER] = None
    grow: Annotated[str | None, TRAINING] = None
    repeats: Annotated[int | None, TRAINING, INTEGER] = None
    flip: Annotated[float | None, TRAINING] = None
    augment: Annotated[str | None, TRAINING] = None
    jitter: Annotated[float | None, TRAINING] = None
    erasing: Annotated[float | None, TRAINING] = None
    mixup: Annotated[float | None, TRAINING] = None
    cutmix: Annotated[float | None, TRAINING] = None
    smoothing: Annotated[float | None, TRAINING] = None
    loss: Annotated[str | None, TRAINING] = None
    drop_path: Annotated[float | None, TRAINING] = None
    ema: Annotated[float | None, TRAINING] = None
    accumulate: Annotated[int | None, TRAINING, INTEGER] = None
    precision: Annotated[str | None, TRAINING] = None
    freeze_until: Annotated[str | None, TRAINING] = None

    @property
    def chosen(self) -> Recipe:
        """The recipe with what overrides it."""
        other = {"learning_rate", "batch_size", "source"}  # `source` is another one here
        names = {field.name for field in dataclasses.fields(Recipe)} - other
        given = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in given.items() if value is not None}
        for name in ("augment", "scale", "global_clipnorm"):
            if given.get(name) == "none":
                given[name] = None
        for name in ("scale", "grow"):
            if given.get(name) is not None:
                given[name] = _two(name, given[name])
        if given.get("global_clipnorm") is not None:
            given["global_clipnorm"] = _number("global_clipnorm", given["global_clipnorm"])
        return dataclasses.replace(RECIPES[self.recipe or ""], **given)


def _number(name: str, given: Any) -> float:
    """A number where `none` may stand, too."""
    try:
        return float(given)
    except (TypeError, ValueError):
        raise ValueError(
            f"`{name}` must be a positive number or 'none'. Received: {name}={given!r}"
        ) from None


_LIKE = {"scale": "0.35,1", "grow": "0.6,0.8"}


def _two(name: str, given: Any) -> tuple[float, float]:
    """What stands on both sides of a comma."""
    try:
        first, last = map(float, given.split(","))
    except (AttributeError, ValueError):
        raise ValueError(
            f"`{name}` must be two numbers with a comma between them, such as '{_LIKE[name]}'. "
            f"Received: {name}={given!r}"
        ) from None
    return first, last
