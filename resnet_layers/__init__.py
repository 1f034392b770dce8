"""ResNet parts for Keras 3: blocks that can be saved, networks that can be changed."""

from resnet_layers import _environment

_environment.check()

from resnet_layers import labels as labels  # registers what saved networks were compiled with
from resnet_layers.article import ResNet34 as ResNet34
from resnet_layers.blocks import ConvBlock as ConvBlock
from resnet_layers.blocks import IdentityBlock as IdentityBlock
from resnet_layers.conv_norm import ConvNorm as ConvNorm
from resnet_layers.conv_norm import NormAct as NormAct
from resnet_layers.folding import fold_batch_norm as fold_batch_norm
from resnet_layers.head import ClassifierHead as ClassifierHead
from resnet_layers.model import ResNet as ResNet
from resnet_layers.precision import with_dtype as with_dtype
from resnet_layers.preprocessing_layer import Preprocessing as Preprocessing
from resnet_layers.pretrained import from_pretrained as from_pretrained
from resnet_layers.pretrained import preprocessing as preprocessing
from resnet_layers.serving import export as export
from resnet_layers.serving import load_exported as load_exported
from resnet_layers.stage import ResNetStage as ResNetStage
from resnet_layers.stem import Stem as Stem
from resnet_layers.styles import BlockStyle as BlockStyle
from resnet_layers.tags import list_pretrained as list_pretrained
from resnet_layers.variants import list_variants as list_variants
from resnet_layers.weights import load_weights_from as load_weights_from
from resnet_layers.weights import save_torch_weights as save_torch_weights

__version__ = "0.1.0"

__all__ = [
    "BlockStyle",
    "ClassifierHead",
    "ConvBlock",
    "ConvNorm",
    "IdentityBlock",
    "NormAct",
    "Preprocessing",
    "ResNet",
    "ResNet34",
    "ResNetStage",
    "Stem",
    "export",
    "fold_batch_norm",
    "from_pretrained",
    "list_pretrained",
    "list_variants",
    "load_exported",
    "load_weights_from",
    "preprocessing",
    "save_torch_weights",
    "with_dtype",
]
