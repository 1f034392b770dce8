"""What training has in common, from a shell, in a search and in programs of one's own."""

from resnet_layers.training.fine_tuning import Unfreeze as Unfreeze
from resnet_layers.training.fine_tuning import freeze_until as freeze_until
from resnet_layers.training.fine_tuning import layer_decay as layer_decay
