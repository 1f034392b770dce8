# ruff: noqa: T201 (printing is what commands are for)
"""The shell interface: `python -m resnet_layers`, also installed as `resnet-layers`."""

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from resnet_layers import _checks, tags, variants
from resnet_layers.shell import classifier, training
from resnet_layers.shell import convert as conversion
from resnet_layers.shell.files import InputError
from resnet_layers.shell.images import verbosity

DEFAULTS = training.Settings()


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What stands behind the program's name; `None` takes it from the shell.

    Returns:
        The exit code: 0; 1 if a result could not be confirmed; 2 if something asked for cannot
        be done as it is asked; 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names in any alphabet
    options = vars(_parser().parse_args(arguments))
    command: Callable[..., int] = options.pop("command")
    try:
        with _terminate_like_interrupt():
            code = command(**options)
            if sys.stdout is not None:  # somebody may have closed it
                sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(2, str(error))
    except training.DisagreementError as error:
        return _fail(1, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted: no unfinished file is left behind")
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def train(**options: Any) -> int:
    """Trains, writes, and has a new process check what was written."""
    with _values():
        settings = training.Settings(**options)
    last = training.train(settings)
    print(f"Wrote {', '.join(training.FILES)} into '{settings.output}'", flush=True)
    print(training.check_in_new_process(settings, last))
    return 0


def evaluate(model: Path, data: Path | None, every: bool, batch_size: int, as_json: bool) -> int:
    """Prints loss and accuracy over the images that training left out, or over a folder's."""
    with _values():
        _checks.integer("batch_size", batch_size)
    if every and data is None:
        raise InputError("`--all` must come with `--data`, the folder of the images")
    found = classifier.load(model)
    images = found.all_images(data) if every and data else found.test_images(data)
    result = found.evaluate(images, batch_size, verbose=0 if as_json else verbosity())
    if as_json:
        print(json.dumps(result))
    else:
        kind = "images" if every else "test images"
        print(
            f"{result['images']} {kind} of {images.title}: "
            f"loss {result['loss']:.6f}, accuracy {result['accuracy']:.2%}"
        )
    return 0


def predict(model: Path, image: list[Path], top: int) -> int:
    """Prints the most probable classes of each image, the best first."""
    with _values():
        _checks.integer("top", top)
    found = classifier.load(model)
    for path, probabilities in zip(image, found.probabilities(image), strict=True):
        print(path)
        for i in (-probabilities).argsort(stable=True)[:top]:
            print(f"  {probabilities[i]:8.2%}  {found.class_names[i]}")
    return 0


def convert(file: Path, output: Path, variant: str | None, tag: str | None, to: str) -> int:
    """Writes weights of other libraries as a model, or those of a model for torch."""
    if to == "torch":
        if variant or tag:
            raise InputError("`--variant` and `--tag` must be left out with `--to torch`")
        model = conversion.to_torch(file, output)
    else:
        model = conversion.to_keras(file, output, variant, tag)
    size = model.count_params()
    print(f"Wrote '{output}': {model.name}, {size:,} parameters, {model.output_shape[-1]} outputs")
    licence = model.metadata.get("pretrained", {}).get("license")
    if licence:
        print(f"Licence of the weights: {licence}")
    return 0


def list_variants(pattern: str) -> int:
    """Prints names, parameters and published weights of the networks."""
    names = variants.list_variants(pattern)
    if not names:
        raise InputError(f"There is no variant that matches '{pattern}'")
    width = max(map(len, names))
    for name in names:
        trainings = [tag.partition(".")[2] for tag in tags.list_pretrained(f"{name}.*")]
        line = f"{name:<{width}}  {variants.VARIANTS[name].parameters:>11,}  {', '.join(trainings)}"
        print(line.rstrip())
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="resnet-layers",
        description="Residual networks for images: train one, evaluate it, and let it predict.",
        epilog="`resnet-layers COMMAND --help` lists the options of a command.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_convert(commands)
    _add_list(commands)
    return parser


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a network on images",
        description="Trains a network on scikit-learn's handwritten digits, or on a folder of "
        "images. Writes the network (model.keras), its history (history.csv) and the curves "
        "(curves.png), then opens the network in a new process and evaluates it again.",
    )
    parser.set_defaults(command=train)
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with a subfolder of JPEG and PNG images for each class",
    )
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
    add(
        "--seed",
        type=int,
        default=DEFAULTS.seed,
        metavar="N",
        help="equal seeds give equal runs (%(default)s)",
    )
    add(
        "--output",
        type=Path,
        default=DEFAULTS.output,
        metavar="DIR",
        help="folder to write into (%(default)s)",
    )


def _add_batch_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=int,
        default=DEFAULTS.batch_size,
        metavar="N",
        help="images taken at a time (%(default)s)",
    )


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="loss and accuracy of a trained network",
        description="Evaluates a network on the images that its training left out.",
    )
    parser.set_defaults(command=evaluate)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file that `train` wrote")
    add("--data", type=Path, metavar="DIR", help="the folder of images that it was trained on")
    add("--all", dest="every", action="store_true", help="take every image of the folder --data")
    _add_batch_size(parser)
    add("--json", dest="as_json", action="store_true", help="print the result as JSON alone")


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="classes of images, with probabilities",
        description="Prints the most probable classes of each image, the best first.",
    )
    parser.set_defaults(command=predict)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file that `train` wrote")
    add("image", type=Path, nargs="+", metavar="IMAGE", help="JPEG or PNG file")
    add("--top", type=int, default=5, metavar="N", help="number of classes (%(default)s)")


def _add_convert(commands: Any) -> None:
    parser = commands.add_parser(
        "convert",
        help="weights of timm, torchvision and keras.applications to a model, and back",
        description="Writes weights of timm, torchvision or keras.applications as a model, with "
        "as many classes as they have; or the weights of a model for timm and torchvision.",
    )
    parser.set_defaults(command=convert)
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


def _add_list(commands: Any) -> None:
    parser = commands.add_parser(
        "list",
        help="names of the networks",
        description="Lists the networks by name, with their parameters at 1000 classes and the "
        "trainings that published weights come from: NAME.TRAINING is a tag.",
    )
    parser.set_defaults(command=list_variants)
    parser.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="shell pattern, such as 'resnet5*'",
    )


@contextlib.contextmanager
def _values() -> Iterator[None]:
    """Around checks of options alone: what they raise is for the person at the keyboard."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Lets SIGTERM remove unfinished files, too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _fail(code: int, sentence: str) -> int:
    print(f"resnet-layers: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
