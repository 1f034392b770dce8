"""What `train` says before it starts: how long an epoch takes, and what memory it needs."""

import keras

from resnet_layers.analysis import subjects, tables
from resnet_layers.analysis.latency import training
from resnet_layers.analysis.latency.machine import Machine, memory, usable_cores
from resnet_layers.networks.model import ResNet
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.train_settings import TrainSettings

_ITEM = 4  # bytes of a float


def said(
    settings: TrainSettings, model: ResNet, size: int, images: int, others: int, less: str
) -> list[str]:
    """Sentences, for training that this was fitted for: of all parts, in float32 on a CPU.

    Args:
        settings: What is trained.
        model: The network.
        size: Height and width of the images in pixels; where they grow, those of the last epochs.
        images: How many are trained on in an epoch.
        others: How many are evaluated after it.
        less: With what a step takes less memory.
    """
    if not _is_known(settings):
        return []
    first = model.stem.layout.data_format == "channels_first"
    shape = (3, size, size) if first else (size, size, 3)
    batch = min(settings.batch_size, images)
    walk = subjects.find(model, shape, batch, None).walk
    # In two digits: more of them would say that it is known better.
    needed, there = training.bytes_of(walk, batch), memory()
    needs = _gigabytes(needed)
    note = []
    if there is not None and needed > there:
        note = [
            f"Note: there are {_gigabytes(there)} here, and the system ends a process that takes "
            f"more, without a word: {less}"
        ]
    machine = Machine.read(usable_cores())
    if machine is None:
        return [
            f"It will need about {needs} of memory. How long an epoch takes is said here once "
            "`resnet-layers measure` has measured this machine",
            *note,
        ]
    step = training.seconds_of(walk, batch, machine)
    seconds = step * (images + training.FORWARD * others) / batch
    grow = settings.chosen.grow_from is not None
    return [
        f"{'The longest epoch' if grow else 'An epoch'} will take about {_duration(seconds)}, "
        f"without what it waits for images, and training about {needs} of memory",
        *note,
    ]


def check_size(settings: TrainSettings, size: int) -> None:
    """Says before images are read that not even a batch of them has room.

    Args:
        settings: What is trained.
        size: Height and width of the images in pixels.

    Raises:
        InputError: If it is so.
    """
    there, needed = memory(), settings.batch_size * size**2 * 3 * _ITEM
    if there is not None and needed > there:
        raise InputError(
            f"`image_size` must let a batch fit into memory, {_gigabytes(there)}. Received: "
            f"image_size={size}, batch_size={settings.batch_size}, which take {_gigabytes(needed)}"
        )


def _is_known(settings: TrainSettings) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and settings.chosen.precision == "float32"
        and settings.freeze_until is None
        and settings.devices == 1
        and settings.compile != "xla"
        and not _has_gpu()
    )


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _gigabytes(number: float) -> str:
    return f"{tables.two_digits(number / 1e9)} GB"


def _duration(seconds: float) -> str:
    """In two digits and a unit: `1.3 s`, `4.2 min`."""
    for most, unit in ((60, "s"), (3600, "min"), (float("inf"), "h")):
        if seconds < most:
            number = seconds / {"s": 1, "min": 60, "h": 3600}[unit]
            return f"{tables.two_digits(number)} {unit}"
    return ""
