"""What the commands take: their options, and the help on them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from resnet_layers.serving.formats import FORMATS, PRECISIONS
from resnet_layers.shell import train, tune
from resnet_layers.tuning.parts import PRESETS

DEFAULTS = train.TrainSettings()
SEARCH = tune.TuneSettings()
# By command: a line for the list of commands, and what its own help says first.
_HELP = {
    "train": (
        "train a network on images",
        "Trains a network on scikit-learn's handwritten digits, or on a folder of "
        "images. Writes the network (model.keras), its history (history.csv) and the curves "
        "(curves.png), then opens the network in a new process and evaluates it again.",
    ),
    "tune": (
        "search for a network that suits the images",
        "Trains many networks for a few epochs and keeps the best. Writes it (model.keras), a "
        "table of the trials (trials.csv), and two plots: each trial as a line through its "
        "hyperparameters (parallel_coordinates.png), and which of them mattered "
        "(importance.png). Started again with the same options, an interrupted search goes on.",
    ),
    "evaluate": (
        "loss and accuracy of a trained network",
        "Evaluates a network on the images that its training left out.",
    ),
    "predict": (
        "classes of images, with probabilities",
        "Prints the most probable classes of each image, the best first.",
    ),
    "convert": (
        "weights of timm, torchvision and keras.applications to a model, and back",
        "Writes weights of timm, torchvision or keras.applications as a model, with "
        "as many classes as they have; or the weights of a model for timm and torchvision.",
    ),
    "export": (
        "a network for another runtime, folded and compared",
        "Writes a network as a SavedModel, or for ONNX Runtime, LiteRT or OpenVINO, "
        "with its batch normalization folded. Opens what it wrote, compares it with the network, "
        "and keeps it only where they agree.",
    ),
    "list": (
        "names of the networks",
        "Lists the networks by name, with their parameters at 1000 classes and the "
        "trainings that published weights come from: NAME.TRAINING is a tag.",
    ),
}


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser(commands: dict[str, Callable[..., int]]) -> Parser:
    """The parser of all commands, by the functions that carry them out."""
    whole = Parser(
        prog="resnet-layers",
        description="Residual networks for images: train one, evaluate it, and let it predict.",
        epilog="`resnet-layers COMMAND --help` lists the options of a command.",
    )
    subparsers = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, add_options in _OPTIONS.items():
        title, description = _HELP[name]
        command = subparsers.add_parser(name, help=title, description=description)
        command.set_defaults(command=commands[name])
        add_options(command)
    return whole


def _add_train(parser: Parser) -> None:
    add = parser.add_argument
    _add_data(parser)
    add("--variant", default=DEFAULTS.variant, help="name from `list` (%(default)s)")
    add(
        "--epochs",
        type=int,
        default=DEFAULTS.epochs,
        metavar="N",
        help="how often each image is seen (%(default)s)",
    )
    _add_batch_size(parser)
    add(
        "--learning-rate",
        type=float,
        default=DEFAULTS.learning_rate,
        metavar="RATE",
        help="its peak, after warm-up and before cosine decay (%(default)s)",
    )
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side of the squares that images become (median of their shorter sides, 16 to 64)",
    )
    _add_seed(parser)
    _add_output(parser, DEFAULTS.output)


def _add_tune(parser: Parser) -> None:
    add = parser.add_argument
    _add_data(parser)
    add("--preset", choices=list(PRESETS), default=SEARCH.preset, help="(%(default)s)")
    add("--tuner", choices=tune.TUNERS, default=SEARCH.tuner, help="(%(default)s)")
    add(
        "--trials",
        type=int,
        default=SEARCH.trials,
        metavar="N",
        help="how many networks are trained; Hyperband decides it by itself (%(default)s)",
    )
    add(
        "--epochs",
        type=int,
        default=SEARCH.epochs,
        metavar="N",
        help="how often each network sees each image (%(default)s)",
    )
    _add_batch_size(parser)
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side of the squares that images become (median of their shorter sides, 16 to 64; "
        "224 with the preset imagenet)",
    )
    add("--max-parameters", type=float, metavar="N", help="most parameters of a network")
    add("--max-macs", type=float, metavar="N", help="most multiply-adds of a network for an image")
    _add_seed(parser)
    _add_output(parser, SEARCH.output)


def _add_data(parser: Parser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with a subfolder of JPEG and PNG images for each class",
    )


def _add_seed(parser: Parser) -> None:
    parser.add_argument(
        "--seed",
        type=int,
        default=DEFAULTS.seed,
        metavar="N",
        help="equal seeds give equal runs (%(default)s)",
    )


def _add_output(parser: Parser, default: Path) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        default=default,
        metavar="DIR",
        help="folder to write into (%(default)s)",
    )


def _add_batch_size(parser: Parser) -> None:
    parser.add_argument(
        "--batch-size",
        type=int,
        default=DEFAULTS.batch_size,
        metavar="N",
        help="images taken at a time (%(default)s)",
    )


def _add_evaluate(parser: Parser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file that `train` wrote")
    add("--data", type=Path, metavar="DIR", help="the folder of images that it was trained on")
    add("--all", dest="every", action="store_true", help="take every image of the folder --data")
    _add_batch_size(parser)
    add("--json", dest="as_json", action="store_true", help="print the result as JSON alone")


def _add_predict(parser: Parser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="what `train` or `export` wrote")
    add("image", type=Path, nargs="+", metavar="IMAGE", help="JPEG or PNG file")
    add("--top", type=int, default=5, metavar="N", help="number of classes (%(default)s)")


def _add_convert(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "file",
        type=Path,
        metavar="FILE",
        help="weights (.safetensors, .pth, .npz, .h5), or a .keras file with `--to torch`",
    )
    add("--variant", metavar="NAME", help="name from `list` of the network that they belong to")
    add(
        "--tag",
        metavar="TAG",
        help="name and training of published weights, such as resnet50.a1_in1k, which says how "
        "images must be prepared (the name of FILE, if it is one)",
    )
    add("--to", choices=("keras", "torch"), default="keras", help="what to write (%(default)s)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")


def _add_export(parser: Parser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file that `train` or `convert` wrote")
    add("--format", choices=list(FORMATS), required=True, help="what to write")
    add("--precision", choices=PRECISIONS, default="float32", help="(%(default)s)")
    add(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="folder with a subfolder of images for each class, which int8 needs; accuracy is "
        "compared on them in any precision",
    )
    add(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="height and width, or one number for both (that of the model, which is any for most)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="what to write (the name of MODEL with the ending of the format)",
    )


def _add_list(parser: Parser) -> None:
    parser.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="shell pattern, such as 'resnet5*'",
    )


_OPTIONS: dict[str, Callable[[Parser], None]] = {
    "train": _add_train,
    "tune": _add_tune,
    "evaluate": _add_evaluate,
    "predict": _add_predict,
    "convert": _add_convert,
    "export": _add_export,
    "list": _add_list,
}
