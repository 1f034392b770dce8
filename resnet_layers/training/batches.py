"""Batches read from disk while a network trains: each a pure function of seed, epoch and place."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resnet_layers._support import checks
from resnet_layers._support.errors import InputError
from resnet_layers.layers.preprocessing import Preprocessing
from resnet_layers.training import parts, processes
from resnet_layers.training.chance import in_turn
from resnet_layers.training.crops import RandomResizedCrop
from resnet_layers.training.decoding import Decoding
from resnet_layers.training.headers import Header
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.mixing import Mixing, check_weights, partners, weighted
from resnet_layers.training.waiting import Clock

_KEPT = 2**26  # bytes of images that are read once where they are the same in each epoch
_ENDLESS = np.iinfo(np.int64).max


class Batches:
    """Batches of labelled images for `fit` and `evaluate`, on every backend.

    With a seed they are those of training: each epoch has another order, images are cropped and
    augmented, and the n-th batch is a function of the seed, the epoch and n alone, whatever was
    read before. Without one they are those of an evaluation: in order, once, by the middle squares
    that `predict` sees. Images are read from disk when they are needed; those of one batch and of
    the next two are in memory. Batches are of nearly equal size, since a last batch of one image
    would have no variance to normalize by. Where several devices share them, each is of a multiple
    of their number: those of training leave out the images of an epoch that are left over, others
    in each epoch, and those of an evaluation fill up with images of weight 0. Where several
    processes share them, each reads its own part of each batch, and an image more where the one
    that it is mixed with is in another part.

    Args:
        images: What is read.
        prepare: Preprocessing of the network, of whole squares as `train` writes it.
        batch_size: Largest number of images in a batch, positive.
        seed: Of order, crops and augmentation, from 0 to 2⁶³ - 1; or `None` for an evaluation.
        crop: The part of an image that is taken, of the size of `prepare`; `None` for the middle
            square. Of a plain JPEG no more than the part is decoded.
        augment: What happens to each image then: functions of an image, uint8
            `(size, size, 3)`, and a seed, two integers, such as
            `resnet_layers.training.chance.Flip`.
        mixing: What happens to images and labels of a batch; labels become rows of shares then.
        multiple: What the size of each batch is a multiple of, positive, at most `batch_size`.
        part: Which part of each batch is read, counted from 0, and of how many, which `multiple`
            is a multiple of; all parts together have what is in `(0, 1)`, in another order.
        repeats: How often an image comes in an epoch, one after the other and augmented otherwise
            each time, positive; an epoch has as many fewer images.
        class_weight: As of `keras.Model.fit`, by index of the class, at least 0, 1 where it is
            left out; a mixture has the mixture of the weights.
        headers: Of the images, in order, as `headers` finds them; without them they are found when
            a crop needs them.
        skip_damaged: Whether an image that cannot be decoded has weight 0, so that all other
            batches stay what they are; `left_out` has what is wrong with it then. Otherwise it is
            an error.

    Raises:
        InputError: If the header of an image cannot be read, or if there are fewer images to train
            on than `multiple`.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.

    Example:

    >>> from resnet_layers.layers.preprocessing import for_squares
    >>> from resnet_layers.training import labelled
    >>> prepare = for_squares(image_size=8, mean=(127.5,) * 3, std=(64.0,) * 3)
    >>> batches = Batches(labelled.digits(), prepare, batch_size=64, seed=0)
    >>> len(batches)
    29
    >>> images, labels = batches.batch(epoch=3, step=28)
    >>> images.shape
    TensorShape([61, 8, 8, 3])

    `batches.dataset()` goes on for ever, so `fit` is told the number of steps:
    `model.fit(batches.dataset(), steps_per_epoch=len(batches), epochs=15, shuffle=False)`.
    """

    def __init__(
        self,
        images: Labelled,
        prepare: Preprocessing,
        batch_size: int,
        *,
        seed: int | None = None,
        crop: RandomResizedCrop | None = None,
        augment: Sequence[Callable[[Any, Any], Any]] = (),
        mixing: Mixing | None = None,
        multiple: int = 1,
        part: tuple[int, int] = (0, 1),
        repeats: int = 1,
        class_weight: Mapping[int, float] | None = None,
        headers: Sequence[Header] | None = None,
        skip_damaged: bool = False,
    ) -> None:
        self.images, self.prepare, self.seed = images, prepare, seed
        self.crop, self.multiple = crop, multiple
        if prepare.resizing != "fit":
            raise ValueError(
                "`prepare` must be of whole squares, with resizing='fit', as `for_squares` makes "
                f"it. Received: resizing={prepare.resizing!r}"
            )
        if seed is not None:
            checks.seed(seed, 63)
        if crop is not None and crop.size != prepare.image_size:
            raise ValueError(
                "`crop` must be of the size of `prepare`. Received: "
                f"crop.size={crop.size}, prepare.image_size={prepare.image_size}"
            )
        if headers is not None and len(headers) != len(images.labels):
            raise ValueError(
                "`headers` must be one for each image. Received: "
                f"{len(headers)} headers, {len(images.labels)} images"
            )
        self.sizes = parts.sizes(len(images.labels), batch_size, multiple, fill=seed is None)
        self._count = sum(self.sizes)  # of images in an epoch
        self.part = parts.checked(part, multiple)
        self._fills = self._count > len(images.labels)
        self.repeats = checks.integer("repeats", repeats)
        if repeats > max(len(images.labels), 1):
            raise ValueError(
                "`repeats` must be at most the number of images. Received: "
                f"repeats={repeats}, {len(images.labels)} images"
            )
        self._decoding = Decoding(images.sources, prepare, crop, headers, skip_damaged)
        self._change(augment, mixing, class_weight)

    def _change(self, augment: Any, mixing: Mixing | None, class_weight: Any) -> None:
        check_weights(class_weight, len(self.images.class_names))
        self.augment, self.mixing, self.clock = tuple(augment), mixing, Clock()
        self.class_weight = class_weight
        # Per size, where in a batch the images are that are read, and which of these are its own.
        self._rows = {
            size: parts.rows(size, self.part, paired=mixing is not None) for size in set(self.sizes)
        }
        firsts = np.cumsum([0, *self.sizes[:-1]])
        rows = [
            first + self._rows[size][0] for first, size in zip(firsts, self.sizes, strict=False)
        ]
        self._mine = np.concatenate([*rows, np.arange(0)])  # that are read in an epoch

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def leaves_out(self) -> bool:
        """Whether some of the images may have weight 0."""
        return self._fills or self._decoding.skip

    def changed(
        self,
        augment: Sequence[Callable[[Any, Any], Any]],
        mixing: Mixing | None,
        class_weight: Mapping[int, float] | None,
    ) -> "Batches":
        """The same images in the same order, to which something else happens."""
        other = copy.copy(self)
        other._change(augment, mixing, class_weight)
        return other

    @property
    def left_out(self) -> list[InputError]:
        """What was wrong with images that `skip_damaged` has left out so far."""
        return list(self._decoding.left_out.copy().values())  # others may be on their way

    def dataset(self, start: int = 0) -> Any:
        """A `tf.data.Dataset` of batches; with a seed without end, from a step of all epochs on.

        Args:
            start: How many steps are left out, at least 0: those that a run has made before it was
                interrupted. An evaluation has no more than those of its only epoch.

        Raises:
            TypeError: If the number is no integer.
            ValueError: If it is out of range, or if there are no images.
        """
        import tensorflow as tf

        epoch, step = self._where(start)
        sizes = [len(self._rows[size][0]) for size in self.sizes]
        first = epoch * len(self._mine) + sum(sizes[:step])
        last = len(self._mine) if self.seed is None else _ENDLESS
        images = tf.data.Dataset.range(first, last).map(
            self._image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        small = len(self._mine) * np.prod(self._decoding.shape) <= _KEPT
        if self.seed is None and small:
            images = images.cache()
        if len(set(sizes)) == 1:
            batches = images.batch(sizes[0])
        else:
            batches = images.batch(1).rebatch(sizes[step:] + sizes[:step])
        # `rebatch` does not know the number, and Keras warns of a wrong one.
        left = len(self) - start if self.seed is None else tf.data.INFINITE_CARDINALITY
        batches = batches.apply(tf.data.experimental.assert_cardinality(left))
        numbers = tf.data.Dataset.range(start, _ENDLESS)
        # One batch ahead as pixels, and one as the network takes it, which is four times as large.
        numbered = tf.data.Dataset.zip((numbers, batches.prefetch(1)))
        return self.clock.around(numbered.map(self._batch).prefetch(1))

    def batch(self, epoch: int, step: int) -> Any:
        """The images and labels of one step, both counted from 0.

        Raises:
            TypeError: If a number is no integer.
            ValueError: If there is no such step, or no such epoch: an evaluation has one.
        """
        self._check_epoch(epoch)
        if checks.integer("step", step, minimum=0) >= len(self):
            raise ValueError(
                f"`step` must be less than the number of steps of an epoch, {len(self)}. Received: "
                f"step={step}"
            )
        (found,) = self.dataset(epoch * len(self) + step).take(1)
        return found

    def order(self, epoch: int) -> list[int]:
        """The places of the images in an epoch, counted from 0, among those that were given.

        Raises:
            TypeError: If the number of the epoch is no integer.
            ValueError: If there is no such epoch: an evaluation has one.
        """
        self._check_epoch(epoch)
        count = min(self._count, len(self.images.labels))
        return [int(self._place(i, epoch)) for i in range(count)]

    def damaged(self, start: int = 0, steps: int | None = None) -> Iterator[InputError]:
        """What is wrong with images from a step on, counted over all epochs, to its epoch's end.

        Args:
            start: The step, at least 0.
            steps: How many are looked at, at least 0; `None` for all.

        After a step failed this names the file, which an error of TensorFlow does not. With
        `skip_damaged` an image is not what a step fails at.
        """
        if self._decoding.skip:
            return
        epoch, step = self._where(start)
        last = len(self)
        if steps is not None:
            last = step + checks.integer("steps", steps, minimum=0)
        end = min(sum(self.sizes[:last]), len(self.images.labels))
        for i in range(sum(self.sizes[:step]), end):
            error = self._decoding.error(int(self._place(i, epoch)))
            if error is not None:
                yield error

    def tell_all(self) -> None:
        """Lets each process know what `skip_damaged` has left out in the others."""
        if not self._decoding.skip:
            return
        mine = np.zeros(len(self.images.labels), bool)
        mine[list(self._decoding.left_out)] = True
        for place in np.flatnonzero(processes.gathered(mine).any(0) & ~mine).tolist():
            unreadable = InputError(f"'{self.images.names[place]}' cannot be read")
            self._decoding.left_out[place] = self._decoding.error(place) or unreadable

    def lost(self) -> str | None:
        """The first class of which `skip_damaged` has left out all images."""
        gone = np.zeros(len(self.images.labels), bool)
        if not self._decoding.left_out:
            return None
        gone[list(self._decoding.left_out)] = True
        left = self.images.select(np.flatnonzero(~gone)).counts()
        missing = np.flatnonzero((left == 0) & (self.images.counts() > 0))
        return self.images.class_names[missing[0]] if len(missing) else None

    def _where(self, start: int) -> tuple[int, int]:
        """The epoch, and the step in it, of a step that is counted over all epochs."""
        checks.integer("start", start, minimum=0)
        if not len(self):
            raise ValueError("`images` must be one or more, to have batches. Received: none")
        if self.seed is None and start > len(self):
            raise ValueError(
                f"`start` must be at most the number of steps of an evaluation, {len(self)}. "
                f"Received: start={start}"
            )
        return divmod(start, len(self))

    def _check_epoch(self, epoch: int) -> None:
        if checks.integer("epoch", epoch, minimum=0) and self.seed is None:
            raise ValueError(
                "`epoch` must be 0 where there is no seed, since an evaluation has one epoch. "
                f"Received: epoch={epoch}"
            )

    def _place(self, number: Any, epoch: Any) -> Any:
        import tensorflow as tf

        if self.seed is None:
            return number
        number = number // self.repeats
        seed = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        last = tf.cast(len(self.images.labels) - 1, tf.int64)
        return tf.random.experimental.index_shuffle(tf.cast(number, tf.int64), seed, last)

    def _image(self, number: Any) -> tuple[Any, ...]:
        """Pixels, label, and the weight where images may be left out."""
        import tensorflow as tf

        count = len(self.images.labels)
        epoch, number = number // len(self._mine), tf.gather(self._mine, number % len(self._mine))
        is_more = number >= count
        place = self._place(tf.minimum(number, count - 1), epoch)
        label = tf.gather(self.images.labels, place)
        if self.images.several:
            label = tf.cast(label, tf.float32)
        if self.seed is None:
            pixels, weight = self._decoding.square(place)
        else:
            crop, rest = tf.unstack(tf.random.split(self._seed(epoch, number), alg="philox"))
            pixels, weight = self._decoding.image(place, crop)
            pixels = in_turn(self.augment, pixels, rest)
        if self._fills:
            weight = tf.where(is_more, 0.0, weight)
        return (pixels, label, weight) if self.leaves_out else (pixels, label)

    def _batch(self, number: Any, element: tuple[Any, ...]) -> tuple[Any, ...]:
        import tensorflow as tf

        images, labels, *weights = element
        rows = labels
        if labels.shape.rank == 1 and (self.mixing is not None or self.class_weight is not None):
            rows = tf.one_hot(labels, len(self.images.class_names))
        if self.seed is not None and self.mixing is not None:
            # Behind those of the images.
            place = len(self.images.labels) + number % len(self)
            size = tf.gather(np.array(self.sizes), number % len(self))
            places, own = self._places(size)
            seed = self._seed(number // len(self), place)
            images, rows = self.mixing(images, rows, seed, places, size)
            other = partners(places, size)
            weights = [weight * tf.gather(weight, other) for weight in weights]
            images, rows, *weights = (tf.gather(v, own) for v in (images, rows, *weights))
            labels = rows
        if self.class_weight is not None:
            of_classes = weighted(rows, self.class_weight)
            weights = [of_classes * weight for weight in weights] or [of_classes]
        return normalized(images, self.prepare), labels, *weights

    def _places(self, size: Any) -> tuple[Any, Any]:
        """Where in a batch the images are that are read, and which of these are its own."""
        import tensorflow as tf

        largest, smallest = (self._rows[which(self.sizes)] for which in (max, min))
        return tf.cond(size == max(self.sizes), lambda: largest, lambda: smallest)

    def _seed(self, epoch: Any, place: Any) -> Any:
        import tensorflow as tf

        of_epoch = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(epoch, tf.int64)])
        return tf.random.fold_in(of_epoch, tf.cast(place, tf.int64), alg="philox")


def normalized(squares: Any, prepare: Preprocessing) -> Any:
    """Squares of whole numbers, (N, size, size, 3), as `prepare` would normalize them."""
    import tensorflow as tf

    mean, std = (np.float32(np.array(value) * 255) for value in (prepare.mean, prepare.std))
    images = (tf.cast(squares, tf.float32) - mean) / std
    if prepare.channels == "bgr":
        images = images[..., ::-1]
    return images if prepare.data_format == "channels_last" else tf.transpose(images, (0, 3, 1, 2))
