"""Variants as `export` writes them, folded, for the runtimes that latency is predicted for."""

from collections.abc import Iterator
from pathlib import Path

import keras

import resnet_layers as rl
from resnet_layers.networks.variants import VARIANTS
from resnet_layers.serving.description import Description
from resnet_layers.serving.exporting import written
from resnet_layers.serving.formats import FORMATS
from resnet_layers.serving.job import INPUT, OUTPUT, Job, Run

# Of each runtime: the name of its file in the folder of a variant.
FILES = {"onnx": "model.onnx", "tf_saved_model": "model"}
LARGEST = 60_000_000


def names() -> list[str]:
    """The variants that the goal is about."""
    return [name for name, row in VARIANTS.items() if row.parameters <= LARGEST]


def write(name: str, folder: Path) -> None:
    """Writes a variant for each runtime, unless it is there; it is not compared with the model."""
    if all((folder / file).exists() for file in FILES.values()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (*VARIANTS[name].image_size, 3)
    model = rl.fold_batch_norm(rl.ResNet.from_variant(name, input_shape=shape))
    description = Description(
        precision="float32",
        input_shape=shape,
        output_shape=(None, *model.output_shape[1:]),
        metadata={},
    )
    for runtime, file in FILES.items():
        written(model, FORMATS[runtime], Job(description=description), folder / file)
    keras.backend.clear_session()


def runs(folder: Path, threads: int) -> Iterator[tuple[str, Run]]:
    """Each runtime with a variant open in it; TensorFlow has the threads that it began with."""
    yield "onnx", _with_threads(folder / FILES["onnx"], threads)
    yield "tf_saved_model", FORMATS["tf_saved_model"].open(folder / FILES["tf_saved_model"])[0]


def _with_threads(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]
