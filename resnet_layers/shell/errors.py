"""What the command line says no to, and whether it can write where it is asked to."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError as InputError
from resnet_layers._support.errors import printable as printable
from resnet_layers._support.files import check_names, check_writable, tidy


def say(sentence: str) -> None:
    """Tells what is wrong, on standard error; nowhere if nobody can read that."""
    lines = map(printable, sentence.split("\n"))  # some of ours are lists
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # a terminal that is gone, a disk that is full
            print("resnet-layers:", "\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def shown_meanwhile(text: str) -> Iterator[None]:
    """A line on a terminal that is gone when what it tells is over."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if terminal:
        print(text, end="\r", file=sys.stderr, flush=True)  # noqa: T201
    try:
        yield
    finally:
        if terminal:
            print(" " * len(text), end="\r", file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def values() -> Iterator[None]:
    """Around checks of options alone: what they raise is for the person at the keyboard."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def check_there(kind: str, path: Path | None) -> None:
    """Says at once, before Keras is loaded, that a file or folder is not there.

    What a kill has left beside it may be what is asked for.

    Raises:
        InputError: If it is not.
    """
    if path is None:
        return
    tidy(path.parent)
    try:
        path.stat()
    except OSError as error:
        raise InputError(f"The {kind} '{path}' cannot be read: {error.strerror}") from None


def check_new(ending: str | tuple[str, ...], output: Path, *, folder: bool = False) -> None:
    """Says before the work that a file cannot be written where it should be.

    Args:
        ending: That of its name, or those that it may have.
        output: The file.
        folder: Whether it may be a folder.

    Raises:
        InputError: If its name ends otherwise or is too long, if it is a folder, or if the folder
            that it is in does not exist or cannot be written to.
    """
    if not output.name.endswith(ending):
        wanted = repr(ending) if isinstance(ending, str) else f"one of {checks.some(ending)}"
        raise InputError(f"The name of the output must end in {wanted}. Received: '{output}'")
    if not output.parent.is_dir():
        raise InputError(f"The folder of the output must exist. Received: '{output}'")
    try:
        check_names(output)
        is_folder = output.is_dir()
        if not output.exists() or output.is_file():  # what is a device is written as it is
            check_writable(Path(os.path.realpath(output)).parent)
    except OSError as error:
        raise InputError(f"'{output}' cannot be written: {error.strerror}") from None
    if is_folder and not folder:
        raise InputError(f"'{output}' cannot be written: {os.strerror(errno.EISDIR)}")


def check_output(output: Path, data: Path | None, names: Sequence[str]) -> None:
    """Makes the output folder and finds out whether files can be made in it.

    Args:
        output: The folder.
        data: The folder of images, which it must not lie in, or `None`.
        names: Of the files that will be written.

    Raises:
        InputError: If they cannot.
    """
    try:
        inside = data and output.resolve().is_relative_to(data.resolve())
    except (OSError, RuntimeError) as error:  # a link that leads to itself
        raise InputError(f"The output folder '{output}' cannot be found: {error}") from None
    if inside:
        raise InputError(
            f"The output folder must not lie in the folder of images, where it would be a class. "
            f"Received: '{output}' in '{data}'"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        tidy(output)
        check_writable(output)
    except OSError as error:
        raise not_writable(output, error) from None
    for name in names:
        if (output / name).is_dir():
            raise InputError(
                f"'{output / name}' must not be a folder, since a file is written there"
            )


def not_writable(output: Path, error: OSError) -> InputError:
    """What is said when a file cannot be written into a folder."""
    reason = error.strerror or error
    return InputError(f"The output folder '{output}' cannot be written to: {reason}")
