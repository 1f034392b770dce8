"""OpenVINO's intermediate representation, for Intel's processors."""

import contextlib
import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from resnet_layers._support import telemetry
from resnet_layers._support.files import scratch
from resnet_layers.serving import seal
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import OUTPUT, Job, Read, Run

# On processors that have bfloat16, the runtime would take it for float32 as well.
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}

# A comment, which XML can have at its end.
ENDING = b"<!-- sha256 of all above: %s, of the .bin file: %s -->\n" % (seal.PLACE, seal.PLACE)


@functools.cache
def core() -> Any:
    """The one of this process.

    Two of them that end in the order in which they began leave the thread with a stack for signals
    that is gone, and the next signal, such as Ctrl-C, ends the process.
    """
    with telemetry.off():
        import openvino as ov

    made = ov.Core()
    made.get_versions("CPU")  # loads what sets the stack, before others do
    return made


def write(model: Any, path: Path, job: Job) -> None:
    """Writes an `.xml` file, and the `.bin` file of its weights beside it."""
    with telemetry.off():
        import openvino as ov

    with scratch() as folder:
        plain = folder / "model.xml"
        how = {"input_signature": job.signature, "verbose": False}
        model.export(str(plain), format="openvino", **how)
        graph = core().read_model(plain)
        _fuse_pads(graph)
        if job.calibration is not None and job.precision == "int8":
            graph = _quantized(graph, job)
        graph.output(0).tensor.set_names({OUTPUT})
        graph.set_rt_info(job.description.text, "resnet_layers")
        ov.save_model(graph, path, compress_to_fp16=False)
    with path.open("ab") as file:
        file.write(ENDING)


def load(path: Path, describe: Read) -> tuple[Run, Description]:
    """Opens an `.xml` file that `write` has written."""
    graph = core().read_model(path)
    description = describe(lambda: graph.get_rt_info("resnet_layers").astype(str))
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[description.precision],
        # Of kernels and buffers for each size: by default 5000 are kept, 0.8 MB each.
        "CPU_RUNTIME_CACHE_CAPACITY": 8,
    }
    compiled = core().compile_model(graph, "CPU", hints)
    threads = threading.local()  # a request is of one thread at a time

    def run(images: Any) -> Any:
        nonlocal compiled
        if getattr(threads, "of", None) is not compiled:
            threads.of, threads.request = compiled, compiled.create_infer_request()
        try:
            return np.array(threads.request.infer([images])[0])
        except BaseException:  # after which its next call would never return
            compiled = core().compile_model(graph, "CPU", hints)
            raise

    return run, description


def _fuse_pads(graph: Any) -> None:
    """Lets max-pooling pad by itself where zeros around the output of ReLU are never the maximum.

    The runtime has no fast kernel for such a `Pad`: 1 % of a ResNet-50 at batch 32.
    """
    from openvino import opset8

    for pool in graph.get_ops():
        pad = pool.input_value(0).get_node() if pool.get_type_name() == "MaxPool" else None
        if pad is None or pad.get_type_name() != "Pad":
            continue
        after_relu = pad.input_value(0).get_node().get_type_name() == "Relu"
        begin, end, number = (pad.input_value(i).get_node() for i in (1, 2, 3))
        if not (after_relu and number.get_data() == 0):
            continue
        how = pool.get_attributes()
        fused = opset8.max_pool(
            pad.input_value(0),
            how["strides"],
            how["dilations"],
            begin.get_data()[2:].tolist(),
            end.get_data()[2:].tolist(),
            how["kernel"],
            "floor",
            "explicit",
            "i64",
            0,
        )
        fused.set_friendly_name(pool.get_friendly_name())
        pool.output(0).replace(fused.output(0))


def _quantized(graph: Any, job: Job) -> Any:
    """Weights by channel and activations by tensor as int8, with corrected biases."""
    with telemetry.off():
        import nncf
        from nncf.quantization import advanced_parameters, range_estimator

    images = list(job.calibration.single_images()) if job.calibration else []
    # NNCF's own choice, the mean of the images' ranges, cuts images of more contrast than most:
    # on trained digits it has twice the error of their union, on images of many tints ten times.
    # Weights have seven bits, since processors without VNNI cut the sum of two products at 16 bits.
    # NNCF sees to that in the first layer only, unless it is told to.
    parameters = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=range_estimator.RangeEstimatorParametersSet.MINMAX,
        overflow_fix=advanced_parameters.OverflowFix.ENABLE,
    )
    with contextlib.redirect_stdout(None):  # bars of progress
        return nncf.quantize(
            graph, nncf.Dataset(images), subset_size=len(images), advanced_parameters=parameters
        )
