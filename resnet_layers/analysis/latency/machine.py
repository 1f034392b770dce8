"""`Machine`: what a machine can do, as it was measured once, and where that is kept."""

import contextlib
import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import platformdirs

from resnet_layers._support import checks
from resnet_layers._support.files import replacing

# Changed where a number is measured in another way, so that those of before count no more.
_FORMAT = 1
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, in bytes
FILE = "machine.json"
VARIABLE = "RESNET_LAYERS_CACHE"  # names another folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """What a runtime does on a machine.

    Args:
        version: Of the runtime.
        products: Operations a second of a matrix product, by precision, float32 among them.
        call: Seconds that a call of a network takes by itself.
        step: Seconds that one operation more takes by itself.

    Raises:
        ValueError: If a number is not positive, or that of float32 is missing.
        TypeError: If one is no number, or `products` no mapping.
    """

    version: str
    products: Mapping[str, float]
    call: float
    step: float

    def __post_init__(self) -> None:
        _check_numbers("products", self.products)
        checks.positive("call", self.call)
        checks.positive("step", self.step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What a processor does with a number of threads.

    Args:
        processor: Its name, and how many cores it has.
        threads: How many threads did it, positive.
        bandwidths: Bytes a second that are read and written, by precision, float32 among them.
        runtimes: What each runtime does: `"onnx"`, `"tf_saved_model"`.

    Raises:
        ValueError: If a number is not positive, or that of float32 is missing.
        TypeError: If one is no number, if `bandwidths` or `runtimes` is no mapping, or if it has
            another value than a `Speed`.

    Example:

    >>> laptop = Machine(
    ...     processor="laptop",
    ...     threads=2,
    ...     bandwidths={"float32": 10e9},
    ...     runtimes={
    ...         "onnx": Speed(version="1.23", products={"float32": 50e9}, call=5e-5, step=5e-6)
    ...     },
    ... )
    >>> Machine.of_json(dataclasses.asdict(laptop)) == laptop
    True
    """

    processor: str
    threads: int
    bandwidths: Mapping[str, float]
    runtimes: Mapping[str, Speed]

    def __post_init__(self) -> None:
        checks.integer("threads", self.threads)
        _check_numbers("bandwidths", self.bandwidths)
        speeds = self.runtimes.values() if isinstance(self.runtimes, Mapping) else [None]
        if not all(isinstance(speed, Speed) for speed in speeds):
            raise TypeError(
                "`runtimes` must be a mapping of a Speed by runtime. "
                f"Received: runtimes={self.runtimes!r}"
            )

    @classmethod
    def read(cls, threads: int) -> Self | None:
        """This machine as it was measured with that many threads; `None` if it was not."""
        here = processor()
        for said in _rows(file()):
            if (said.get("processor"), said.get("threads")) == (here, threads):
                with contextlib.suppress(TypeError, ValueError):  # as if it had not been measured
                    return cls.of_json(said)
        return None

    def write(self) -> Path:
        """Keeps it for `read`, and returns where.

        Raises:
            OSError: If nobody may write there.
        """
        path = file()
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = (self.processor, self.threads)
        others = [row for row in _rows(path) if (row.get("processor"), row.get("threads")) != mine]
        rows = [*others, dataclasses.asdict(self)]
        with replacing(path) as (beside,):
            text = json.dumps({"format": _FORMAT, "machines": rows}, indent=1)
            beside.write_text(f"{text}\n", encoding="utf-8")
        return path

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` has made a mapping of.

        Raises:
            ValueError: If it has other fields, or numbers that no machine has.
            TypeError: If what it has is of another type.
        """
        given = _fields(cls, said)
        if isinstance(given["runtimes"], Mapping):
            given["runtimes"] = {
                name: Speed(**_fields(Speed, each)) for name, each in given["runtimes"].items()
            }
        return cls(**given)


def file() -> Path:
    """Where machines are kept: in the user's folder for what can be made again."""
    folder = os.environ.get(VARIABLE)
    return Path(folder or platformdirs.user_cache_dir("resnet_layers", appauthor=False)) / FILE


def processor() -> str:
    """What tells a processor from another."""
    name = platform.processor() or platform.machine()
    if platform.system() == "Linux":
        with contextlib.suppress(OSError):  # not every system shows it
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
            lines = (line.partition(":") for line in text.splitlines())
            names = (value.strip() for key, _, value in lines if key.strip() == "model name")
            name = next(names, name)
    return f"{name}, {os.cpu_count()} cores"


def _fields(kind: type, said: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(said, Mapping) or set(said) != set(names):
        raise ValueError(
            f"A {kind.__name__} must be a mapping of {checks.some(names)}. Received: {said!r}"
        )
    return dict(said)


def _check_numbers(name: str, numbers: Any) -> None:
    if not isinstance(numbers, Mapping):
        raise TypeError(
            f"`{name}` must be a mapping of numbers by precision. Received: {name}={numbers!r}"
        )
    if "float32" not in numbers:
        raise ValueError(f"`{name}` must have a number for 'float32'. Received: {name}={numbers!r}")
    for number in numbers.values():
        checks.positive(name, number)


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> float | None:
    """How many bytes of memory processes here may have; `None` where the system does not say."""
    if not hasattr(os, "sysconf"):  # of Windows
        return None
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return float(min(whole, int(_LIMIT.read_text(encoding="ascii"))))
    except (OSError, ValueError):  # no container, or one without a limit
        return float(whole)


def _rows(path: Path) -> list[dict[str, Any]]:
    """What a file has; nothing where it is missing, damaged, or of another format."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError):
        return []
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        return []
    rows = said.get("machines")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
