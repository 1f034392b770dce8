"""The devices that the backend sees, and why a row of another one is left out."""

from typing import Any

import keras


def devices() -> list[str]:
    """The CPU and every GPU, as `keras.device` takes them."""
    return ["cpu:0", *(f"gpu:{i}" for i in range(_gpus()))]


def missing(device: str) -> str:
    """Why nothing can run there, or nothing."""
    if device in devices():
        return ""
    return f"Keras on {keras.backend.backend()} sees no GPU" if _gpus() == 0 else f"no {device}"


def scope(device: str) -> Any:
    """Where Keras puts what is made inside."""
    # torch takes a CPU of a number for another device, and copies what it reads.
    return keras.device("cpu" if device.startswith("cpu") else device)


def shown(device: str) -> str:
    """As tables have it."""
    kind, _, number = device.partition(":")
    return kind.upper() if number in ("", "0") else f"{kind.upper()} {number}"


def _gpus() -> int:
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return len(tf.config.list_physical_devices("GPU"))
        case "jax":
            import jax

            return jax.device_count() if jax.default_backend() == "gpu" else 0
        case "torch":
            import torch

            return torch.cuda.device_count()
    return 0
