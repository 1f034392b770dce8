"""One reader for each format of files: names and shapes at once, values when they are needed."""

import contextlib
import functools
import json
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

from resnet_layers.weights.tensors import Tensor, of_keras_model, of_mapping, unique

_SAFETENSORS_DTYPES: dict[str, Any] = {
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,  # safetensors' own NumPy reader may not know it
    "F32": np.float32,
    "F64": np.float64,
}
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
        raise ValueError(f"names stand there twice: {', '.join(twice)}")


def _mapped(content: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    known = _SAFETENSORS_DTYPES.get(dtype)

    def read() -> np.ndarray:
        return content[slice(*data_offsets)].view(known).reshape(shape)

    return Tensor(tuple(shape), np.dtype(known).name if known else dtype, read)


@contextlib.contextmanager
def _torch(path: Path) -> Iterator[dict[str, Tensor]]:
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
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "torch refuses it in weights-only mode, which runs no code of a file"
        ) from error
    if not isinstance(loaded, Mapping):
        raise TypeError(f"it holds a {type(loaded)} and no mapping")
    yield of_mapping(loaded)


@contextlib.contextmanager
def _npz(path: Path) -> Iterator[dict[str, Tensor]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        _refuse_duplicates(name.removesuffix(".npy") for name in names)
        yield {name.removesuffix(".npy"): _zipped(archive, name) for name in names}


def _zipped(archive: zipfile.ZipFile, name: str) -> Tensor:
    with archive.open(name) as stream:
        read_header = _NPY_HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)

    def read() -> np.ndarray:
        with archive.open(name) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    return Tensor(shape, dtype.name, read)


@contextlib.contextmanager
def _h5(path: Path) -> Iterator[dict[str, Tensor]]:
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs:
            yield unique(_of_legacy_group(group))
            return
        model = _keras_applications_model(file)
    if not path.name.endswith(".weights.h5"):
        raise ValueError("Keras 3 reads its weights from files that end in .weights.h5 alone")
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


def _keras_applications_model(file: Any) -> keras.Model:
    """The model that a weight file of Keras 3 belongs to; it numbers layers, and names none."""
    layers = file.get("layers", {})
    kinds = Counter(name.rstrip("0123456789").rstrip("_") for name in layers)
    name = KERAS_APPLICATIONS.get((kinds["conv2d"], kinds["batch_normalization"]))
    if name is None:
        raise ValueError("it holds no weights of a ResNet from keras.applications")
    top = {"classes": layers["dense/vars/0"].shape[1]} if kinds["dense"] else {}
    channels = layers["conv2d/vars/0"].shape[2]
    create = getattr(keras.applications, name)
    return create(include_top=bool(top), weights=None, input_shape=(32, 32, channels), **top)


READERS: dict[str, Callable[[Path], AbstractContextManager[dict[str, Tensor]]]] = {
    ".safetensors": _safetensors,
    ".pth": _torch,
    ".pt": _torch,
    ".bin": _torch,
    ".npz": _npz,
    ".h5": _h5,
}
