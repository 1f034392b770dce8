"""SavedModel: TensorFlow's own format, for TensorFlow Serving and `tf.saved_model.load`."""

from pathlib import Path
from typing import Any

from resnet_layers.precision import with_dtype
from resnet_layers.serving.job import Job
from resnet_layers.serving.runs import Run, described

# The folder that SavedModels have for what their programs do not read.
_DESCRIPTION = Path("assets.extra", "resnet_layers.json")


def write(model: Any, path: Path, job: Job) -> None:
    """Writes the folder of a SavedModel."""
    if job.precision == "bfloat16":
        model = with_dtype(model, "mixed_bfloat16")
    how = {"input_signature": job.signature, "verbose": False}
    model.export(str(path), format="tf_saved_model", **how)
    (path / _DESCRIPTION).parent.mkdir(exist_ok=True)
    (path / _DESCRIPTION).write_text(job.json, encoding="utf-8")


def load(path: Path) -> tuple[Run, dict[str, Any]]:
    """Opens the folder of a SavedModel that `write` has written."""
    import tensorflow as tf

    description = described(path, lambda: (path / _DESCRIPTION).read_text(encoding="utf-8"))
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy(), description
