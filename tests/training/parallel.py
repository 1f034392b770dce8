# ruff: noqa: T201 (a program)
"""Trainings on one device and on several: `python -m tests.training.parallel FOLDER CASE ...`.

`DEVICES` says on how many, in turn. They are those of all processes where Keras' variables say that
there are some.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers import training
from resnet_layers.networks.model import ResNet
from resnet_layers.serving.precision import with_dtype
from resnet_layers.training import checkpoint_files, processes
from resnet_layers.training.fine_tuning import Unfreeze, freeze_until
from resnet_layers.training.fitting import Fitting
from tests.training.resuming import PREPARE, Ends, network

EPOCHS = 2
MULTIPLE = int(os.environ.get("MULTIPLE", "2"))
CASES: dict[str, dict[str, Any]] = {
    "averages, mixing and weights of classes": {
        "recipe": {"ema": 0.9, "mixup": 0.2, "cutmix": 1.0, "smoothing": 0.1, "flip": 0.5},
        "class_weight": {0: 2.0, 3: 0.5},
    },
    "accumulated": {"recipe": {"accumulate": 2}},
    "clipped": {"recipe": {"optimizer": "lamb", "global_clipnorm": 1.0}, "learning_rate": 1e-3},
    "LAMB": {"recipe": {"optimizer": "lamb"}, "learning_rate": 1e-3},
    "AdamW": {"recipe": {"optimizer": "adamw"}, "learning_rate": 1e-3},
    "Adam": {"recipe": {"optimizer": "adam"}, "learning_rate": 1e-3},
    "Nadam": {"recipe": {"optimizer": "nadam"}, "learning_rate": 1e-3},
    "RMSprop": {"recipe": {"optimizer": "rmsprop"}, "learning_rate": 1e-3},
    "Lion": {"recipe": {"optimizer": "lion"}, "learning_rate": 1e-4},
    "layer decay": {"recipe": {"optimizer": "adamw"}, "layer_decay": 0.5, "learning_rate": 1e-3},
    "unfrozen": {"unfreeze": {"stage1": 2}},
    "growing": {"recipe": {"grow_from": 4, "grow": (0.0, 0.5)}},
    "float16": {"recipe": {"precision": "float16"}},
}


def fitting(
    folder: Path,
    *ends: Ends,
    recipe: dict[str, Any] | None = None,
    unfreeze: dict[str, int] | None = None,
    writes: bool = True,
    **settings: Any,
) -> Fitting:
    """What trains a small network without chance from the folder's last checkpoint on."""
    model: Any = network(drop_path=0.0, dropout=0.0)
    _, rest = training.labelled.digits().split(seed=0, fraction=0.1)
    shown, validation = rest.split(seed=0, fraction=0.25)
    chosen = dataclasses.replace(training.RECIPES["digits"], **(recipe or {}))
    if chosen.precision != "float32":
        model = with_dtype(model, f"mixed_{chosen.precision}")
    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.EarlyStopping(patience=EPOCHS)]
    if unfreeze is not None:
        freeze_until(model, "stage2")
        callbacks.append(Unfreeze(unfreeze))
    goes_on = bool(checkpoint_files.files(folder))
    if goes_on:
        checkpoint = training.resume(folder, callbacks)
    else:
        checkpoint = training.Checkpoint(folder, every=2, callbacks=callbacks)
    return Fitting(
        training.Settings(
            **{"learning_rate": 0.01, **settings},
            model=model,
            images=shown,
            validation=validation,
            prepare=PREPARE,
            recipe=chosen,
            epochs=EPOCHS,
            batch_size=32,
            multiple=None if goes_on else MULTIPLE,
            seed=3,
            checkpoint=checkpoint if writes else None,
            callbacks=[*callbacks, *ends],
        )
    )


def run(folder: Path, devices: int, case: dict[str, Any], *ends: int) -> dict[str, Any]:
    """Losses after each step, the history, and the variables, on as many devices."""
    losses = list[float]()
    told = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(float(logs.get("loss", np.nan)))
    )
    stops: Any = [Ends(signal.SIGINT, step) for step in ends]
    with training.data_parallel(devices):
        one = fitting(folder, told, *stops, **case)
        try:
            one.run()
        except KeyboardInterrupt:
            return {}
    trained: ResNet = one.network()
    variables = [keras.ops.convert_to_numpy(v).ravel() for v in trained.variables]
    rows = [{k: v for k, v in row.items() if k != "data_wait"} for row in one.table]
    synchronized = [getattr(layer, "synchronized", False) for layer in trained._flatten_layers()]
    return {
        "losses": losses,
        "table": rows,
        "variables": np.concatenate(variables).tolist(),
        "synchronized": any(synchronized),
        "multiple": one.multiple,
    }


if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    found: dict[str, Any] = {}
    numbers = [int(number) for number in os.environ.get("DEVICES", "2,1").split(",")]
    processes.enter(numbers[0])
    for i, name in enumerate(names):
        for devices in numbers:  # TensorFlow takes the first number for its CPU
            found[f"{name}/{devices}"] = run(Path(folder, f"{i}-{devices}"), devices, CASES[name])
    if stops := os.environ.get("STOPS"):  # by a signal to the last process
        ends = Ends(signal.SIGTERM, 3, evaluates="evaluation" in stops)
        own = [ends] * (processes.index() == processes.count() - 1)
        with training.data_parallel(numbers[0]):
            fitting(Path(folder), *own, writes="checkpoint" in stops).run()
    if os.environ.get("RESUMES"):
        case, cut = CASES["AdamW"], Path(folder, "cut")
        run(cut, 2, case, 3)
        run(cut, 1, case, 7)
        found["resumed"] = run(cut, 2, case)
        found["whole"] = run(Path(folder, "whole"), 2, case)
    print(json.dumps(found))
