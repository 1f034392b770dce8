"""ONNX, for ONNX Runtime."""

import functools
import logging
import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet_layers._support import telemetry
from resnet_layers.serving import seal
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import INPUT, OUTPUT, Job, Read, Run

# One more of the model's properties: field 14, whose fields 1 and 2 are a name and a text.
_NAME = b"resnet_layers.sha256"
_PROPERTY = b"\x0a%c%s\x12%c%s" % (len(_NAME), _NAME, len(seal.PLACE), seal.PLACE)
# The key, in a property of a tensor, that names another file which has its values.
_EXTERNAL = b"\x0a\x08location"
ENDING = b"\x72%c%s" % (len(_PROPERTY), _PROPERTY)


def write(model: Any, path: Path, job: Job) -> None:
    """Writes an ONNX file."""
    import onnx

    _complete_tf2onnx()
    _branch_signals()
    # It prints a traceback where it leaves an `Einsum` as it is, as that of preprocessing.
    logging.getLogger("tf2onnx.optimizer").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), _constants(model):
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
    path.write_bytes(proto.SerializeToString() + ENDING)


@contextmanager
def _constants(model: Any) -> Iterator[None]:
    """Has layers hold arrays for their tensors, as those of Keras' `Normalization`.

    tf2onnx would make each an input of the graph.
    """
    import tensorflow as tf

    held = [
        (layer, name, value)
        for layer in model._flatten_layers()
        for name, value in vars(layer).items()
        if isinstance(value, tf.Tensor) and hasattr(value, "numpy")
    ]
    try:
        for layer, name, value in held:
            object.__setattr__(layer, name, value.numpy())
        yield
    finally:
        for layer, name, value in held:
            object.__setattr__(layer, name, value)


@functools.cache
def _complete_tf2onnx() -> None:
    """Gives tf2onnx the operators of `gelu` and `celu`, made of those that ONNX has.

    Before its optimizer runs, which moves no transpose past an operator that it does not know.
    """
    import numpy as np
    from tf2onnx.handler import tf_op

    def register(name: str, inner: str, one_first: bool) -> None:
        def convert(_: Any, /, graph: Any, node: Any, **keywords: Any) -> None:
            like = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
            value = graph.make_node(inner, node.input, **like).output[0]
            one = graph.make_const(f"{node.name}_one", np.float32(1)).output[0]
            graph.remove_node(node.name)
            terms = [one, value] if one_first else [value, one]
            graph.make_node("Sub", terms, outputs=node.output, **like)

        tf_op(name)(type(name, (), {"version_9": classmethod(convert)}))

    register("Erfc", "Erf", one_first=True)  # 1 - erf(x)
    register("Expm1", "Exp", one_first=False)  # exp(x) - 1


@functools.cache
def _branch_signals() -> None:
    """Has tf2onnx move transposes of signals into all branches, as it does for images and volumes.

    It stops where several nodes read a signal: 14 transposes were left for group normalization.
    """
    from tf2onnx import optimizer

    images = optimizer._optimizers["optimize_transpose"]

    class Transposes(images):  # type: ignore[misc, valid-type]
        def _handle_nhwc_tranpose(self, transpose: Any) -> Any:  # (tf2onnx' spelling)
            name = transpose.output[0]
            readers = self._g.find_output_consumers(name)
            signal = transpose.get_attr_value("perm") == [0, 2, 1]
            if not signal or len(readers) < 2 or name in self._g.outputs:
                return super()._handle_nhwc_tranpose(transpose)
            for node in readers:
                branch = self._g.make_node("Transpose", transpose.input[:1], {"perm": [0, 2, 1]})
                self._g.replace_input(node, name, branch.output[0])
            self._g.remove_node(transpose.name)
            return False  # nothing has moved yet

    optimizer._optimizers["optimize_transpose"] = Transposes


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


def load(path: Path, describe: Read) -> tuple[Run, Description]:
    """Opens an ONNX file that `write` has written."""
    with telemetry.off():
        import onnxruntime

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(_EXTERNAL) >= 0:
            raise ValueError("its weights must be in it, and not in another file")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    description = describe(lambda: properties["resnet_layers"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0], description
