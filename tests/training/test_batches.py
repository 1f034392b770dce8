"""Batches that are read while a network trains: the n-th is a function of seed, epoch and n."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import resnet_layers as rl
from resnet_layers._support.errors import InputError
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell.images import Reader
from resnet_layers.training.batches import Batches, normalized
from resnet_layers.training.chance import Flip
from resnet_layers.training.crops import PadAndCrop, RandomResizedCrop
from resnet_layers.training.decoding import decode_part
from resnet_layers.training.headers import headers
from resnet_layers.training.labelled import Labelled, folder
from resnet_layers.training.mixing import Mixing
from resnet_layers.training.pictures import decoded, square
from resnet_layers.training.waiting import DataWait
from tests.attack import png
from tests.support.uncompiled import uncompiled

SIZE = 8
PLAIN = for_squares(SIZE, (0.0,) * 3, (1.0,) * 3)  # pixels as they are
CROP = RandomResizedCrop(SIZE, scale=(0.3, 1.0))


def labelled(sources: Any, classes: int = 3) -> Labelled:
    names = [str(i) for i in range(len(sources))]
    return Labelled(
        kind="folder",
        title="images",
        sources=list(sources),
        labels=np.arange(len(sources)) % classes,
        class_names=[f"class {i}" for i in range(classes)],
        names=names,
    )


def numbered(count: int) -> Labelled:
    """Images whose every pixel is their own number, which is their label, too."""
    sources = [np.full((SIZE, SIZE, 3), i, np.uint8) for i in range(count)]
    return labelled(sources, classes=count)


def picture(height: int, width: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def jpeg(path: Path, orientation: int = 1, subsampling: int = 2, **options: Any) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(options.pop("pixels", picture(57, 83)))
    image.save(path, exif=exif, subsampling=subsampling, quality=80, **options)
    return path


def mixed_files(path: Path) -> list[Path]:
    """Files of every kind and orientation."""
    files = [jpeg(path / f"{o}.jpg", o, o % 3, pixels=picture(40 + o, 61, o)) for o in range(1, 9)]
    for ending in ("png", "webp", "bmp", "gif"):
        files.append(path / f"a.{ending}")
        Image.fromarray(picture(33, 50, 9)).save(files[-1])
    rng = np.random.default_rng(0)
    for i, kind in enumerate(png.KINDS[:6]):
        files.append(path / f"{i}.png")
        files[-1].write_bytes(png.random(rng, kind, 20, 31)[0])
    Image.fromarray(picture(30, 30)).convert("L").save(path / "grey.jpg")
    Image.fromarray(picture(30, 30)).convert("CMYK").save(path / "cmyk.jpg")
    return [*files, path / "grey.jpg", path / "cmyk.jpg"]


def everything(batches: Batches, epoch: int = 0) -> list[Any]:
    return [batches.batch(epoch, step) for step in range(len(batches))]


@pytest.mark.share(4)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1])
def test_batches_hold_every_image_once_with_its_label(batch_size: int, seed: int | None) -> None:
    batches = Batches(numbered(65), PLAIN, batch_size, seed=seed)
    parts = list(batches.dataset().take(len(batches)))
    assert len(parts) == len(batches) == -(-65 // batch_size)
    found = np.concatenate([part[1] for part in parts])
    assert sorted(found) == list(range(65))
    assert (found.tolist() == list(range(65))) is (seed is None)
    for x, y in parts:
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, np.broadcast_to(y[:, None, None, None], x.shape), atol=1e-4)
    sizes = [len(part[1]) for part in parts]
    assert sizes == batches.sizes
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.share(2)
@pytest.mark.parametrize("count", [12, 13])  # of equal and of other sizes
def test_a_batch_is_a_function_of_seed_epoch_and_place(count: int) -> None:
    def made(seed: int = 3) -> Batches:
        return Batches(
            labelled([picture(20, 30, i) for i in range(count)]),
            PLAIN,
            4,
            seed=seed,
            crop=CROP,
            augment=[Flip(), PadAndCrop(1)],
            mixing=Mixing(mixup=0.2),
        )

    batches, other = made(), made()
    one_run = list(batches.dataset().take(3 * len(batches)))
    for step in (1, 3 * len(batches) - 1):
        alone = other.batch(*divmod(step, len(batches)))
        for a, b in zip(one_run[step], alone, strict=True):
            assert np.array_equal(a, b)
    orders = [made().order(epoch) for epoch in range(3)] + [made(4).order(0)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert not np.array_equal(one_run[0][0], made(4).batch(0, 0)[0])


def test_repeated_images_come_one_after_the_other_and_look_otherwise() -> None:
    batches = Batches(
        labelled([picture(20, 30, i) for i in range(9)], 9), PLAIN, 9, seed=0, crop=CROP, repeats=3
    )
    images, labels = batches.batch(0, 0)
    assert np.array_equal(labels[::3], labels[1::3])
    assert len(set(labels.numpy())) == 3
    assert len({image.tobytes() for image in images.numpy()}) == 9


@pytest.mark.share(8)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_a_jpeg_is_that_of_the_whole(
    tmp_path: Path, orientation: int, subsampling: int
) -> None:
    """To the last level, at odd places and borders too: `predict` sees the same pixels."""
    path = jpeg(tmp_path / "a.jpg", orientation, subsampling)
    (header,) = headers([path])
    assert not isinstance(header, InputError)
    whole = np.asarray(decoded(path))
    assert whole.shape[:2] == header[:2]
    rng = np.random.default_rng(orientation)
    for _ in range(25):
        top, left = (int(rng.integers(side)) for side in header[:2])
        tall = int(rng.integers(1, header.height - top + 1))
        wide = int(rng.integers(1, header.width - left + 1))
        box = np.array([top, left, tall, wide], np.int32)
        part = decode_part(str(path), header.height, header.width, header.orientation, box)
        assert np.array_equal(part, whole[top : top + tall, left : left + wide])


@pytest.mark.share(6)
def test_files_of_every_kind_are_cropped_where_their_arrays_would_be(tmp_path: Path) -> None:
    files = mixed_files(tmp_path)
    arrays = [np.asarray(decoded(path)) for path in files]
    of_files, of_arrays = (
        Batches(labelled(one), PLAIN, 64, seed=1, crop=CROP, augment=[Flip()])
        for one in (files, arrays)
    )
    np.testing.assert_array_equal(of_files.batch(0, 0)[0], of_arrays.batch(0, 0)[0])


def test_without_a_crop_images_are_those_that_predict_sees(tmp_path: Path) -> None:
    files = mixed_files(tmp_path)
    layer = rl.Preprocessing(
        **{
            **for_squares(SIZE, (90.0, 100.0, 110.0), (50.0, 60.0, 70.0)).get_config(),
            "channels": "bgr",
            "data_format": "channels_first",
        }
    )
    (found,) = Batches(labelled(files), layer, 64).dataset()
    np.testing.assert_array_equal(found[0], Reader(layer)(files))
    trained = Batches(labelled(files), layer, 64, seed=0)
    np.testing.assert_array_equal(
        trained.batch(0, 0)[0], Reader(layer)([files[i] for i in trained.order(0)])
    )


def test_normalized_is_what_a_reader_does() -> None:
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    reader = Reader.fit(squares)
    np.testing.assert_array_equal(normalized(squares, reader.layer), reader.normalize(squares))


@pytest.mark.share(6)
def test_weights_of_classes_hold_for_mixtures() -> None:
    weights = {0: 0.5, 2: 4.0}
    plain = Batches(numbered(3), PLAIN, 8, seed=0, class_weight=weights)
    _, labels, found = plain.batch(0, 0)
    np.testing.assert_allclose(found, np.array([0.5, 1.0, 4.0])[labels])
    mixed = Batches(numbered(3), PLAIN, 8, seed=0, class_weight=weights, mixing=Mixing(mixup=1.0))
    _, rows, found = mixed.batch(0, 0)
    np.testing.assert_allclose(found, rows.numpy() @ np.array([0.5, 1.0, 4.0]), rtol=1e-6)


# --- images that are damaged ---------------------------------------------------------------------


def damage(path: Path) -> None:
    """Within the data of a JPEG or the only chunk of a PNG, where a header does not show it."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".jpg":
        del content[len(content) // 2 : -2]
    else:
        content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for i in range(6):
        pixels = Image.fromarray(picture(40, 40, i))
        pixels.save(tmp_path / f"{i}.{('jpg', 'png')[i % 2]}")
    return sorted(tmp_path.iterdir())


@pytest.mark.share(3)
@pytest.mark.parametrize("crop", [None, CROP])
@pytest.mark.parametrize("place", [2, 3])
def test_a_damaged_image_is_named_after_a_step_failed(
    files: list[Path], place: int, crop: RandomResizedCrop | None
) -> None:
    batches = Batches(labelled(files), PLAIN, 2, seed=0, crop=crop)
    damage(files[place])
    step = batches.order(1).index(place) // 2
    with pytest.raises(Exception, match=r"JPEG|damaged|image"):
        list(batches.dataset(len(batches)).take(step + 1))
    (error,) = batches.damaged(len(batches))
    assert str(error) == f"The image '{files[place]}' cannot be read: it is damaged"
    if step + 1 < len(batches):
        assert list(batches.damaged(len(batches) + step + 1)) == []


def test_an_image_that_has_changed_is_named(files: list[Path]) -> None:
    batches = Batches(labelled(files), PLAIN, 2, seed=0, crop=CROP)
    Image.fromarray(picture(20, 20)).save(files[0])
    files[2].unlink()
    found = {str(error) for error in batches.damaged()}
    assert found == {
        f"The image '{files[0]}' has changed since the start",
        f"The image '{files[2]}' cannot be read: No such file or directory",
    }


@pytest.mark.share(2)
@pytest.mark.parametrize("crop", [None, CROP])
def test_images_that_are_left_out_weigh_nothing_and_change_no_other(
    files: list[Path], crop: RandomResizedCrop | None
) -> None:
    def made() -> Batches:
        return Batches(labelled(files), PLAIN, 4, seed=0, crop=crop, skip_damaged=True)

    before = everything(made())
    for place in (2, 3):
        damage(files[place])
    batches = made()
    after = everything(batches)
    order = batches.order(0)
    assert {str(error).split("'")[1] for error in batches.left_out} == {*map(str, files[2:4])}
    weights = np.concatenate([one[2] for one in after])
    assert weights.tolist() == [float(i not in (2, 3)) for i in order]
    pixels, then = (np.concatenate([one[0] for one in some]) for some in (after, before))
    assert np.array_equal(pixels[weights > 0], then[weights > 0])
    assert np.array_equal(np.concatenate([one[1] for one in after]), np.array(order) % 3)


@pytest.mark.share(6)
def test_a_mixture_with_an_image_that_is_left_out_weighs_nothing(files: list[Path]) -> None:
    damage(files[0])
    batches = Batches(
        labelled(files), PLAIN, 6, seed=0, mixing=Mixing(mixup=1.0), skip_damaged=True
    )
    _, _, weights = batches.batch(0, 0)
    place = batches.order(0).index(0)
    assert [i for i, weight in enumerate(weights) if not weight] == sorted({place, 5 - place})


# --- training with them --------------------------------------------------------------------------


def network() -> rl.ResNet:
    stem = rl.Stem(2, kernel_size=3, pooling=None)
    model = rl.ResNet(stem, [rl.ResNetStage(2, 1)], rl.ClassifierHead(3))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.share(6)
@uncompiled()
def test_the_share_of_an_epoch_that_waited_for_data_is_in_its_history() -> None:
    from time import sleep

    def slow(image: Any, seed: Any) -> Any:
        import tensorflow as tf

        def wait(value: Any) -> Any:
            sleep(0.2)
            return value

        return tf.ensure_shape(tf.numpy_function(wait, [image], image.dtype), image.shape)

    shares = []
    for augment in ([], [slow]):
        batches = Batches(numbered(3), PLAIN, 1, seed=0, augment=augment)
        history = network().fit(
            batches.dataset(),
            steps_per_epoch=len(batches),
            epochs=2,
            callbacks=[DataWait(batches.clock)],
            shuffle=False,
            verbose=0,
        )
        shares.append(history.history["data_wait"])
    assert all(0.0 <= share <= 1.0 for some in shares for share in some)
    assert shares[1][0] > shares[0][0]  # the rest was read ahead


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_header_is_all_that_is_read_of_a_sound_file(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(picture(30, 50)).save(path)
    called: list[Any] = []
    decode: Callable[..., Any] = Image.Image.load
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: called.append(decode(self)))
    (header,) = headers([path])
    assert header == (30, 50, kind == "jpg", 1)
    assert not called


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "gif"])
def test_files_without_their_end_are_found_before_training(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(picture(60, 60)).save(path)
    assert not isinstance(next(headers([path])), InputError)
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * 100)  # which some programs add
    assert not isinstance(next(headers([path])), InputError)
    for size in (len(content) * 3 // 4, len(content) - 30, 10, 0):
        path.write_bytes(content[:size])
        assert isinstance(next(headers([path])), InputError), size


def test_evaluation_reads_the_middle_squares_in_order(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(picture(20, 31, i)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    data = folder(tmp_path)
    found = np.concatenate([x for x, _ in Batches(data, PLAIN, 2).dataset()])
    expected = np.stack([square(source, SIZE) for source in data.sources])
    np.testing.assert_allclose(found, expected, atol=1e-4)
