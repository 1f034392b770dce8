"""SavedModel: TensorFlow's own format, for TensorFlow Serving and `tf.saved_model.load`."""

from pathlib import Path
from typing import Any

import keras

from resnet_layers.serving import seal
from resnet_layers.serving.description import Description
from resnet_layers.serving.job import INPUT, Job, Read, Run
from resnet_layers.serving.operators import check_operators
from resnet_layers.serving.precision import with_dtype

# A graph with its constants is one message, which can have 2 GiB.
_MOST_CONSTANTS = 2**30


def write(model: Any, path: Path, job: Job) -> None:
    """Writes the folder of a SavedModel.

    Its weights are constants of the graph, so that TensorFlow can prepare them once: convert
    them to bfloat16, and order them as its kernels read them. Variables would be prepared at
    every call.
    """
    import tensorflow as tf

    if job.precision == "bfloat16":
        model = with_dtype(model, "mixed_bfloat16")
    archive = keras.export.ExportArchive()
    if 4 * model.count_params() > _MOST_CONSTANTS:
        archive.track_and_add_endpoint("serve", model, job.signature)
    else:
        archive.add_endpoint("serve", _frozen(model, job))
    # Nobody trains an artifact, and those of `silu` cannot be saved from a graph of constants.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(path), options=options, verbose=False)
    (path / seal.EXTRA).mkdir(exist_ok=True)
    (path / seal.DESCRIPTION).write_text(job.description.text, encoding="utf-8")


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


def load(path: Path, describe: Read) -> tuple[Run, Description]:
    """Opens the folder of a SavedModel that `write` has written."""
    import tensorflow as tf

    description = describe(lambda: (path / seal.DESCRIPTION).read_text(encoding="utf-8"))
    check_operators(path)
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy(), description
