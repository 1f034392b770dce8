"""What training has in common, from a shell, in a search and in programs of one's own."""

from resnet_layers._support import signals

if not signals.runs_command():  # which says much before Keras is there
    from resnet_layers.training import labelled as labelled
    from resnet_layers.training.batches import Batches as Batches
    from resnet_layers.training.checkpoints import Checkpoint as Checkpoint
    from resnet_layers.training.checkpoints import resume as resume
    from resnet_layers.training.devices import data_parallel as data_parallel
    from resnet_layers.training.fine_tuning import Unfreeze as Unfreeze
    from resnet_layers.training.fine_tuning import freeze_until as freeze_until
    from resnet_layers.training.fine_tuning import layer_decay as layer_decay
    from resnet_layers.training.networks import load_network as load_network
    from resnet_layers.training.recipes import RECIPES as RECIPES
    from resnet_layers.training.recipes import Recipe as Recipe
    from resnet_layers.training.running import Trained as Trained
    from resnet_layers.training.running import train as train
    from resnet_layers.training.settings import Settings as Settings
