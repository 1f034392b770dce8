"""A training in a process of its own, until its test is as accurate as it should be."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

import keras

import resnet_layers as rl
from resnet_layers import training
from resnet_layers.layers.preprocessing import for_squares

GOAL = 0.99
TEST = 0.1  # of the images


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained.

    Args:
        width: Channels of the first stage; each has a block, and the next one twice the channels.
        stages: How many there are.
        batch: Images for each step.
        epochs: After how many it ends, at the latest.
        rate: The largest learning rate.
        optimizer: As of `Recipe`.
        seed: Of the split, the network and the batches.
        goal: The accuracy.
        compile: As of `Settings`.
    """

    width: int = 32
    stages: int = 3
    batch: int = 64
    epochs: int = 10
    rate: float = 0.1
    optimizer: str = "sgd"
    seed: int = 0
    goal: float = GOAL
    compile: str = "graph"


class Reaching(keras.callbacks.Callback):
    """Ends training after the first epoch that is accurate enough.

    Args:
        goal: The accuracy on the images for validation.
    """

    def __init__(self, goal: float) -> None:
        super().__init__()
        self.goal, self.best, self.reached = goal, 0.0, False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.best = max(self.best, logs["val_accuracy"])
        if logs["val_accuracy"] >= self.goal:
            self.reached = self.model.stop_training = True


def train(run: Run) -> dict[str, Any]:
    """Trains, and says after how many seconds the goal was reached, compilation included."""
    shown, test = training.labelled.digits().split(run.seed, TEST)
    keras.utils.set_random_seed(run.seed)
    stages = [rl.ResNetStage(run.width * 2**i, 1, strides=1 + (i > 0)) for i in range(run.stages)]
    stem = rl.Stem(run.width, kernel_size=3, strides=1, pooling=None)
    model = rl.ResNet(stem, stages, rl.ClassifierHead(10))
    recipe = dataclasses.replace(training.RECIPES["digits"], optimizer=run.optimizer)
    reaching = Reaching(run.goal)
    settings = training.Settings(
        model=model,
        images=shown,
        validation=test,
        prepare=for_squares(8, (77.0,) * 3, (93.0,) * 3),
        recipe=recipe,
        epochs=run.epochs,
        batch_size=run.batch,
        learning_rate=run.rate,
        seed=run.seed,
        compile=run.compile,
        callbacks=[reaching],
    )
    began = time.perf_counter()
    trained = training.train(settings)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds if reaching.reached else None,
        "epochs": len(trained.history),
        "best": reaching.best,
        "all": seconds,
    }


def in_child(run: Run) -> dict[str, Any]:
    """What `train` says in a process that has trained nothing before.

    Raises:
        RuntimeError: If it does not end well.
    """
    command = [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(run))]
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(train(Run(**json.loads(sys.argv[1])))))  # noqa: T201 (what `in_child` reads)
