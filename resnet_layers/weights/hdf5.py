"""What an HDF5 file holds by itself: it could point to other files, and claim any size."""

import math
from collections.abc import Iterator
from typing import Any

import h5py

# How much a file may hold, for each byte of it and beside: weights are hardly compressible, and
# what training has not touched yet is zero.
_INFLATION, _BESIDE = 20, 2**22
_HEAP = b"GCOL\x01\0\0\0"
# How much larger than its dataset a piece of it may be, which is read as a whole.
_PIECE = 2**20


def datasets(file: h5py.File, size: int) -> dict[str, h5py.Dataset]:
    """All datasets of a file by their paths, none of which has been read.

    Args:
        file: The file.
        size: Its bytes.

    Raises:
        ValueError: With the name of what leads elsewhere, has no values, or is larger than the
            file can hold.
    """
    found = dict(_inside(file))
    for name, dataset in found.items():
        _check(name, dataset)
    total = sum(dataset.nbytes for dataset in found.values())
    if total > _INFLATION * size + _BESIDE:
        raise ValueError(f"its {size} bytes cannot hold the {total} bytes of its datasets")
    return found


def check_heaps(content: Any) -> None:
    """Refuses a file that HDF5 1.14 would read for ever, since a piece of its texts has no length.

    Args:
        content: Its bytes, or a map of them.

    Raises:
        ValueError: If it does.
    """
    start = content.find(_HEAP)
    while start >= 0:
        end = min(start + _number(content, start + 8), len(content))
        place = start + 16
        while place + 16 <= end:
            length = _number(content, place + 8)
            free = content[place : place + 2] == b"\0\0"
            step = length if free else 16 + -(-length // 8) * 8
            if step < 16:
                raise ValueError("the heap of its texts is damaged")
            place += step
        start = content.find(_HEAP, start + 1)


def _number(content: Any, place: int) -> int:
    return int.from_bytes(content[place : place + 8], "little")


def _inside(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    seen = {_address(file)}
    groups = [("", file)]
    while groups:
        path, group = groups.pop()
        for key in group:
            name = f"{path}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"'{name}' is a link, which may lead to another file")
            member = group[key]
            if _address(member) in seen:  # a group can hold itself
                continue
            seen.add(_address(member))
            if isinstance(member, h5py.Group):
                groups.append((name, member))
            elif isinstance(member, h5py.Dataset):
                yield name, member


def _address(member: Any) -> int:
    return int(h5py.h5o.get_info(member.id).addr)


def _check(name: str, dataset: h5py.Dataset) -> None:
    if dataset.shape is None:
        raise ValueError(f"'{name}' lacks values")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"the values of '{name}' are in another file")
    pieces = 1
    if dataset.chunks:
        axes = zip(dataset.shape, dataset.chunks, strict=True)
        pieces = math.prod(-(-size // step) for size, step in axes)
    there = dataset.id.get_num_chunks() if dataset.chunks else dataset.id.get_storage_size() > 0
    if dataset.nbytes and there != pieces:  # HDF5 would make zeros of the rest
        raise ValueError(f"'{name}' lacks values")
    if dataset.chunks:
        piece = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if piece > dataset.nbytes + _PIECE:
            raise ValueError(f"'{name}' is in pieces larger than it")
