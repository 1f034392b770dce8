"""`Degradation`: what the study is asked for, and the files that say so."""

import dataclasses
import functools
import hashlib
import json
import reprlib
from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError, printable
from resnet_layers._support.files import check_writable, replacing, tidy
from resnet_layers.analysis.studies.contenders import Contender, contenders
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.recipes import RECIPES, Recipe
from resnet_layers.training.states import difference, made_by

SETTINGS = "study.json"
# The paper's, which warms its network of 110 layers up, at a fifth of its rate: there are a hundred
# times fewer steps, and at the whole rate a residual network of 110 layers was seen to get stuck.
RECIPE = dataclasses.replace(RECIPES["cifar"], warmup=0.1, learning_rate=0.02)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Degradation:
    """What the study of degradation is asked for.

    Args:
        images: What the networks are trained on.
        test: What their error is measured on besides.
        prepare: Preprocessing, of whole squares as `Batches` takes it.
        output: Folder that the runs are written into.
        depths: Layers with weights of the plain and residual networks, each `6n + 2`.
        shortcut_depths: Depths at which shortcuts A, B and C are compared.
        seeds: How many runs each network has, at least 2; initial weights, order and augmentation
            depend on the seed.
        recipe: How all of them are trained.
        epochs: How often an image is seen, positive.
        batch_size: Images for each step, positive.
        learning_rate: The largest one, positive; `None` for the recipe's, which suits the batch.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of range, or if there is no network of a depth.
    """

    images: Labelled
    test: Labelled
    prepare: Preprocessing
    output: Path
    depths: tuple[int, ...] = (20, 32, 44, 56, 110)
    shortcut_depths: tuple[int, ...] = (20,)
    seeds: int = 5
    recipe: Recipe = RECIPE
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name in ("depths", "shortcut_depths"):
            for depth in getattr(self, name):
                checks.integer(name, depth)
        if not self.depths:
            raise ValueError("`depths` must be one depth, or several. Received: none")
        contenders(self.depths, self.shortcut_depths)
        checks.integer("seeds", self.seeds, minimum=2)
        checks.epochs(self.epochs)
        checks.integer("batch_size", self.batch_size)
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", self.recipe.rate(self.batch_size))
        checks.positive("learning_rate", self.learning_rate)

    @property
    def contenders(self) -> list[Contender]:
        """The networks, the deepest ones first, so that several processes end together."""
        found = contenders(self.depths, self.shortcut_depths)
        return sorted(found, key=lambda one: -one.depth)

    def run_file(self, contender: Contender, seed: int) -> Path:
        """Where a run is written."""
        return self.output / "runs" / f"{contender.name}-seed{seed}.json"

    def described(self) -> dict[str, Any]:
        """All that its numbers depend on, as JSON has it."""
        images = {"training": self.images, "test": self.test}
        asked = {
            "images": {name: [len(one.labels), one.digest()] for name, one in images.items()},
            "classes": self.images.class_names,
            "prepare": self.prepare.get_config(),
            **{name: getattr(self, name) for name in ("depths", "shortcut_depths", "seeds")},
            **dataclasses.asdict(self.recipe),
            **{name: getattr(self, name) for name in ("epochs", "batch_size", "learning_rate")},
            "made_by": made_by(),
        }
        found: dict[str, Any] = json.loads(json.dumps(asked))  # which has no tuples
        return found

    def read_run(self, contender: Contender, seed: int) -> dict[str, Any]:
        """What a run has come to.

        Raises:
            InputError: If its file is damaged, or was written by another study.
        """
        path = self.run_file(contender, seed)
        found = read(path)
        mine = {"network": contender.name, "seed": seed, "study": self.digest}
        if any(found.get(name) != value for name, value in mine.items()):
            raise InputError(
                f"'{printable(path)}' is no run of this study: without it, the same command makes "
                "it again"
            )
        return {name: value for name, value in found.items() if name != "study"}

    @functools.cached_property
    def digest(self) -> str:
        """Of `described`."""
        return hashlib.sha256(json.dumps(self.described()).encode()).hexdigest()


def begin(settings: Degradation) -> None:
    """Makes the folder, or sees that it holds this study.

    Raises:
        InputError: If it holds another one, or a damaged file.
        OSError: If it cannot be written to.
    """
    (settings.output / "runs").mkdir(parents=True, exist_ok=True)
    check_writable(settings.output)
    tidy(settings.output / "runs")
    mine, path = settings.described(), settings.output / SETTINGS
    there = read(path) if path.exists() else mine
    if found := difference(mine, there):
        name, *values = found
        given, kept = map(reprlib.repr, values)
        raise InputError(
            f"The folder '{printable(settings.output)}' holds a study with other settings, which "
            f"can only go on with its own: choose another. Received: {name}={given}, there "
            f"{name}={kept}"
        )
    for contender in settings.contenders:
        for seed in range(settings.seeds):
            if settings.run_file(contender, seed).exists():
                settings.read_run(contender, seed)
    if not path.exists():
        with replacing(path) as (new,):
            write(new, mine)


def write(path: Path, content: Any) -> None:
    """As JSON."""
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """What `write` has written.

    Raises:
        InputError: If it is something else.
    """
    if path.is_dir():
        raise InputError(f"'{printable(path)}' must not be a folder, since a file is written there")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (RecursionError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"'{printable(path)}' is damaged: without it, the same command makes it again"
        )
    return found
