"""The formats as rows: what each can do, and which packages it needs."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_layers._support import checks
from resnet_layers.serving import seal
from resnet_layers.serving.description import PRECISIONS as PRECISIONS
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Job, Read, Run
from resnet_layers.serving.runtimes import litert, onnx_runtime, openvino_runtime, saved_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """One format of artifacts.

    Args:
        name: As of `export`.
        title: For people.
        endings: Of its files, the one that is named first; `("",)` for a folder.
        precisions: Those that it has.
        writes: Packages that write it.
        reads: Packages that open it.
        ending: What `write` leaves at the end of the first file, for `seal` to fill.
        write: Writes a model.
        load: Opens what was written.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    precisions: tuple[str, ...]
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    write: Callable[[Any, Path, Job], None]
    load: Callable[[Path, Read], tuple[Run, Description]]
    ending: bytes = b""

    def files(self, path: Path) -> list[Path]:
        """All files of an artifact, by the path of the first."""
        return [path.with_suffix(ending) if ending else path for ending in self.endings]

    def close(self, path: Path) -> None:
        """Gives what `write` has written its digests."""
        seal.close(self.files(path), self.ending)

    def open(self, path: Path) -> tuple[Run, Description, bool]:
        """An artifact as a function, what it says of itself, and whether it has digests.

        Raises:
            ValueError: If it is not as it was written; each runtime has errors of its own, too.
        """
        closed = seal.is_closed(self.files(path), self.ending)
        return *self.load(path, functools.partial(Description.read, closed=closed)), closed

    def require(self, *packages: str) -> None:
        """Refuses to start what cannot end.

        Raises:
            ImportError: If one of the packages is missing.
        """
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f'{self.title} needs {" and ".join(missing)}: pip install "resnet-layers[export]"'
            )


FORMATS = {
    row.name: row
    for row in (
        Format(
            name="tf_saved_model",
            title="SavedModel",
            endings=("",),
            precisions=("float32", "bfloat16"),
            write=saved_model.write,
            load=saved_model.load,
        ),
        Format(
            name="onnx",
            title="ONNX",
            endings=(".onnx",),
            precisions=("float32",),
            writes=("tf2onnx", "onnx"),
            reads=("onnxruntime",),
            ending=onnx_runtime.ENDING,
            write=onnx_runtime.write,
            load=onnx_runtime.load,
        ),
        Format(
            name="litert",
            title="LiteRT",
            endings=(".tflite",),
            precisions=("float32", "int8"),
            reads=("ai_edge_litert",),
            ending=litert.ENDING,
            write=litert.write,
            load=litert.load,
        ),
        Format(
            name="openvino",
            title="OpenVINO",
            endings=(".xml", ".bin"),
            precisions=("float32", "bfloat16", "int8"),
            reads=("openvino",),
            ending=openvino_runtime.ENDING,
            write=openvino_runtime.write,
            load=openvino_runtime.load,
        ),
    )
}


def check_utf8(path: Path) -> None:
    """Refuses a path that runtimes cannot be told.

    Raises:
        ValueError: If it is no UTF-8.
    """
    if not checks.is_utf8(str(path)):
        raise ValueError(f"`path` must be UTF-8, as runtimes need it. Received: path={str(path)!r}")


def of_path(path: Path) -> Format | None:
    """The format of a file or a folder by its name; `None` for others."""
    if path.is_dir():
        return FORMATS["tf_saved_model"]
    found = [row for row in FORMATS.values() if path.suffix and row.endings[0] == path.suffix]
    return found[0] if found else None
