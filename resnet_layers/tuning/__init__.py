"""Search spaces of residual networks for keras-tuner."""

from resnet_layers.tuning import repairs
from resnet_layers.tuning.hypermodel import HyperResNet as HyperResNet
from resnet_layers.tuning.hypermodel import build_model as build_model
from resnet_layers.tuning.parts import Range as Range

repairs.repair_grid_search()
repairs.repair_failures()

__all__ = ["HyperResNet", "Range", "build_model"]
