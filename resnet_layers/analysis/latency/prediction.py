"""`predict_latency`: how long a network takes when it is served here, without making it."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers.analysis import subjects, tables
from resnet_layers.analysis.latency.machine import Machine, usable_cores
from resnet_layers.analysis.latency.steps import Step, steps_of
from resnet_layers.networks.operations import Walk

RUNTIMES = {"onnx": "ONNX Runtime", "tf_saved_model": "TensorFlow"}
# Bytes of a number, in the precision that all of them are predicted for.
ITEM = 4
# What `benchmarks/latency` has fitted: of each runtime and kind of step, how many times as long as
# the machine's product, memory and single operation its arithmetic, its kernel, its maps, and the
# operation itself take.
FITTED = Path(__file__).with_name("fitted.json")
TERMS = ("operations", "weights", "maps", "step")


@dataclasses.dataclass(frozen=True, repr=False)
class Latency:
    """How long a network takes.

    Args:
        name: Of the network.
        input_shape: Of an image.
        batch: Number of images.
        runtime: `"onnx"` or `"tf_saved_model"`.
        threads: How many it has.
        milliseconds: For the whole batch.
        parts: Milliseconds of each stage, in order; the rest is the cost of a call.
        unknown: Class of each layer whose time is not in the numbers, by its place.
    """

    name: str
    input_shape: tuple[int, ...]
    batch: int
    runtime: str
    threads: int
    milliseconds: float
    parts: Mapping[str, float]
    unknown: Mapping[str, str]

    def __str__(self) -> str:
        size = "×".join(map(str, self.input_shape))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        lines = [
            f"{self.name} · {tables.images(self.batch)} of {size} · {RUNTIMES[self.runtime]}, "
            f"{threads}: {self.milliseconds:.3g} ms"
        ]
        rows = [(f"  {name}", f"{each:.3g} ms") for name, each in self.parts.items()]
        lines += tables.aligned(rows, 1)
        lines += [
            f"unknown: {unknown}, whose time is not in these numbers"
            for unknown in tables.names_of_unknown(dict(self.unknown))
        ]
        return "\n".join(lines)

    __repr__ = __str__


def predict_latency(
    model: Any,
    input_shape: Sequence[int] | None = None,
    batch: int = 1,
    *,
    runtime: str = "onnx",
    threads: int | None = None,
    machine: Machine | None = None,
) -> Latency:
    """How long a network takes when `export` has written it in float32, without making it.

    `milliseconds = call + Σ (operations / product + bytes / bandwidth + step)`, where each kind of
    operation has its own share of what the machine can do; the shares were fitted once, and what
    the machine can do `measure_machine` has measured.

    Args:
        model: As of `profile`.
        input_shape: As of `profile`.
        batch: Number of images, positive.
        runtime: `"onnx"`, in ONNX Runtime, or `"tf_saved_model"`, in a graph of TensorFlow.
        threads: How many threads it has; `None` for as many as there are cores.
        machine: What the machine can do; `None` for what was measured of this one.

    Returns:
        A `Latency`. `print` shows it by stage.

    Raises:
        ValueError: If the machine was not measured with that many threads, if the name is unknown,
            if an image of that size does not suit the model, or if an argument is out of range.
        TypeError: If `model` is no name, model or layer, or if an argument has the wrong type.

    Example:

    >>> speed = {"version": "1.23", "products": {"float32": 50e9}, "call": 5e-5, "step": 5e-6}
    >>> said = {"bandwidths": {"float32": 10e9}, "runtimes": {"onnx": speed}}
    >>> machine = Machine.of_json({"processor": "laptop", "threads": 2, **said})
    >>> found = predict_latency("resnet50", threads=2, machine=machine)
    >>> 100 < found.milliseconds < 300
    True
    """
    machine = machine_for(runtime, machine, threads)
    subject = subjects.find(model, input_shape, batch, None)
    seconds = _seconds_by_part(subject.walk, batch, runtime, machine)
    return Latency(
        name=subject.name,
        input_shape=subject.shown(subject.walk.image),
        batch=batch,
        runtime=runtime,
        threads=machine.threads,
        milliseconds=1000 * (machine.runtimes[runtime].call + sum(seconds.values())),
        parts={part: 1000 * each for part, each in seconds.items()},
        unknown={"/".join(path): kind for path, kind in subject.unknown.items()},
    )


def seconds_of(walk: Walk, batch: int, runtime: str, machine: Machine) -> float:
    """How long a batch takes."""
    return machine.runtimes[runtime].call + sum(
        _seconds_by_part(walk, batch, runtime, machine).values()
    )


def machine_for(
    runtime: str, machine: Machine | None = None, threads: int | None = None
) -> Machine:
    """What was measured of the machine, if it is enough for a prediction.

    Raises:
        ValueError: If it was not measured, not with these threads, or not in this runtime.
        TypeError: If `threads` is no integer, or `machine` no `Machine`.
    """
    checks.choice("runtime", runtime, tuple(RUNTIMES))
    if threads is not None:
        checks.integer("threads", threads)
    if machine is None:
        threads = threads or usable_cores()
        machine = Machine.read(threads)
        if machine is None:
            raise ValueError(
                "The machine must have been measured with the threads that it is asked about: "
                f"`resnet-layers measure --threads {threads}` does. Received: threads={threads}"
            )
    if not isinstance(machine, Machine):
        raise TypeError(f"`machine` must be a Machine or None. Received: machine={machine!r}")
    if threads not in (None, machine.threads):
        raise ValueError(
            f"`threads` must be those of `machine`, {machine.threads}. Received: threads={threads}"
        )
    if runtime not in machine.runtimes:
        measure = f"`resnet-layers measure --threads {machine.threads}`"
        install = 'pip install "resnet-layers[export]", then '
        raise ValueError(
            f"{RUNTIMES[runtime]} must have been there to be measured: "
            f"{f'{install}{measure}' if runtime == 'onnx' else f'{measure} does'}. "
            f"Received: runtime={runtime!r}"
        )
    return machine


def _seconds_by_part(walk: Walk, batch: int, runtime: str, machine: Machine) -> dict[str, float]:
    found: dict[str, float] = {}
    kinds, rates = fitted()[runtime], rates_of(machine, runtime)
    for step in steps_of(walk):
        amounts = amounts_of(step, batch)
        shares = kinds.get(step.kind) or kinds["activation"]
        part = step.path[0] if step.path else ""
        found[part] = found.get(part, 0.0) + sum(
            share * amount * rate
            for share, amount, rate in zip(shares, amounts, rates, strict=True)
        )
    return found


def amounts_of(step: Step, batch: int) -> tuple[float, float, float, float]:
    """Operations, bytes of kernels, bytes of maps, and one, for a batch."""
    return batch * step.operations, ITEM * step.weights, batch * ITEM * step.maps, 1.0


def rates_of(machine: Machine, runtime: str) -> tuple[float, float, float, float]:
    """Seconds for each operation, for a byte of a kernel and of a map, and for a step."""
    byte = 1 / machine.bandwidths["float32"]
    speed = machine.runtimes[runtime]
    return 1 / speed.products["float32"], byte, byte, speed.step


@functools.cache
def fitted() -> dict[str, Any]:
    """What `benchmarks/latency` has fitted."""
    return dict(json.loads(FITTED.read_text(encoding="utf-8")))
