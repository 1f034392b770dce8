"""What a file of torch's claims, before torch believes it.

torch maps a file into memory and takes a tensor's bytes from where they should be, as many as the
tensor says: if its member is shorter, those of whatever comes next.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from resnet_layers._support import checks

_PIECE = 2**20
# Pickles before that of the weights in a file of torch's older format.
_BEFORE = 3
# Bytes of a number; torch writes newer kinds as untyped.
_SIZES = {
    f"{name}Storage": size
    for size, names in {
        1: ("Untyped", "Byte", "Char", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"),
        2: ("Half", "BFloat16", "Short"),
        4: ("Float", "Int", "QInt32"),
        8: ("Double", "Long", "ComplexFloat"),
        16: ("ComplexDouble",),
    }.items()
    for name in names
}


def check(path: Path) -> None:
    """Refuses a file whose members are not as long, or not what, they are said to be.

    Raises:
        ValueError: With the names of the members.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive)
    else:
        with path.open("rb") as file:
            for _ in range(_BEFORE):
                _claims(file)
            _check_total(_claims(file), path.stat().st_size - file.tell())


def _check_archive(archive: zipfile.ZipFile) -> None:
    members = {info.filename: info for info in archive.infolist()}
    prefix = next(iter(members), "").partition("/")[0]
    packed = [name for name, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"torch compresses no members, as these are: {checks.some(packed)}")
    with archive.open(f"{prefix}/data.pkl") as file:
        claims = _claims(file)
    for key, size in claims.items():
        name = f"{prefix}/data/{key}"
        if name not in members:
            raise ValueError(f"its member {name!r} is missing")
        if members[name].file_size != size:
            raise ValueError(
                f"its member {name!r} must have the {size} bytes of its tensor. "
                f"Received: {members[name].file_size} bytes"
            )
    wrong = [name for name, info in members.items() if not _is_whole(archive, info)]
    if wrong and len(wrong) < len(members):  # torch can be told to write no sums
        raise ValueError(f"these members are damaged: {checks.some(wrong)}")


def _is_whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member has its sum, and the same name where it stands as in the list."""
    try:
        with archive.open(info) as file:
            while file.read(_PIECE):
                pass
    except zipfile.BadZipFile as error:
        if "Bad CRC" not in str(error):
            raise
        return False
    return True


def _check_total(claims: dict[str, int], size: int) -> None:
    total = sum(claims.values())
    if total > size:
        raise ValueError(
            f"it must have the {total} bytes of its tensors. Received: {size} bytes after their "
            "names"
        )


def _claims(file: BinaryIO | Any) -> dict[str, int]:
    """The bytes of each storage that the next pickle of a file speaks of."""
    unpickler = _Claims(file)
    unpickler.load()
    return unpickler.sizes


class _Anything:
    """In place of whatever a pickle makes; it does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **keywords: Any) -> "_Anything":
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Does nothing, as the others."""

    extend = add = append


# Python's own in Python: that in C makes room for as many memories as a pickle names.
class _Claims(pickle._Unpickler):
    """Finds out how large storages should be, and makes and runs nothing."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.sizes: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_Anything,), {})

    def persistent_load(self, saved: Any) -> Any:
        kind, storage, key, _, count, *_ = saved
        name = getattr(storage, "__name__", "")
        if kind != "storage" or name not in _SIZES or type(count) is not int:
            raise ValueError(f"it must hold tensors of numbers. Received: {kind!r} of {name!r}")
        size = count * _SIZES[name]
        if self.sizes.setdefault(str(key), size) != size:
            raise ValueError(f"it says of its storage {key!r} that it has two sizes")
        return _Anything()
