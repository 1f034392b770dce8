"""Search spaces of residual networks for keras-tuner."""

from resnet_layers.tuning.budget import OverBudgetError as OverBudgetError
from resnet_layers.tuning.hypermodel import HyperResNet as HyperResNet
from resnet_layers.tuning.hypermodel import build_model as build_model
from resnet_layers.tuning.parts import Range as Range

__all__ = ["HyperResNet", "OverBudgetError", "Range", "build_model"]
