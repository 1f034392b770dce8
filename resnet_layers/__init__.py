"""ResNet parts for Keras 3: blocks that can be saved, networks that can be changed."""

from resnet_layers import _environment

_environment.check()

from resnet_layers.article import ResNet34 as ResNet34
from resnet_layers.blocks import ConvBlock as ConvBlock
from resnet_layers.blocks import IdentityBlock as IdentityBlock
from resnet_layers.conv_norm import ConvNorm as ConvNorm
from resnet_layers.conv_norm import NormAct as NormAct
from resnet_layers.head import ClassifierHead as ClassifierHead
from resnet_layers.model import ResNet as ResNet
from resnet_layers.stage import ResNetStage as ResNetStage
from resnet_layers.stem import Stem as Stem
from resnet_layers.styles import BlockStyle as BlockStyle
from resnet_layers.variants import list_variants as list_variants

__version__ = "0.1.0"

__all__ = [
    "BlockStyle",
    "ClassifierHead",
    "ConvBlock",
    "ConvNorm",
    "IdentityBlock",
    "NormAct",
    "ResNet",
    "ResNet34",
    "ResNetStage",
    "Stem",
    "list_variants",
]
