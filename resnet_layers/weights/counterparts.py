"""What other libraries' networks can have, and none of this package."""

import re
from collections.abc import Mapping

from resnet_layers.weights.plan import NamedTensor
from resnet_layers.weights.tensors import Tensor


def missing(tensors: Mapping[str, Tensor], rows: list[NamedTensor]) -> str:
    """Names what tensors that do not fit tell of their network, or nothing."""
    if any(re.search(r"(^|\.)act\d?\.weight$", name) for name in tensors):
        return "\nActivations with weights, such as PReLU, have no counterpart here."
    found = [(row, tensors[row.name].shape) for row in rows if row.name in tensors]
    other = {row.role for row, shape in found if shape != row.shape and row.variable is not None}
    if other == {"classifier"} and any(
        row.role == "classifier" and shape[1:] == (2 * row.shape[1],)
        for row, shape in found
        if len(row.shape) == 2
    ):
        return "\nA classifier of twice the features, timm's 'catavgmax', has no counterpart here."
    if other and other <= {"squeeze", "excite"}:
        return (
            "\nThe width of squeeze-and-excitation is a share of the channels here, "
            "`attention_ratio`; one number of channels for all stages has no counterpart."
        )
    return ""
