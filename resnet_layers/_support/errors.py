"""Errors that users catch, and what is told of those of others."""


class DisagreementError(ArithmeticError, RuntimeError):
    """What was written does not compute what its model computes.

    `export` raises it for an artifact, which is not kept, and `resnet-layers train` and `tune` for
    a file that a new process evaluates otherwise.
    """


def first_line(error: BaseException) -> str:
    """What went wrong, without advice to people who call the library themselves."""
    lines = str(error).strip().split("\n")
    # OpenVINO begins with the places in its source, and says the reason at the end.
    return lines[-1 if lines[0].startswith("Exception from ") else 0] or type(error).__name__
