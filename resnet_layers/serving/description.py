"""`Description`: what an artifact says of itself."""

import dataclasses
import json
import reprlib
from collections.abc import Callable
from typing import Any, NoReturn, Self, TypeGuard

from resnet_layers._support import checks
from resnet_layers.layers.preprocessing import from_metadata

# Sizes with `None` for those that are not fixed.
Shape = tuple[int | None, ...]
PRECISIONS = ("float32", "bfloat16", "int8")
# Of artifacts with digests; the first ones had neither digests nor a number.
_FORMAT = 2
_MOST_AXES, _MOST_PIXELS = 8, 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What `export` writes into an artifact, and `load_exported` reads.

    Args:
        precision: As of `export`.
        input_shape: Sizes in pixels, or `None` for any, and channels; without the batch.
        output_shape: With `None` for the number of images and other sizes that follow the input.
        metadata: The model's.
        activation: As of `last_activation`: `None` where it is not known.
        pixels: Whether it takes raw images, 0 to 255, and has its preprocessing inside.
    """

    precision: str
    input_shape: Shape
    output_shape: Shape
    metadata: dict[str, Any]
    activation: str | None = None
    pixels: bool = False

    @classmethod
    def read(cls, text: Callable[[], str], closed: bool) -> Self:
        """The description in an artifact.

        Args:
            text: Finds it.
            closed: Whether the artifact has digests.

        Raises:
            ValueError: If there is none, or if it is none that `export` writes.
        """
        try:
            said = dict(json.loads(text()))
        except Exception:  # each runtime has an error of its own for what is not there
            raise ValueError("it must be an artifact that `export` has written") from None
        number = said.pop("format", 1)
        if number == _FORMAT and not closed:
            raise ValueError("its digests are missing or damaged")
        fields = {field.name for field in dataclasses.fields(Description)}
        if number != (_FORMAT if closed else 1) or set(said) != fields:
            raise ValueError(
                "its description must have the fields that this version of `export` writes. "
                f"Received: format={number!r} with {reprlib.repr(sorted(said))}"
            )
        if number == 1 and said["activation"] is None:
            said["activation"] = "linear"  # which that format left out
        for name in ("input_shape", "output_shape"):
            said[name] = tuple(said[name]) if isinstance(said[name], list) else said[name]
        described = cls(**said)
        described.check()
        return described

    def check(self) -> None:
        """Refuses what has another type, is out of its range, or is no known preprocessing.

        Raises:
            ValueError: With the name of the field.
        """
        checks.choice("precision", self.precision, PRECISIONS)
        for name, holds, wording in (
            ("input_shape", _is_shape(self.input_shape), "positive sizes, with None for any"),
            (
                "output_shape",
                _is_shape(self.output_shape) and self.output_shape[0] is None,
                "None for the number of images, and positive sizes, with None for any",
            ),
            ("metadata", isinstance(self.metadata, dict), "a mapping"),
            ("activation", isinstance(self.activation, str | None), "a name, or None"),
            ("pixels", isinstance(self.pixels, bool), "True or False"),
        ):
            if not holds:
                _refuse(name, wording, getattr(self, name))
        names = self.metadata.get("class_names")
        if names is not None and not checks.are_distinct_names(names):
            _refuse("class_names", "a list of distinct names", names)
        prepared = self.metadata.get("preprocessing")
        try:
            if prepared is not None:
                from_metadata(prepared)
        except Exception:  # Keras has many for what is no config
            _refuse("preprocessing", "None, or the config of a Preprocessing", prepared)

    def in_precision(self, precision: str) -> Self:
        """The same of an artifact of another precision."""
        return dataclasses.replace(self, precision=precision)

    @property
    def text(self) -> str:
        """As `read` takes it."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)})


def _is_shape(value: Any) -> TypeGuard[Shape]:
    return (
        isinstance(value, tuple)
        and 0 < len(value) <= _MOST_AXES
        and all(n is None or (type(n) is int and 0 < n <= _MOST_PIXELS) for n in value)
    )


def _refuse(name: str, wording: str, value: Any) -> NoReturn:
    raise ValueError(f"`{name}` must be {wording}. Received: {name}={reprlib.repr(value)}")
