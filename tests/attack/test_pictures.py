"""Pictures of every kind, whole or not: the right pixels, or the picture's name in a sentence."""

import io
import os
import socket
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.images import read
from resnet_layers.training import pixels
from resnet_layers.training.pictures import square
from tests.attack import png
from tests.attack.figures import counted
from tests.attack.memory import cost
from tests.shell.test_images import picture

ORIENTATION, SHORT = 0x0112, 3
# How a camera held so stores a picture.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
ROUNDS = [pytest.param(0, 200), pytest.param(1, 4000, marks=pytest.mark.slow)]


def tags(rng: np.random.Generator, orientation: int) -> bytes:
    """An orientation among others whose types, counts and places may be any."""
    order = "<>"[rng.integers(2)]
    entries = [(ORIENTATION, struct.pack(f"{order}HHIHH", ORIENTATION, SHORT, 1, orientation, 0))]
    for _ in range(rng.integers(0, 8)):
        # XResolution, camera's model, software, the folder of a camera's own tags, any
        tag = int(rng.choice([0x011A, 0x0110, 0x0131, 0x8769, 0x8825, int(rng.integers(1, 65536))]))
        if tag != ORIENTATION:
            kind, count = int(rng.integers(0, 14)), int(rng.choice([0, 1, 2, 5, 2**31]))
            content = rng.bytes(4)
            entries.append((tag, struct.pack(f"{order}HHI", tag, kind, count) + content))
    if rng.random() < 0.7:  # as it should be
        entries.sort()
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}H", len(entries)) + b"".join(entry for _, entry in entries)
    headers = b"Exif\0\0" * int(rng.choice([1, 1, 1, 2]))
    return headers + header + body + struct.pack(f"{order}I", 0) + rng.bytes(int(rng.integers(64)))


@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_pictures_with_random_tags_are_upright(seed: int, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    upright = picture(16, 16)
    failures: list[Any] = []
    with counted("pictures with random tags") as figures:
        for i in range(count):
            orientation = int(rng.integers(1, 9))
            stored = np.ascontiguousarray(STORED[orientation](upright))
            path = tmp_path / ("a.jpg", "a.png")[i % 2]
            exif = tags(rng, orientation)
            Image.fromarray(stored).save(path, exif=exif, quality=95)
            try:
                with warnings.catch_warnings():  # of Pillow's, which the commands leave out
                    warnings.simplefilter("ignore")
                    found = square(path, 16).astype(int)
                right = np.abs(found - upright).max() <= 12
            except Exception as error:  # none is expected
                right = False
                failures.append((path.name, orientation, repr(error)))
            else:
                if not right:
                    failures.append((path.name, orientation, exif))
            figures["right" if right else "wrong"] += 1
    assert not failures, failures[:3]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    upright = picture(16, 16)
    Image.fromarray(upright).save(tmp_path / "a.png", exif=exif)
    assert (square(tmp_path / "a.png", 16) == upright).all()


def outcome(path: Path, expected: Any, tolerance: float) -> str:
    """What came of reading a file: `right`, `named` or what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = square(path, min(expected.shape[:2])).astype(float)
    except InputError as error:
        return "named" if printable(path) in str(error) else f"wrong: {error}"
    except Exception as error:  # none is expected
        return f"wrong: {error!r}"
    worst = np.abs(found - middle(expected)).max()
    return "right" if worst <= tolerance else f"wrong: off by {worst:.1f}"


def middle(array: Any) -> Any:
    """The square that is cut out of an image."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


@pytest.mark.parametrize(("seed", "count"), [pytest.param(0, 138), *ROUNDS[1:]])
def test_png_of_every_kind(seed: int, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.png"
    failures = []
    with counted("PNG of every kind") as figures:
        for i in range(count):
            kind = png.KINDS[i % len(png.KINDS)]
            side = int(rng.integers(1, 40))
            height, width = (side, side + 2 * int(rng.integers(0, 9)))[:: int(rng.choice([1, -1]))]
            content, seen = png.random(rng, kind, height, width)
            path.write_bytes(content)
            # 16 bits are cut to the upper 8, in colours and in how transparent they are.
            result = outcome(path, seen, 3 if kind.depth == 16 else 1)
            figures[result.partition(":")[0]] += 1
            if result != "right":
                failures.append((kind, result))
    assert not failures, failures[:5]


@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_jpeg_of_every_kind(seed: int, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.jpg"
    failures = []
    with counted("JPEG of every kind") as figures:
        for i in range(count):
            upright = picture(int(rng.integers(16, 65)), int(rng.integers(16, 65)), i)
            mode = str(rng.choice(["RGB", "L", "CMYK"]))
            options: dict[str, Any] = {
                "progressive": bool(rng.integers(2)),
                "optimize": bool(rng.integers(2)),
                "subsampling": int(rng.integers(3)),
                "restart_marker_blocks": int(rng.integers(5)),
                "quality": int(rng.integers(90, 100)),
            }
            if rng.random() < 0.2:  # as telephones write panoramas and depths
                pictures = {"save_all": True, "append_images": [Image.new(mode, (8, 8))]}
                options = {"format": "MPO", "quality": 95, **pictures}
            Image.fromarray(upright).convert(mode).save(path, **options)
            seen = np.asarray(Image.fromarray(upright).convert(mode).convert("RGB")).astype(float)
            result = outcome(path, seen, 24)
            figures[result.partition(":")[0]] += 1
            if result != "right":
                failures.append((mode, options, result))
    assert not failures, failures[:5]


def moving(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(picture(16, 16, seed)) for seed in range(3)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("alone", [False, True], ids=["of the animation", "beside it"])
@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_the_first_picture_of_an_animated_png(disposal: int, alone: bool, tmp_path: Path) -> None:
    content = moving("PNG", default_image=alone, disposal=disposal, blend=1, duration=9)
    assert b"acTL" in content
    (tmp_path / "a.png").write_bytes(content)
    assert outcome(tmp_path / "a.png", picture(16, 16, 0), 0) == "right"


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "PDF", "EPS"])
def test_pictures_of_other_kinds_are_named(kind: str, name: str, tmp_path: Path) -> None:
    moves = kind == "TIFF"
    buffer = io.BytesIO()
    if not moves:
        Image.fromarray(picture(16, 16)).save(buffer, kind)
    (tmp_path / name).write_bytes(moving(kind) if moves else buffer.getvalue())
    with pytest.raises(InputError) as error:
        square(tmp_path / name, 8)
    assert str(error.value) == f"'{tmp_path / name}' is not a JPEG, PNG, WebP, BMP or GIF image"


@pytest.mark.parametrize("name", ["a.png", "a.gif"])  # a name is no kind
@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_it_is_the_first_picture(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(moving(kind))
    with Image.open(io.BytesIO(moving(kind))) as image:
        assert image.getextrema()
        first = np.asarray(image.convert("RGB"))
    assert np.array_equal(square(tmp_path / name, first.shape[0]), first)


def damaged(rng: np.random.Generator, content: bytes, how: str) -> bytes:
    changed = bytearray(content)
    place = int(rng.integers(0, len(changed)))
    if how == "cut":
        return bytes(changed[:place])
    if how == "zeros to the end":
        return bytes(changed[:place]) + bytes(len(changed) - place)
    if how == "one bit":
        changed[place] ^= 1 << int(rng.integers(8))
    else:
        changed[place : place + 8] = rng.bytes(8)
    return bytes(changed)


# How Pillow writes pictures of each kind.
SAVED: dict[str, dict[str, Any]] = {
    "PNG": {"format": "PNG"},
    "JPEG": {"format": "JPEG", "quality": 95},
    "progressive": {"format": "JPEG", "quality": 95, "progressive": True},
    "WebP": {"format": "WEBP", "lossless": True},
    "BMP": {"format": "BMP"},
    "GIF": {"format": "GIF"},
}


@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_damaged_pictures(seed: int, count: int, tmp_path: Path) -> None:
    """Of these PNG alone has checksums: no other tells what comes of a damage within its data."""
    rng = np.random.default_rng(seed)
    failures = []
    with counted("damaged pictures") as figures:
        for i in range(count):
            how = ("cut", "zeros to the end", "one bit", "eight bytes")[i % 4]
            seen = picture(32, 32, i)
            buffer = io.BytesIO()
            kind = list(SAVED)[i // 4 % len(SAVED)]
            if kind == "PNG":
                content, seen = png.random(rng, png.KINDS[i // 24 % len(png.KINDS)], 32, 32)
            else:
                options = SAVED[kind]
                Image.fromarray(seen).save(buffer, **options)
                content = buffer.getvalue()
                with Image.open(buffer) as saved:
                    seen = np.asarray(saved.convert("RGB"))
            path = tmp_path / f"a.{SAVED[kind]['format'].lower()}"
            path.write_bytes(damaged(rng, content, how))
            result = outcome(path, seen, 16)
            if kind != "PNG" and how != "cut" and "off by" in result:
                result = "right as far as can be told"
            told = result.partition(":")[0]
            told = "right, named" if told == "named" else told
            figures[f"{told} ({kind})"] += 1
            if "wrong" in result:
                failures.append((kind, how, result))
    assert not failures, failures[:5]


def _make_socket(path: Path) -> None:
    os.chdir(path.parent)  # where a name is short enough
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


NO_PICTURES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "no bytes": Path.touch,
    "text": lambda path: path.write_text("a picture, they say", encoding="utf-8"),
    "page": lambda path: path.write_text("<!DOCTYPE html><html>404</html>", encoding="utf-8"),
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": _make_socket,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path),
    "link to a folder": lambda path: path.symlink_to(path.parent),
    "/dev/null": lambda path: path.symlink_to("/dev/null"),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
    "/dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "memory of this process": lambda path: path.symlink_to("/proc/self/mem"),
    "head alone": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "head of JPEG": lambda path: path.write_bytes(b"\xff\xd8\xff\xe0"),
    "head of another": lambda path: path.write_bytes(b"\xff\xd8\xff" + moving("PNG")),
}
NAMES = ["a.jpg", "a b.PNG", "é 猫.jpeg", "\udcff\udce9.png", "a\nb\x1b[2J.png", "-a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has neither pipes nor devices")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.timeout(60)
def test_what_is_no_picture_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for what, make in NO_PICTURES.items():
        folder = tmp_path / what.replace("/", " ")
        folder.mkdir()
        make(folder / name)
        assert outcome(folder / name, np.zeros((8, 8, 3)), 0) == "named", what


# MiB that a picture of 177 megapixels may take: of PNG, Pillow keeps all pixels in four bytes
# each; of progressive JPEG, its library all coefficients, in two bytes each.
MOST = {"JPEG": 150, "progressive": 1100, "PNG": 800}
LARGE = [
    ("JPEG", "RGB"),
    ("JPEG", "L"),
    ("JPEG", "CMYK"),
    ("progressive", "RGB"),
    ("PNG", "RGB"),
    ("PNG", "RGBA"),
    ("PNG", "P"),
    ("PNG", "I;16"),
    ("PNG", "1"),
]
SIDES = (15_000, 11_800)  # 177 megapixels; Pillow refuses 179


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), LARGE, ids=str)
def test_memory_of_large_pictures_is_bounded(kind: str, mode: str, tmp_path: Path) -> None:
    coarse = Image.fromarray(picture(59, 75))
    if mode == "I;16":
        wide = np.asarray(coarse.convert("L")).astype(np.uint16) * 257
        shown, stored = coarse.convert("L"), Image.fromarray(wide)
    else:
        shown = stored = coarse.convert(mode)
    path = tmp_path / ("a.png" if kind == "PNG" else "a.jpg")
    options: dict[str, Any] = {
        "compress_level": 1,
        "subsampling": 0,
        "progressive": kind == "progressive",
    }
    stored.resize(SIDES, Image.Resampling.NEAREST).save(path, **options)
    small = shown.convert("RGB").resize((600, 472), Image.Resampling.NEAREST)
    seen = square(np.asarray(small), 59).astype(int)
    with counted(f"177 megapixels, {kind} {mode}") as figures:
        found = cost(lambda: read([path], 59)[0])
        figures.title += f", {found.memory >> 20} MiB"
        right = np.abs(found.result - seen).max() <= 8 and found.memory < MOST[kind] << 20
        figures["right" if right else "wrong"] += 1
    assert right


@pytest.mark.parametrize(("kind", "mode"), LARGE, ids=str)
def test_large_pictures_are_reduced_to_their_means(
    kind: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not as large is read as it is."""
    upright = Image.fromarray(picture(96, 61))
    image = upright.convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    path = tmp_path / ("a.png" if kind == "PNG" else "a.jpg")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image.save(path, quality=95, progressive=kind == "progressive", exif=exif)
    whole = square(path, 24)
    monkeypatch.setattr(pixels, "LARGEST", 96 * 61)
    assert (square(path, 24) == whole).all()
    monkeypatch.setattr(pixels, "_TILE", 32)
    for largest in (96 * 61 - 1, 96 * 61 // 4 - 1):  # a half and a quarter of each side
        monkeypatch.setattr(pixels, "LARGEST", largest)
        assert np.abs(square(path, 24).astype(int) - whole).mean() < (40 if mode == "1" else 6)
        if (kind, mode) == ("PNG", "RGB"):  # in memory as in a file
            image.save(path)
            assert (square(np.asarray(image), 24) == square(path, 24)).all()
            image.save(path, exif=exif)
