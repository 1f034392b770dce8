"""`export`: writes an artifact, opens it in its own runtime, and compares."""

import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.errors import DisagreementError, first_line
from resnet_layers._support.files import check_names, check_writable, replacing, scratch
from resnet_layers.layers.conv_norm import ConvNorm
from resnet_layers.layers.primitives.convolution import has_gradients, native_groups
from resnet_layers.networks.remake import as_resnet
from resnet_layers.serving import comparison
from resnet_layers.serving.calibration import Calibration, gather
from resnet_layers.serving.description import Description
from resnet_layers.serving.folding import fold_batch_norm, kept
from resnet_layers.serving.formats import FORMATS, PRECISIONS, Format, check_utf8
from resnet_layers.serving.job import Job, Run
from resnet_layers.serving.operators import PARTS
from resnet_layers.serving.precision import in_float32, made_again
from resnet_layers.serving.report import Report
from resnet_layers.serving.source import LARGEST, Source

# The largest difference over the largest output. Rounding alone makes deep networks of
# standardized kernels differ by 0.18 in bfloat16. For int8, the root mean
# square on the calibration images over that of the outputs.
_LARGEST = {"float32": LARGEST, "bfloat16": 0.25, "int8": 0.25}
# The same for a row in another batch, whose sums may be taken in another order.
_LARGEST_BETWEEN = {"float32": 5e-4, "bfloat16": 0.05, "int8": 0.01}


def export(
    model: Any,
    path: str | Path,
    *,
    format: str,  # noqa: A002 (Keras' name for it)
    precision: str = "float32",
    calibration: Any = None,
    input_shape: Any = None,
    fold: bool = True,
) -> Report:
    """Writes a model for another runtime, opens it there, and compares it with the model.

    Seeded inputs, two numbers of images in two sizes, go through both; each row is compared
    with a batch of that row alone as well. What is of lower precision is compared in float32
    first, where rounding hides nothing. An artifact that does not agree is not left behind, and
    what stood at `path` stays.

    Args:
        model: `ResNet`, or another built Keras model of one input and one output, such as a
            Functional or Sequential one with a `Preprocessing` in front, which takes raw images;
            of any dtype policy. It is compared with in float32.
        path: What to write: a folder for a SavedModel, a file ending in `.onnx`, `.tflite`, or
            `.xml` (OpenVINO's weights are in a `.bin` file beside it). It replaces its like.
        format: `"tf_saved_model"`, `"onnx"`, `"litert"` or `"openvino"`.
        precision: `"float32"`; `"bfloat16"` for a SavedModel or OpenVINO; or `"int8"` for LiteRT
            or OpenVINO. Inputs and outputs are float32 in each.
        calibration: Images as the model takes them, for int8 to be quantized by (300 of them,
            evenly spread), and for the report in any precision: an array, `(N, *input_shape)`; a
            pair of that and labels; or batches of either, such as a `tf.data.Dataset` (1000 images
            at most are read). With labels the report tells the accuracy.
        input_shape: Sizes in pixels, or `None` for any, and channels; `None` for the model's. The
            number of images is never fixed.
        fold: Whether batch normalization is folded first.

    Returns:
        What was measured.

    Raises:
        TypeError: If `model` is no Keras model, or a value has the wrong type.
        ValueError: If a value is out of range, if there is no calibration for int8, or if the
            format lacks an operation of the model.
        ImportError: If the runtime is not installed.
        DisagreementError: If the artifact does not compute what the model does.

    Warns:
        UserWarning: If a model is exported unfolded, since its config does not make it again.

    Example:

    >>> folder = getfixture("tmp_path")
    >>> model = ResNet.from_variant("cifar_resnet20", classes=10)
    >>> report = export(model, folder / "model", format="tf_saved_model")
    >>> report.folded, report.relative_difference < 1e-4
    (19, True)
    """
    row = FORMATS[checks.known_name("format", format, FORMATS)]
    target = _target(path, row)
    source = Source.of(model, input_shape)
    shape, output_shape = source.input_shape, source.output_shape
    classes = output_shape[-1] if len(output_shape) == 2 else None
    images = _calibration(row, precision, calibration, source, classes)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`export` needs Keras' TensorFlow backend; a .keras file can be opened there. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    row.require(*row.writes, *row.reads, *(["nncf"] if _uses_nncf(row, precision) else []))

    exact = _exact(model, source)
    served = _folded(exact) if checks.boolean("fold", fold) else as_resnet(exact)
    description = Description(
        precision=precision,
        input_shape=shape,
        output_shape=output_shape,
        metadata=source.metadata,
        activation=source.activation,
        pixels=source.pixels,
    )
    description.check()
    job = Job(description=description, calibration=images)
    reference = comparison.outputs(exact)
    if precision != "float32":
        _prove_in_float32(served, row, job, reference)
    with replacing(*row.files(target)) as beside:
        run = written(served, row, job, beside[0])
        measured = _compare(run, reference, job, row.title)
        at = comparison.usual_shape(shape, source.metadata)
        latency, model_latency = comparison.latencies(
            run, model.predict_on_batch, shape=at, pixels=source.pixels
        )
        size = sum(_size(file) for file in beside)
    return Report(
        path=Path(path),
        format=format,
        precision=precision,
        input_shape=shape,
        size=size,
        latency=latency,
        model_latency=model_latency,
        latency_shape=at,
        folded=_count(exact) - _count(served),
        left=dict(kept(served)),
        **measured,
    )


def _exact(model: Any, source: Source) -> Any:
    """The model in float32, which its config has made again if it was in another policy.

    Raises:
        DisagreementError: If what a config makes of the model has other outputs.
    """
    exact = in_float32(model)
    if exact is model:
        return model
    shapes = comparison.input_shapes(source.input_shape)[:1]
    runs = (comparison.outputs(made_again(model)), comparison.outputs(model))
    found, _ = comparison.on_seeded_images(*runs, shapes, source.pixels)
    if not found <= LARGEST:
        raise DisagreementError(
            f"`model` must have a config that makes the same model, which its export in float32 is "
            f"made of. Received: a difference of {found:.1e} in {model.dtype_policy.name}"
        )
    return exact


def _folded(exact: Any) -> Any:
    """The model with its normalizations folded, where there are any that can be.

    One whose config does not make it again is exported as it is.
    """
    layers = exact._flatten_layers()
    if not any(isinstance(layer, ConvNorm) and layer.normalization is not None for layer in layers):
        return as_resnet(exact)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* are left as they are", UserWarning)  # the report says
        try:
            return fold_batch_norm(exact)
        except (ArithmeticError, NotImplementedError, TypeError, ValueError) as error:
            reason = first_line(error)
    warnings.warn(
        f"'{exact.name}' is exported without folding its batch normalization: {reason}",
        stacklevel=3,
    )
    return exact


def written(model: Any, row: Format, job: Job, path: Path) -> Run:
    """Writes the model, and opens what was written, without comparing them."""
    # TensorFlow runs SavedModels itself, and fuses grouped convolutions only by oneDNN's kernels.
    by_keras = row.name == "tf_saved_model" and not has_gradients("float32")
    try:
        with nullcontext() if by_keras else native_groups():
            row.write(model, path, job)
        row.close(path)
        return row.open(path)[0]
    except Exception as error:  # each converter has errors of its own
        raise ValueError(
            f"`model` must be made of operations that {row.title} has in {job.precision}; "
            f"nothing has been kept. Received: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The line that says it, of all that a converter says."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line.startswith(("error:", "Some ops"))]
    return (said or [first_line(error)])[0][:300]


def _prove_in_float32(model: Any, row: Format, job: Job, reference: Run) -> None:
    """Compares an artifact of the same graph where rounding hides nothing.

    Raises:
        DisagreementError: If it does not agree.
    """
    exact = Job(description=job.description.in_precision("float32"))
    with scratch() as folder:
        run = written(model, row, exact, row.files(folder / f"exact{row.endings[0]}")[0])
        _compare(run, reference, exact, row.title)
        del run  # closes what it has open


def _compare(run: Run, reference: Run, job: Job, title: str) -> dict[str, Any]:
    """What a report says of the differences.

    Raises:
        DisagreementError: If they are too large.
    """
    shapes = comparison.input_shapes(job.input_shape)
    pixels = job.description.pixels
    described = job.description.output_shape
    returned = run(comparison.seeded_images(shapes[0], pixels)).shape
    if not checks.fits(returned, described):
        raise DisagreementError(
            f"{title} ({job.precision}) must return outputs of the shape that the model tells, "
            f"{described}, and has not been kept. Received: {returned}"
        )
    largest, between = comparison.on_seeded_images(run, reference, shapes, pixels)
    found = largest
    measured: dict[str, Any] = {"inputs": tuple(shapes)}
    if job.calibration is not None:
        on_images, mean, says = comparison.on_calibration(run, reference, job.calibration)
        measured |= says
        if job.precision == "int8":
            # Quantized for these images; noise has another range.
            largest, found = on_images, mean
    for what, difference, most in (
        ("the model", found, _LARGEST[job.precision]),
        ("itself in another batch", between, _LARGEST_BETWEEN[job.precision]),
    ):
        if not difference <= most:  # NaN is not
            raise DisagreementError(
                f"{title} ({job.precision}) must agree with {what} within {most} of the outputs, "
                f"and has not been kept. Received: a difference of {difference:.1e}"
            )
    return {**measured, "relative_difference": largest}


def _target(path: Any, row: Format) -> Path:
    """The path, if an artifact can be written there without harm."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must be a path. Received: path={path!r}")
    target = Path(path)
    ending = row.endings[0]
    if (target.suffix != ending and ending) or not target.name:
        ends = f" that ends in '{ending}'" if ending else ""
        raise ValueError(f"`path` must have a name{ends} for {row.title}. Received: path='{path}'")
    target = target.resolve()  # what a link leads to is replaced, and not the link
    check_utf8(target)
    if not target.parent.is_dir():
        raise ValueError(f"The folder of `path` must exist. Received: path='{path}'")
    try:
        check_writable(target.parent)
    except OSError as error:
        raise ValueError(
            f"The folder of `path` must be writable: {error.strerror}. Received: path='{path}'"
        ) from None
    first, *others = row.files(target)
    try:
        check_names(first, *others)
    except OSError as error:
        raise ValueError(f"`path` is too long: {error.strerror}. Received: path='{path}'") from None
    # Another file's `.bin` would be lost.
    taken = [file for file in others if file.exists() and not first.exists()]
    if first.exists() and not (first.is_file() if ending else _is_saved_model(first)):
        taken.append(first)
    if taken:
        raise ValueError(
            f"`path` must be free, or hold an artifact of its kind. Received: path='{taken[0]}'"
        )
    return target


def _is_saved_model(path: Path) -> bool:
    """Whether a folder is empty, or holds nothing but what `export` has written."""
    return path.is_dir() and set(os.listdir(path)) <= PARTS


def _calibration(
    row: Format, precision: str, calibration: Any, source: Source, classes: Any
) -> Calibration | None:
    checks.choice("precision", precision, PRECISIONS)
    if precision not in row.precisions:
        able = [other.name for other in FORMATS.values() if precision in other.precisions]
        raise ValueError(
            f"`format` must be one of {checks.some(able)} for precision={precision!r}. "
            f"Received: format={row.name!r}"
        )
    if calibration is not None:
        return gather(calibration, source.input_shape, classes, source.pixels)
    if precision == "int8":
        shape = (None, *source.input_shape)
        raise ValueError(
            "`calibration` must be given for precision='int8': some hundred images of every class "
            f"as the model takes them, an array of shape {shape}, with their labels if "
            "there are any: `(images, labels)`. Received: calibration=None"
        )
    return None


def _uses_nncf(row: Format, precision: str) -> bool:
    return (row.name, precision) == ("openvino", "int8")


def _count(model: Any) -> int:
    """How many batch normalizations a model has."""
    layers = model._flatten_layers()
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
