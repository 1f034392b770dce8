"""A sheet of training images as a network would see them: cropped, augmented, mixed."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from resnet_layers._support.files import replacing
from resnet_layers.training.batches import Batches

MOST = 64


def write(path: Path, batches: Batches) -> None:
    """Writes those of the first batch as one picture.

    Args:
        path: A PNG file.
        batches: Those of training.
    """
    from PIL import Image

    prepare = batches.prepare
    prepared: Any = batches.batch(0, 0)[0].numpy()[:MOST]
    if prepare.data_format == "channels_first":
        prepared = prepared.transpose(0, 2, 3, 1)
    if prepare.channels == "bgr":
        prepared = prepared[..., ::-1]
    pixels = 255.0 * (prepared * np.array(prepare.std) + np.array(prepare.mean))
    squares = np.round(pixels.clip(0.0, 255.0)).astype(np.uint8)
    side = squares.shape[1]
    columns = math.ceil(math.sqrt(len(squares)))
    sheet = Image.new("RGB", (columns * (side + 2), -(-len(squares) // columns) * (side + 2)))
    for i, square in enumerate(squares):
        row, column = divmod(i, columns)
        sheet.paste(Image.fromarray(square), (column * (side + 2), row * (side + 2)))
    with replacing(path) as (new,):
        sheet.save(new, "PNG")
