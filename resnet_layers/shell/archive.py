"""What a `.keras` file holds, looked at before anything of it is inflated or built."""

import contextlib
import dataclasses
import io
import json
import math
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from resnet_layers._support.errors import first_line
from resnet_layers.shell.errors import InputError
from resnet_layers.weights import hdf5

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
# Numbers are hardly compressible, and those that training has not touched yet are zero.
_INFLATION, _BESIDE = 16, 2**24
# Bytes of a config in a smaller file; objects of Python take up to twenty times as many.
_LARGEST_CONFIG = 2**20
# Keras may make a layer twice, once for its config.
_TWICE = 2


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a file.

    Args:
        config: Of its model.
        variables: How many it has values for, without those of an optimizer.
        numbers: How many these have together.
    """

    config: dict[str, Any]
    variables: int
    numbers: int


def read(path: Path, kind: str) -> Contents:
    """The contents of a file in which nothing is damaged.

    Args:
        path: The file.
        kind: The registered name of the class that it must hold.

    Raises:
        InputError: If it is no such file, or if its parts are damaged, larger than a file of its
            size can have, or do not fit.
    """
    with _opened(path) as archive:
        config = _config(archive)
        found = config["registered_name"] or config["class_name"]
        if found != kind:
            kind = kind.replace(">", ".")
            raise InputError(f"'{path}' must hold a `{kind}`. Received: {found!s:.60}")
        if _WEIGHTS not in archive.namelist():
            raise InputError(f"The model file '{path}' cannot be opened: it has no '{_WEIGHTS}'")
        weights = archive.read(_WEIGHTS)
        if archive.testzip():
            raise _damaged(path)
    try:
        hdf5.check_heaps(weights)
        with h5py.File(io.BytesIO(weights)) as file:
            found = hdf5.datasets(file, len(weights))
            sizes = [one.size for name, one in found.items() if not name.startswith("/optimizer/")]
    except Exception as error:  # h5py raises all kinds
        reason = first_line(error)
        raise InputError(f"The model file '{path}' cannot be opened: {reason}") from error
    contents = Contents(config, len(sizes), sum(sizes))
    blocks = sum(_named("blocks", config))
    if blocks > contents.variables:
        raise InputError(
            f"The config of '{path}' must fit its weights. Received: {blocks} blocks for "
            f"{contents.variables} variables"
        )
    return contents


def metadata(path: Path) -> Any:
    """The metadata of the network in a file.

    Raises:
        InputError: If it is no such file.
    """
    with _opened(path) as archive:
        return _config(archive)["config"]["metadata"]


@contextlib.contextmanager
def building(contents: Contents) -> Iterator[None]:
    """Lets a model be built with no more variables than there are values for.

    Whatever the classes of its layers are: Keras makes all variables in one place.
    """
    make = keras.layers.Layer.add_weight
    variables = numbers = 0

    def add_weight(self: Any, shape: Any = None, *arguments: Any, **keywords: Any) -> Any:
        nonlocal variables, numbers
        variables += 1
        numbers += math.prod((shape,) if isinstance(shape, int) else shape or ())
        if variables > _TWICE * contents.variables or numbers > _TWICE * contents.numbers:
            raise ValueError("its config describes a larger network than it has weights for")
        return make(self, shape, *arguments, **keywords)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = make


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, whose parts have sizes that it can have."""
    try:
        kind = path.stat()
        if not (stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode)):
            raise InputError(f"The model file '{path}' cannot be read: Not a file")
        content = path.open("rb")
    except OSError as error:
        raise InputError(f"The model file '{path}' cannot be read: {error.strerror}") from None
    with content:
        try:
            with zipfile.ZipFile(content) as archive:
                _check_sizes(archive, path, kind.st_size)
                yield archive
        except InputError:
            raise
        except Exception:  # zipfile and its decompressors raise all kinds
            raise _damaged(path) from None


def _check_sizes(archive: zipfile.ZipFile, path: Path, size: int) -> None:
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    if len(sizes) < len(archive.infolist()):
        raise _damaged(path)
    total = sum(sizes.values())
    if total > _INFLATION * size + _BESIDE or sizes[_CONFIG] > max(size, _LARGEST_CONFIG):
        raise InputError(
            f"The model file '{path}' of {size} bytes must not hold so much more. Received: "
            f"{total} bytes, {sizes[_CONFIG]} of them as {_CONFIG}"
        )


def _config(archive: zipfile.ZipFile) -> Any:
    return json.loads(archive.read(_CONFIG))


def _named(name: str, config: Any) -> Iterator[int]:
    """All whole numbers of a name in a config, but those of its metadata."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [value for key, value in one.items() if key != "metadata"]
            if type(one.get(name)) is int:
                yield one[name]
        elif isinstance(one, list):
            waiting += one


def _damaged(path: Path) -> InputError:
    return InputError(f"'{path}' is not a .keras file, or it is damaged")
