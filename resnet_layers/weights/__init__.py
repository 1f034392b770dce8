"""Weights of other libraries: read into a `ResNet`, and written for torch."""

from resnet_layers.weights.loading import load_weights_from as load_weights_from
from resnet_layers.weights.saving import save_torch_weights as save_torch_weights
