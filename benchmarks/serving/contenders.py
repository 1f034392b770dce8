"""The ways to run a network: as Keras does, as `export` does, as torchvision's users do."""

import dataclasses
import functools
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import resnet_layers as rl
from benchmarks.harness import flat, twins
from benchmarks.serving import machine as serving_machine
from resnet_layers.serving.calibration import gather
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Job
from resnet_layers.serving.runtimes import openvino_runtime
from tests.support.randomize import images, randomize, relative_difference

# For images, (N, height, width, channels): runs them once and returns the outputs.
Run = Callable[[], NDArray[Any]]

# The largest difference over the largest output; for less than float32, the root mean square of
# the difference over that of the outputs. Weights are random and so are the images of int8.
LARGEST = {"float32": 1e-3, "bfloat16": 0.05, "int8": 0.3}


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to run a network.

    Args:
        whose: `"Keras"`, `"ours"`, `"torchvision"`, or `"machine"` for a matrix product.
        runtime: What runs it.
        precision: In which precision.
        make: Opens it for images.
        needs: Packages without which it is left out.
    """

    whose: str
    runtime: str
    precision: str
    make: Callable[[NDArray[np.float32]], Run] = dataclasses.field(repr=False)
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the tables have it."""
        owner = "" if self.whose == "ours" else f"{self.whose}: "
        return f"{owner}{self.runtime} {self.precision}"

    def missing(self) -> str:
        """The packages that are not installed, or nothing."""
        names = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"{' and '.join(names)} not installed" if names else ""


FORMATS = {
    ("TensorFlow graph", "float32"): ("tf_saved_model", "", ()),
    ("TensorFlow graph", "bfloat16"): ("tf_saved_model", "", ()),
    ("ONNX Runtime", "float32"): ("onnx", ".onnx", ("tf2onnx", "onnx", "onnxruntime")),
    ("LiteRT", "float32"): ("litert", ".tflite", ("ai_edge_litert",)),
    ("LiteRT", "int8"): ("litert", ".tflite", ("ai_edge_litert",)),
    ("OpenVINO", "float32"): ("openvino", ".xml", ("openvino",)),
    ("OpenVINO", "bfloat16"): ("openvino", ".xml", ("openvino",)),
    ("OpenVINO", "int8"): ("openvino", ".xml", ("openvino", "nncf")),
}


class Contenders:
    """A network in all ways, with the same random weights; Keras' own has others.

    Args:
        variant: Name of a variant; `"resnet50"` is compared with `keras.applications.ResNet50`,
            `"cifar_resnet20"` with the same network written flat.
        size: Of images, in pixels.
        folder: For artifacts.
    """

    def __init__(self, variant: str, size: int, folder: Path) -> None:
        shape = (size, size, 3)
        self._folder = folder
        self.model = randomize(rl.ResNet.from_variant(variant, input_shape=shape))
        if variant == "resnet50":
            self.stock = keras.applications.ResNet50(weights=None, input_shape=shape)
        else:
            self.stock = flat.cifar_resnet20(shape, 1000)
            twins.copy(twins.pairs_by_path(self.model, self.stock))
        self.calibration = images(16 if size > 64 else 4, *shape, seed=1)
        self.ways = [*self._keras(), *self._ours(), *self._machine()]
        if variant == "resnet50":
            self.ways[-3:-3] = self._torchvision()

    def check(self, way: Way, batch: NDArray[np.float32], outputs: Any) -> float:
        """How far outputs are from those of the network in float32.

        Raises:
            ArithmeticError: If it is too far.
        """
        if way.whose == "machine":
            return 0.0
        network = self.stock if way.whose == "Keras" else self.model
        expected = network.predict_on_batch(batch)
        difference = relative_difference(outputs, expected)
        if way.precision != "float32":
            difference = float(np.sqrt(np.mean((outputs - expected) ** 2) / np.mean(expected**2)))
        if not difference <= LARGEST[way.precision]:
            raise ArithmeticError(f"{way.name} differs from the network by {difference:.1e}")
        return difference

    def _keras(self) -> Iterator[Way]:
        import tensorflow as tf

        def predict(batch: Any) -> Run:
            return lambda: self.stock.predict_on_batch(batch)

        def graph(batch: Any, *, jit: bool) -> Run:
            spec = tf.TensorSpec(batch.shape, tf.float32)
            call = tf.function(
                lambda x: self.stock(x, training=False),
                input_signature=[spec],
                jit_compile=jit,
                autograph=False,
            )
            return lambda: call(batch).numpy()

        yield Way("Keras", "predict_on_batch", "float32", predict)
        yield Way("Keras", "tf.function", "float32", lambda batch: graph(batch, jit=False))
        yield Way("Keras", "tf.function with XLA", "float32", lambda batch: graph(batch, jit=True))

    def _ours(self) -> Iterator[Way]:
        for (runtime, precision), (kind, ending, needs) in FORMATS.items():
            path = self._folder / f"{kind}_{precision}{ending}"
            yield Way("ours", runtime, precision, self._exported(path, kind, precision), needs)

    def _exported(self, path: Path, kind: str, precision: str) -> Callable[[Any], Run]:
        def make(batch: Any) -> Run:
            if not path.exists():
                images = self.calibration if precision == "int8" else None
                rl.export(self.model, path, format=kind, precision=precision, calibration=images)
            return _opened(path, batch)

        return make

    def _torchvision(self) -> Iterator[Way]:
        both = ("torch", "torchvision")

        def torch_network() -> Any:
            import safetensors.torch
            import torchvision

            path = self._folder / "torchvision.safetensors"
            if not path.exists():
                rl.save_torch_weights(self.model, path)
            network = torchvision.models.resnet50(weights=None)
            network.load_state_dict(safetensors.torch.load_file(path))
            return network.eval()

        def run(batch: Any, precision: str, prepare: Callable[[Any], Any]) -> Run:
            import torch

            prepared = prepare(torch_network())
            x = torch.from_numpy(_channels_first(batch))

            def call() -> Any:
                lower = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
                with torch.inference_mode(), lower:
                    return prepared(x).float().numpy()

            return call

        def compiled(network: Any) -> Any:
            import torch

            return torch.compile(network, dynamic=False)  # for each number of images by itself

        def exported(precision: str, ending: str) -> Callable[[Any], Run]:
            def make(batch: Any) -> Run:
                path = self._folder / f"torchvision_{precision}{ending}"
                if not path.exists():
                    write = _write_onnx if ending == ".onnx" else _write_openvino
                    channels_first = _channels_first(self.calibration)
                    write(torch_network(), path, precision, channels_first)
                return _opened(path, _channels_first(batch))

            return make

        def eager(network: Any) -> Any:
            return network

        for runtime, precision, prepare in (
            ("torch", "float32", eager),
            ("torch.compile", "float32", compiled),
            ("torch.compile", "bfloat16", compiled),
        ):
            make = functools.partial(run, precision=precision, prepare=prepare)
            yield Way("torchvision", runtime, precision, make, both)
        onnx = (*both, "onnx", "onnxruntime")
        yield Way("torchvision", "ONNX Runtime", "float32", exported("float32", ".onnx"), onnx)
        for precision in ("float32", "bfloat16", "int8"):
            needs = (*both, "openvino", *(["nncf"] if precision == "int8" else []))
            yield Way("torchvision", "OpenVINO", precision, exported(precision, ".xml"), needs)

    def _machine(self) -> Iterator[Way]:
        for precision in ("float32", "bfloat16"):
            product = functools.partial(serving_machine.product, precision)
            yield Way("machine", "matrix product", precision, product)
        int8 = serving_machine.product_int8
        yield Way("machine", "matrix product", "int8", int8, ("openvino",))


_open = functools.cache(rl.load_exported)


def _opened(path: Path, batch: Any) -> Run:
    run = _open(path)
    return lambda: run(batch)


def _channels_first(batch: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(batch, -1, 1))


def _job(precision: str, calibration: Any) -> Job:
    """Makes `load_exported` open a file as one of ours: in the same runtime, set alike."""
    shape = calibration.shape[1:]
    description = Description(
        precision=precision, input_shape=shape, output_shape=(None, 1000), metadata={}
    )
    return Job(description=description, calibration=gather(calibration, shape, None))


def _write_onnx(network: Any, path: Path, precision: str, calibration: Any) -> None:
    import onnx
    import torch

    how: dict[str, Any] = {"input_names": ["images"], "output_names": ["output_0"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the other exporter needs onnxscript
        torch.onnx.export(
            network,
            (torch.zeros(1, *calibration.shape[1:]),),
            path,
            dynamic_axes={"images": {0: "batch"}, "output_0": {0: "batch"}},
            dynamo=False,
            **how,
        )
    proto = onnx.load(path)
    about = {"resnet_layers": _job(precision, calibration).description.text}
    onnx.helper.set_model_props(proto, about)
    onnx.save(proto, path)


def _write_openvino(network: Any, path: Path, precision: str, calibration: Any) -> None:
    import openvino as ov
    import torch

    graph = ov.convert_model(network, example_input=torch.zeros(1, *calibration.shape[1:]))
    graph.reshape([-1, *calibration.shape[1:]])
    job = _job(precision, calibration)
    if precision == "int8":
        graph = openvino_runtime._quantized(graph, job)
    graph.set_rt_info(job.description.text, "resnet_layers")
    ov.save_model(graph, path, compress_to_fp16=False)
