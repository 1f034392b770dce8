"""How fast each way of serving is: `python -m benchmarks.serving`, the tables in Markdown."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import sys

if "tensorflow" not in sys.modules:  # which ends the process if it is loaded before this
    with contextlib.suppress(ImportError):
        import torch._dynamo  # noqa: F401

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.harness.paired import Contender, Match, stopwatch
from benchmarks.serving import machine as serving_machine
from benchmarks.serving.contenders import Contenders, Run, Way
from benchmarks.serving.tables import AGAIN, BASELINE, Data, tables
from tests.support.randomize import images

ROUNDS = {1: 20, 8: 8, 32: 8}
# Idle threads of one runtime spin a while before they sleep, and would slow down the next.
PAUSE = 0.03
_PACKAGES = ("onnxruntime", "ai-edge-litert", "openvino", "nncf", "torch", "torchvision")


def measure(*, smoke: bool = False) -> Data:
    """Builds all ways, checks them, and times them in rounds.

    Args:
        smoke: Whether to take the smallest network and two rounds, to see that everything runs.
    """
    variant, size = ("cifar_resnet20", 32) if smoke else ("resnet50", 224)
    data: Data = {"network": variant, "size": size, "differences": {}, "skipped": {}}
    data |= {"seconds": {}, "layers": {}, "flags": serving_machine.processor_flags()}
    with tempfile.TemporaryDirectory() as folder:
        contenders = Contenders(variant, size, Path(folder))
        for count, rounds in {1: 2}.items() if smoke else ROUNDS.items():
            batch = images(count, size, size, 3)
            runs = _built(contenders, batch, data)
            _say(f"batch {count}: {rounds} rounds of {len(runs)} ways")
            timed = {name: _contender(run, warm=count == 1) for name, run in runs.items()}
            data["seconds"][str(count)] = rounds_of(timed, rounds)
            if count in (1, 32):
                data["layers"][str(count)] = {
                    precision: serving_machine.layers(path, batch)
                    for precision in ("float32", "bfloat16", "int8")
                    if (path := Path(folder, f"openvino_{precision}.xml")).exists()
                }
        data["operations"] = {
            "ours": serving_machine.operations(contenders.model, size),
            "Keras": serving_machine.operations(contenders.stock, size),
            "product": serving_machine.PRODUCT,
        }
    again = Way("Keras", "predict_on_batch, again", "float32", lambda batch: lambda: batch)
    data["ways"] = {
        way.name: {"whose": way.whose, "runtime": way.runtime, "precision": way.precision}
        for way in (*contenders.ways, again)
    }
    data["machine"] = machine.machine() | {
        "instructions": ", ".join(data["flags"]) or "none of those for matrices",
        "runtimes": ", ".join(machine.versions(_PACKAGES)),
        "threads": f"{machine.cores()} in every runtime",
    }
    return data


def rounds_of(timed: Mapping[str, Contender], count: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round: in turn, and backwards every second time."""
    match = Match(timed)
    for _ in range(count):
        match.round()
    return {name: [round(each, 7) for each in rounds] for name, rounds in match.seconds.items()}


def _built(contenders: Contenders, batch: Any, data: Data) -> dict[str, Run]:
    """The ways that can run here, each run twice and checked."""
    runs: dict[str, Run] = {}
    for way in contenders.ways:
        if way.name in data["skipped"]:
            continue
        _say(f"  {way.name}")
        reason = way.missing()
        if not reason:
            try:
                run = way.make(batch)
                run()
                outputs = run()
            except Exception as error:  # each runtime has its own
                first = str(error).strip().partition("\n")[0]
                reason = f"{type(error).__name__}: {first}"
        if reason:
            data["skipped"][way.name] = reason
            continue
        found = contenders.check(way, batch, outputs)
        data["differences"][way.name] = max(found, data["differences"].get(way.name, 0.0))
        runs[way.name] = run
    runs[AGAIN] = runs[BASELINE]
    return runs


def _contender(run: Run, *, warm: bool) -> Contender:
    """One image comes when its network is in the cache, as it is for the second request."""

    def before() -> None:
        time.sleep(PAUSE)
        if warm:
            run()

    return stopwatch(run, before=before)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small network, two rounds")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="for docs/data")
    arguments = parser.parse_args()
    data = measure(smoke=arguments.smoke)
    if arguments.output:
        arguments.output.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(tables(data)) + "\n")


if __name__ == "__main__":
    main()
