"""Errors that users catch, and what is told of those of others."""

import errno
import os
from unicodedata import category


class InputError(ValueError):
    """Something that the person at the keyboard can put right, said in one sentence."""


class DisagreementError(ArithmeticError, RuntimeError):
    """What was written does not compute what its model computes.

    `export` raises it for an artifact, which is not kept, and `resnet-layers train` and `tune` for
    a file that a new process evaluates otherwise.
    """


def lacks_memory(error: BaseException) -> bool:
    """Whether it says that there was not enough memory, as Python, TensorFlow and JAX say it."""
    name = type(error).__name__
    return isinstance(error, MemoryError) or (
        (name == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error))
        and not lacks_space(error)
    )


def lacks_space(error: BaseException) -> bool:
    """Whether it says that a disk is full, as the system and TensorFlow say it."""
    return getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)


def first_line(error: BaseException) -> str:
    """What went wrong, without advice to people who call the library themselves."""
    lines = str(error).strip().split("\n")
    # OpenVINO begins with the places in its source, and says the reason at the end.
    return lines[-1 if lines[0].startswith("Exception from ") else 0] or type(error).__name__


def printable(text: object) -> str:
    """A text for a terminal: without new lines and whatever else could move its cursor."""
    moves = ("Cc", "Zl", "Zp")  # control characters, separators of lines and of paragraphs
    turns = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"  # the order of what follows
    return "".join(ascii(c)[1:-1] if category(c) in moves or c in turns else c for c in str(text))
