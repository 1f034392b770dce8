"""`Parts`: what weights belong to."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Parts(Protocol):
    """A network as weights see it; `ResNet` is one.

    Each part is a layer, or `None` where the network has none.
    """

    stem: Any
    stages: Sequence[Any]
    norm: Any
    head: Any
    metadata: dict[str, Any]
    name: str
    input_shape: tuple[int | None, ...]
