"""Recipes: how published networks were trained, as data, and what `train` does by default."""

import dataclasses

from resnet_layers._support import checks
from resnet_layers.training.chance import ascending, probability
from resnet_layers.training.policies import parse

OPTIMIZERS = ("sgd", "adamw", "adam", "nadam", "rmsprop", "lion", "lamb")
SCHEDULES = ("cosine", "linear", "steps")
LOSSES = ("softmax", "sigmoid")
PRECISIONS = ("float32", "float16", "bfloat16")
# Optimizers whose steps do not grow with the gradient: their rate goes with a root of the batch.
_ADAPTIVE = ("adamw", "adam", "nadam", "rmsprop", "lion", "lamb")

_RATES = {"sgd": 0.1, "lamb": 5e-3, "lion": 1e-4}  # for 64 images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    r"""How a network is trained: all that is not the network, the images, or the seed.

    Args:
        source: Where it was published, and the network and figure that it had there.
        epochs: How often each image is seen, positive.
        batch_size: Images for each step, positive.
        optimizer: A name from `OPTIMIZERS`.
        learning_rate: The largest one, at `batch_size`, positive; other sizes of batches have it
            in proportion, or in proportion to their root where the optimizer is adaptive.
        nesterov: Whether SGD's momentum of 0.9 is Nesterov's.
        weight_decay: On kernels alone, at least 0: the share of a kernel that a step takes away, in
            learning rates. Where a source adds its decay to the gradient, momentum makes ten times
            of it, and so does the number here.
        schedule: `"cosine"` or `"linear"` down to 0, or `"steps"`, which divides by 10 after a half
            and three quarters.
        global_clipnorm: Largest norm of the gradients of all variables together, positive; `None`
            for any.
        warmup: Share of the steps in which the rate rises, in [0, 1).
        image_size: Height and width in pixels; `None` for what suits the images.
        grow_from: Height and width of the first epochs; `None` for those of `image_size`.
        grow: The shares of the epochs between which the size grows, in (0, 1).
        scale: Least and largest share of an image in a random resized crop; `None` for the middle
            square.
        padding: Most pixels by which images are moved, as a share of their side, in [0, 1).
        padding_mode: What is there then, as of `PadAndCrop`.
        flip: Probability that left and right change places, in [0, 1].
        augment: Name of a policy, as of `RandAugment`; `None` for none.
        jitter: Largest change of brightness, contrast and saturation, as a share of each, at least
            0, as timm's `color_jitter`.
        erasing: Probability that a rectangle is erased, in [0, 1].
        repeats: How often an image comes in an epoch, which has as many fewer images, positive.
        mixup: Alpha of mixup, at least 0.
        cutmix: Alpha of cutmix, at least 0.
        smoothing: Share of the labels that all classes have equally, in [0, 1).
        loss: `"softmax"` or `"sigmoid"`: cross-entropy of one choice, or of one for each class.
        drop_path: Probability with which the last block's body is left out, in [0, 1).
        ema: Momentum of an average of the weights, in (0, 1), which takes their place at the end;
            `None` for none.
        accumulate: Steps whose gradients are added up for one update, positive.
        precision: `"float32"`, `"float16"` or `"bfloat16"`.
        freeze_until: Part before which nothing trains; `None` for none.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If a field is out of range.

    Example:

    >>> from resnet_layers.training.recipes import RECIPES
    >>> a3 = RECIPES["a3"]
    >>> a3.optimizer, a3.augment, a3.loss
    ('lamb', 'rand-m6-mstd0.5-inc1', 'sigmoid')
    >>> a3.rate(batch_size=512)  # a quarter of the batch, half of the rate
    0.004
    """

    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "sgd"
    nesterov: bool = True
    weight_decay: float = 5e-4
    global_clipnorm: float | None = None
    schedule: str = "cosine"
    warmup: float = 0.1
    image_size: int | None = None
    grow_from: int | None = None
    grow: tuple[float, float] = (11 / 16, 13 / 16)
    scale: tuple[float, float] | None = None
    padding: float = 0.0
    padding_mode: str = "constant"
    flip: float = 0.0
    augment: str | None = None
    jitter: float = 0.0
    erasing: float = 0.0
    repeats: int = 1
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    loss: str = "softmax"
    drop_path: float = 0.0
    ema: float | None = None
    accumulate: int = 1
    precision: str = "float32"
    freeze_until: str | None = None

    def __post_init__(self) -> None:
        checks.epochs(self.epochs)
        for name in ("batch_size", "repeats", "accumulate"):
            checks.integer(name, getattr(self, name))
        for name in ("image_size", "grow_from"):
            if getattr(self, name) is not None:
                checks.integer(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)
        if self.global_clipnorm is not None:
            checks.positive("global_clipnorm", self.global_clipnorm)
        for name in ("weight_decay", "jitter", "mixup", "cutmix"):
            checks.not_negative(name, getattr(self, name))
        for name in ("warmup", "padding", "smoothing", "drop_path"):
            checks.fraction(name, getattr(self, name))
        for name in ("flip", "erasing"):
            probability(name, getattr(self, name))
        for name, allowed in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("loss", LOSSES),
            ("precision", PRECISIONS),
            ("padding_mode", ("constant", "edge")),
        ):
            checks.choice(name, getattr(self, name), allowed)
        ascending("grow", self.grow, checks.fraction)
        if self.scale is not None:
            ascending("scale", self.scale, checks.share)
        if self.augment is not None:
            parse(self.augment)
        if self.ema is not None and self.grow_from is not None:
            raise ValueError(
                "`ema` must be None where images grow. Received: "
                f"ema={self.ema!r}, grow_from={self.grow_from!r}"
            )
        if self.ema is not None:
            checks.inside("ema", self.ema)

    def rate(self, batch_size: int) -> float:
        """The largest learning rate for batches of so many images, one at least."""
        ratio = checks.integer("batch_size", batch_size) * self.accumulate / self.batch_size
        return self.learning_rate * ratio ** (0.5 if self.optimizer in _ADAPTIVE else 1.0)

    def check_layer_decay(self, layer_decay: float | None) -> None:
        """Says no to a rate that falls from part to part where parts cannot have their own.

        Raises:
            ValueError: If the recipe averages, accumulates or clips over all parts.
        """
        if layer_decay is None:
            return
        checks.share("layer_decay", layer_decay)
        for name, usual in (("ema", None), ("accumulate", 1), ("global_clipnorm", None)):
            if getattr(self, name) != usual:
                raise ValueError(
                    f"`layer_decay` must not come with `{name}`. Received: "
                    f"layer_decay={layer_decay}, {name}={getattr(self, name)}"
                )

    def suited(self, named: "Recipe") -> "Recipe":
        """With the rate of its optimizer, if that is another one than in the recipe of its name."""
        if self.optimizer == named.optimizer:
            return self
        rate = _RATES.get(self.optimizer, 1e-3)
        return dataclasses.replace(self, learning_rate=rate, batch_size=64)

    def size_in(self, epoch: int, epochs: int, size: int) -> int:
        """Height and width of the images in an epoch, counted from 0.

        Between those of the first epochs and of the last they are multiples of 32.
        """
        first, last = self.grow
        if self.grow_from is None or epoch >= last * epochs:
            return size
        over = epoch - first * epochs
        done = over / ((last - first) * epochs) if over > 0 else 0.0  # both may be one epoch
        now = self.grow_from + done * (size - self.grow_from)
        between = max(self.grow_from, round(now / 32) * 32)
        return min(between if done else self.grow_from, size)


_RSB_SOURCE = "Wightman et al., ResNet strikes back, 2021, table 2; ResNet-50, {} top 1 on ImageNet"
_A2 = Recipe(
    source=_RSB_SOURCE.format("79.8 %"),
    epochs=300,
    learning_rate=5e-3,
    weight_decay=0.02,
    warmup=5 / 300,
    augment="rand-m7-mstd0.5-inc1",
    mixup=0.1,
    repeats=3,
    drop_path=0.05,
    batch_size=2048,
    optimizer="lamb",
    global_clipnorm=1.0,  # as timm's LAMB has it unless it is told otherwise
    scale=(0.08, 1.0),
    flip=0.5,
    cutmix=1.0,
    loss="sigmoid",
    image_size=224,
)
_DIGITS = Recipe(
    source="This package; cifar_resnet20, 99.3 % on scikit-learn's digits, six seeds",
    epochs=15,
    batch_size=64,
    learning_rate=0.1,
    padding=1 / 16,
    padding_mode="edge",
)
_FINETUNE = Recipe(
    source="This package, for known weights",
    epochs=15,
    batch_size=64,
    learning_rate=0.01,
    scale=(0.35, 1.0),
    flip=0.5,
)

RECIPES = {
    "digits": _DIGITS,
    "photos": dataclasses.replace(
        _DIGITS,
        source="This package, for photographs and no known weights",
        optimizer="adamw",  # with which few steps diverge the least
        learning_rate=1e-3,
        weight_decay=0.05,
        padding=0.0,
        scale=(0.35, 1.0),
        flip=0.5,
        smoothing=0.1,
    ),
    "finetune": _FINETUNE,
    "probe": dataclasses.replace(
        _FINETUNE,
        source="This package, for the head alone of known weights",
        learning_rate=0.1,
        weight_decay=0.0,
        freeze_until="head",
    ),
    "cifar": Recipe(
        source="He et al., Deep residual learning for image recognition, 2015, section 4.2; "
        "cifar_resnet20, 91.25 % on CIFAR-10, cifar_resnet56 93.03 %",
        epochs=182,  # 64,000 steps of 128 among 45,000 images
        batch_size=128,
        learning_rate=0.1,
        weight_decay=1e-3,  # 1e-4 in the gradient
        schedule="steps",
        nesterov=False,
        warmup=0.0,
        padding=1 / 8,  # 4 of 32 pixels
        flip=0.5,
    ),
    "a1": dataclasses.replace(
        _A2,
        source=_RSB_SOURCE.format("80.4 %"),
        epochs=600,
        weight_decay=0.01,
        warmup=5 / 600,
        mixup=0.2,
        smoothing=0.1,
    ),
    "a2": _A2,
    "a3": dataclasses.replace(
        _A2,
        source=_RSB_SOURCE.format("78.1 %, trained at 160 pixels,"),
        epochs=100,
        learning_rate=8e-3,
        warmup=5 / 100,
        image_size=160,
        augment="rand-m6-mstd0.5-inc1",
        repeats=1,
        drop_path=0.0,
    ),
    "ffcv16": Recipe(
        source="https://github.com/libffcv/ffcv-imagenet, rn18_configs/rn18_16_epochs.yaml; "
        "ResNet-18 with blurred strides, 66.9 % top 1 on ImageNet at 256 pixels, with flips",
        epochs=16,
        batch_size=1024,
        learning_rate=0.5,
        weight_decay=5e-4,  # 5e-5 in the gradient
        schedule="linear",
        nesterov=False,
        warmup=2 / 16,
        image_size=192,
        grow_from=160,
        scale=(0.08, 1.0),
        flip=0.5,
        smoothing=0.1,
    ),
}
