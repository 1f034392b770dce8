"""`Space`: the parts as hyperparameters of keras-tuner, and samples of them."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import keras_tuner

from resnet_layers._support import checks
from resnet_layers.tuning.parts import DEFAULTS, KINDS, Part, Range

# The values of one sample by the names of its hyperparameters; inactive ones are left out.
Sample = dict[str, Any]

_Fixed = keras_tuner.engine.hyperparameters.Fixed
# What makes a network large or small.
_SIZES = ("blocks", "width", "image_size")
# Which of them is small depends on the others.
_TOGETHER = ("block", "groups", "inner_width", "stem", "shortcut", "preactivation")
_TRAINING = {"optimizer", "learning_rate", "weight_decay", "schedule", "warmup"}
_TRAINING |= {"label_smoothing", "augmentation", "mixup"}
# Only beside some values of another part.
_CONDITIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "groups": ("block", ("bottleneck",)),
    "inner_width": ("block", ("bottleneck",)),
    "activation": ("normalization", ("batch", "group")),
    "attention_ratio": ("attention", ("se",)),
    "warmup": ("schedule", ("cosine",)),
}


class _Entry:
    """One hyperparameter: its name, the part it belongs to, its values, and when it is active."""

    def __init__(
        self, name: str, kind: str, part: Part, condition: tuple[str, tuple[Any, ...]] | None
    ) -> None:
        self.name, self.kind, self.part, self.condition = name, kind, part, condition
        if isinstance(part, Range):
            middle = (part.low * part.high) ** 0.5 if part.log else part.low
            self.default = min(max(DEFAULTS.get(kind, middle), part.low), part.high)
        else:
            self.default = part[0]

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        with ExitStack() as stack:
            if self.condition:
                stack.enter_context(hp.conditional_scope(self.condition[0], [*self.condition[1]]))
            if isinstance(self.part, Range):
                whole = KINDS[self.kind] is checks.integer
                declare, number = (hp.Int, round) if whole else (hp.Float, float)
                declare(
                    self.name,
                    number(self.part.low),
                    number(self.part.high),
                    sampling="log" if self.part.log else "linear",
                    default=number(self.default),
                )
            elif len(self.part) == 1:
                hp.Fixed(self.name, self.part[0])
            elif isinstance(self.part[0], bool):
                hp.Boolean(self.name, default=self.default)
            else:
                hp.Choice(self.name, [*self.part], default=self.default)

    def candidates(self) -> tuple[Any, ...]:
        """The values that a smallest sample can have."""
        return (self.part.low,) if isinstance(self.part, Range) else tuple(self.part)


class Space:
    """All hyperparameters that a sample can have.

    Args:
        parts: From `parts.complete`.
    """

    def __init__(self, parts: dict[str, Part]) -> None:
        self.entries = list(_entries(parts))

    @property
    def architecture(self) -> list[_Entry]:
        """Those that the network depends on."""
        return [entry for entry in self.entries if entry.kind not in _TRAINING]

    def may_be(self, kind: str, *values: Any) -> bool:
        """Whether a sample can have one of these values for a part of choices."""
        return any(set(entry.part) & set(values) for entry in self.entries if entry.kind == kind)

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        """Registers every hyperparameter, whatever is sampled.

        So its scopes hold nothing that a tuner would have to find by building, and are not listed
        among those that it explores: it would build until each was active.
        """
        hp_names = {parameter.name for parameter in hp.space}
        if not all(_full(hp, entry.name) in hp_names for entry in self.entries):
            explored = len(hp.inactive_scopes)
            for entry in self.entries:
                entry.declare(hp)
            del hp.inactive_scopes[explored:]
        # Active ones without a value; keras-tuner would draw them at random, without a seed.
        for entry in self.entries:
            found = _active(hp, entry.name)
            if found is not None:
                hp.values.setdefault(found.name, found.default)

    def sample(self, hp: keras_tuner.HyperParameters) -> Sample:
        """The values of the active hyperparameters."""
        return {
            entry.name: hp.get(entry.name)
            for entry in self.entries
            if _active(hp, entry.name) is not None
        }

    def redraw(
        self,
        hp: keras_tuner.HyperParameters,
        fits: Callable[[Sample], bool],
        smallest: Sample,
        draws: int = 200,
    ) -> None:
        """Gives another architecture to a sample that does not fit.

        Its sizes are drawn again, and if that is not enough, the whole architecture. Equal
        samples are redrawn equally, on every machine.

        Args:
            hp: The sample; its values are changed.
            fits: Whether a sample may be built.
            smallest: A sample that fits, for the case that no draw does.
            draws: How many there are at most.
        """
        rng = random.Random(repr(sorted(self.sample(hp).items())))
        for i in range(draws):
            for entry in self.architecture:
                if entry.kind in _SIZES or i >= draws // 2:
                    _assign(hp, entry, lambda found: found.random_sample(rng.getrandbits(32)))
            if fits(self.sample(hp)):
                return
        for entry in self.architecture:
            _assign(
                hp,
                entry,
                lambda found: (
                    found.value if isinstance(found, _Fixed) else smallest.get(_short(found.name))
                ),
            )

    def smallest(self, size: Callable[[Sample], float]) -> Sample:
        """The sample of the smallest network.

        Part by part, but for those that decide together, which are tried in all combinations.
        """
        hp = keras_tuner.HyperParameters()
        together = [entry for entry in self.architecture if entry.kind in _TOGETHER]

        def sized(values: Sample) -> float:
            hp.values = dict(values)
            self.declare(hp)
            return size(self.sample(hp))

        self.declare(hp)
        best = dict(hp.values)
        for entry in self.architecture:
            if entry not in together and entry.name in best:
                candidates = [{**best, entry.name: value} for value in entry.candidates()]
                best = min(candidates, key=sized)
        combinations = itertools.product(*(entry.candidates() for entry in together))
        names = [entry.name for entry in together]
        best = min(
            ({**best, **dict(zip(names, values, strict=True))} for values in combinations),
            key=sized,
        )
        sized(best)
        return self.sample(hp)

    def start_from(self, sample: Sample) -> None:
        """Makes a sample's architecture the default."""
        for entry in self.architecture:
            entry.default = sample.get(entry.name, entry.default)


def _entries(parts: dict[str, Part]) -> Iterator[_Entry]:
    for kind in KINDS:
        part = parts[kind]
        if part is None:
            continue
        if kind == "blocks":
            for stage, values in part.items():
                condition = _stages_from(stage, parts["stages"])
                yield _Entry(f"stage{stage}_blocks", kind, values, condition)
        elif kind in ("learning_rate", "weight_decay"):
            optimizers = parts["optimizer"]
            for name in optimizers:
                condition = ("optimizer", (name,)) if len(optimizers) > 1 else None
                yield _Entry(f"{name}_{kind}", kind, part[name], condition)
        elif kind in _CONDITIONS:
            parent, values = _CONDITIONS[kind]
            if set(parts[parent]) & set(values):
                always = set(parts[parent]) <= set(values)
                yield _Entry(kind, kind, part, None if always else (parent, values))
        else:
            yield _Entry(kind, kind, part, None)


def _stages_from(stage: int, part: Part) -> tuple[str, tuple[int, ...]] | None:
    """Where a stage is not in every network, the numbers of stages that have it."""
    numbers = range(int(part.low), int(part.high) + 1) if isinstance(part, Range) else part
    having = tuple(number for number in numbers if number >= stage)
    return None if len(having) == len(numbers) else ("stages", having)


def _assign(hp: keras_tuner.HyperParameters, entry: _Entry, value: Callable[[Any], Any]) -> None:
    """Gives a value to a hyperparameter, or takes it away if it is not active."""
    found = _active(hp, entry.name)
    if found is None:
        hp.values.pop(_full(hp, entry.name), None)
    else:
        hp.values[found.name] = value(found)


def _active(hp: keras_tuner.HyperParameters, name: str) -> Any:
    """The hyperparameter of that name whose conditions are met, if there is one."""
    name = _full(hp, name)
    return next((found for found in hp.space if found.name == name and hp.is_active(found)), None)


def _short(name: str) -> str:
    """Without name scopes."""
    return name.rpartition("/")[2]


def _full(hp: keras_tuner.HyperParameters, name: str) -> str:
    """With the name scopes that `build` was called in; keras-tuner has no public way to ask."""
    return str(hp._get_name(name))
