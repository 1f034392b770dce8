"""`draw`: the schematic that people know, of one network or of several side by side."""

from collections.abc import Sequence
from typing import Any, Literal

from resnet_layers._support import checks
from resnet_layers.analysis import layout, schematic, subjects
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.subjects import Subject

Detail = Literal["layers", "blocks"]
# As many boxes as are looked at together; of deeper networks, blocks are drawn.
_READABLE = 64


def draw(
    models: Any,
    input_shape: Any = None,
    *,
    detail: Detail | None = None,
    horizontal: bool = False,
) -> Picture:
    """Draws networks as people know them: boxes for layers, coloured by stage, arcs for shortcuts.

    A solid arc passes its input on as it is; a dotted one projects it. Beside a box stands the
    size of its map where that changes. Several networks stand side by side, maps of one size in
    the same rows. Nothing is run.

    Args:
        models: Name of a variant, a `ResNet`, or any other Keras model; or a list of them.
        input_shape: As of `profile`, for all of them.
        detail: What is a box: `"layers"` or `"blocks"`. `None` for layers, or for blocks if there
            are more than 64 layers.
        horizontal: Whether networks go from left to right, instead of downwards.

    Returns:
        A `Picture`. A notebook shows it; `save("resnet.svg")` writes it, as SVG, PNG or PDF.

    Raises:
        ValueError: If there is no model, and as of `profile`.
        TypeError: If an argument has the wrong type, and as of `profile`.

    Example:

    >>> draw(["vgg19", "plain34", "paper_resnet34"])
    <Picture of vgg19, plain34, paper_resnet34>

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, figure 3.
    """
    if detail is not None:
        checks.choice("detail", detail, ("layers", "blocks"))
    checks.boolean("horizontal", horizontal)
    several = models if isinstance(models, list | tuple) else [models]
    if not several:
        raise ValueError("`models` must have at least one model. Received: models=[]")
    found = [subjects.find(model, input_shape, 1, None) for model in several]
    return picture_of(found, detail, horizontal)


def picture_of(networks: Sequence[Subject], detail: Detail | None, horizontal: bool) -> Picture:
    """The picture of networks that have been found."""
    drawn = [schematic.schematic_of(network) for network in networks]
    deep = max(len(each.nodes) for each in drawn) > _READABLE
    if detail == "blocks" or (detail is None and deep):
        drawn = [schematic.by_block(each) for each in drawn]
    return Picture(layout.scene_of(drawn, horizontal))
