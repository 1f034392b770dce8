"""The commands: what they take, and the help on it. What they do is imported when asked for."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from resnet_layers import __version__
from resnet_layers._support import checks, environment, signals
from resnet_layers._support.errors import first_line
from resnet_layers.analysis.scene import ENDINGS
from resnet_layers.shell import completion, config, errors, listing
from resnet_layers.shell.config import OF_THE_RUN
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.options import FLAG, INTEGER, INTEGERS, OUTPUT, PATH
from resnet_layers.shell.settings import TuneSettings
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import checkpoint_names

Format = Literal["tf_saved_model", "onnx", "litert", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]
# Those of each format, as `serving.formats` has them, without importing Keras.
PRECISIONS = {
    "tf_saved_model": ("float32", "bfloat16"),
    "onnx": ("float32",),
    "litert": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
# Those of `analysis.conventions`, without importing Keras.
Convention = Literal["macs", "paper", "flops", "timm", "ptflops", "xla"]
Table = Literal["text", "csv", "json", "markdown"]
# Those of `analysis.latency.prediction`, without importing Keras.
Runtime = Literal["onnx", "tf_saved_model"]
# Those of `analysis.heatmaps.maps`, without importing Keras.
Method = Literal["grad_cam", "grad_cam++", "hires_cam", "integrated_gradients", "occlusion"]
# A field of settings is an option; so is `--config`, which has others in a file.
Fields = Parameter(name="*")
Quiet = Annotated[bool, OUTPUT, FLAG, Parameter(help="Say nothing but what is wrong.")]
Json = Annotated[
    bool,
    OUTPUT,
    FLAG,
    Parameter(name="--json", help="Print the result as JSON, and the rest on standard error."),
]
TOP = 5  # classes that `predict` names
TRAIN, TUNE = TrainSettings(), TuneSettings()  # the defaults
Config = Annotated[
    Path | None, PATH, Parameter(help="TOML file with options, which those here override.")
]

WELCOME = """\
Residual networks for images: train one, evaluate it, let it predict, and export it.

  resnet-layers train                      train on handwritten digits
  resnet-layers train --data photos        train on your images, a subfolder for each class
  resnet-layers predict resnet_run/model.keras image.jpg
  resnet-layers tune --data photos         search for a network that suits your images
  resnet-layers export resnet_run/model.keras --format tf_saved_model
  resnet-layers list 'resnet5*'            names of the networks

`resnet-layers --help` lists all commands, and with a COMMAND before it the options of one."""

app = App(
    name="resnet-layers",
    version=f"resnet-layers {__version__}",
    help="Residual networks for images: train one, evaluate it, let it predict, and export it.",
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    config=config.from_file,
)
app.command(completion.command(app), name="--install-completion")


@app.command(sort_key=1)
def train(
    *,
    settings: Annotated[TrainSettings, Fields] = TRAIN,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Train a network on images.

    Takes scikit-learn's handwritten digits, or a folder of images. Writes the network
    (model.keras), its history (history.csv), the curves (curves.png), its test (test.json) and
    these options (settings.toml, for --config), then opens the network in a new process and
    evaluates it again.

        resnet-layers train --data photos --variant resnet18 --epochs 30
        resnet-layers train --data photos --from resnet50.a1_in1k --freeze-until stage4
    """
    errors.check_there("folder", settings.data)
    if settings.source is not None and not _has_network(settings.resume or settings.output):
        errors.check_there("file of weights", settings.source)
    return int(_module("train", settings.devices).run(settings, quiet=quiet, as_json=as_json))


@app.command(sort_key=2)
def tune(
    *,
    settings: Annotated[TuneSettings, Fields] = TUNE,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Search for a network that suits the images.

    Trains many networks for a few epochs and keeps the best. Writes it (model.keras), a table of
    the trials (trials.csv), and two plots: each trial as a line through its hyperparameters
    (parallel_coordinates.png), and which of them mattered (importance.png), and these options
    (settings.toml, for --config). Started again with the same options, an interrupted search goes
    on.

        resnet-layers tune --data photos --trials 30 --max-parameters 1e6
    """
    errors.check_there("folder", settings.data)
    return int(_module("tune").run(settings, quiet=quiet, as_json=as_json))


@app.command(sort_key=3)
def evaluate(
    model: Annotated[Path, PATH],
    /,
    *,
    data: Annotated[Path | None, PATH] = None,
    every: Annotated[bool, FLAG, Parameter(name="--all")] = False,
    skip_damaged: Annotated[bool, FLAG] = False,
    report: Annotated[Path | None, PATH] = None,
    batch_size: Annotated[int, INTEGER] = 64,
    as_json: Annotated[bool, FLAG, Parameter(name="--json")] = False,
) -> int:
    """Loss and accuracy of a trained network.

    Evaluates a network, or what was exported of it, on the images that its training left out.

        resnet-layers evaluate resnet_run/model.keras --data photos

    Args:
        model: What `train`, `tune` or `export` wrote.
        data: The folder of images that it was trained on.
        every: Take every image of the folder `--data`.
        skip_damaged: Name images that are damaged and leave them out.
        report: HTML file to write: the most confidently wrong images, accuracy by class, what is
            taken for what, and calibration.
        batch_size: Images taken at a time.
        as_json: Print the result as JSON alone.
    """
    with errors.values():
        checks.integer("batch_size", batch_size)
    if every and data is None:
        raise InputError("`--all` must come with `--data`, the folder of the images")
    if report is not None:
        errors.check_new(".html", report)
    errors.check_there("model file", model)
    errors.check_there("folder", data)
    how = {"every": every, "skip_damaged": skip_damaged, "report": report}
    return int(_module("evaluate").run(model, data, batch_size, as_json, **how))


@app.command(sort_key=4)
def predict(
    model: Annotated[Path, PATH],
    /,
    *image: Annotated[str, Parameter(allow_leading_hyphen=True)],
    top: Annotated[int, INTEGER] = TOP,
    as_json: Annotated[bool, FLAG, Parameter(name="--json")] = False,
    as_csv: Annotated[bool, FLAG, Parameter(name="--csv")] = False,
    features: Annotated[Path | None, PATH] = None,
) -> int:
    """Classes of images, with probabilities.

    Prints the most probable classes of each image, the best first. An image that cannot be read
    is named on standard error; the others follow, and the exit code is 1.

        resnet-layers predict resnet_run/model.keras cat.jpg photos 'more/*.png' --top 3

        find . -name '*.jpg' | resnet-layers predict model.onnx - --csv > classes.csv

    Args:
        model: What `train`, `tune`, `convert` or `export` wrote.
        image: Image files (JPEG, PNG, WebP, BMP, GIF), folders and patterns of them, or - for a
            list of these on standard input.
        top: Number of classes.
        as_json: Print a line of JSON for each image.
        as_csv: Print a table with the columns path, rank, class, probability and error.
        features: Write in their place what the network sees of each image, a vector, to this file
            (.npz or .csv), for retrieval and nearest neighbours.
    """
    with errors.values():
        checks.integer("top", top)
    if as_json and as_csv:
        raise InputError("`--json` and `--csv` must not come together")
    if features is not None:
        if as_json or as_csv or top != TOP:
            raise InputError("`--features` must not come with `--json`, `--csv` or `--top`")
        errors.check_new((".npz", ".csv"), features)
    _check_images("predict", image)
    errors.check_there("model file", model)
    if features is not None and model.suffix != ".keras":
        raise InputError(
            "`--features` must come with the network itself, a .keras file, since what `export` "
            f"wrote has no features to ask for. Received: '{model}'"
        )
    return int(_module("predict").run(model, image, top, as_json, as_csv, features))


@app.command(sort_key=6)
def convert(
    file: Annotated[Path, PATH],
    /,
    *,
    output: Annotated[Path, PATH, Parameter(alias="-o")],
    variant: str | None = None,
    tag: str | None = None,
    averaged: Annotated[bool | None, Parameter(negative="--no-averaged")] = None,
    to: Literal["keras", "torch"] = "keras",
    as_json: Annotated[bool, FLAG, Parameter(name="--json")] = False,
) -> int:
    """Weights of timm, torchvision and keras.applications to a model, and back.

    Writes weights of timm, torchvision or keras.applications as a model, with as many classes as
    they have; or the weights of a model for timm and torchvision.

        resnet-layers convert resnet50.a1_in1k.safetensors -o resnet50.keras

    Args:
        file: Weights (.safetensors, .pth, .ckpt, .npz, .h5), a checkpoint of `train`, or a .keras
            file with `--to torch`.
        output: File to write.
        variant: Name from `resnet-layers list` of the network that they belong to.
        tag: Name and training of published weights, such as resnet50.a1_in1k, which says how
            images must be prepared; without it, the name of FILE, if it is one.
        averaged: Take the averaged weights of a checkpoint, or those that are not; without it, the
            averaged ones where there are some.
        to: What to write.
        as_json: Print what was written as JSON alone.
    """
    to_torch = to == "torch"
    if to_torch and (variant or tag or averaged is not None):
        raise InputError("`--variant`, `--tag` and `--averaged` must be left out with `--to torch`")
    errors.check_new("." + ("safetensors" if to_torch else "keras"), output)
    errors.check_there("model file" if to_torch else "file of weights", file)
    return int(_module("convert").run(file, output, variant, tag, averaged, to, as_json))


@app.command(sort_key=5)
def export(
    model: Annotated[Path, PATH],
    /,
    *,
    format: Format,  # noqa: A002 (the name of the option)
    precision: Precision = "float32",
    calibration: Annotated[Path | None, PATH] = None,
    image_size: Annotated[list[int] | None, INTEGERS] = None,
    output: Annotated[Path | None, PATH, Parameter(alias="-o")] = None,
    as_json: Annotated[bool, FLAG, Parameter(name="--json")] = False,
) -> int:
    """A network for another runtime, folded and compared.

    Writes a network as a SavedModel, or for ONNX Runtime, LiteRT or OpenVINO, with its batch
    normalization folded. Opens what it wrote, compares it with the network, and keeps it only
    where they agree. ONNX, LiteRT and OpenVINO need `pip install "resnet-layers[export]"`.

        resnet-layers export resnet_run/model.keras --format tf_saved_model

    Args:
        model: File that `train` or `convert` wrote.
        format: What to write.
        precision: How it computes.
        calibration: Folder with a subfolder of images for each class, which int8 needs; accuracy
            is compared on them in any precision.
        image_size: Height and width in pixels, or one number for both; without it, that of the
            model, which is any for most.
        output: What to write; without it, the name of MODEL with the ending of the format.
        as_json: Print what was measured as JSON alone.
    """
    if precision not in PRECISIONS[format]:
        able = checks.some([name for name, those in PRECISIONS.items() if precision in those])
        raise InputError(f"`format` must be one of {able} for {precision=}. Received: {format=}")
    if precision == "int8" and calibration is None:
        raise InputError(
            "`--calibration` must name a folder of images for int8, with a subfolder for each "
            "class: some hundred images like those that the network will see"
        )
    errors.check_there("model file", model)
    errors.check_there("folder", calibration)
    if output is not None:
        errors.check_new("", output, folder=True)
    how = {"format": format, "precision": precision, "calibration": calibration}
    return int(_module("export").run(model, output, as_json, **how, image_size=image_size))


@app.command(sort_key=8)
def profile(
    model: str,
    /,
    *,
    image_size: Annotated[list[int] | None, INTEGERS] = None,
    batch: Annotated[int, INTEGER] = 1,
    dtype: str | None = None,
    convention: Convention = "macs",
    depth: Annotated[int, INTEGER] = 2,
    all_layers: Annotated[bool, FLAG] = False,
    format: Table = "text",  # noqa: A002 (the name of the option)
) -> int:
    """What a network costs.

    Prints parameters, multiply-adds, activations, memory and receptive fields of a network, by
    stage and block. Nothing is run.

        resnet-layers profile resnet50

    Args:
        model: Name from `resnet-layers list`, or file that `train` or `convert` wrote.
        image_size: Pixels of each axis of the images, or one number for all; without it, those
            that the network was made or published for.
        batch: Number of images.
        dtype: Policy that bytes are counted for, such as mixed_bfloat16; without it, that of the
            model, or float32.
        convention: What is counted as an operation.
        depth: How deep the table goes: 1 for stages, 2 for blocks.
        all_layers: Show every layer.
        format: How to print it.
    """
    how = (batch, dtype, convention, format, None if all_layers else depth)
    return int(_module("profile").run(_networks([model]), image_size, *how))


@app.command(sort_key=9)
def compare(
    *models: str,
    image_size: Annotated[list[int] | None, INTEGERS] = None,
    batch: Annotated[int, INTEGER] = 1,
    dtype: str | None = None,
    convention: Convention = "macs",
    format: Table = "text",  # noqa: A002 (the name of the option)
) -> int:
    """Networks side by side.

    Prints layers, parameters, multiply-adds, activations, memory and receptive field of each.

        resnet-layers compare vgg19 plain34 resnet34

    Args:
        models: Names from `resnet-layers list`, or files that `train` or `convert` wrote.
        image_size: Pixels of each axis of the images, or one number for all; without it, those
            that each network was made or published for.
        batch: Number of images.
        dtype: Policy that bytes are counted for; without it, that of each model, or float32.
        convention: What is counted as an operation.
        format: How to print it.
    """
    how = (batch, dtype, convention, format)
    return int(_module("profile").run(_networks(models), image_size, *how))


@app.command(sort_key=10)
def latency(
    *models: str,
    image_size: Annotated[list[int] | None, INTEGERS] = None,
    batch: Annotated[list[int] | None, INTEGERS] = None,
    runtime: Runtime | None = None,
    threads: Annotated[int | None, INTEGER] = None,
    format: Table = "text",  # noqa: A002 (the name of the option)
) -> int:
    """How long networks take.

    Predicts milliseconds of networks as `export` writes them, in float32, without making them. What
    this machine can do `resnet-layers measure` has to have measured once.

        resnet-layers latency resnet18 resnet50 --batch 1 8 32

    Args:
        models: Names from `resnet-layers list`, or files that `train` or `convert` wrote.
        image_size: Pixels of each axis of the images, or one number for all; without it, those
            that each network was made or published for.
        batch: Number of images, or several numbers to compare; without it, 1.
        runtime: Where they are served; without it, both.
        threads: Number of threads, which the machine was measured with; without it, one for each
            core.
        format: How to print it.
    """
    batches = [1] if batch is None else batch
    with errors.values():
        for one in batches:
            checks.integer("batch", one)
        if threads is not None:
            checks.integer("threads", threads)
    how = (image_size, batches, runtime, threads, format)
    return int(_module("latency").latency(_networks(models), *how))


@app.command(sort_key=11)
def measure(*, threads: Annotated[int | None, INTEGER] = None) -> int:
    """What this machine can do.

    Measures for half a minute how fast it multiplies matrices and reads memory in float32, bfloat16
    and int8, and what a call costs, and keeps the numbers for `latency`, `train` and `tune` in the
    user's folder for caches. Nothing else should run meanwhile.

        resnet-layers measure

    Args:
        threads: Number of threads that networks will have; without it, one for each core.
    """
    if threads is not None:
        with errors.values():
            checks.integer("threads", threads)
    return int(_module("latency").measure(threads))


@app.command(sort_key=12)
def draw(
    *models: str,
    output: Annotated[Path | None, PATH, Parameter(alias="-o")] = None,
    image_size: Annotated[list[int] | None, INTEGERS] = None,
    detail: Literal["layers", "blocks"] | None = None,
    horizontal: Annotated[bool, FLAG] = False,
    theme: Literal["light", "dark"] | None = None,
) -> int:
    """A picture of networks.

    Draws boxes for layers, coloured by stage, and arcs for shortcuts: solid ones pass the input on
    as it is, dotted ones project it. Several networks stand side by side.

        resnet-layers draw vgg19 plain34 paper_resnet34

    Args:
        models: Names from `resnet-layers list`, or files that `train` or `convert` wrote.
        output: File to write, ending in .svg, .png or .pdf; without it, the name of the network,
            or networks.svg.
        image_size: Pixels of each axis of the images, or one number for all; without it, those
            that each network was made or published for.
        detail: What is a box; without it, layers, or blocks of networks with more than 64.
        horizontal: Draw from left to right.
        theme: Colours; without it, light, in SVG those of the reader.
    """
    networks = _networks(models)
    if output is None:
        output = Path(models[0] if len(models) == 1 else "networks").with_suffix(".svg")
    _check_picture(output)
    return int(_module("draw").run(networks, output, image_size, detail, horizontal, theme))


@app.command(sort_key=13)
def explain(
    model: Annotated[Path, PATH],
    /,
    *image: Annotated[str, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Path, PATH, Parameter(alias="-o")] = Path("explained.png"),
    class_: Annotated[str | None, Parameter(name="--class")] = None,
    stage: str | None = None,
    method: Method = "grad_cam",
    certificate: Annotated[bool, FLAG] = False,
) -> int:
    """Which pixels decided.

    Draws images beside maps of what in them speaks for their class, class by class, and prints the
    class of each.

        resnet-layers explain resnet_run/model.keras photos --certificate

    Args:
        model: Network that `train`, `tune` or `convert` wrote.
        image: As of `predict`.
        output: Picture to write, ending in .svg, .png or .pdf.
        class_: Name of the class that maps are of; without it, the most probable one of each image.
        stage: Stage whose output is looked at, such as stage3; without it, the last one.
        method: How maps are made.
        certificate: Try each map: whether the class goes with the pixels that it names, and
            whether it changes when the network knows nothing.
    """
    _check_images("explain", image)
    _check_picture(output)
    errors.check_there("model file", model)
    how = (output, class_, stage, method, certificate)
    return int(_module("explain").run(model, list(image), *how))


@app.command(sort_key=14)
def study(
    claim: Literal["degradation"],
    /,
    *,
    data: Annotated[Path | None, PATH] = None,
    image_size: Annotated[int | None, INTEGER] = None,
    depths: Annotated[list[int] | None, INTEGERS] = None,
    shortcut_depths: Annotated[list[int] | None, INTEGERS] = None,
    seeds: Annotated[int | None, INTEGER] = None,
    epochs: Annotated[int | None, INTEGER] = None,
    batch_size: Annotated[int, INTEGER] = 64,
    learning_rate: float | None = None,
    workers: Annotated[int, INTEGER] = 1,
    smoke: Annotated[bool, FLAG] = False,
    output: Annotated[Path, PATH] = Path("resnet_study"),
) -> int:
    """Try a claim about residual networks.

    Trains plain and residual networks of growing depth alike, several times each, and compares
    their errors, gradients and branches, with intervals. Writes all numbers (results.json), the
    errors (errors.csv) and figures. Started again with the same options, an interrupted study goes
    on; so several machines share one in a folder that they share.

        resnet-layers study degradation --workers 2

    Args:
        claim: That deeper plain networks are worse, and residual ones are not.
        data: Folder or table of images, as of `train`; without it, scikit-learn's digits.
        image_size: Height and width in pixels; without it, 8 for the digits, and for others that
            of `train`.
        depths: Layers with weights of the networks, each 6n + 2; without it, 20 32 44 56 110.
        shortcut_depths: Depths at which shortcuts A, B and C are compared; without it, 20.
        seeds: Runs of each network, at least 2; without it, 5.
        epochs: How often a network sees each image; without it, 20.
        batch_size: Number of images for each step.
        learning_rate: The largest one; without it, 0.01 for batches of 64, and in proportion.
        workers: Number of processes; with GPUs, one for each.
        smoke: Take depths 8 and 20, no shortcuts, two seeds and one epoch, unless they are given:
            a minute or two, to see that all of it works.
        output: Folder to write into; it is made if need be.
    """
    quick = ([8, 20], [], 2, 1) if smoke else ([20, 32, 44, 56, 110], [20], 5, 20)
    asked = (depths, shortcut_depths, seeds, epochs)
    chosen = [usual if one is None else one for one, usual in zip(asked, quick, strict=True)]
    with errors.values():
        for name, value in (
            ("workers", workers),
            ("epochs", chosen[3]),
            ("batch_size", batch_size),
        ):
            checks.integer(name, value)
        checks.integer("seeds", chosen[2], minimum=2)
        if image_size is not None:
            checks.integer("image_size", image_size)
        if learning_rate is not None:
            checks.positive("learning_rate", learning_rate)
    errors.check_there("folder", data)
    how = (*chosen, batch_size, learning_rate, workers, output)
    return int(_module("study").run(data, image_size, *how))


def _networks(models: Sequence[str]) -> list[str]:
    """Names and files, of which there must be one."""
    if not models:
        raise InputError("`MODELS` must be one name or file, or several. Received: none")
    for model in models:
        if model.endswith(".keras"):
            errors.check_there("model file", Path(model))
    return list(models)


@app.command(name="list", sort_key=7)
def list_(
    pattern: str = "*",
    /,
    *,
    as_json: Annotated[bool, FLAG, Parameter(name="--json")] = False,
) -> int:
    """Names of the networks.

    Lists the networks by name, with their trainable parameters at 1000 classes and the trainings
    that published weights come from: NAME.TRAINING is a tag.

        resnet-layers list 'resnet5*'

    Args:
        pattern: Shell pattern, such as 'resnet5*'.
        as_json: Print a line of JSON for each network.
    """
    return listing.run(pattern, as_json)


def _check_images(command: str, image: Sequence[str]) -> None:
    """Words that mean images, of which there must be one."""
    if not image:
        raise InputError(f"An image must be named: `resnet-layers {command} MODEL IMAGE...`")
    for word in image:
        if not word or (word.startswith("-") and word != "-"):
            raise InputError(
                "An image must be a file, a folder, a pattern or `-`; one whose name begins with a "
                f"hyphen is './-name'. Received: {word!r}"
            )


def _has_network(run: Path) -> bool:
    """Whether a run has checkpoints, so that it goes on without the weights that it began with."""
    try:
        return bool(checkpoint_names.files(run / OF_THE_RUN.parent))
    except OSError:  # which is said where it is written to
        return False


def _check_picture(output: Path) -> None:
    """A name that a picture can have."""
    if output.suffix.lower() not in ENDINGS:
        raise InputError(
            f"The name of the output must end in one of {checks.some(ENDINGS)}. "
            f"Received: '{output}'"
        )
    errors.check_new(output.suffix, output)


def _module(name: str, devices: int = 1) -> Any:
    """The module of the shell that does it, with Keras behind it."""
    with signals.ending_at_once(), errors.shown_meanwhile("Loading Keras …"):
        try:
            environment.start(devices)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # another backend than those that are there
            backend, settings = os.environ.get("KERAS_BACKEND"), environment.settings()
            how = f" with KERAS_BACKEND={backend!r}" if backend else ""
            if not isinstance(error, ImportError | ValueError) and os.path.exists(settings):
                how += f" by its settings in '{settings}'"
            raise InputError(f"Keras cannot be imported{how}: {first_line(error)}") from None
        return importlib.import_module(f"resnet_layers.shell.{name}")
