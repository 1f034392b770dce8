"""`Description`: what an artifact says of itself."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

# Sizes with `None` for those that are not fixed.
Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What `export` writes into an artifact, and `load_exported` reads.

    Args:
        precision: As of `export`.
        input_shape: Sizes in pixels, or `None` for any, and channels; without the batch.
        output_shape: With `None` for the number of images and other sizes that follow the input.
        metadata: The model's.
        activation: The name of the head's activation, or `None` for logits.
    """

    precision: str
    input_shape: Shape
    output_shape: Shape
    metadata: dict[str, Any]
    activation: str | None = None

    @classmethod
    def read(cls, path: Path, text: Callable[[], str]) -> Self:
        """The description in an artifact.

        Raises:
            ValueError: If there is none.
        """
        try:
            said = json.loads(text())
            shapes = {name: tuple(said[name]) for name in ("input_shape", "output_shape")}
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: said[name] for name in known & set(said)} | shapes)
        except Exception:  # each runtime has an error of its own for what is not there
            raise ValueError("it must be an artifact that `export` has written") from None

    def in_precision(self, precision: str) -> Self:
        """The same of an artifact of another precision."""
        return dataclasses.replace(self, precision=precision)

    @property
    def text(self) -> str:
        """As `read` takes it."""
        return json.dumps(dataclasses.asdict(self))
