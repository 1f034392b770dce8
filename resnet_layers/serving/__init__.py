"""Serving: a model as an artifact of another runtime, proven equal."""

from resnet_layers._support.errors import DisagreementError as DisagreementError
from resnet_layers.serving.artifacts import Exported as Exported
from resnet_layers.serving.artifacts import load_exported as load_exported
from resnet_layers.serving.exporting import export as export
from resnet_layers.serving.report import Report as Report
