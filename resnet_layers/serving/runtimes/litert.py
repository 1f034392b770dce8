"""LiteRT, formerly TensorFlow Lite, with builtin operators only."""

import mmap
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

from resnet_layers._support import environment
from resnet_layers.serving import seal
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Job, Read, Run

# A .tflite file can be a zip archive as well: that is where its metadata belong.
_DESCRIPTION = "resnet_layers.json"
# The archive's comment.
ENDING = seal.PLACE


def write(model: Any, path: Path, job: Job) -> None:
    """Writes a `.tflite` file; as int8, all of it but the conversion at its two ends."""
    import tensorflow as tf

    options: dict[str, Any] = {}
    kind = tf.lite.OpsSet.TFLITE_BUILTINS
    if job.calibration is not None and job.precision == "int8":
        images = job.calibration.single_images
        kind = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = lambda: ([image] for image in images())
    options["target_spec"] = {"supported_ops": [kind]}
    how = {"input_signature": job.signature, "verbose": False}
    with environment.quiet_start():
        model.export(str(path), format="litert", **how, **options)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_DESCRIPTION, job.description.text)
        archive.comment = ENDING


def load(path: Path, describe: Read) -> tuple[Run, Description]:
    """Opens a `.tflite` file that `write` has written."""
    from ai_edge_litert.interpreter import Interpreter

    def text() -> str:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_DESCRIPTION).decode("utf-8")

    description = describe(text)

    with path.open("rb") as file:  # which stays what it is if another takes its place
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    lock = threading.Lock()  # an interpreter has one set of tensors
    interpreter, shape = Interpreter(str(path), num_threads=os.cpu_count()), None
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Any) -> Any:
        nonlocal interpreter, shape
        with lock:
            try:
                if shape != images.shape:
                    interpreter.resize_tensor_input(source["index"], images.shape, strict=True)
                    with environment.quiet_start():
                        interpreter.allocate_tensors()
                    shape = images.shape
                interpreter.set_tensor(source["index"], images)
                interpreter.invoke()
                return interpreter.get_tensor(sink["index"])
            except BaseException:  # after which it would refuse every other shape
                made = Interpreter(model_content=bytes(content), num_threads=os.cpu_count())
                interpreter, shape = made, None
                raise

    return run, description
