"""Searches of tiny networks: for tests, and as a script for processes of their own."""

import contextlib
import dataclasses
import gc
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from sklearn.datasets import load_digits

from resnet_layers.tuning import HyperResNet, Range
from tests.support.uncompiled import uncompiled

# Everything but depth, width and learning rate is one value.
FIXED: dict[str, Any] = {
    "block": "basic",
    "shortcut": "B",
    "preactivation": False,
    "normalization": "batch",
    "activation": "relu",
    "attention": "none",
    "drop_path": 0.0,
    "dropout": 0.0,
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augmentation": "none",
    "mixup": False,
}
OPEN: dict[str, Any] = {
    "stages": (1, 2),
    "blocks": {1: 1, 2: (1, 2)},
    "width": (4, 8),
    "learning_rate": Range(0.01, 0.1, log=True),
}
# What the tuners are asked for, and how many trials that makes.
SEARCHES: dict[str, tuple[dict[str, Any], int]] = {
    "RandomSearch": ({"max_trials": 3}, 3),
    "BayesianOptimization": ({"max_trials": 3, "num_initial_points": 2}, 3),
    # Two brackets: 2 networks for one epoch and the better one for another; 2 for two epochs.
    "Hyperband": ({"max_epochs": 2, "factor": 2}, 5),
    # One stage or two, of width 4 or 8.
    "GridSearch": ({}, 4),
}
# Of keras-tuner and Keras, whoever uses them.
KNOWN_WARNINGS = (
    r"currentThread\(\) is deprecated",
    r"getName\(\) is deprecated",
    "__array__ implementation doesn't accept a copy keyword",
)


@dataclasses.dataclass
class Plan:
    """What a process does.

    Args:
        kind: Name of the tuner.
        directory: Of the search.
        options: Of the tuner, those of `SEARCHES` if there are none.
        parts: Of the space, in place of `FIXED` and `OPEN`.
        hypermodel: Its other arguments.
        objective: Of the search.
        epochs: Of a trial.
        dies: Where the process kills itself, as `(event, how often it happened)`.
        does: `"search"`, `"best"` or `"memory"`.
    """

    kind: str
    directory: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)
    hypermodel: dict[str, Any] = dataclasses.field(default_factory=dict)
    objective: str = "val_loss"
    epochs: int = 1
    dies: tuple[str, int] | None = None
    does: str = "search"

    @property
    def log(self) -> Path:
        return Path(self.directory) / "log.txt"


def command(*plans: Plan) -> list[str]:
    """Of a process that does one thing after the other."""
    arguments = [json.dumps(dataclasses.asdict(plan)) for plan in plans]
    return [sys.executable, "-m", "tests.support.tuning_script", *arguments]


def images() -> tuple[Any, Any, tuple[Any, Any]]:
    """64 digits to train on with their labels, and 32 others."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).reshape(-1, 8, 8, 1).astype("float32")
    return pixels[:64], labels[:64], (pixels[64:96], labels[64:96])


def hypermodel(plan: Plan) -> HyperResNet:
    parts = {**FIXED, **OPEN}
    if plan.kind == "GridSearch":
        parts |= {"learning_rate": 0.05, "blocks": 1}
    parts |= plan.parts
    if isinstance(parts["blocks"], dict):  # JSON has no integers as keys
        parts["blocks"] = {int(stage): value for stage, value in parts["blocks"].items()}
    return HyperResNet(10, (8, 8, 1), **{"seed": 1, **plan.hypermodel}, **parts)


def tuner(plan: Plan) -> Any:
    return getattr(keras_tuner, plan.kind)(
        hypermodel(plan),
        plan.objective,
        directory=plan.directory,
        project_name="search",
        **({"seed": 7} | (plan.options or SEARCHES[plan.kind][0])),
    )


class Events(keras.callbacks.Callback):
    """Writes to the log what happens, and kills the process when it is told to."""

    counts: dict[str, int] = {}  # noqa: RUF012 (of all copies: tuners copy callbacks)

    def __init__(self, log: Path, dies: tuple[str, int] | None = None) -> None:
        super().__init__()
        self.log, self.dies = log, dies

    def happens(self, event: str, trial: str) -> None:
        who = os.environ.get("KERASTUNER_TUNER_ID", "alone")
        with self.log.open("a") as file:
            file.write(f"{who} {event} {trial}\n")
        self.counts[event] = self.counts.get(event, 0) + 1
        if self.dies is not None and tuple(self.dies) == (event, self.counts[event]):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.happens("inside", "-")


def search(plan: Plan, callbacks: tuple[Any, ...] = ()) -> Any:
    """Searches, and writes down which trials begin and end."""
    made = tuner(plan)
    events = Events(plan.log, plan.dies)
    begins, ends = made.on_trial_begin, made.on_trial_end

    def on_trial_begin(trial: Any) -> None:
        begins(trial)
        events.happens("begin", trial.trial_id)

    def on_trial_end(trial: Any) -> None:
        ends(trial)
        events.happens("end", trial.trial_id)

    made.on_trial_begin, made.on_trial_end = on_trial_begin, on_trial_end
    x, y, held_out = images()
    # Where memory is asked for, so are the graphs that would fill it.
    with contextlib.nullcontext() if plan.does == "memory" else uncompiled():
        made.search(
            x,
            y,
            validation_data=held_out,
            epochs=plan.epochs,
            verbose=0,
            callbacks=[events, *callbacks],
        )
    return made


def evaluate_best(made: Any) -> tuple[Any, dict[str, float], dict[str, float]]:
    """The best network, what it scores now, and what was recorded."""
    model, trial = made.get_best_models()[0], made.oracle.get_best_trials()[0]
    x, y = images()[2]
    now = {f"val_{k}": v for k, v in model.evaluate(x, y, verbose=0, return_dict=True).items()}
    recorded = {name: trial.metrics.get_history(name)[-1].value[0] for name in now}
    return model, now, {**recorded, "score": trial.score}


def trials(directory: str | Path) -> dict[str, dict[str, Any]]:
    """What the files of a search say of its trials, by their names."""
    found = {}
    for path in sorted(Path(directory).glob("search/trial_*/trial.json")):
        trial = json.loads(path.read_text())
        found[trial["trial_id"]] = {
            "status": trial["status"],
            "score": trial["score"],
            "values": trial["hyperparameters"]["values"],
            "message": trial["message"],
        }
    return found


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Memory(keras.callbacks.Callback):
    """Notes the memory at the beginning of each training."""

    notes: list[int] = []  # noqa: RUF012 (of all copies: tuners copy callbacks)

    def on_train_begin(self, logs: Any = None) -> None:
        gc.collect()
        self.notes.append(resident())


def main(plan: Plan) -> None:
    if plan.does == "best":
        warnings.simplefilter("error")
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        _, now, recorded = evaluate_best(tuner(plan))
        print("result", json.dumps([now, recorded]))  # noqa: T201
    elif plan.does == "memory":
        search(plan, (Memory(),))
        print("result", json.dumps(Memory.notes))  # noqa: T201
    else:
        search(plan)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(Plan(**json.loads(argument)))
