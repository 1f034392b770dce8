"""Errors of image files and folders: their types and whole texts."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_layers._support.errors import InputError
from resnet_layers.layers.preprocessing import Preprocessing, for_squares
from resnet_layers.training import labelled, pictures, tables
from resnet_layers.training.batches import Batches
from resnet_layers.training.crops import RandomResizedCrop
from tests.shell.test_images import encoded
from tests.support.messages import Row
from tests.training.test_labelled import counted, touch


def decode(content: bytes) -> None:
    Path("a.png").write_bytes(content)
    pictures.square("a.png", 8)


def decode_many_pixels() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 16 - 1)
        decode(encoded("PNG"))


def decode_without_memory() -> None:
    def rgb(image: Any) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "rgb", rgb)
        decode(encoded("PNG"))


def decode_folder() -> None:
    Path("a.png").mkdir()
    pictures.square("a.png", 8)


def decode_pipe() -> None:
    os.mkfifo("a.png")
    pictures.square("a.png", 8)


def read_folder(*names: str) -> None:
    for name in names:
        touch(Path(name))
    labelled.folder(Path("photos"))


def read_parts(*names: str) -> None:
    for name in names:
        touch(Path("photos", name))
    labelled.parts(Path("photos"))


def make_labelled(labels: Any) -> labelled.Labelled:
    return labelled.Labelled(
        kind="folder",
        title="two",
        sources=["a.png", "b.png"],
        labels=labels,
        class_names=["cat", "dog"],
        names=["a", "b"],
    )


def read_table(*lines: str) -> None:
    Path("a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables.whole(Path("a.csv"))


def alone_together() -> None:
    """Of two images of each class the second can be held out for two classes and not for three."""
    Path("a.csv").write_text("path,label\n1,a;b\n2,a;c\n3,b;c\n")
    tables.whole(Path("a.csv")).split(0)


def several_of_none() -> None:
    Path("a.csv").write_text("path,label\n1,;\n2,;\n")
    tables.whole(Path("a.csv")).split(0)


def read_table_of_bytes() -> None:
    Path("a.csv").write_bytes(b"path,label\na.png,\xff\n")
    tables.whole(Path("a.csv"))


def copies() -> None:
    data = counted(3, 3)
    same = dataclasses.replace(data, sources=[*[np.zeros((2, 2), np.uint8)] * 3, *data.sources[3:]])
    same.split(0, together=True)


def read_changed() -> None:
    """A file whose header cannot be read when batches are to be made of it."""
    Path("a.png").write_bytes(encoded("PNG")[:-60])
    one = dataclasses.replace(counted(1), sources=["a.png"])
    Batches(one, for_squares(8, (0,) * 3, (1,) * 3), 4, seed=0, crop=RandomResizedCrop(8))


ARRAY = (
    "An image must be an array of uint8 of shape (height, width) or (height, width, channels) "
    "with 1, 3 or 4 channels, and not empty. Received: "
)
NO_IMAGE = "'a.png' is not a JPEG, PNG, WebP, BMP or GIF image"
DAMAGED_IMAGE = "The image 'a.png' cannot be read: it is damaged"

IMAGES: list[Row] = [
    (lambda: decode(b""), InputError, NO_IMAGE),
    (lambda: decode(b"no image"), InputError, NO_IMAGE),
    (lambda: decode(encoded("TIFF")), InputError, NO_IMAGE),
    (lambda: decode(encoded("PNG")[:-60]), InputError, DAMAGED_IMAGE),
    (lambda: decode(encoded("JPEG")[:-60]), InputError, DAMAGED_IMAGE),
    (
        decode_without_memory,
        InputError,
        "The image 'a.png' cannot be read: there is not enough memory",
    ),
    (
        lambda: pictures.square("a.png", 8),
        InputError,
        "The image 'a.png' cannot be read: No such file or directory",
    ),
    (decode_folder, InputError, "The image 'a.png' cannot be read: it is a folder"),
    (decode_pipe, InputError, "The image 'a.png' cannot be read: Not a file"),
    (
        decode_many_pixels,
        InputError,
        "The image 'a.png' cannot be read: it has too many pixels",
    ),
    (
        lambda: pictures.square(np.zeros((4, 4), np.float32), 8),
        ValueError,
        f"{ARRAY}dtype=float32, shape=(4, 4)",
    ),
    (
        lambda: pictures.square(np.zeros((4, 4, 2), np.uint8), 8),
        ValueError,
        f"{ARRAY}dtype=uint8, shape=(4, 4, 2)",
    ),
    (
        lambda: pictures.square(np.zeros(4, np.uint8), 8),
        ValueError,
        f"{ARRAY}dtype=uint8, shape=(4,)",
    ),
    (
        lambda: pictures.square(np.zeros((0, 4), np.uint8), 8),
        ValueError,
        f"{ARRAY}dtype=uint8, shape=(0, 4)",
    ),
    *[
        (
            lambda size=size: pictures.square("a.png", size),
            kind,
            f"`image_size` must be a positive integer. Received: image_size={size!r}",
        )
        for size, kind in ((0, ValueError), (-1, ValueError), (2.5, TypeError))
    ],
    (
        lambda: pictures.square("a.png", 8, "cubic"),
        ValueError,
        "`interpolation` must be one of 'nearest', 'bilinear', 'bicubic', 'lanczos'. Received: "
        "interpolation='cubic'",
    ),
    # Folders
    (
        read_folder,
        InputError,
        "The folder 'photos' cannot be read: No such file or directory",
    ),
    (
        lambda: read_folder("photos"),
        InputError,
        "The folder 'photos' cannot be read: Not a directory",
    ),
    (
        lambda: read_folder("photos/a.png"),
        InputError,
        "The folder 'photos' must have a subfolder of images for each class. Received: none, but "
        "images in the folder itself",
    ),
    (
        lambda: read_folder("photos/.hidden/a.png"),
        InputError,
        "The folder 'photos' must have a subfolder of images for each class. Received: none",
    ),
    (
        lambda: read_folder("photos/cat/a.png", "photos/dog/a.txt"),
        InputError,
        "The class folder 'photos/dog' must have images (.jpg, .jpeg, .png, .webp, .bmp, .gif). "
        "Received: none",
    ),
    (
        lambda: read_folder("photos/train/cat/a.txt"),
        InputError,
        "The class folder 'photos/train' must have images (.jpg, .jpeg, .png, .webp, .bmp, .gif). "
        "Received: none",
    ),
    (
        lambda: counted(5).split(0),
        InputError,
        "The images of the folder 'photos' must belong to two or more classes. Received: 'class 0'",
    ),
    (
        lambda: counted(5, 1, 3).split(0),
        InputError,
        "Each class of the folder 'photos' must have two or more images, one to train on and one "
        "to test on. Received: one image of 'class 1'",
    ),
    (
        copies,
        InputError,
        "Each class of the folder 'photos' must have two or more different images. Received: "
        "copies of one image of 'class 0'",
    ),
    (
        lambda: read_parts("train/cat/a.png", "val/dog/a.png"),
        InputError,
        "The classes of the folder 'photos/val' must be among those of the folder 'photos/train'. "
        "Received: 'dog'",
    ),
    (
        read_parts,
        InputError,
        "The folder 'photos' cannot be read: No such file or directory",
    ),
    (
        read_changed,
        InputError,
        "The image 'a.png' cannot be read: it is damaged",
    ),
    (
        lambda: read_table("a,b"),
        InputError,
        "The columns of the table 'a.csv' must be 'path', 'label' and, optionally, 'split'. "
        "Received: 'a', 'b'",
    ),
    (
        lambda: read_table(""),
        InputError,
        "The columns of the table 'a.csv' must be 'path', 'label' and, optionally, 'split'. "
        "Received: none",
    ),
    (
        lambda: read_table("path,label,path", "a.png,dog,b.png"),
        InputError,
        "The columns of the table 'a.csv' must be 'path', 'label' and, optionally, 'split'. "
        "Received: 'path', 'label', 'path'",
    ),
    (
        lambda: read_table("path,label", "a.png,cat", "b.png,dog,young"),
        InputError,
        "Each line of the table 'a.csv' must have as many cells as there are columns. Received: "
        "line 3, path='b.png', with more",
    ),
    *[
        (
            lambda line=line: read_table("path,label,split", "a.png,cat,train", line),
            InputError,
            "Lines of the table 'a.csv' with the same path must be the same. Received: line 3, "
            "path='a.png'",
        )
        for line in ("a.png,cat,test", "a.png,dog,train")
    ],
    (
        lambda: make_labelled(labels=[0, 2]),
        ValueError,
        "`labels` must be indices of 2 classes, or rows of as many 0 or 1. Received: labels=[0, 2]",
    ),
    (
        lambda: make_labelled(labels=[0]),
        ValueError,
        "`sources`, `labels` and `names` must be of the same images. Received: 2, 1, 2 of them",
    ),
    (
        lambda: Batches(labelled.digits(), Preprocessing(image_size=8, crop_pct=0.5), 4),
        ValueError,
        "`prepare` must be of whole squares, with resizing='fit', as `for_squares` makes it. "
        "Received: resizing='shorter_side'",
    ),
    (
        lambda: read_table("path,label"),
        InputError,
        "The lines of the table 'a.csv' must be images. Received: none",
    ),
    *[
        (
            lambda line=line: read_table("path,label", "a.png,dog", line),
            InputError,
            "Each line of the table 'a.csv' must have a path and a label, or a ';' in the label of "
            f"one that has several or none. Received: line 3, path='{path}', label='{label}'",
        )
        for line, path, label in (
            ("b.png", "b.png", ""),
            ("b.png,", "b.png", ""),
            (",cat", "", "cat"),
            ("a\0b,dog", "a\\x00b", "dog"),
        )
    ],
    (
        lambda: read_table("path,label", "a.png,dog;cat", ",cat"),
        InputError,
        "Each line of the table 'a.csv' must have a path and a label. Received: line 3, path='', "
        "label='cat'",
    ),
    (
        several_of_none,
        InputError,
        "The images of the table 'a.csv' must belong to two or more classes. Received: none",
    ),
    (
        alone_together,
        InputError,
        "Each class of the table 'a.csv' must have two or more different images. Received: images "
        "that others have all to themselves, or copies of one, of 'b'",
    ),
    (
        lambda: read_table("path,label,split", "a.png,dog,trian"),
        InputError,
        "`split` in the table 'a.csv' must be one of 'train', 'val', 'valid', 'validation', "
        "'test'. Received: 'trian'",
    ),
    (
        lambda: read_table("path,label,split", "a.png,dog,train", "b.png,cat,test"),
        InputError,
        "Each label of the table 'a.csv' must have images to train on. Received: none of 'cat'",
    ),
    (
        lambda: read_table("path,label", '"a'),
        InputError,
        "The table 'a.csv' cannot be read: it is no CSV in UTF-8",
    ),
    (
        read_table_of_bytes,
        InputError,
        "The table 'a.csv' cannot be read: it is no CSV in UTF-8",
    ),
]
