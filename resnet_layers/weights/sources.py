"""`Source`: the tensors of a file, a mapping or a Keras model, their values read when needed."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import first_line
from resnet_layers.weights import checkpoints, readers
from resnet_layers.weights.dialects import looks_like_keras
from resnet_layers.weights.tensors import Tensor, of_keras_model, of_mapping, unique


@dataclasses.dataclass(frozen=True)
class Source:
    """Named tensors.

    Args:
        title: What messages call the source.
        tensors: Its tensors by their names.
        averages: Where averaged weights were found, if they were taken; `""` for the top.
        hint: What to say of names that do not fit.
    """

    title: str
    tensors: dict[str, Tensor]
    averages: str | None = None
    hint: str = ""

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
def open_source(source: Any, averaged: bool | None = None) -> Iterator[Source]:
    """The tensors of anything that `load_weights_from` takes.

    Args:
        source: A path, a mapping or a Keras model.
        averaged: Whether averaged weights are taken; `None` for where there are some.

    Yields:
        The tensors, to be read before the context ends.

    Raises:
        ValueError: If the file cannot be read, the model is no ResNet of keras.applications, or
            there are no such weights as `averaged` asks for.
        TypeError: If it is nothing of that kind.
        ImportError: If reading the file needs torch and torch is not installed.
    """
    content: Mapping[Any, Any]
    with contextlib.ExitStack() as stack:
        if isinstance(source, keras.Model):
            title, content = f"<{type(source).__name__} '{source.name}'>", of_keras_model(source)
        elif isinstance(source, Mapping):
            title, content = "<mapping>", source
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            title, content = f"'{path}'", stack.enter_context(_open_file(path))
        else:
            raise TypeError(
                "`source` must be a path, a mapping from names to arrays, or a Keras model. "
                f"Received: source={source!r} (of type {type(source)})"
            )
        chosen = checkpoints.choose(content, averaged, title)
        tensors = of_mapping(chosen.weights)
        if looks_like_keras(tensors):
            tensors = unique((_keras_name(name), tensor) for name, tensor in tensors.items())
        if chosen.averages:
            title += f" ({chosen.averages})"
        yield Source(title, tensors, chosen.averages, chosen.hint)


@contextlib.contextmanager
def _open_file(path: Path) -> Iterator[Mapping[Any, Any]]:
    name = path.name.lower()
    reader = next((read for end, read in readers.READERS.items() if name.endswith(end)), None)
    if reader is None:
        raise ValueError(
            f"`source` must be a file that ends in {checks.some(readers.READERS, str)}. "
            f"Received: source='{path}'"
        )
    if not path.is_file():
        raise ValueError(f"`source` must be a file that exists. Received: source='{path}'")
    with contextlib.ExitStack() as stack:
        try:
            content = stack.enter_context(reader(path))
        except ImportError:
            raise
        except Exception as error:  # each library has its own
            raise ValueError(
                "`source` must be a whole file of the kind that its ending says. "
                f"Received: source='{path}', which cannot be read: {first_line(error)}"
            ) from error
        yield content


def _keras_name(name: str) -> str:
    """Layer and variable: `resnet50/conv1_conv/kernel:0` is `conv1_conv/kernel`."""
    return "/".join(name.removesuffix(":0").split("/")[-2:])
