# ruff: noqa: T201 (printing is what commands are for)
"""`measure` and `latency`: what this machine can do, and how long networks take on it."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from resnet_layers.analysis import tables
from resnet_layers.analysis.latency.machine import VARIABLE, Machine, file, usable_cores
from resnet_layers.analysis.latency.measuring import measure_machine
from resnet_layers.analysis.latency.prediction import RUNTIMES, predict_latency
from resnet_layers.shell import errors
from resnet_layers.shell.profile import networks_of, shape_of


def measure(threads: int | None) -> int:
    """Measures this machine, keeps the numbers, and prints them.

    Args:
        threads: How many networks will have; `None` for as many as there are cores.
    """
    try:
        with errors.values():
            machine = measure_machine(threads)
    except OSError as error:
        raise errors.InputError(
            f"'{file()}' cannot be written, where the numbers are kept: {error.strerror or error}. "
            f"The variable {VARIABLE} names another folder"
        ) from None
    print("\n".join(tables.aligned(list(_said(machine)), 1)))
    print(f"Wrote '{errors.printable(file())}', which `latency` reads")
    return 0


def _said(machine: Machine) -> Iterable[tuple[str, str]]:
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    yield machine.processor, threads
    for runtime, speed in machine.runtimes.items():
        title = f"{RUNTIMES[runtime]} {speed.version}"
        for precision, rate in speed.products.items():
            yield f"{title}, product in {precision}", f"{tables.short(rate)}FLOP/s"
        yield f"{title}, a call", f"{1e6 * speed.call:.3g} µs"
        yield f"{title}, an operation more", f"{1e6 * speed.step:.3g} µs"
    for precision, rate in machine.bandwidths.items():
        yield f"memory in {precision}", f"{tables.short(rate)}B/s"


def _digits(number: float) -> float:
    """Four of them, and no `.0` behind those of a whole number."""
    rounded = float(f"{number:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def latency(
    models: list[str],
    image_size: list[int] | None,
    batches: list[int],
    runtime: str | None,
    threads: int | None,
    format: str,  # noqa: A002 (the name of the option)
) -> int:
    """Prints how long networks take.

    Args:
        models: Names or files.
        image_size: Pixels of each axis, or one number for all.
        batches: Numbers of images.
        runtime: Which one, or `None` for all that were measured.
        threads: How many they have.
        format: How to print it.
    """
    networks = networks_of(models)
    machine = Machine.read(threads or usable_cores())
    runtimes = [each for each in RUNTIMES if machine is None or each in machine.runtimes]
    with errors.values():
        found = [
            predict_latency(
                network, shape_of(network, image_size), batch, runtime=each, threads=threads
            )
            for network in networks
            for each in ([runtime] if runtime else runtimes)
            for batch in batches
        ]
    rows: list[dict[str, Any]] = [
        {
            "network": one.name,
            "image": one.input_shape,
            "batch": one.batch,
            "runtime": one.runtime,
            "threads": one.threads,
            "milliseconds": _digits(one.milliseconds),
            "unknown": dict(one.unknown),
        }
        for one in found
    ]
    if format == "json":
        print(json.dumps(rows, indent=1))
        return 0
    unknown = dict.fromkeys(
        text for row in rows for text in tables.names_of_unknown(row.pop("unknown"))
    )
    headings = list(rows[0])
    cells = [
        ["×".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in row.values()]
        for row in rows
    ]
    if format == "csv":
        print(tables.as_csv(rows).rstrip("\n"))
    elif format == "markdown":
        rule = ["---", "---", "---:", "---", "---:", "---:"]
        print("\n".join(map(tables.markdown_row, (headings, rule, *cells))))
    else:
        print("\n".join(tables.aligned([headings, *cells], 2)))
    for text in unknown:
        out = sys.stderr if format == "csv" else sys.stdout
        print(f"unknown: {text}, whose time is not in these numbers", file=out)
    return 0
