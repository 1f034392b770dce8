"""`Source`: the tensors of a file, a mapping or a Keras model, their values read when needed."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support.errors import first_line
from resnet_layers.weights import readers
from resnet_layers.weights.dialects import looks_like_keras
from resnet_layers.weights.tensors import Tensor, of_keras_model, of_mapping, unique

# What training on several devices, and compiling, put before every name.
_PREFIXES = ("module.", "_orig_mod.")


@dataclasses.dataclass(frozen=True)
class Source:
    """Named tensors.

    Args:
        title: What messages call the source.
        tensors: Its tensors by their names.
    """

    title: str
    tensors: dict[str, Tensor]

    @property
    def is_keras(self) -> bool:
        """Whether the names are those of keras.applications."""
        return looks_like_keras(self.tensors)

    def read(self, name: str) -> np.ndarray:
        """The values of one tensor.

        Raises:
            ValueError: If they cannot be read.
        """
        try:
            return self.tensors[name].read()
        except Exception as error:  # each library has its own
            raise ValueError(
                "The tensors of `source` must be readable. "
                f"Received: source={self.title}, where {name} is not: {first_line(error)}"
            ) from error


@contextlib.contextmanager
def open_source(source: Any) -> Iterator[Source]:
    """The tensors of anything that `load_weights_from` takes.

    Args:
        source: A path, a mapping or a Keras model.

    Yields:
        The tensors, to be read before the context ends.

    Raises:
        ValueError: If the file cannot be read, or the model is no ResNet of keras.applications.
        TypeError: If it is nothing of that kind.
        ImportError: If reading the file needs torch and torch is not installed.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, keras.Model):
            found = Source(f"<{type(source).__name__} '{source.name}'>", of_keras_model(source))
        elif isinstance(source, Mapping):
            found = Source("<mapping>", of_mapping(source))
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            found = Source(f"'{path}'", stack.enter_context(_open_file(path)))
        else:
            raise TypeError(
                "`source` must be a path, a mapping from names to arrays, or a Keras model. "
                f"Received: source={source!r} (of type {type(source)})"
            )
        yield _with_plain_names(found)


@contextlib.contextmanager
def _open_file(path: Path) -> Iterator[dict[str, Tensor]]:
    reader = readers.READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"`source` must be a file that ends in {', '.join(readers.READERS)}. "
            f"Received: source='{path}'"
        )
    if not path.is_file():
        raise ValueError(f"`source` must be a file that exists. Received: source='{path}'")
    with contextlib.ExitStack() as stack:
        try:
            tensors = stack.enter_context(reader(path))
        except ImportError:
            raise
        except Exception as error:  # each library has its own
            raise ValueError(
                "`source` must be a whole file of the kind that its ending says. "
                f"Received: source='{path}', which cannot be read: {first_line(error)}"
            ) from error
        yield tensors


def _with_plain_names(source: Source) -> Source:
    """Without what a training script, or a model around the model, puts before the names."""
    tensors = source.tensors
    if source.is_keras:
        named = ((_keras_name(name), tensor) for name, tensor in tensors.items())
        return dataclasses.replace(source, tensors=unique(named))
    while prefix := next((p for p in _PREFIXES if _all_start_with(p, tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return dataclasses.replace(source, tensors=tensors)


def _all_start_with(prefix: str, names: Any) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)


def _keras_name(name: str) -> str:
    """Layer and variable: `resnet50/conv1_conv/kernel:0` is `conv1_conv/kernel`."""
    return "/".join(name.removesuffix(":0").split("/")[-2:])
