"""How far each pixel of a map sees: receptive field, step and centre, along each axis."""

from typing import NamedTuple

from resnet_layers.networks.operations import IMAGE, Operation, Walk, Window


class Field(NamedTuple):
    """The pixels of the image that the first pixel of a map depends on, along an axis.

    Args:
        start: The first of them, below 0 where it is on padding.
        size: How many, from the first to the last.
        stride: Pixels of the image from one pixel of the map to the next.

    Reference:
        Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, 2019.
    """

    start: int
    size: int
    stride: int

    @property
    def centre(self) -> float:
        """The middle, in pixels from that of the image's first pixel."""
        return self.start + (self.size - 1) / 2


# For each axis; `None` where a map has no pixels, or where that is not known.
Fields = tuple[Field, ...] | None


def is_passed_over(operation: Operation) -> bool:
    """Whether fields leave out that an operation sees the whole map: attention, normalization."""
    kinds = ("normalization", "evonorm_s0", "means")
    return operation.sees_all and operation.kind.endswith(kinds)


def fields_of(walk: Walk) -> list[Fields]:
    """The field of each operation's output.

    Attention, and normalization over pixels, see the whole map; they are passed over here, and the
    profile names them. What has no pixels any more, behind a global pooling, sees the whole image.
    """
    rank = len(walk.image) - 1
    found: list[Fields] = []

    def of(index: int) -> Fields:
        return (Field(0, 1, 1),) * rank if index == IMAGE else found[index]

    for operation in walk:
        # What a map is multiplied by weighs it, as attention does.
        inputs = operation.inputs[:1] if operation.kind == "product" else operation.inputs
        read = [of(index) for index in inputs if len(walk.shape(index)) == rank + 1]
        if len(operation.shape) != rank + 1 or None in read or not read:
            found.append(None)
        else:
            found.append(_field(operation, [fields for fields in read if fields is not None]))
    return found


def of_last_map(walk: Walk) -> Fields:
    """The field of the last output that has pixels."""
    found = zip(walk.operations, fields_of(walk), strict=True)
    maps = [field for operation, field in found if len(operation.shape) == len(walk.image)]
    return maps[-1] if maps else None


def _field(operation: Operation, read: list[tuple[Field, ...]]) -> Fields:
    if operation.sees_all and not is_passed_over(operation):
        return None
    if operation.windows:
        return tuple(map(_through, read[0], operation.windows))
    axes = [_union(axis) for axis in zip(*read, strict=True)]
    return None if None in axes else tuple(field for field in axes if field is not None)


def _through(field: Field, window: Window) -> Field:
    """The field of a map whose pixels read a window of another map's."""
    return Field(
        field.start - window.before * field.stride,
        field.size + (window.span - 1) * field.stride,
        field.stride * window.stride,
    )


def _union(fields: tuple[Field, ...]) -> Field | None:
    """From the first pixel that one of several maps sees to the last."""
    if len({field.stride for field in fields}) > 1:
        return None
    start = min(field.start for field in fields)
    end = max(field.start + field.size for field in fields)
    return Field(start, end - start, fields[0].stride)
