"""Whose search finds the better network: `python -m benchmarks.tuning_worth`, tables in Markdown.

Every contender has equal trials and epochs, and the same images. What has been measured stays in
the file of `--output`, so that a run that was ended goes on.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from numpy.typing import NDArray

import resnet_layers as rl
from benchmarks.harness import machine
from benchmarks.tuning_worth.tables import CONTENDERS, Data, page
from resnet_layers.shell import images
from resnet_layers.training import labelled
from resnet_layers.tuning import HyperResNet

SIZE = 16  # pixels
STRIPS = 5
BATCH = 64
MAX_MACS = 2e7
TRIALS, EPOCHS = 4, 4

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Split:
    """Images, (N, 16, 16, 3), and classes: to train on, to score trials on, and to test on."""

    classes: int
    training: tuple[Images, Labels]
    validation: tuple[Images, Labels]
    test: tuple[Images, Labels]


def digits(seed: int) -> Split:
    """Handwritten digits; a fifth of each class is for tests, and a fifth of the rest validates."""
    everything = labelled.digits()
    rest, test = everything.split(seed)
    training, validation = rest.split(seed)
    parts = [
        (images.read(part.sources, SIZE), part.labels) for part in (training, validation, test)
    ]
    return Split(len(everything.class_names), *parts)


def photographs(seed: int) -> Split:
    """Patches of two photographs, the classes, split by vertical strips.

    One strip of five is for tests, the next validates, and the others are trained on.
    """
    from sklearn.datasets import load_sample_images

    photos = [patches(photo) for photo in load_sample_images().images]
    strips = strips_of(seed)

    def gather(numbers: Sequence[int]) -> tuple[Images, Labels]:
        columns = np.concatenate([columns_of(number, photos[0].shape[1]) for number in numbers])
        chosen = [photo[:, columns].reshape(-1, SIZE, SIZE, 3) for photo in photos]
        labels = np.repeat(np.arange(len(photos)), [len(each) for each in chosen])
        return np.concatenate(chosen), labels

    return Split(len(photos), *map(gather, strips))


def strips_of(seed: int) -> tuple[list[int], list[int], list[int]]:
    """The strips to train on, to validate with and to test on: each is tested on in turn."""
    turned = [(seed + i) % STRIPS for i in range(STRIPS)]
    return turned[2:], turned[1:2], turned[:1]


def patches(photo: Images) -> Images:
    """A photograph cut into squares, (rows, columns, 16, 16, 3); what is left over is dropped."""
    rows, columns = photo.shape[0] // SIZE, photo.shape[1] // SIZE
    cut = photo[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE, 3)
    return cut.swapaxes(1, 2)


def columns_of(strip: int, columns: int) -> NDArray[np.int64]:
    """The columns of patches of a strip, without its last one: no two strips touch."""
    width = columns // STRIPS
    return np.arange(strip * width, (strip + 1) * width - 1)


class _ResNet18(keras_tuner.HyperModel):
    """One network with one recipe; what differs between trials is where it starts."""

    def __init__(self, classes: int, steps: int) -> None:
        super().__init__()
        self.classes, self.steps = classes, steps

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        keras.utils.set_random_seed(hp.Int("start", 0, 2**31 - 1))
        model = rl.ResNet.from_variant("resnet18", self.classes, (SIZE, SIZE, 3))
        rate = keras.optimizers.schedules.CosineDecay(1e-3, self.steps)
        model.compile(
            keras.optimizers.AdamW(rate, weight_decay=0.05),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model


@dataclasses.dataclass(frozen=True)
class Task:
    """One search.

    Args:
        data: A name from `DATA`.
        contender: A name from `CONTENDERS`.
        seed: Of the split, the tuner and the networks.
        trials: How many networks are trained.
        epochs: How long each is.
    """

    data: str
    contender: str
    seed: int
    trials: int
    epochs: int


def search(task: Task) -> dict[str, Any]:
    """Searches, and tests the winner: the best trial in its best epoch, by validation."""
    start = time.perf_counter()
    keras.utils.set_random_seed(task.seed)
    split = DATA[task.data](task.seed)
    prepare = images.Reader.fit(split.training[0])
    training, validation, test = (
        (prepare.normalize(pixels), keras.utils.to_categorical(labels, split.classes))
        for pixels, labels in (split.training, split.validation, split.test)
    )
    steps = task.epochs * math.ceil(len(training[0]) / BATCH)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            **_space(task.contender, split.classes, steps),
            objective="val_accuracy",
            max_trials=task.trials,
            max_consecutive_failed_trials=task.trials + 1,
            seed=task.seed + 1,  # keras-tuner takes 0 for none
            directory=folder,
        )
        tuner.search(
            *training,
            validation_data=validation,
            epochs=task.epochs,
            batch_size=BATCH,
            verbose=0,
        )
        model = tuner.get_best_models()[0]
        best = tuner.oracle.get_best_trials()[0]
        failed = [t for t in tuner.oracle.trials.values() if t.status != "COMPLETED"]
        outputs = model.predict(test[0], batch_size=BATCH, verbose=0)
    return {
        **dataclasses.asdict(task),
        "images": [len(part[0]) for part in (training, validation, test)],
        "validation": float(best.score),
        "test": float(np.mean(outputs.argmax(-1) == split.test[1])),
        "parameters": model.count_params(),
        "failed": len(failed),
        "seconds": round(time.perf_counter() - start, 1),
        "values": best.hyperparameters.values,
    }


def _space(contender: str, classes: int, steps: int) -> dict[str, Any]:
    """The keywords of a tuner that say what it searches."""
    shape = (SIZE, SIZE, 3)
    match contender:
        case "resnet_layers":
            return {"hypermodel": HyperResNet(classes, shape, max_macs=MAX_MACS)}
        case "keras-tuner":
            # Its shallowest networks: the others take minutes for a trial on two cores.
            hp = keras_tuner.HyperParameters()
            hp.Choice("version", ["v1", "v2"], default="v2")
            hp.Fixed("conv4_depth", 6)
            return {
                "hypermodel": keras_tuner.applications.HyperResNet(
                    input_shape=shape, classes=classes
                ),
                "hyperparameters": hp,
            }
        case _:
            return {"hypermodel": _ResNet18(classes, steps)}


def measure(tasks: Sequence[Task], results: list[dict[str, Any]], save: Callable[[], None]) -> None:
    """Adds what is missing to the results, each from a process of its own.

    Args:
        tasks: What there should be.
        results: What there is; changed.
        save: Called after each.
    """
    done = [{name: result[name] for name in _names()} for result in results]
    for task in tasks:
        if dataclasses.asdict(task) in done:
            continue
        sys.stderr.write(f"{task}\n")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            results.append(pool.submit(search, task).result())
        save()


def _names() -> list[str]:
    return [field.name for field in dataclasses.fields(Task)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuning_worth", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help="of each search")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="of each trial")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="for docs/data")
    chosen = parser.parse_args(arguments)
    settings: dict[str, float] = {"trials": chosen.trials, "epochs": chosen.epochs}
    settings |= {"batch": BATCH, "size": SIZE, "max_macs": MAX_MACS}
    data: Data = {"settings": settings, "machine": {}, "results": []}
    if chosen.output and chosen.output.exists():
        data = json.loads(chosen.output.read_text(encoding="utf-8"))
        if data["settings"] != settings:
            parser.error(f"{chosen.output} has other settings: {data['settings']}")
    data["machine"] = machine.machine() | {
        "tuner": ", ".join(machine.versions(["keras-tuner", "scikit-learn"]))
    }

    def save() -> None:
        if chosen.output:
            chosen.output.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    tasks = [
        Task(name, contender, seed, chosen.trials, chosen.epochs)
        for seed in range(chosen.seeds)
        for name in chosen.data
        for contender in chosen.contenders
    ]
    measure(tasks, data["results"], save)
    sys.stdout.write(page(data))


DATA = {"digits": digits, "photographs": photographs}

if __name__ == "__main__":
    main()
