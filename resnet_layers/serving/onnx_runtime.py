"""ONNX, for ONNX Runtime."""

import warnings
from pathlib import Path
from typing import Any

from resnet_layers.serving.job import INPUT, OUTPUT, Job
from resnet_layers.serving.runs import Run, described


def write(model: Any, path: Path, job: Job) -> None:
    """Writes an ONNX file."""
    import onnx

    with warnings.catch_warnings():
        # Keras 3.15 asks NumPy for names that it may have one day, for the sake of tf2onnx.
        warnings.simplefilter("ignore", FutureWarning)
        how = {"input_signature": job.signature, "verbose": False}
        model.export(str(path), format="onnx", **how)
    proto = onnx.load(path)
    graph = proto.graph
    (images,), (output,) = graph.input, graph.output
    for value in (images, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for i, size in enumerate(job.input_shape, start=1):
        if size is None:
            images.type.tensor_type.shape.dim[i].dim_param = f"size{i}"
    for node in graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
        node.input[:] = [OUTPUT if name == output.name else name for name in node.input]
    output.name = OUTPUT
    onnx.helper.set_model_props(proto, {"resnet_layers": job.json})
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def load(path: Path) -> tuple[Run, dict[str, Any]]:
    """Opens an ONNX file that `write` has written."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    description = described(path, lambda: properties["resnet_layers"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0], description
