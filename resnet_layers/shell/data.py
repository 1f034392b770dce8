"""The images of `train`: found, split, and looked at before any of them is decoded."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers._support import checks
from resnet_layers.shell import images, progress
from resnet_layers.shell.errors import InputError, printable, say
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import labelled, tables
from resnet_layers.training.decoding import refused
from resnet_layers.training.headers import Header, headers
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.pictures import ImageSource, decoded, or_error, quiet, square

MEASURED = 2000  # images that mean and deviation are of, at most
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Data:
    """Images for a training.

    Args:
        every: All of them.
        training: Those to train on.
        validation: Those to look at after each epoch; none if there are too few.
        test: Those for the end.
        split: What the metadata of the network say of this.
        own: Which parts were there already, by the names of `labelled.PARTS`.
        headers: Of the training images.
    """

    every: Labelled
    training: Labelled
    validation: Labelled
    test: Labelled
    split: dict[str, Any]
    own: tuple[str, ...] = ()
    headers: list[Header] = dataclasses.field(default_factory=list)

    def class_weight(self) -> dict[int, float]:
        """What gives each class the same weight in all training images."""
        counts = self.training.counts()
        return {i: len(self.training.labels) / len(counts) / n for i, n in enumerate(counts)}

    def in_memory(self, size: int, interpolation: str, verbose: int = 0) -> "Data":
        """With all images decoded, as squares; arguments as of `images.read`."""
        parts = [self.training, self.validation, self.test]
        sources = [source for one in parts for source in one.sources]
        squares = iter(images.read(sources, size, interpolation, verbose))
        read = [
            dataclasses.replace(one, sources=list(itertools.islice(squares, len(one.sources))))
            for one in parts
        ]
        return dataclasses.replace(self, training=read[0], validation=read[1], test=read[2])

    def measured(
        self, size: int, interpolation: str, data_format: str, skip_damaged: bool
    ) -> images.Reader:
        """The preprocessing for training on these images, from some of them."""
        sources = self.training.sources
        count = min(len(sources), MEASURED)
        some = [sources[i * len(sources) // count] for i in range(count)]
        one = functools.partial(or_error, lambda source: square(source, size, interpolation))
        with quiet(), ThreadPoolExecutor() as pool:
            chunks = (some[i : i + _AT_ONCE] for i in range(0, count, _AT_ONCE))
            found = (image for chunk in chunks for image in pool.map(one, chunk))
            sound = _sound(found, skip_damaged)
            first = next(sound, None)
            if first is None:
                raise InputError("Too many images are damaged: none is left to train on")
            return images.Reader.fit(itertools.chain([first], sound), data_format)


def usual_size(found: Iterable[Header | InputError]) -> int:
    """Of images with such headers: enough for three stages, not too much for a processor."""
    sides = [min(one.height, one.width) for one in found if isinstance(one, Header)]
    return int(np.clip(np.median(sides), 16, 64)) if sides else 16


def find(settings: TrainSettings) -> Data:
    """The images of `--data`, or the digits, split and not decoded yet.

    Raises:
        InputError: If there are none, or too few, or if options do not fit them.
    """
    every, parts = chosen(settings.data)
    share = settings.validation / (1 if "test" in parts else 1 - settings.test)
    found = split(every, parts, settings.seed, settings.test, share, all_classes=False)
    validation = found.validation
    if settings.patience is not None and not len(validation.labels):
        raise InputError(
            "`--patience` must come with images for validation. Received: none, of "
            f"{len(every.labels)} images"
        )
    if settings.balance and every.several:
        raise InputError(
            "`--balance` must be left out where images have several labels, as those of "
            f"{every.title}"
        )
    if settings.loss == "softmax" and every.several:
        raise InputError(
            "`--loss` must be sigmoid where images have several labels, as those of "
            f"{every.title}. Received: loss='softmax'"
        )
    return found


def chosen(path: Path | None) -> tuple[Labelled, dict[str, Labelled]]:
    """All images of `--data`, or the digits, and the parts that they are in already, if any."""
    parts = tables.parts(path) if path else None
    if path and parts is not None:
        return tables.joined(path, parts), parts
    return (tables.whole(path) if path else labelled.digits()), {}


def split(
    every: Labelled,
    parts: Mapping[str, Labelled],
    seed: int,
    test: float,
    validation: float,
    *,
    all_classes: bool = True,
) -> Data:
    """Images to train on, to look at meanwhile, and for the test, not decoded yet.

    Args:
        every: All images.
        parts: Those that are there already.
        seed: Of the others.
        test: Share of each class that they have.
        validation: The same of the rest; 0 for none.
        all_classes: Whether each class must have images in both.
    """
    training = parts.get("train", every)
    tests, looked_at = parts.get("test"), parts.get("validation")
    if tests is None:
        training, tests = training.split(seed, test, together=True)
    if looked_at is None and validation:
        training, looked_at = training.split(seed, validation, together=True, every=all_classes)
    looked_at = looked_at or training.select(np.arange(0))
    metadata = split_metadata(every, tests, seed, test, folders="test" in parts)
    return Data(every, training, looked_at, tests, metadata, tuple(parts))


def left_aside(settings: TrainSettings, data: Data) -> list[str]:
    """What is asked for of a part that is there already."""
    usual = TrainSettings()
    return [
        f"Note: `--{part}` is left aside, since {data.every.title} has images of its own for that"
        for part in ("validation", "test")
        if part in data.own and getattr(settings, part) != getattr(usual, part)
    ]


def odd_classes(data: Data) -> list[str]:
    """What may not be meant: folders of a split among the classes, which have classes in them."""
    names = [name for all_ in labelled.PARTS.values() for name in all_]
    odd = [name for name in data.every.class_names if name.lower() in names]
    deep = {name.partition("/")[0] for name in data.every.names if name.count("/") > 1}
    nested = [name for name in odd if name in deep]
    if not nested:
        return []
    return [
        f"Note: taken for classes, with all folders in them: {checks.some(nested)}. A folder that "
        "is split has train and val or test alone, and class folders in each of them"
    ]


def split_metadata(
    every: Labelled, test: Labelled, seed: int, fraction: float, *, folders: bool = False
) -> dict[str, Any]:
    """How test images were chosen, for the metadata of a network.

    Args:
        every: All images.
        test: Those left for the test.
        seed: What they were chosen by.
        fraction: The share of each class that they are.
        folders: Whether they had a folder of their own.
    """
    return {
        "data": every.kind,
        "folders": folders,
        "seed": seed,
        "test_fraction": fraction,
        "test_images": len(test.labels),
        "test_digest": test.digest(),
    }


def look(data: Data, *, skip_damaged: bool, check: bool) -> Data:
    """The same without what is damaged, and with what the files say of themselves.

    Args:
        data: What `find` has found.
        skip_damaged: Whether damaged images are left out; otherwise they end the run.
        check: Whether each image is decoded, and not just its header and its end looked at.

    Raises:
        InputError: If images are damaged and not left out, or if a class is lost with them.
    """
    wrong: list[InputError] = []
    sound, found = [], []
    lists = (data.training, data.validation, data.test)
    count = progress.Count(sum(len(one.labels) for one in lists), images.verbosity(), "checked")
    for one in lists:
        seen: list[Header | InputError] = []
        for header in _decoding(one.sources) if check else headers(one.sources):
            seen.append(header)
            count.add()
        wrong += [header for header in seen if isinstance(header, InputError)]
        kept = [i for i, header in enumerate(seen) if isinstance(header, Header)]
        sound.append(one.select(np.array(kept, int)))
        found.append([header for header in seen if isinstance(header, Header)])
    if wrong and not skip_damaged:
        images.refuse([str(error) for error in dict.fromkeys(map(str, wrong))])
    tell_left_out(wrong)
    lost = np.flatnonzero(sound[0].counts() == 0)
    if len(lost) or not len(sound[2].labels):
        name = printable(data.every.class_names[lost[0]]) if len(lost) else "the test"
        raise InputError(f"Too many images are damaged: none is left of '{name}'")
    return dataclasses.replace(
        data, training=sound[0], validation=sound[1], test=sound[2], headers=found[0]
    )


def tell_left_out(wrong: Iterable[InputError | str]) -> None:
    """Names images that are damaged and left out, if there are any."""
    said = list(dict.fromkeys(map(str, wrong)))
    if not said:
        return
    say(f"{len(said)} damaged {'image is' if len(said) == 1 else 'images are'} left out:")
    say(checks.some(said, str, "\n"))


def _sound(
    found: Iterable[NDArray[np.uint8] | InputError], skip_damaged: bool
) -> Iterator[NDArray[np.uint8]]:
    for image in found:
        if not isinstance(image, InputError):
            yield image
        elif not skip_damaged:
            images.refuse([str(image)])


def _decoding(sources: Sequence[ImageSource]) -> Iterable[Header | InputError]:
    """Headers of images that can be decoded as a whole, by each of the decoders."""
    with quiet(), ThreadPoolExecutor() as pool:
        for start in range(0, len(sources), _AT_ONCE):
            some = sources[start : start + _AT_ONCE]
            yield from pool.map(_decoded, some, list(headers(some)))


def _decoded(source: ImageSource, header: Header | InputError) -> Header | InputError:
    if isinstance(header, InputError):
        return header
    size = or_error(lambda one: decoded(one).size, source)  # so that no pixels are kept
    if isinstance(size, InputError):
        return size
    return (None if isinstance(source, np.ndarray) else refused(source, header)) or header
