"""The images of `tune`: split, and read once or in each epoch."""

import dataclasses
from collections.abc import Iterator, Mapping

import keras_tuner

from resnet_layers.shell import data, images
from resnet_layers.shell.settings import TuneSettings
from resnet_layers.training import labelled
from resnet_layers.training.batches import Batches
from resnet_layers.training.fitting import DamagedError

TEST_FRACTION = 0.2  # of the images, and of the others to choose by
MEMORY = 2**30  # bytes of images that are decoded once; more are read from disk in each epoch


class LostError(DamagedError, keras_tuner.errors.FatalError):
    """An image that cannot be decoded any more, which ends the search and not just a trial."""


@dataclasses.dataclass(frozen=True)
class Searched:
    """Batches for a search: to train on, to choose by, and to test the winner on."""

    found: data.Data
    reader: images.Reader
    training: Batches
    validation: Batches
    test: Batches

    def damaged(self) -> Iterator[DamagedError]:
        """What is wrong with images to train on and to choose by."""
        for batches in (self.training, self.validation):
            yield from map(DamagedError, map(str, batches.damaged()))


def read(
    settings: TuneSettings,
    every: labelled.Labelled,
    parts: Mapping[str, labelled.Labelled],
    size: int,
) -> Searched:
    """All images, decoded once to know that they can be, in the parts that there are or split.

    Raises:
        InputError: If one cannot, or if a class has too few.
    """
    found = data.split(every, parts, settings.seed, TEST_FRACTION, TEST_FRACTION)
    if len(every.labels) * size**2 * 3 <= MEMORY:
        found = found.in_memory(size, "bilinear", images.verbosity())
    else:
        found = data.look(found, skip_damaged=False, check=True)
    reader = found.measured(size, "bilinear", "channels_last", skip_damaged=False)

    def batches(part: labelled.Labelled, seed: int | None = None) -> Batches:
        return Batches(part, reader.layer, settings.batch_size, seed=seed)

    return Searched(
        found=found,
        reader=reader,
        training=batches(found.training, settings.seed),
        validation=batches(found.validation),
        test=batches(found.test),
    )
