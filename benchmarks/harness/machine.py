"""Where a run took place, and with what."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable

import cpuinfo
import keras

# Whose versions matter, where they are installed.
PACKAGES = ("tensorflow", "jax", "torch", "torchvision", "timm", "keras-hub")


def machine() -> dict[str, str]:
    """The machine, its load, and the versions of what runs."""
    backend = keras.backend.backend()
    return {
        "processor": cpuinfo.get_cpu_info().get("brand_raw", "unknown"),
        "cores": str(cores()),
        "GPU": _gpu(backend),
        "load": "{:.1f} {:.1f} {:.1f} (1, 5, 15 minutes)".format(*os.getloadavg()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "keras": f"{keras.__version__} on {backend} {importlib.metadata.version(backend)}",
        "versions": ", ".join(versions(PACKAGES)),
        "threads": _threads(backend),
    }


def cores() -> int:
    """Those that this process may use: as many as each runtime has threads by default."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu(backend: str) -> str:
    match backend:
        case "tensorflow":
            import tensorflow as tf

            found = [
                tf.config.experimental.get_device_details(device).get("device_name", "GPU")
                for device in tf.config.list_physical_devices("GPU")
            ]
        case "jax":
            import jax

            found = [device.device_kind for device in jax.devices() if device.platform == "gpu"]
        case "torch":
            import torch

            count = torch.cuda.device_count()
            found = [torch.cuda.get_device_name(number) for number in range(count)]
        case _:
            found = []
    return ", ".join(found) or "none"


def versions(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are installed."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _threads(backend: str) -> str:
    if backend != "tensorflow":
        return "as the backend has them"
    from tensorflow.config import threading

    within, between = (
        count or "one for each core"
        for count in (
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        )
    )
    return f"{within} within an operation, {between} between operations"
