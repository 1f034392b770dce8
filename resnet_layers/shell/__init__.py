"""What the commands of `python -m resnet_layers` do: images, training, evaluation, prediction."""
