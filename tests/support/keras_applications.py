"""Which of our variables is which in the ResNets of keras.applications."""

from typing import Any

import keras

import resnet_layers as rl


def layer_pairs(model: rl.ResNet, stock: keras.Model) -> list[tuple[Any, Any]]:
    """Our layers with variables, and theirs."""
    head: Any = model.head
    pairs = [(model.stem.conv, "conv1"), (head.dense, "predictions")]
    for s, stage in enumerate(model.stages, start=2):
        for b, block in enumerate(stage.block_layers, start=1):
            name = f"conv{s}_block{b}"
            pairs += [(layer, f"{name}_{i}") for i, layer in enumerate(block.body, start=1)]
            if isinstance(block, rl.ConvBlock):
                pairs.append((block.projection, f"{name}_0"))
    layers = []
    for ours, name in pairs:
        if isinstance(ours, rl.ConvNorm):
            layers.append((ours.convolution, stock.get_layer(f"{name}_conv")))
            layers.append((ours.normalization, stock.get_layer(f"{name}_bn")))
        else:
            layers.append((ours, stock.get_layer(name)))
    return layers


def variable_pairs(model: rl.ResNet, stock: keras.Model) -> list[tuple[Any, Any]]:
    """Variables of equal meaning: all of both networks."""
    pairs: list[tuple[Any, Any]] = []
    for ours, theirs in layer_pairs(model, stock):
        assert [v.name for v in ours.weights] == [v.name for v in theirs.weights]
        pairs += zip(ours.weights, theirs.weights, strict=True)
    for side, network in enumerate((model, stock)):
        assert {id(pair[side]) for pair in pairs} == {id(v) for v in network.weights}
    return pairs
