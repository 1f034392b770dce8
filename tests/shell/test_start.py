"""`train --from`: what a run takes over of known weights, and what of it trains."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import resnet_layers as rl
from resnet_layers.layers.head import FLATTENING
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.networks import variants
from resnet_layers.shell import images, start, train
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.train_settings import WEIGHTS, TrainSettings
from resnet_layers.training import labelled, pictures
from resnet_layers.weights import readers
from resnet_layers.weights.plan import named_parts
from tests.shell.test_command_line import TINY, write_photos
from tests.support.randomize import randomize
from tests.support.uncompiled import uncompiled

EXPECTED: dict[str, Any] = {"image_size": 12, "mean": (10.0, 20.0, 30.0), "std": (40.0, 50.0, 60.0)}
LICENSED = {"pretrained": {"license": "mit"}}
STILL = {"learning_rate": 1e-30}  # a step of it changes no weight


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photographs, and known weights: a file of ours, and one for torch."""
    path = tmp_path_factory.mktemp("start")
    write_photos(path / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(variants.VARIANTS, "tiny", TINY)
        patch.chdir(path)
        described = keras.saving.serialize_keras_object(for_squares(**EXPECTED))
        metadata = {"class_names": ["x", "y"], "preprocessing": described, **LICENSED}
        model = rl.ResNet.from_variant("tiny", classes=2, metadata=metadata)
        randomize(model).save("known.keras")
        rl.save_torch_weights(model, "known.safetensors")
        yield path


def weights(model: rl.ResNet) -> dict[str, dict[str, NDArray[Any]]]:
    """By part and path."""
    return {
        name: {variable.path: np.array(variable) for variable in part.weights}
        for name, part in named_parts(model).items()
    }


@functools.cache
def known() -> dict[str, dict[str, NDArray[Any]]]:
    return weights(keras.saving.load_model("known.keras"))


def changed(model: rl.ResNet) -> set[str]:
    """The parts of a network that are not those that were known."""
    return {
        name
        for name, part in weights(model).items()
        if [value.tolist() for value in part.values()]
        != [value.tolist() for value in known()[name].values()]
    }


def trained(path: Path, **chosen: Any) -> Any:
    """What a run writes."""
    given: dict[str, Any] = {"from_": "known.keras", "epochs": 1, "batch_size": 8, "image_size": 8}
    train.train(TrainSettings(**{**given, **chosen}, data=Path("photos"), output=path))
    model = keras.saving.load_model(path / "model.keras")
    assert all(layer.trainable for layer in model._flatten_layers())
    return model


@pytest.mark.share(2)
@uncompiled()
@pytest.mark.parametrize("source", ["known.keras", "known.safetensors"])
def test_known_weights_come_with_all_but_their_classifier(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = None if source.endswith(".keras") else "tiny"
    model = trained(tmp_path, from_=source, variant=variant, freeze_until="head", **STILL)
    assert changed(model) == {"head"}
    assert model.output_shape == (None, 3)
    assert model.metadata["class_names"] == ["blau grün", "rot", "weiß"]
    assert model.metadata["run"]["settings"]["from"] == source
    assert f'from = "{Path(source).absolute()}"' in (tmp_path / "settings.toml").read_text()
    layer, out = rl.preprocessing(model), capsys.readouterr().out
    if source.endswith(".keras"):
        assert layer.mean == pytest.approx([value / 255 for value in EXPECTED["mean"]])
        assert model.metadata["pretrained"] == LICENSED["pretrained"]
        assert "Licence of the weights: mit" in out
    else:
        assert "'known.safetensors' does not say what it expects of images" in out
    assert layer.image_size == 8


@pytest.mark.share(6)
@uncompiled()
def test_the_size_of_images_is_that_of_the_weights(tmp_path: Path) -> None:
    model = trained(tmp_path, image_size=None)
    assert rl.preprocessing(model).image_size == EXPECTED["image_size"]
    assert changed(model) == {"stem", "stage1", "stage2", "head"}


@pytest.mark.share(6)
@uncompiled()
def test_the_same_classes_keep_their_classifier(tmp_path: Path) -> None:
    first = trained(tmp_path / "one")
    again = trained(tmp_path / "two", from_=str(tmp_path / "one" / "model.keras"), **STILL)
    np.testing.assert_array_equal(first.head.get_weights()[0], again.head.get_weights()[0])


@pytest.mark.share(3)
@uncompiled()
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"freeze_until": "stage2"}, "head stage2"),
        ({"freeze_until": "head", "unfreeze": "stage2@2", "epochs": 2}, "head stage2"),
        (
            {"freeze_until": "stage2", "unfreeze": "stage1@1", "layer_decay": 0.5},
            "head stage1 stage2",
        ),
    ],
    ids=str,
)
def test_what_is_frozen_stays_with_its_statistics(
    chosen: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert sorted(changed(trained(tmp_path, **chosen))) == expected.split()


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (rl.ClassifierHead(2, activation="sigmoid", name="head"), ["a", "b"]),
        (rl.ClassifierHead(1, name="head"), ["a", "b"]),
        (
            keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]),
            ["c", "d", "e"],
        ),
        (None, ["a"]),
    ],
    ids=["sigmoid", "narrow", "of Keras", "none"],
)
def test_a_classifier_that_does_not_fit_is_a_fresh_one(head: Any, names: list[str]) -> None:
    model = rl.ResNet.from_variant("tiny", head=head, metadata={"class_names": names})
    made = start.network(model, 8, {"class_names": ["a", "b"]})
    assert made.head is not head
    assert made.output_shape == (None, 2)


def test_images_are_brought_to_the_axes_of_the_network() -> None:
    squares = images.read(labelled.folder(Path("photos")).sources, 8)
    for data_format, shape in (("channels_last", (8, 8, 3)), ("channels_first", (3, 8, 8))):
        reader = images.Reader.fit(squares, data_format)
        assert reader.normalize(squares).shape[1:] == shape


@pytest.mark.share(6)
@uncompiled()
def test_what_a_run_begins_with_is_not_replaced_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path)
    source = str(tmp_path / "model.keras")
    with pytest.raises(InputError, match="holds the network of another run"):
        trained(tmp_path, from_=source)
    trained(tmp_path, from_=source, overwrite=True)
    (tmp_path / "checkpoints" / "ended").unlink()  # as where it is killed after its network
    options: dict[str, Any]
    for options in ({}, {"resume": tmp_path}):
        trained(tmp_path, from_=source, **options)
        assert "The training is over" in capsys.readouterr().out
        (tmp_path / "checkpoints" / "ended").unlink()


@pytest.mark.share(3)
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_are_prepared_as_the_weights_expect_them(channels: str, data_format: str) -> None:
    layer = rl.Preprocessing(
        image_size=8,
        crop_pct=0.9,
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        channels=channels,
    )
    described = keras.saving.serialize_keras_object(layer)
    layout: dict[str, Any] = {
        "data_format": data_format
    }  # which the metadata need not have been written for
    model = rl.ResNet.from_variant(
        "tiny", classes=2, metadata={"preprocessing": described}, **layout
    )
    reader = start.reader(model, None)
    assert reader is not None
    sources = labelled.folder(Path("photos")).sources
    # The layer itself, but for the border that it cuts off.
    whole = {**layer.get_config(), "crop_pct": 1.0, "resizing": "fit", **layout}
    plain = rl.Preprocessing(**whole)
    expected = [plain(np.asarray(pictures.decoded(source))) for source in sources]
    np.testing.assert_allclose(reader(sources), np.stack(expected), atol=1 / 100)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("cifar_resnet20", 0.1)),
        ({"from_": "resnet18.a1_in1k"}, ("resnet18", 0.01)),
        ({"from_": "weights/resnet18.a1_in1k.safetensors"}, ("resnet18", 0.01)),
        ({"from_": "a.pth", "variant": "resnet50"}, ("resnet50", 0.01)),
        ({"from_": "a.keras", "learning_rate": 0.5}, (None, 0.5)),
    ],
    ids=str,
)
def test_what_is_not_given_follows_from_the_weights(
    given: dict[str, Any], expected: tuple[str | None, float]
) -> None:
    settings = TrainSettings(**given)
    assert (settings.variant, settings.learning_rate) == expected


def test_endings_are_those_of_the_readers() -> None:
    assert {Path(f"a{ending}").suffix for ending in readers.READERS} == {*WEIGHTS}


@pytest.mark.share(3)
@uncompiled()
@pytest.mark.parametrize("pooling", FLATTENING)
def test_a_head_that_counts_pixels_has_those_of_the_images(
    pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From no weights, from known ones, and for another size, which takes a fresh head."""
    fields = {**TINY.fields, "head": {"pooling": pooling, "hidden_units": 4}}
    monkeypatch.setitem(variants.VARIANTS, "flat", dataclasses.replace(TINY, fields=fields))
    first = trained(tmp_path / "one", from_=None, variant="flat")
    assert first.input_shape == (8, 8, 3)
    known = str(tmp_path / "one" / "model.keras")
    again = trained(tmp_path / "two", from_=known, **STILL)
    np.testing.assert_array_equal(first.head.get_weights()[0], again.head.get_weights()[0])
    larger = trained(tmp_path / "three", from_=known, image_size=12, **STILL)
    assert larger.input_shape == (12, 12, 3)
    np.testing.assert_array_equal(first.stem.get_weights()[0], larger.stem.get_weights()[0])
    with pytest.raises(InputError, match=r"^`grow_from` must be None where the head counts pixels"):
        trained(tmp_path / "four", from_=known, grow_from=4)
