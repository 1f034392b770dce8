"""One reader for each format of files: names and shapes at once, values when they are needed."""

import argparse
import contextlib
import functools
import io
import json
import math
import mmap
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np

from resnet_layers._support import checks
from resnet_layers.weights import hdf5, torch_files
from resnet_layers.weights.tensors import Tensor, of_keras_model, unique

_SAFETENSORS_DTYPES: dict[str, Any] = {
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,  # safetensors' own NumPy reader may not know it
    "F32": np.float32,
    "F64": np.float64,
}
_LONGEST_HEADER = 2**14
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# By the numbers of convolutions and of normalizations.
KERAS_APPLICATIONS = {
    (53, 53): "ResNet50",
    (104, 104): "ResNet101",
    (155, 155): "ResNet152",
    (53, 49): "ResNet50V2",
    (104, 100): "ResNet101V2",
    (155, 151): "ResNet152V2",
}
_FEWEST = 23_500_000  # numbers in the smallest of these without its top


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[dict[str, Tensor]]:
    import safetensors

    with safetensors.safe_open(path, framework="numpy"):  # checks header, sizes and offsets
        pass
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(
            file.read(start - 8), object_pairs_hook=_without_duplicates
        )
    header.pop("__metadata__", None)
    # As views of the file, whose pages the system can drop again.
    content: Any = np.memmap(path, np.uint8, "r", start) if header else ()
    content = np.asarray(content, np.uint8)
    yield {name: _mapped(content, **entry) for name, entry in header.items()}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_duplicates(name for name, _ in pairs)
    return dict(pairs)


def _refuse_duplicates(names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"names stand there twice: {checks.some(twice, str)}")


def _mapped(content: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    known = _SAFETENSORS_DTYPES.get(dtype)

    def read() -> np.ndarray:
        return content[slice(*data_offsets)].view(known).reshape(shape)

    return Tensor(tuple(shape), np.dtype(known).name if known else dtype, read)


@contextlib.contextmanager
def _torch(path: Path) -> Iterator[Mapping[Any, Any]]:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "`source` must be read by torch, which is not installed: "
            f"`pip install \"resnet-layers[torch]\"`. Received: source='{path}'"
        ) from None
    zipped = zipfile.is_zipfile(path)  # torch reads its older format as a whole
    if zipped:
        with zipfile.ZipFile(path) as archive:
            _refuse_duplicates(archive.namelist())
    torch_files.check(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the options of a script
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "torch refuses it in weights-only mode, which runs no code of a file"
        ) from error
    if not isinstance(loaded, Mapping):
        raise TypeError(f"it holds a {type(loaded)} and no mapping")
    yield loaded


@contextlib.contextmanager
def _npz(path: Path) -> Iterator[dict[str, Tensor]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        _refuse_duplicates(name.removesuffix(".npy") for name in names)
        yield {name.removesuffix(".npy"): _zipped(archive, name) for name in names}


def _zipped(archive: zipfile.ZipFile, name: str) -> Tensor:
    with archive.open(name) as member:
        stream = io.BytesIO(member.read(_LONGEST_HEADER))  # whatever length it claims
        read_header = _NPY_HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)
    size, held = math.prod(shape) * dtype.itemsize, archive.getinfo(name).file_size - stream.tell()
    if size != held and not dtype.hasobject:
        raise ValueError(f"its member {name!r} must have {size} bytes. Received: {held} bytes")

    def read() -> np.ndarray:
        with archive.open(name) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    return Tensor(shape, dtype.name, read)


@contextlib.contextmanager
def _h5(path: Path) -> Iterator[dict[str, Tensor]]:
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        hdf5.check_heaps(content)
    with h5py.File(path) as file:
        found = hdf5.datasets(file, path.stat().st_size)
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs:
            yield unique(_of_legacy_group(group))
            return
        model = _keras_applications_model(path, file, sum(one.size for one in found.values()))
    model.load_weights(path)
    yield of_keras_model(model)


def _of_legacy_group(group: Any) -> Iterator[tuple[str, Tensor]]:
    for layer in map(_text, group.attrs["layer_names"]):
        for name in map(_text, group[layer].attrs["weight_names"]):
            dataset = group[layer][name]
            full_name = name if "/" in name else f"{layer}/{name}"
            read = functools.partial(np.asarray, dataset)
            yield full_name, Tensor(dataset.shape, dataset.dtype.name, read)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _keras_applications_model(path: Path, file: Any, count: int) -> keras.Model:
    """The model that a weight file of Keras 3 belongs to; it numbers layers, and names none."""
    layers = file.get("layers", {})
    kinds = Counter(name.rstrip("0123456789").rstrip("_") for name in layers)
    name = KERAS_APPLICATIONS.get((kinds["conv2d"], kinds["batch_normalization"]))
    if name is None:
        raise ValueError("it holds no weights of a ResNet from keras.applications")
    if not path.name.endswith(".weights.h5"):
        raise ValueError("Keras 3 reads its weights from files that end in .weights.h5 alone")
    if count < _FEWEST:  # before a network of so many is made
        raise ValueError(f"it holds {count} numbers, fewer than the {name} that it says it is of")
    top = {"classes": layers["dense/vars/0"].shape[1]} if kinds["dense"] else {}
    channels = layers["conv2d/vars/0"].shape[2]
    create = getattr(keras.applications, name)
    return create(include_top=bool(top), weights=None, input_shape=(32, 32, channels), **top)


# What a reader yields is yet to be looked into, for the weights that are meant.
READERS: dict[str, Callable[[Path], AbstractContextManager[Mapping[Any, Any]]]] = {
    ".safetensors": _safetensors,
    ".pth": _torch,
    ".pt": _torch,
    ".bin": _torch,
    ".pth.tar": _torch,
    ".ckpt": _torch,
    ".npz": _npz,
    ".h5": _h5,
}
