"""ResNet parts for Keras 3: blocks that can be saved, networks that can be changed."""

import atexit
import sys

from resnet_layers._support import environment, signals, version

__version__ = version.__version__

if signals.runs_command():  # which imports Keras, some seconds, once it knows that it must
    environment.open_streams()
    signals.end_while_importing()
    atexit.register(signals.ignore_when_over)  # after those that are registered later
else:
    environment.check()
    from resnet_layers._support.errors import DisagreementError as DisagreementError
    from resnet_layers.analysis.comparison import compare as compare
    from resnet_layers.analysis.drawing import draw as draw
    from resnet_layers.analysis.heatmaps.maps import grad_cam as grad_cam
    from resnet_layers.analysis.heatmaps.overlays import draw_maps as draw_maps
    from resnet_layers.analysis.heatmaps.overlays import overlay as overlay
    from resnet_layers.analysis.latency.machine import Machine as Machine
    from resnet_layers.analysis.latency.measuring import measure_machine as measure_machine
    from resnet_layers.analysis.latency.prediction import predict_latency as predict_latency
    from resnet_layers.analysis.profile import profile as profile
    from resnet_layers.analysis.sheets import draw_features as draw_features
    from resnet_layers.analysis.sheets import draw_kernels as draw_kernels
    from resnet_layers.analysis.twins import plain_twin as plain_twin
    from resnet_layers.analysis.twins import vgg_twin as vgg_twin
    from resnet_layers.layers.blocks import ConvBlock as ConvBlock
    from resnet_layers.layers.blocks import IdentityBlock as IdentityBlock
    from resnet_layers.layers.conv_norm import ConvNorm as ConvNorm
    from resnet_layers.layers.conv_norm import NormAct as NormAct
    from resnet_layers.layers.head import ClassifierHead as ClassifierHead
    from resnet_layers.layers.preprocessing import Preprocessing as Preprocessing
    from resnet_layers.layers.stage import ResNetStage as ResNetStage
    from resnet_layers.layers.stem import Stem as Stem
    from resnet_layers.layers.styles import BlockStyle as BlockStyle
    from resnet_layers.networks.article import ResNet34 as ResNet34
    from resnet_layers.networks.model import ResNet as ResNet
    from resnet_layers.networks.variants import list_variants as list_variants
    from resnet_layers.networks.view import functional_view as functional_view
    from resnet_layers.serving import export as export
    from resnet_layers.serving import load_exported as load_exported
    from resnet_layers.serving.folding import fold_batch_norm as fold_batch_norm
    from resnet_layers.serving.precision import with_dtype as with_dtype

    # Saved networks were compiled with them.
    from resnet_layers.training import labels as labels
    from resnet_layers.training import optimizers as _optimizers  # noqa: F401
    from resnet_layers.weights.loading import load_weights_from as load_weights_from
    from resnet_layers.weights.pretrained import preprocessing as preprocessing
    from resnet_layers.weights.saving import save_torch_weights as save_torch_weights
    from resnet_layers.weights.tags import list_pretrained as list_pretrained

    from_pretrained = ResNet.from_pretrained
    sys.modules[f"{__name__}.labels"] = labels  # its documented name

__all__ = [
    "BlockStyle",
    "ClassifierHead",
    "ConvBlock",
    "ConvNorm",
    "DisagreementError",
    "IdentityBlock",
    "Machine",
    "NormAct",
    "Preprocessing",
    "ResNet",
    "ResNet34",
    "ResNetStage",
    "Stem",
    "compare",
    "draw",
    "draw_features",
    "draw_kernels",
    "draw_maps",
    "export",
    "fold_batch_norm",
    "from_pretrained",
    "functional_view",
    "grad_cam",
    "list_pretrained",
    "list_variants",
    "load_exported",
    "load_weights_from",
    "measure_machine",
    "overlay",
    "plain_twin",
    "predict_latency",
    "preprocessing",
    "profile",
    "save_torch_weights",
    "vgg_twin",
    "with_dtype",
]
