# ruff: noqa: T201 (it tells a test)
"""One epoch over photographs: `python -m tests.training.epoch FOLDER N [bare]`.

Prints the peak of resident memory in MiB. The epoch has `N` hard links to the
photographs in FOLDER; `bare` are as many steps on one batch that is in memory.
"""

import os
import resource
import sys
from pathlib import Path

import numpy as np

from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.making import make_loss, make_optimizer
from tests.training.fitting import network

SIZE, BATCH = 224, 64


def main(folder: Path, number: int, *, bare: bool) -> None:
    """Trains, and prints."""
    photos = sorted(folder.glob("*.jpg"))
    recipe = training.RECIPES["photos"]
    model = network(classes=2)
    if not bare:
        links = folder / str(number)
        links.mkdir()
        for i in range(number):
            os.link(photos[i % len(photos)], links / f"{i}.jpg")
        images = Labelled(
            kind="folder",
            title="photographs",
            sources=sorted(links.iterdir()),
            labels=np.arange(number) % 2,
            class_names=["a", "b"],
            names=[str(i) for i in range(number)],
        )
        prepare = for_squares(SIZE, (127.5,) * 3, (64.0,) * 3)
        training.train(
            training.Settings(
                model=model, images=images, prepare=prepare, epochs=1, batch_size=BATCH
            )
        )
    else:
        model.compile(make_optimizer(recipe, 1e-3, number // BATCH), make_loss(recipe, True))
        batch = np.zeros((BATCH, SIZE, SIZE, 3), np.float32), np.zeros(BATCH, int)
        for _ in range(number // BATCH):
            model.train_on_batch(*batch)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), bare=sys.argv[3:] == ["bare"])
