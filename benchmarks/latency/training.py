"""Times steps of `train`, each network in a process of its own, with the memory that it took."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

# Variant, height and width in pixels, images for each step.
Case = tuple[str, int, int]
CASES: list[Case] = [
    ("cifar_resnet20", 8, 64),
    ("cifar_resnet20", 32, 64),
    ("cifar_resnet56", 32, 64),
    ("resnet18", 64, 32),
    ("resnet18", 128, 16),
    ("resnet18", 224, 16),
    ("resnet34", 96, 32),
    ("resnet50", 64, 16),
    ("resnet50", 96, 32),
    ("resnet50", 160, 8),
    ("resnet101", 64, 16),
    ("seresnet50", 96, 16),
    ("resnext50_32x4d", 96, 8),
    ("resnetv2_50", 96, 16),
    ("article_resnet34", 32, 64),
]
_STEPS = 6


def measure(done: Collection[Case] = ()) -> Iterator[dict[str, Any]]:
    """Each case with seconds of a step, and the most bytes that its process had at once."""
    for variant, size, batch in [case for case in CASES if case not in done]:
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                [sys.executable, "-m", __name__, variant, str(size), str(batch), folder],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        yield json.loads(ended.stdout.splitlines()[-1])


def _one(variant: str, size: int, batch: int, folder: Path) -> None:
    """Trains on images of noise, and prints what it took."""
    import numpy as np
    from PIL import Image

    from resnet_layers.shell import finishing
    from resnet_layers.shell.app import main
    from resnet_layers.training import waiting

    rng = np.random.default_rng(0)
    for i in range(_STEPS * batch * 10 // 7):  # seven of ten are trained on
        (folder / "images" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / str(i % 2) / f"{i}.png")
    epochs: list[tuple[float, int, float]] = []
    at_end = waiting.DataWait.on_epoch_end

    def on_epoch_end(self: Any, epoch: int, logs: Any = None) -> None:
        waited = self.clock.seconds - self._waited
        epochs.append((self._ended - self._began, self.params["steps"], waited))
        at_end(self, epoch, logs)

    waiting.DataWait.on_epoch_end = on_epoch_end  # type: ignore[method-assign]
    finishing.finish = lambda *_: None
    how = ["--data", folder / "images", "--variant", variant, "--image-size", size]
    how += ["--batch-size", batch, "--epochs", 3, "--output", folder / "run"]
    code = main(["train", *map(str, how), "--quiet"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    took, steps, waited = min(epochs[1:])
    found = {"variant": variant, "size": size, "batch": batch, "code": code}
    found |= {"step": (took - waited) / steps, "waited": waited / steps, "bytes": peak}
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    _one(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
