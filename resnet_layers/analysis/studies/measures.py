"""What is measured in a network of blocks: errors, gradients, branches, blocks left out."""

from collections.abc import Iterable
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from resnet_layers.analysis.gradients import gradient
from resnet_layers.layers.blocks import ConvBlock, ResidualBlock
from resnet_layers.networks.model import ResNet


def blocks_of(model: ResNet) -> list[ResidualBlock]:
    """All blocks, in order."""
    return [block for stage in model.stages for block in stage.block_layers]


def error(model: ResNet, batches: Iterable[Any]) -> float:
    """Share of the images, in batches of images and labels, that are taken for another class.

    It is no number where some outputs are none, whose largest would be the first class.
    """
    wrong = [_wrong(model(batch[0], training=False), batch[1]) for batch in batches]
    return float(np.mean(np.concatenate(wrong)))


def gradient_norms(model: ResNet, images: Any, labels: Any) -> list[float]:
    """Norm of the gradient of the loss by the weights of each block, as a training step has it.

    Nothing of the network changes: moving statistics are those from before.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    constants = [variable.value for variable in model.non_trainable_variables]

    def of_weights(weights: Any) -> tuple[Any, None]:
        outputs, _ = model.stateless_call(weights, constants, images, training=True)
        return loss(labels, outputs), None

    weights = [ops.convert_to_tensor(variable.value) for variable in model.trainable_variables]
    found, _ = gradient(of_weights, weights)
    squares = {
        id(variable): float(ops.sum(ops.square(one)))
        for variable, one in zip(model.trainable_variables, found, strict=True)
    }
    return [
        sum(squares[id(variable)] for variable in block.trainable_variables) ** 0.5
        for block in blocks_of(model)
    ]


def branches(model: ResNet, images: Any) -> tuple[list[float], list[float]]:
    """Root mean square of each block's body and of its shortcut, which a plain network lacks."""
    x = model.stem(images, training=False)
    residuals, shortcuts = [], []
    for block in blocks_of(model):
        residuals.append(_size(block.residual(x, training=False)))
        if _is_residual(block):
            shortcuts.append(_size(block.shortcut(x, x, training=False)))
        x = block(x, training=False)
    return residuals, shortcuts


def left_out(model: ResNet, images: Any, labels: Any) -> list[float | None]:
    """The error with each block, one at a time, passing its shortcut on alone.

    A block of a plain network that keeps the shape passes its input on; one that changes the shape
    cannot be left out, and has `None`.

    Reference:
        Veit et al., Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016,
        section 4.1.
    """
    blocks, head = blocks_of(model), cast("keras.Layer", model.head)
    x = model.stem(images, training=False)
    errors: list[float | None] = []
    for i, block in enumerate(blocks):
        y = _without_body(block, x)
        if y is None:
            errors.append(None)
        else:
            for later in blocks[i + 1 :]:
                y = later(y, training=False)
            errors.append(float(np.mean(_wrong(head(y), labels))))
        x = block(x, training=False)
    return errors


def _without_body(block: ResidualBlock, x: Any) -> Any:
    if not isinstance(block, ConvBlock):
        return x
    if not _is_residual(block):
        return None
    return block._activate(block.shortcut(x, x, training=False))


def _is_residual(block: ResidualBlock) -> bool:
    return bool(block.style.shortcut != "none")


def _wrong(outputs: Any, labels: Any) -> Any:
    """1 for each image that is taken for another class, 0 for others, NaN where nothing is said."""
    wrong = ops.convert_to_numpy(ops.argmax(outputs, -1)) != ops.convert_to_numpy(labels)
    says = ops.convert_to_numpy(ops.all(ops.isfinite(outputs), -1))
    return np.where(says, wrong, np.nan)


def _size(x: Any) -> float:
    return float(ops.sqrt(ops.mean(ops.square(x))))
