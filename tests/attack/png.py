"""PNG files of every kind that the format has, and what they look like."""

import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    COLOUR: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    COLOUR_ALPHA: (8, 16),
}
# Where each pass of an interlaced picture begins, and its steps, in rows and columns.
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
PASSES.append((1, 0, 2, 1))


class Kind(NamedTuple):
    """What the header of a file says, and whether it names transparent colours."""

    colour: int
    depth: int
    interlaced: bool
    transparent: bool


KINDS = [
    Kind(colour, depth, interlaced, transparent)
    for colour, depths in DEPTHS.items()
    for depth in depths
    for interlaced in (False, True)
    for transparent in ((False, True) if colour in (GREY, COLOUR, PALETTE) else (False,))
]


def random(rng: np.random.Generator, kind: Kind, height: int, width: int) -> tuple[bytes, Any]:
    """A file, and its pixels on a white ground, (height, width, 3), as numbers from 0 to 255."""
    most = 2**kind.depth - 1
    samples = rng.integers(0, most + 1, (height, width, CHANNELS[kind.colour]))
    if kind.colour in (GREY, COLOUR):  # so that a colour that is transparent occurs
        few = rng.integers(0, most + 1, (3, samples.shape[-1]))
        samples = few[rng.integers(0, 3, (height, width))]
    chunks: list[tuple[bytes, bytes]] = []
    alpha: Any = np.ones((height, width, 1))
    pixels = samples / most
    if kind.colour == PALETTE:
        palette = rng.integers(0, 256, (most + 1, 3), dtype=np.uint8)
        chunks.append((b"PLTE", palette.tobytes()))
        pixels = palette[samples[..., 0]] / 255
        if kind.transparent:
            alphas = rng.integers(0, 256, int(rng.integers(1, most + 2)), dtype=np.uint8)
            if rng.random() < 0.5:  # one colour that is not seen at all
                alphas[:] = 255
                alphas[-1] = 0
            chunks.append((b"tRNS", alphas.tobytes()))
            alpha = np.pad(alphas, (0, most + 1 - len(alphas)), constant_values=255) / 255
            alpha = alpha[samples[..., 0]][..., None]
    elif kind.transparent:
        key = samples[0, 0]
        chunks.append((b"tRNS", struct.pack(f">{len(key)}H", *key)))
        alpha = 1 - (samples == key).all(-1, keepdims=True)
    elif kind.colour in (GREY_ALPHA, COLOUR_ALPHA):
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
    seen = 255 * (alpha * pixels + 1 - alpha)
    header = struct.pack(">IIBBBBB", width, height, kind.depth, kind.colour, 0, 0, kind.interlaced)
    data = zlib.compress(_scanlines(rng, kind, samples))
    cut = int(rng.integers(0, len(data)))
    chunks = [(b"IHDR", header), *chunks, (b"IDAT", data[:cut]), (b"IDAT", data[cut:])]
    content = b"".join(chunk(name, body) for name, body in [*chunks, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + content, np.broadcast_to(seen, (height, width, 3))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _scanlines(rng: np.random.Generator, kind: Kind, samples: Any) -> bytes:
    passes = PASSES if kind.interlaced else [(0, 0, 1, 1)]
    parts = [samples[top::down, left::right] for top, left, down, right in passes]
    return b"".join(_filtered(rng, kind, part) for part in parts if part.size)


def _filtered(rng: np.random.Generator, kind: Kind, samples: Any) -> bytes:
    """Rows of bytes, each less what one of the five filters expects of its neighbours."""
    height, width, channels = samples.shape
    flat = samples.reshape(height, width * channels)
    if kind.depth == 16:
        rows = flat.astype(">u2").view(np.uint8).reshape(height, -1)
    elif kind.depth == 8:
        rows = flat.astype(np.uint8)
    else:
        bits = (flat[..., None] >> np.arange(kind.depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, kind.depth * channels // 8)
    padded = np.pad(rows, ((1, 0), (step, 0))).astype(int)
    left, above, corner = padded[1:, :-step], padded[:-1, step:], padded[:-1, :-step]
    nearest = np.stack([left, above, corner])
    guess = np.abs(left + above - corner - nearest).argmin(0)
    paeth = np.take_along_axis(nearest, guess[None], 0)[0]
    expected = np.stack([0 * left, left, above, (left + above) // 2, paeth])
    chosen = rng.integers(0, 5, height)
    less = rows - expected[chosen, np.arange(height)]
    return np.concatenate([chosen[:, None], less % 256], 1).astype(np.uint8).tobytes()
