"""Search spaces of residual networks for keras-tuner."""

from resnet_layers.tuning.hypermodel import HyperResNet as HyperResNet
from resnet_layers.tuning.hypermodel import build_model as build_model
from resnet_layers.tuning.parts import Range as Range

__all__ = ["HyperResNet", "Range", "build_model"]
