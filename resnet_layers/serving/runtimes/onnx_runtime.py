"""ONNX, for ONNX Runtime."""

import warnings
from pathlib import Path
from typing import Any

from resnet_layers.serving.description import Description
from resnet_layers.serving.job import INPUT, OUTPUT, Job, Run


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
    _fuse_pads(proto)
    onnx.helper.set_model_props(proto, {"resnet_layers": job.description.text})
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def _fuse_pads(proto: Any) -> None:
    """Lets max-pooling pad by itself where zeros around what is not negative do not matter."""
    import onnx

    graph = proto.graph
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        pad = producers.get(pool.input[0])
        if pad is None or pad.op_type != "Pad" or pad.input[1] not in constants:
            continue
        number = constants.get(pad.input[2]) if len(pad.input) > 2 else None
        zero = number is None or onnx.numpy_helper.to_array(number) == 0
        if not zero or getattr(producers.get(pad.input[0]), "op_type", None) != "Relu":
            continue
        pads = onnx.numpy_helper.to_array(constants[pad.input[1]]).reshape(2, -1)[:, 2:]
        kept = [attribute for attribute in pool.attribute if attribute.name != "auto_pad"]
        del pool.attribute[:]
        pool.attribute.extend(kept)
        pool.attribute.append(onnx.helper.make_attribute("pads", pads.flatten().tolist()))
        pool.input[0] = pad.input[0]
        graph.node.remove(pad)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def load(path: Path) -> tuple[Run, Description]:
    """Opens an ONNX file that `write` has written."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    description = Description.read(path, lambda: properties["resnet_layers"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0], description
