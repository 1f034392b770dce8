"""Pictures: files of each kind, bars, sheets, and what notebooks show."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image as Pixels

import resnet_layers as rl
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.scene import COLOURS, ENDINGS, Box, Image, Scene, Stroke, Text
from tests.analysis.test_drawing import check_scene

L = keras.layers
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["plain34", "paper_resnet34"]


def pixels(path: Path) -> np.ndarray:
    with Pixels.open(path) as image:
        return np.asarray(image.convert("RGB"))


def colour_of(name: str, theme: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(getattr(COLOURS[name], theme)[1:]))


def test_an_svg_has_every_shape_and_follows_its_reader(tmp_path: Path) -> None:
    drawn = rl.draw("resnet18")
    drawn.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawn._repr_svg_()
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    kinds = {"rect": Box, "path": Stroke, "text": Text}
    for tag, kind in kinds.items():
        shapes = sum(isinstance(shape, kind) for shape in drawn.scene.shapes)
        assert len(root.findall(SVG + tag)) == shapes + (tag == "rect")
    light, dark = (style.text or "" for style in root.findall(f"{SVG}style"))
    assert COLOURS["ink"].light in light
    assert dark.startswith("@media (prefers-color-scheme: dark)")
    assert COLOURS["ink"].dark in dark
    classes = set(re.findall(r'class="rl-(?:line-)?(\w+)"', drawn._repr_svg_()))
    assert classes <= {*COLOURS}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_is_kept(tmp_path: Path, theme: Any) -> None:
    drawn = rl.draw("cifar_resnet20", detail="blocks")
    drawn.save(tmp_path / "a.svg", theme=theme)
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert getattr(COLOURS["ink"], theme) in text
    assert "@media" not in text
    drawn.save(tmp_path / "a.png", theme=theme)
    found = pixels(tmp_path / "a.png")
    assert tuple(found[0, 0]) == colour_of("paper", theme)
    box = next(shape for shape in drawn.scene.shapes if isinstance(shape, Box))
    inside = found[round(2 * box.y) + 4, round(2 * box.x) + 8]
    assert tuple(inside) == colour_of(box.colour, theme)


def test_a_scale_makes_a_picture_larger(tmp_path: Path) -> None:
    drawn = rl.draw("cifar_resnet20", detail="blocks", horizontal=True)
    size = np.array([drawn.scene.width, drawn.scene.height])
    for scale in (0.5, 1, 3):
        drawn.save(tmp_path / "a.PNG", scale=scale)
        height, width, _ = pixels(tmp_path / "a.PNG").shape
        assert abs((width, height) - 2 * scale * size).max() <= 1
        drawn.save(tmp_path / "a.svg", scale=scale)
        root = ElementTree.parse(tmp_path / "a.svg").getroot()
        assert abs(float(root.attrib["width"]) - scale * size[0]) < 0.01 * scale * size[0]
    drawn.save(tmp_path / "a.pdf", scale=2)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_pictures_are_equal_files(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        rl.draw(NAMES).save(tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert b"CreationDate" not in (tmp_path / f"a{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_what_is_there_stays_where_a_picture_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    monkeypatch.setattr("resnet_layers.analysis.raster.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rl.draw("resnet18").save(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.png", "mine")]


def test_names_are_escaped_and_settings_of_matplotlib_are_left_alone(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, L.Conv2D(2, 3)(image), name="a$x^$b & <c>")
    with pyplot.rc_context({"text.usetex": True, "savefig.dpi": 30, "figure.figsize": (1, 1)}):
        drawn = rl.draw([model, "test_resnet"])
        drawn.save(tmp_path / "a.png")
        drawn.save(tmp_path / "a.svg")
    _, width, _ = pixels(tmp_path / "a.png").shape
    assert abs(width - 2 * drawn.scene.width) <= 1
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.attrib["aria-label"] == "a$x^$b & <c>, test_resnet"
    assert "a$x^$b & <c>" in [text.text for text in root.findall(f"{SVG}text")]


def test_drawings_change_nothing() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    variables = [np.array(variable) for variable in model.variables]
    image = np.ones((32, 32, 3))
    for each in (rl.draw(model), rl.draw_kernels(model), rl.draw_features(model, image)):
        assert isinstance(each, Picture)
    for before, variable in zip(variables, model.variables, strict=True):
        np.testing.assert_array_equal(before, variable)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("column", ["macs", "params", "live_bytes", "intensity"])
def test_bars_are_as_long_as_their_numbers(column: str, depth: int) -> None:
    found = rl.profile("cifar_resnet20", convention="timm")
    drawn = found.bars(column, depth)
    check_scene(drawn.scene)
    lengths = {s.title: s.width for s in drawn.scene.shapes if isinstance(s, Box)}
    numbers = {name: getattr(found.part(name), column) for name in lengths}
    assert all(numbers.values())
    longest = max(numbers.values())
    for name, number in numbers.items():
        assert lengths[name] == pytest.approx(320 * number / longest)
    if column in ("macs", "params"):
        assert sum(numbers.values()) == getattr(found, column)
    if column == "macs":
        notes = [s.text for s in drawn.scene.shapes if isinstance(s, Text)]
        assert notes[-1].startswith("macs")


def test_a_layer_without_parts_has_one_bar() -> None:
    drawn = rl.profile(L.Dense(3, name="mine"), (4,)).bars()
    assert [s.colour for s in drawn.scene.shapes if isinstance(s, Box)] == ["plain"]


def test_a_comparison_is_drawn_as_its_networks_are() -> None:
    compared = rl.compare(NAMES, (64, 64, 3)).draw(detail="blocks", horizontal=True)
    assert compared.scene == rl.draw(NAMES, (64, 64, 3), detail="blocks", horizontal=True).scene


def tiles(drawn: Picture) -> list[np.ndarray]:
    check_scene(drawn.scene)
    return [shape.pixels for shape in drawn.scene.shapes if isinstance(shape, Image)]


def test_kernels_are_colours_about_grey() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    kernel = np.zeros((3, 3, 3, 16), "float32")
    kernel[0, 1, 2, 0] = 4.0  # blue
    kernel[2, 2, 0, 0] = -2.0  # half as strong, without red
    model.stem.conv.convolution.kernel.assign(kernel)
    first, second, *others = tiles(rl.draw_kernels(model))
    assert len(others) == 14
    expected = np.full((3, 3, 3), 128)
    expected[0, 1, 2], expected[2, 2, 0] = 255, 64
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, np.full((3, 3, 3), 128))


def test_kernels_of_one_channel_are_grey_and_of_any_model() -> None:
    layers = [keras.Input((8, 8, 1)), L.Conv2D(100, (5, 3), name="mine"), L.Conv2D(3, 1)]
    model = keras.Sequential(layers, name="grey")
    drawn = rl.draw_kernels(model)
    assert drawn.scene.title == "mine of grey"
    found = tiles(drawn)
    assert [tile.shape for tile in found] == [(5, 3, 3)] * 64
    assert all((tile == tile[..., :1]).all() for tile in found)
    assert "first 64 of 100 kernels" in [s.text for s in drawn.scene.shapes if isinstance(s, Text)]


def test_what_is_no_number_is_black() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    kernel = np.ones((3, 3, 3, 16), "float32")
    kernel[..., 3] = np.nan
    model.stem.conv.convolution.kernel.assign(kernel)
    for drawn in (rl.draw_kernels(model), rl.draw_features(model, np.ones((32, 32, 3)))):
        assert tiles(drawn)[3].max() == 0
        assert tiles(drawn)[2].max() > 0


def test_features_are_those_of_the_model() -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    image = np.random.default_rng(0).normal(size=(32, 32, 3)).astype("float32")
    for name, maps in model.features(image[None]).items():
        array = np.asarray(maps)[0]
        found = tiles(rl.draw_features(model, image, name))
        assert len(found) == array.shape[-1]
        for i, tile in enumerate(found):
            # The darkest and the lightest of the map are where its smallest and largest are.
            light = tile.astype(int).sum(-1)
            if np.ptp(array[..., i]) > 0:
                assert light.flat[array[..., i].argmax()] == light.max()
                assert light.flat[array[..., i].argmin()] == light.min()


def test_features_of_other_models_and_orders() -> None:
    image = np.random.default_rng(0).normal(size=(1, 3, 12, 8)).astype("float32")
    first = rl.ResNet.from_variant("test_resnet", classes=3, data_format="channels_first")
    assert tiles(rl.draw_features(first, image))[0].shape == (6, 4, 3)
    inputs = keras.Input((12, 8, 3))
    x = L.Conv2D(5, 3, name="one")(inputs)
    x = rl.ResNetStage(8, 2, strides=2, name="two")(x)
    model = keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(x)), name="mine")
    image = image.transpose(0, 2, 3, 1)
    assert len(tiles(rl.draw_features(model, image))) == 5
    drawn = rl.draw_features(model, image[0], "two")
    assert drawn.scene.title == "two of mine"
    maps = keras.Model(inputs, x)(image)
    assert [tile.shape for tile in tiles(drawn)] == [(*maps.shape[1:3], 3)] * maps.shape[-1]


def test_a_sheet_is_read_back_from_its_file(tmp_path: Path) -> None:
    model = rl.ResNet.from_variant("cifar_resnet20", classes=3)
    drawn = rl.draw_kernels(model)
    drawn.save(tmp_path / "a.svg")
    drawn.save(tmp_path / "a.png")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    first = next(shape for shape in drawn.scene.shapes if isinstance(shape, Image))
    href = root.findall(f"{SVG}image")[0].attrib["href"]
    read = Pixels.open(io.BytesIO(base64.b64decode(href.split(",")[1])))
    np.testing.assert_array_equal(np.asarray(read), first.pixels)
    found = pixels(tmp_path / "a.png")
    x, y, side = 2 * first.x, 2 * first.y, 2 * first.width / 3
    middle = found[round(y + 1.5 * side), round(x + 0.5 * side)]
    np.testing.assert_allclose(middle, first.pixels[1, 0], atol=1)


def test_a_scene_without_shapes_is_a_sheet() -> None:
    assert "<rect" in Picture(Scene(10, 10, "nothing"))._repr_svg_()
