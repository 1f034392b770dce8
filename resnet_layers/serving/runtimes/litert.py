"""LiteRT, formerly TensorFlow Lite, with builtin operators only."""

import os
import threading
import zipfile
from pathlib import Path
from typing import Any

from resnet_layers._support import environment
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import Job, Run

# A .tflite file can be a zip archive as well: that is where its metadata belong.
_DESCRIPTION = "resnet_layers.json"


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


def load(path: Path) -> tuple[Run, Description]:
    """Opens a `.tflite` file that `write` has written."""
    from ai_edge_litert.interpreter import Interpreter

    def read() -> str:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_DESCRIPTION).decode("utf-8")

    description = Description.read(path, read)
    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    lock = threading.Lock()  # an interpreter has one set of tensors
    shape: list[tuple[int, ...]] = []

    def run(images: Any) -> Any:
        with lock:
            if shape != [images.shape]:
                interpreter.resize_tensor_input(source["index"], images.shape, strict=True)
                with environment.quiet_start():
                    interpreter.allocate_tensors()
                shape[:] = [images.shape]
            interpreter.set_tensor(source["index"], images)
            interpreter.invoke()
            return interpreter.get_tensor(sink["index"])

    return run, description
