"""`profile`: what a network costs, layer by layer, without running it."""

from collections.abc import Sequence
from typing import Any

from resnet_layers._support import checks
from resnet_layers.analysis import bars, conventions, fields, subjects, tables
from resnet_layers.analysis.depths import depth_of
from resnet_layers.analysis.parts import Part
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.tables import Shown
from resnet_layers.analysis.tree import Tree

# The columns that are drawn, and what they count.
_COUNTED = {
    "macs": "",
    "params": "numbers in variables, without moving statistics",
    "activations": "numbers that convolutions and dense layers write",
    "weight_bytes": "bytes of variables",
    "live_bytes": "most bytes of maps that are kept at once",
    "intensity": "operations for each byte that is read or written",
}


class Profile(Shown):
    """What a network takes, layer by layer; printed, it is a tree."""

    @property
    def params(self) -> int:
        """Numbers in all variables, without moving statistics."""
        return self.total.params

    @property
    def trainable(self) -> int:
        """Numbers that training changes."""
        return self.total.trainable

    @property
    def statistics(self) -> int:
        """Numbers in moving statistics."""
        return self.total.statistics

    @property
    def macs(self) -> int:
        """Operations as `convention` counts them, for the batch."""
        return self.total.macs

    @property
    def activations(self) -> int:
        """Numbers that convolutions and dense layers write, for the batch."""
        return self.total.activations

    @property
    def receptive_field(self) -> tuple[int, ...] | None:
        """Pixels that a pixel of the last map depends on, along each axis."""
        return self.total.receptive_field

    def part(self, name: str) -> Part:
        """The part at a place, such as `"stage1/block2"`."""
        found = {part.name: part for part in self.total.walk()}
        if not isinstance(name, str) or name not in found:
            tables.refuse_part(name, found)
        return found[name]

    def bars(self, column: str = "macs", depth: int = tables.DEPTH) -> Picture:
        """Draws a number of each part that has one as a bar, in the colour of its stage.

        Args:
            column: `"macs"`, `"params"`, `"activations"`, `"weight_bytes"`, `"live_bytes"` or
                `"intensity"`.
            depth: Which parts: 1 for stages, 2 for blocks, and more for what they are made of.

        Raises:
            ValueError: If `column` is something else, or if `depth` is not positive.
            TypeError: If `depth` is no integer.
        """
        checks.choice("column", column, tuple(_COUNTED))
        checks.integer("depth", depth)
        parts = [
            part
            for part in self.total.walk(depth)
            if len(part.path) == depth or (part.path and not part.parts)
        ]
        parts = [part for part in parts if getattr(part, column)] or [self.total]
        counted = conventions.get(self.convention)
        what = _COUNTED[column] or f"{counted.heading}: {counted.counts}"
        shown = tables.of_bytes if column.endswith("bytes") else tables.short
        numbers = [shown(getattr(part, column)) for part in parts]
        title = f"{column} of {self.name}"
        return Picture(bars.scene_of(parts, column, numbers, title, what))


def profile(
    model: Any,
    input_shape: Sequence[int] | None = None,
    batch: int = 1,
    dtype: Any = None,
    convention: str = "macs",
) -> Profile:
    """Parameters, multiply-adds, activations, memory and receptive fields, layer by layer.

    Nothing is run and no variable is made. Of a layer that it does not know, the profile says so,
    in `unknown` and below its table, in place of counting 0.

    Args:
        model: Name of a variant, with 1000 classes; or a `ResNet`, any other Keras model or layer.
        input_shape: Pixels and channels of an image, in the order of the model's axes, such as
            `(224, 224, 3)`. `None` for the model's own; where that has no sizes, or for a name,
            for the sizes that the network was published for.
        batch: Number of images, positive.
        dtype: Policy that bytes are counted for, such as `"mixed_bfloat16"`; `None` for the
            model's own, or float32 for a name.
        convention: What is counted: `"macs"`, multiply-adds of convolutions and dense layers;
            `"paper"`, the same as the paper has it; `"flops"`, two for each; `"timm"`, with
            operations of normalization as in timm's tables; `"ptflops"`, with those of
            activations and pooling, too; `"xla"`, as XLA counts, where taps on padding are left
            out and everything between convolutions counts.

    Returns:
        A `Profile`. `print` shows its tree; `rows()` gives it to pandas.

    Raises:
        ValueError: If the name is unknown, if an image of that size does not suit the model, or
            if an argument is out of range.
        TypeError: If `model` is no name, model or layer, or if an argument has the wrong type.

    Example:

    >>> found = profile("resnet50")
    >>> found.params, found.macs, found.activations
    (25557032, 4089184256, 11114984)
    >>> found.part("stage4").receptive_field
    (427, 427)

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, table 1; timm 1.0
        `results/model_metadata-in1k.csv`; Araujo et al., Computing Receptive Fields of
        Convolutional Neural Networks, 2019.
    """
    subject = subjects.find(model, input_shape, batch, dtype)
    counted = conventions.get(convention)
    walk = subject.walk
    return Profile(
        name=subject.name,
        input_shape=subject.shown(walk.image),
        batch=batch,
        dtype=subject.policy.name,
        convention=convention,
        layers=depth_of(walk),
        total=Tree(subject, batch, counted).root(),
        unknown={"/".join(path): kind for path, kind in subject.unknown.items()},
        sees_all=tuple("/".join(o.path) for o in walk if fields.is_passed_over(o)),
    )
