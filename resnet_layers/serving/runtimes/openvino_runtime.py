"""OpenVINO's intermediate representation, for Intel's processors."""

import contextlib
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from resnet_layers.serving.description import Description
from resnet_layers.serving.job import OUTPUT, Job, Run

# On processors that have bfloat16, the runtime would take it for float32 as well.
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def write(model: Any, path: Path, job: Job) -> None:
    """Writes an `.xml` file, and the `.bin` file of its weights beside it."""
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "model.xml")
        how = {"input_signature": job.signature, "verbose": False}
        model.export(str(plain), format="openvino", **how)
        graph = ov.Core().read_model(plain)
        _fuse_pads(graph)
        if job.calibration is not None and job.precision == "int8":
            graph = _quantized(graph, job)
        graph.output(0).tensor.set_names({OUTPUT})
        graph.set_rt_info(job.description.text, "resnet_layers")
        ov.save_model(graph, path, compress_to_fp16=False)


def load(path: Path) -> tuple[Run, Description]:
    """Opens an `.xml` file that `write` has written."""
    import openvino as ov

    core = ov.Core()
    graph = core.read_model(path)
    description = Description.read(path, lambda: graph.get_rt_info("resnet_layers").astype(str))
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[description.precision],
    }
    compiled = core.compile_model(graph, "CPU", hints)
    threads = threading.local()  # a request is of one thread at a time

    def run(images: Any) -> Any:
        if not hasattr(threads, "request"):
            threads.request = compiled.create_infer_request()
        return np.array(threads.request.infer([images])[0])

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
    import nncf
    from nncf.quantization import range_estimator

    images = list(job.calibration.single_images()) if job.calibration else []
    # NNCF's own choice, the mean of the images' ranges, cuts images of more contrast than most:
    # on trained digits it has twice the error of their union, on images of many tints ten times.
    union = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=range_estimator.RangeEstimatorParametersSet.MINMAX
    )
    with contextlib.redirect_stdout(None):  # bars of progress
        return nncf.quantize(
            graph, nncf.Dataset(images), subset_size=len(images), advanced_parameters=union
        )
