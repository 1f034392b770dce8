"""Training operation by operation, for tests of what comes before and after it."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def uncompiled() -> Iterator[None]:
    """A step or two of a small network are over before they would be traced and compiled."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
