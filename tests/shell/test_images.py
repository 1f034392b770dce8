"""Images from files and arrays: what becomes of every kind, and what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_layers.layers.preprocessing import INTERPOLATIONS, from_metadata
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.images import Reader, read
from resnet_layers.training.headers import Header, headers
from resnet_layers.training.pictures import square
from tests.attack import png


def picture(height: int, width: int, seed: int = 0) -> Any:
    """A smooth random RGB image, which JPEG keeps nearly as it is."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, array: Any, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "A.JPG", "ä ö.png"])
def test_file_and_array_give_the_same_square(tmp_path: Path, name: str) -> None:
    array = picture(20, 30)
    found = square(save(tmp_path / name, array, quality=95), 8)
    assert found.shape == (8, 8, 3)
    assert found.dtype == np.uint8
    tolerance = 0 if name.endswith("png") else 4
    assert np.abs(found.astype(int) - square(array, 8)).max() <= tolerance
    assert np.array_equal(found, square(str(tmp_path / name), 8))


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    array = picture(9, 9)
    assert np.array_equal(square(array, 9), array)


@pytest.mark.parametrize("shape", [(4, 10), (10, 4)])
def test_the_longer_side_is_cut_evenly_at_both_ends(shape: tuple[int, int]) -> None:
    array = np.zeros((*shape, 3), np.uint8)
    ramp = np.arange(10, dtype=np.uint8) * 10
    array += ramp[None, :, None] if shape[1] == 10 else ramp[:, None, None]
    middle = array[:, 3:7] if shape[1] == 10 else array[3:7]
    assert np.array_equal(square(array, 4), middle)


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 33))
def test_every_shape_becomes_a_square_within_the_range_of_its_colours(
    height: int, width: int, size: int
) -> None:
    array = picture(height, width, seed=height)
    found = square(array, size)
    assert found.shape == (size, size, 3)
    assert array.min((0, 1)).tolist() <= found.min((0, 1)).tolist()
    assert found.max() <= array.max()


def test_an_extremely_long_image_needs_no_extreme_memory() -> None:
    array = np.zeros((1, 60000, 3), np.uint8)
    array[:, 29000:31000] = 9
    assert (square(array, 300) == 9).all()


def test_interpolations_differ() -> None:
    array = picture(5, 5)
    results = {square(array, 8, name).tobytes() for name in INTERPOLATIONS}
    assert len(results) == len(INTERPOLATIONS) == 4


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1)])
def test_grey_has_three_equal_channels(shape: tuple[int, ...]) -> None:
    array = picture(5, 6)[..., :1].reshape(shape)
    found = square(array, 5)
    assert (found == found[..., :1]).all()
    assert found.std() > 0


def test_transparent_pixels_show_white() -> None:
    array = np.zeros((4, 4, 4), np.uint8)
    array[..., 0] = 200
    array[:2, :, 3] = 255
    array[2, :, 3] = 51
    found = square(array, 4)
    assert (found[:2] == [200, 0, 0]).all()
    assert (found[2] == [244, 204, 204]).all()
    assert (found[3] == 255).all()


@pytest.mark.parametrize(
    ("mode", "name", "expected"),
    [
        ("L", "a.png", (149, 149, 149)),
        ("L", "a.jpg", (149, 149, 149)),
        ("LA", "a.png", (149, 149, 149)),
        ("RGBA", "a.png", (200, 150, 10)),
        ("CMYK", "a.jpg", (200, 150, 10)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, name: str, expected: tuple[int, ...]
) -> None:
    array = np.full((16, 16, 3), (200, 150, 10), np.uint8)
    path = save(tmp_path / name, array, mode, quality=100)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.abs(square(path, 1)[0, 0].astype(int) - expected).max() <= 2


def test_black_and_white_stay_so(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 255], [255, 0]], np.uint8), "1")
    assert square(path, 2)[..., 0].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_becomes_its_colours(tmp_path: Path, transparent: bool) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([200, 100, 50, 1, 2, 3])
    image.save(tmp_path / "a.png", transparency=1 if transparent else None)
    other = [255, 255, 255] if transparent else [1, 2, 3]
    expected = [[[200, 100, 50], other], [other, [200, 100, 50]]]
    assert square(tmp_path / "a.png", 2).tolist() == expected


def test_16_bit_grey_is_scaled(tmp_path: Path) -> None:
    array = np.array([[0, 257], [32896, 65535]], np.uint16)
    path = save(tmp_path / "a.png", array)
    assert square(path, 2)[..., 0].tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, name: str, orientation: int) -> None:
    upright = picture(16, 16)
    # How a camera held that way stores the picture.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / name, np.ascontiguousarray(stored), exif=exif, quality=95)
    assert np.abs(square(path, 16).astype(int) - upright).max() <= 12


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(32, 32)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_bytes_give_an_image_or_an_input_error(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    outcomes: set[Any] = set()
    for _ in range(150):
        content = np.frombuffer(encoded(kind), np.uint8).copy()
        content[rng.integers(0, len(content), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(content.tobytes())
        try:
            outcomes.add(read([path], 4).shape)
        except InputError as error:
            outcomes.add(str(path) in str(error))
    # A PNG has checksums, which Pillow's decoder leaves out.
    assert outcomes == ({True} if kind == "PNG" else {(1, 4, 4, 3), True})


def test_large_images_are_read_and_enormous_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", picture(32, 32))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32 - 1)  # Pillow would warn
    assert read([path], 4).shape == (1, 4, 4, 3)
    assert list(headers([path])) == [Header(32, 32, partial=False, orientation=1)]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 16 - 1)
    with pytest.raises(InputError) as error:
        read([path], 4)
    assert str(error.value) == f"The image '{path}' cannot be read: it has too many pixels"


def test_read_keeps_the_order(tmp_path: Path) -> None:
    paths = []
    for i in range(30):
        size = 200 if i % 3 == 0 else 2  # some take longer
        paths.append(save(tmp_path / f"{i}.png", np.full((size, size), i, np.uint8)))
    squares = read(paths, 3)
    assert squares.shape == (30, 3, 3, 3)
    assert squares.dtype == np.uint8
    assert squares[:, 0, 0, 0].tolist() == list(range(30))


def test_read_names_every_image_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = save(tmp_path / "good.png", picture(4, 4))
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read([good, tmp_path / "bad.png", good, tmp_path / "worse.png"], 3)
    lines = [
        f"'{tmp_path / 'bad.png'}' is not a JPEG, PNG, WebP, BMP or GIF image",
        f"The image '{tmp_path / 'worse.png'}' cannot be read: No such file or directory",
    ]
    assert str(error.value).split("\n") == lines
    monkeypatch.setattr("resnet_layers._support.checks.MOST_NAMED", 2)
    with pytest.raises(InputError) as error:
        read([*(tmp_path / name for name in ("bad.png", "worse.png", "bad.png")), good] * 2, 3)
    assert str(error.value).split("\n") == [*lines, "and 4 more"]


def test_read_shows_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    read([picture(2, 2)] * 7, 2)
    assert capsys.readouterr().out == ""
    read([picture(2, 2)] * 7, 2, verbose=2)  # which takes less than the seconds between lines
    assert capsys.readouterr().out == ""
    read([picture(2, 2)] * 7, 2, verbose=1)
    assert "━" in capsys.readouterr().out


def test_preprocessing_standardizes_what_it_was_fitted_to() -> None:
    squares = np.stack([picture(6, 6, seed) for seed in range(5)])
    prepare = Reader.fit(squares)
    x = prepare.normalize(squares)
    assert x.dtype == np.float32
    assert np.abs(x.mean((0, 1, 2))).max() < 1e-5
    assert np.abs(x.std((0, 1, 2)) - 1).max() < 1e-5
    assert np.array_equal(prepare(list(squares)), x)
    assert prepare.image_size == 6


def test_preprocessing_takes_images_of_one_colour() -> None:
    squares = np.full((2, 4, 4, 3), 7, np.uint8)
    assert (Reader.fit(squares).normalize(squares) == 0).all()


def test_preprocessing_survives_json() -> None:
    prepare = Reader.fit(np.stack([picture(6, 6, seed) for seed in range(5)]))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(prepare.layer)))
    assert from_metadata(config).get_config() == prepare.layer.get_config()


def test_what_train_wrote_before_is_read_the_same() -> None:
    squares = np.stack([picture(6, 6, seed) for seed in range(5)])
    before = {"image_size": 6, "mean": (127.5,) * 3, "std": (63.3,) * 3, "interpolation": "lanczos"}
    x = Reader(from_metadata(before)).normalize(squares)
    assert np.array_equal(x, (squares.astype("float32") - np.float32(127.5)) / np.float32(63.3))
    assert from_metadata(before).interpolation == "lanczos"


def test_layer_of_squares_makes_of_them_what_training_took() -> None:
    squares = np.stack([picture(6, 6, seed) for seed in range(5)])
    prepare = Reader.fit(squares)
    x = keras.ops.convert_to_numpy(prepare.layer(squares))
    assert np.abs(x - prepare(list(squares))).max() < 1e-5


@pytest.mark.upstream
@pytest.mark.parametrize("depth", [2, 4, 16])
def test_pillow_leaves_a_transparent_colour_in_the_bits_of_the_file(depth: int) -> None:
    kind = png.Kind(png.COLOUR if depth == 16 else png.GREY, depth, False, True)
    content, _ = png.random(np.random.default_rng(0), kind, 4, 4)
    with Image.open(io.BytesIO(content)) as image:
        assert np.asarray(image.convert("RGBA"))[0, 0, 3] == 255  # which should be 0


@pytest.mark.upstream
def test_pillow_does_not_look_at_checksums_of_pixels() -> None:
    content = encoded("PNG")
    place = content.index(b"IEND") - 8  # the last byte of the sum of what is before
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    with Image.open(io.BytesIO(changed)) as image:
        image.load()
