"""How deep a network is: its layers with weights, one after the other."""

from resnet_layers.networks.operations import IMAGE, WEIGHTED, Walk


def depth_of(walk: Walk) -> int:
    """The most convolutions and dense layers on a way from the image to the output.

    What weighs channels stands beside the way, as it does in the names of networks.
    """
    depths = {IMAGE: 0}
    for i, operation in enumerate(walk):
        read = operation.inputs[:1] if operation.kind == "product" else operation.inputs
        before = max((depths[index] for index in read), default=0)
        depths[i] = before + (operation.kind in WEIGHTED)
    return depths[len(walk.operations) - 1]
