"""The networks of the study: plain and residual ones of the same depth."""

import dataclasses
from typing import Any

from resnet_layers.networks.model import ResNet

SHORTCUTS = ("none", "A", "B", "C")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """A network of `6n + 2` layers with weights: three stages of n blocks with 16, 32, 64 filters.

    Args:
        depth: Layers with weights, as the paper counts them: 8, 14, 20 and so on.
        shortcut: One of `SHORTCUTS`; `"none"` for the plain network.

    Raises:
        ValueError: If there is no network of this depth.

    Example:

    >>> Contender(depth=56, shortcut="none").name
    'plain-56'

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, sections 3.3 and 4.2.
    """

    depth: int
    shortcut: str = "A"

    def __post_init__(self) -> None:
        if isinstance(self.depth, bool) or self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(
                "`depth` must be 6n + 2, such as 20, 32, 44, 56 or 110. "
                f"Received: depth={self.depth}"
            )

    @property
    def name(self) -> str:
        """`plain-20`, `residual-20`, or `residual-20-B` with other shortcuts than A."""
        if self.shortcut == "none":
            return f"plain-{self.depth}"
        return f"residual-{self.depth}" + ("" if self.shortcut == "A" else f"-{self.shortcut}")

    def network(self, classes: int) -> ResNet:
        """With fresh weights."""
        blocks = ((self.depth - 2) // 6,) * 3
        changes: dict[str, Any] = {"blocks": blocks, "shortcut": self.shortcut, "name": "network"}
        return ResNet.from_variant("cifar_resnet20", classes, **changes)


def contenders(depths: tuple[int, ...], shortcut_depths: tuple[int, ...]) -> list[Contender]:
    """Plain and residual networks of each depth, and of some depths all kinds of shortcuts."""
    found = [Contender(depth=d, shortcut=s) for d in depths for s in ("none", "A")]
    found += [Contender(depth=d, shortcut=s) for d in shortcut_depths for s in ("A", "B", "C")]
    return list(dict.fromkeys(found))
