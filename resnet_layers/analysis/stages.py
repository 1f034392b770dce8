"""Which colour the parts of a network have: one for each stage."""

import math
import re

from resnet_layers.analysis.scene import STAGES
from resnet_layers.networks.operations import Path

STAGE = re.compile(r"stage\d+")


class Stages:
    """Numbers the stages by how often their maps are halved; stages of one size follow each other.

    So maps of one size have one colour in networks side by side. There are six, then they repeat.

    >>> stages = Stages()
    >>> [stages.colour((name,), step) for name, step in (("stem", 4), ("stage1", 4), ("stage2", 8))]
    ['plain', 'stage2', 'stage3']
    """

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def colour(self, path: Path, step: float | None) -> str:
        """The name of the colour of a layer; plain outside stages, and where there is no map.

        Args:
            path: Its place.
            step: Pixels of the image from one pixel of its map to the next.
        """
        name = "".join(path[:1])
        if not step or name in ("stem", "head"):
            return "plain"
        halved = max(round(math.log2(step)), 0)
        if not STAGE.fullmatch(name):
            return f"stage{halved % STAGES}"
        if name not in self.number:
            latest = max(self.number.values(), default=-1)
            self.number[name] = max(halved, latest + 1)
        return f"stage{self.number[name] % STAGES}"
