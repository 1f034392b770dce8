# ruff: noqa: T201 (printing is what commands are for)
"""The shell interface: `python -m resnet_layers`, also installed as `resnet-layers`."""

import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet_layers import _checks, tags, variants
from resnet_layers.serving import DisagreementError, formats
from resnet_layers.shell import classifier, exporting, options, predictor, training, tuning
from resnet_layers.shell import convert as conversion
from resnet_layers.shell.files import InputError
from resnet_layers.shell.images import verbosity


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
    chosen = vars(options.parser(COMMANDS).parse_args(arguments))
    command: Callable[..., int] = chosen.pop("command")
    try:
        with _terminate_like_interrupt():
            code = command(**chosen)
            if sys.stdout is not None:  # somebody may have closed it
                sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(2, str(error))
    except (training.DisagreementError, DisagreementError) as error:
        return _fail(1, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted: no unfinished file is left behind")
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def train(**chosen: Any) -> int:
    """Trains, writes, and has a new process check what was written."""
    with _values():
        settings = training.Settings(**chosen)
    last = training.train(settings)
    print(f"Wrote {', '.join(training.FILES)} into '{settings.output}'", flush=True)
    print(training.check_in_new_process(settings, last))
    return 0


def tune(**chosen: Any) -> int:
    """Searches, writes the best network, and has a new process check it."""
    with _values():
        settings = tuning.Settings(**chosen)
    row = tuning.tune(settings)
    if row is not None:
        print(f"Wrote {', '.join(tuning.FILES)} into '{settings.output}'", flush=True)
        written = training.Settings(
            data=settings.data, output=settings.output, batch_size=settings.batch_size
        )
        print(training.check_in_new_process(written, row))
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
    exported = model.suffix != ".keras" and formats.of_path(model) is not None
    found = predictor.load_exported(model) if exported else classifier.load(model)
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


def export(model: Path, output: Path | None, **chosen: Any) -> int:
    """Writes a network for another runtime, and prints how it compares."""
    print(exporting.export(model, output, **chosen))
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


COMMANDS: dict[str, Callable[..., int]] = {
    "train": train,
    "tune": tune,
    "evaluate": evaluate,
    "predict": predict,
    "convert": convert,
    "export": export,
    "list": list_variants,
}


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
