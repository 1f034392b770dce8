"""How a camera was held: the one tag of a picture that matters, read by itself."""

import contextlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_EXIF, _ORIENTATION, _SHORT = b"Exif\0\0", 0x0112, 3
# Pillow's transpositions that bring a picture of each orientation upright.
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def upright(image: "Image", file: "Image") -> "Image":
    """The picture as it was seen, whatever the other tags of its file are.

    Args:
        image: The pixels.
        file: What they were read from, which has all its tags only now.
    """
    from PIL import Image

    turn = _TURNS.get(orientation(file))
    return image if turn is None else image.transpose(Image.Transpose(turn))


def orientation(file: "Image") -> int:
    """From 1, which is upright, to 8; whatever else a file says is upright, too."""
    found = _found(file)
    return found if found in _TURNS else 1


def _found(file: "Image") -> int:
    content = bytes(file.info.get("exif", b""))
    while content.startswith(_EXIF):  # some write it twice
        content = content[len(_EXIF) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is not None:
        with contextlib.suppress(struct.error):  # it ends too early
            (start,) = struct.unpack_from(f"{order}I", content, 4)
            (count,) = struct.unpack_from(f"{order}H", content, start)
            for place in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind = struct.unpack_from(f"{order}HH", content, place)
                if (tag, kind) == (_ORIENTATION, _SHORT):
                    return int(struct.unpack_from(f"{order}H", content, place + 8)[0])
    try:  # as other programs have it
        found = file.getexif().get(_ORIENTATION)
    except Exception:  # Pillow raises all kinds of what it cannot parse
        return 1
    return found if isinstance(found, int) else 1
