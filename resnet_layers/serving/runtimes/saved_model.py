"""SavedModel: TensorFlow's own format, for TensorFlow Serving and `tf.saved_model.load`."""

from pathlib import Path
from typing import Any

import keras

from resnet_layers.serving.description import Description
from resnet_layers.serving.job import INPUT, Job, Run
from resnet_layers.serving.precision import with_dtype

# The folder that SavedModels have for what their programs do not read.
_DESCRIPTION = Path("assets.extra", "resnet_layers.json")
# A graph with its constants is one message, which can have 2 GiB.
_MOST_CONSTANTS = 2**30


def write(model: Any, path: Path, job: Job) -> None:
    """Writes the folder of a SavedModel.

    Its weights are constants of the graph, so that TensorFlow can prepare them once: convert
    them to bfloat16, and order them as its kernels read them. Variables would be prepared at
    every call.
    """
    if job.precision == "bfloat16":
        model = with_dtype(model, "mixed_bfloat16")
    if 4 * model.count_params() > _MOST_CONSTANTS:
        how = {"input_signature": job.signature, "verbose": False}
        model.export(str(path), format="tf_saved_model", **how)
    else:
        archive = keras.export.ExportArchive()
        archive.add_endpoint("serve", _frozen(model, job))
        archive.write_out(str(path), verbose=False)
    (path / _DESCRIPTION).parent.mkdir(exist_ok=True)
    (path / _DESCRIPTION).write_text(job.description.text, encoding="utf-8")


def _frozen(model: Any, job: Job) -> Any:
    """The model as a `tf.function` without variables."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    signature = [tf.TensorSpec((None, *job.input_shape), tf.float32, name=INPUT)]

    @tf.function(input_signature=signature, autograph=False)
    def trace(images: Any) -> Any:
        return model(images, training=False)

    graph = trace.get_concrete_function()
    frozen = convert_to_constants.convert_variables_to_constants_v2(graph)

    @tf.function(input_signature=signature, autograph=False)
    def serve(images: Any) -> Any:
        return frozen(images)[0]

    serve.get_concrete_function()
    return serve


def load(path: Path) -> tuple[Run, Description]:
    """Opens the folder of a SavedModel that `write` has written."""
    import tensorflow as tf

    description = Description.read(path, lambda: (path / _DESCRIPTION).read_text(encoding="utf-8"))
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy(), description
