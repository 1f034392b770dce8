"""How near predictions of latency come: `python -m benchmarks.latency measure`, then `fit`."""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path("docs/data/latency.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    times = commands.add_parser("measure", help="time every variant of at most 60 M parameters")
    times.add_argument("variants", nargs="*", help="which ones; all without it")
    times.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    times.add_argument("--artifacts", type=Path, help="folder to keep what was exported in")
    times.add_argument("--data", type=Path, default=DATA)
    steps = commands.add_parser("train", help="time steps of training, and what memory they take")
    steps.add_argument("--data", type=Path, default=DATA)
    fits = commands.add_parser("fit", help="fit what the package has, and tell its errors")
    fits.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    if given.command == "fit":
        from benchmarks.latency import fitting

        fitting.write(json.loads(given.data.read_text(encoding="utf-8")))
        return
    if given.command == "train":
        _train(given)
        return
    # Before TensorFlow is imported, which reads it once.
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as temporary:
        _measure(given, given.artifacts or Path(temporary))


def _measure(given: argparse.Namespace, folder: Path) -> None:
    """Adds to the data what is not in it yet, variant by variant."""
    import dataclasses

    from benchmarks.latency import artifacts, measuring
    from resnet_layers.analysis.latency.measuring import measure_machine

    data: dict[str, Any] = {"machines": {}, "seconds": {}}
    if given.data.exists():
        data = json.loads(given.data.read_text(encoding="utf-8"))
    threads = str(given.threads)
    if threads not in data["machines"]:
        data["machines"][threads] = dataclasses.asdict(measure_machine(given.threads))
    found = data["seconds"].setdefault(threads, {})
    left = [name for name in given.variants or artifacts.names() if name not in found]
    random.Random(0).shuffle(left)  # so that what slows the machine for a while slows no family
    for name, seconds in measuring.measure(left, folder, given.threads):
        found[name] = seconds
        given.data.write_text(json.dumps(data), encoding="utf-8")
        sys.stdout.write(f"{name}: {seconds}\n")
        sys.stdout.flush()


def _train(given: argparse.Namespace) -> None:
    """Adds to the data what is not in it yet."""
    from benchmarks.latency import training

    data = json.loads(given.data.read_text(encoding="utf-8"))
    rows = data.setdefault("training", [])
    done = [(row["variant"], row["size"], row["batch"]) for row in rows]
    for row in training.measure(done):
        data["training"].append(row | {"threads": os.cpu_count() or 1})
        given.data.write_text(json.dumps(data), encoding="utf-8")
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


main()
