"""Drawings: the boxes and arcs of a network, and where they stand."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import keras
import pytest

import resnet_layers as rl
from resnet_layers.analysis import layout, schematic, subjects
from resnet_layers.analysis.scene import Box, Image, Scene, Stroke, Text, width_of
from resnet_layers.analysis.schematic import Arc, Schematic
from resnet_layers.analysis.stages import Stages
from resnet_layers.layers import styles
from resnet_layers.networks import variants

L = keras.layers


def drawn(model: Any, input_shape: Any = None) -> Schematic:
    return schematic.schematic_of(subjects.find(model, input_shape, 1, None))


def texts_of(found: Schematic) -> list[str]:
    return [s.text for s in layout.scene_of([found], False).shapes if isinstance(s, Text)]


def blocks_of(name: str) -> list[bool]:
    """Whether each block of a variant converts its input."""
    row = variants.find(name)
    stages = row.stages(row.stem_geometry.filters, row.stem_geometry.reach, 32)
    return [
        converts
        for stage in stages
        for _, converts in stage.geometry.of_blocks(stage.blocks, stage.projection, stage.widths)
    ]


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_every_layer_has_a_box_and_every_block_an_arc(name: str) -> None:
    found, converts = drawn(name), blocks_of(name)
    weighted = [node for node in found.nodes if "conv," in node.label or "dense," in node.label]
    assert len(weighted) == found.layers
    assert found.left_out == 0
    plain = styles.get(variants.find(name).style).shortcut == "none"
    assert [not arc.identity for arc in found.arcs] == ([] if plain else converts)
    grouped = schematic.by_block(found)
    blocks = [node for node in grouped.nodes if node.block]
    assert [node.part for node in blocks] == list(dict.fromkeys(node.part for node in blocks))
    assert len(blocks) == len(converts)
    assert all(arc.end == arc.start + 1 for arc in grouped.arcs)


def test_the_boxes_of_a_stage_are_told_by_their_window_channels_and_step() -> None:
    found = drawn("resnext50_32x4d")
    assert [node.label for node in found.nodes[:2]] == ["7×7 conv, 64, /2", "3×3 pool, /2"]
    second = [node for node in found.nodes if node.block == "stage2/block1"]
    assert [(node.label, node.pixels) for node in second] == [
        ("1×1 conv, 256", (56, 56)),
        ("3×3 conv, 256, 32 groups, /2", (28, 28)),
        ("1×1 conv, 512", (28, 28)),
    ]
    assert [node.label for node in found.nodes[-2:]] == ["global pool", "dense, 1000"]
    blocks = schematic.by_block(found).nodes
    assert blocks[5].label == "1×1, 256 – 3×3, 256, 32 groups, /2 – 1×1, 512"


def test_what_a_label_says() -> None:
    image = x = keras.Input((32, 33, 4), name="image")
    x = L.DepthwiseConv2D((3, 1), padding="same")(x)
    x = L.Conv2D(8, 3, strides=(1, 2), padding="same")(x)
    x = L.Conv2D(8, 3, dilation_rate=2, padding="same")(x)
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    x = L.Multiply()([x, L.Conv2D(8, 1, activation="sigmoid")(gate)])
    x = L.UpSampling2D()(x)
    x = L.Conv2DTranspose(2, 2)(x)
    found = drawn(keras.Model(image, L.Dense(3)(L.Flatten()(x))))
    assert [node.label for node in found.nodes] == [
        "3×1 conv, 4, depthwise",
        "3×3 conv, 8, /1×2",
        "3×3 conv, 8, rate 2",
        "attention",
        "resize, ×2",
        "transposed conv, 2",
        "dense, 3",
    ]
    assert found.left_out == 0


def test_the_network_of_the_paper_is_that_of_keras() -> None:
    stock, ours = drawn(keras.applications.ResNet50(weights=None)), drawn("paper_resnet50")
    assert [node.label for node in stock.nodes] == [node.label for node in ours.nodes]
    assert stock.arcs == ours.arcs
    # Where no names tell of blocks, arcs do.
    grouped = [schematic.by_block(each) for each in (stock, ours)]
    labels, others = ([node.label for node in each.nodes] for each in grouped)
    assert labels == others
    assert grouped[0].arcs == grouped[1].arcs
    assert grouped[0].nodes[2].part == "conv2_block1_1_conv – conv2_block1_3_conv"


def test_attention_is_a_box_beside_which_nothing_is_left_out() -> None:
    found = drawn("seresnet18")
    assert [node.label for node in found.nodes if "stage1/block1" in node.part] == [
        "3×3 conv, 64",
        "3×3 conv, 64",
        "attention",
    ]
    assert found.left_out == 0


def test_arcs_over_arcs() -> None:
    image = x = keras.Input((16, 16, 1))
    kept = []
    for filters in (4, 8):
        x = L.Conv2D(filters, 3, padding="same")(x)
        kept.append(x)
        x = L.MaxPooling2D()(x)
    for filters in (8, 4):
        x = L.UpSampling2D()(L.Conv2D(filters, 3, padding="same")(x))
        x = L.Concatenate()([x, kept.pop()])
    found = drawn(keras.Model(image, x))
    inner, outer = Arc(3, 6, True, (0,)), Arc(1, 8, True, (0,))
    assert found.arcs == (inner, outer)


def test_branches_are_counted() -> None:
    image = keras.Input((8, 8, 4))
    long = L.Conv2D(4, 3, padding="same")(L.Conv2D(4, 1)(L.Conv2D(4, 1)(image)))
    short = L.Conv2D(4, 1)(image)
    inner = L.Add()([L.Conv2D(4, 1)(short), L.Conv2D(4, 1)(short)])
    pooled = L.MaxPooling2D(3, strides=1, padding="same")(image)
    found = drawn(keras.Model(image, L.Concatenate()([long, inner, pooled])))
    # Of the two layers within the second branch, one is not on the arc.
    assert found.arcs == (Arc(0, 3, False, (2, 0)),)
    assert found.left_out == 1
    texts = texts_of(found)
    assert "2 layers" in texts
    assert f"{found.name}: 1 layer on another branch is not drawn" in texts


def test_an_unknown_layer_is_named() -> None:
    image = keras.Input((8, 8, 3))
    x = L.Lambda(lambda x: x * 2)(L.Conv2D(4, 3)(image))
    y = L.Add()([L.Conv2D(4, 1)(x), L.Lambda(lambda x: x * 3)(x)])
    found = drawn(keras.Model(image, y))
    assert [node.label for node in found.nodes][1] == "Lambda (unknown)"
    assert found.arcs[0].unknown == ("Lambda (unknown)",)
    assert "Lambda (unknown)" in texts_of(found)


def test_what_multiplies_a_whole_map_is_a_branch() -> None:
    image = keras.Input((8, 8, 4))
    long = L.Conv2D(4, 3, padding="same")(L.Conv2D(9, 1)(image))
    found = drawn(keras.Model(image, L.Conv2D(2, 1)(L.Multiply()([image, long]))))
    assert [node.label for node in found.nodes] == ["1×1 conv, 9", "3×3 conv, 4", "1×1 conv, 2"]
    assert found.arcs == (Arc(0, 2, True, (0,)),)
    gate = L.Conv2D(4, 1)(image)
    long = L.Conv2D(4, 3, padding="same")(L.Conv2D(9, 1)(image))
    weighed = L.Multiply()([gate, long, L.GlobalAveragePooling2D(keepdims=True)(image)])
    found = drawn(keras.Model(image, weighed))
    assert [node.label for node in found.nodes] == ["1×1 conv, 9", "3×3 conv, 4", "attention"]
    assert (found.arcs, found.left_out) == ((Arc(0, 3, False, (1,)),), 0)


@pytest.mark.parametrize(
    "change",
    [
        L.Activation("tanh"),
        L.Rescaling(2.0),
        L.Softmax(),
        L.BatchNormalization(),
        L.MaxPooling2D(3, 1, "same"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_shortcut_that_changes_anything_is_dotted(change: Any) -> None:
    image = keras.Input((8, 8, 4))
    found = drawn(keras.Model(image, L.Add()([L.Conv2D(4, 1)(image), change(image)])))
    assert found.arcs == (Arc(0, 1, False, (0,)),)
    beside = drawn(keras.Model(image, L.Add()([image, L.Conv2D(4, 1)(L.Dropout(0.5)(image))])))
    assert beside.arcs == (Arc(0, 1, True, (0,)),)


def test_what_has_no_box_beside_it_is_counted() -> None:
    image = keras.Input((8, 8, 4))
    y = L.ReLU()(L.BatchNormalization()(image))
    pooled = L.MaxPooling2D(3, 1, "same")(image)
    found = drawn(keras.Model(image, L.Add()([y, pooled])))
    assert (found.arcs, found.left_out) == ((), 1)


def test_blocks_do_not_hide_where_other_arcs_leave() -> None:
    def conv(x: Any) -> Any:
        return L.Conv2D(4, 3, padding="same")(x)

    image = keras.Input((8, 8, 4))
    a = conv(image)
    b = conv(a)
    d = conv(b)
    e = L.Add()([conv(d), b])
    g = L.Add()([conv(e), d])
    found = drawn(keras.Model(image, L.Add()([conv(g), a])))
    assert [(arc.start, arc.end) for arc in found.arcs] == [(2, 4), (3, 5), (1, 6)]
    assert schematic.by_block(found) == found


def test_other_images_and_outputs_are_counted() -> None:
    one, two = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    x = L.Conv2D(4, 3, padding="same")(L.Conv2D(4, 1)(one))
    x = L.Concatenate()([x, L.Conv2D(4, 1, name="beside")(two)])
    outputs = [L.Conv2D(2, 1)(L.Conv2D(5, 1)(x)), L.Dense(3)(x)]
    for ends in (outputs, outputs[::-1]):
        found = drawn(keras.Model([one, two], ends))
        labels = [node.label for node in found.nodes]
        assert labels == ["1×1 conv, 4", "3×3 conv, 4", "1×1 conv, 5", "1×1 conv, 2"]
        assert (found.arcs, found.left_out) == ((), 2)


def test_names_of_any_letters_have_room() -> None:
    models = [
        keras.Sequential([keras.Input((4, 4, 3)), L.Conv2D(2, 3)], name=name)
        for name in ("a_very_long_name_" * 4, "猫" * 30, "a\x07b\nc")
    ]
    for horizontal in (False, True):
        picture = rl.draw([*models, "test_resnet"], horizontal=horizontal)
        check_scene(picture.scene)
        ElementTree.fromstring(picture._repr_svg_().encode("utf-8", "replace"))
        assert "\n" not in picture.scene.title


def test_colours_of_bars_are_those_of_the_drawing() -> None:
    for name in ("resnet50", "cifar_resnet20"):
        nodes = {node.part: node.colour for node in schematic.by_block(drawn(name)).nodes}
        shapes = rl.profile(name).bars().scene.shapes
        bars = {shape.title: shape.colour for shape in shapes if isinstance(shape, Box)}
        shared = {*nodes} & {*bars}
        assert len(shared) >= 9
        assert {part: nodes[part] for part in shared} == {part: bars[part] for part in shared}


def test_a_seventh_stage_has_the_first_colour_again() -> None:
    stages = Stages()
    found = [stages.colour((f"stage{i}",), 2) for i in range(1, 8)]
    assert found == [f"stage{i % 6}" for i in range(1, 8)]
    assert stages.colour(("up",), 0.5) == "stage0"


def test_maps_of_one_size_stand_in_one_row() -> None:
    networks = [drawn(name) for name in ("vgg19", "plain34", "paper_resnet34")]
    starts: dict[tuple[int, ...], set[int]] = {}
    for network, rows in zip(networks, layout._rows(networks), strict=True):
        assert rows == sorted({*rows})
        sizes = [node.pixels for node in network.nodes]
        for size in {*sizes}:
            starts.setdefault(size, set()).add(rows[sizes.index(size)])
    assert {size: len(rows) for size, rows in starts.items()} == dict.fromkeys(starts, 1)


def edges(shape: Any) -> tuple[float, float, float, float]:
    """Left, upper, right and lower edge."""
    if isinstance(shape, Box | Image):
        return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
    if isinstance(shape, Stroke):
        places = [where for _, *where in shape.commands]
        xs = [x for place in places for x in place[::2]]
        ys = [y for place in places for y in place[1::2]]
        return min(xs), min(ys), max(xs), max(ys)
    width, half = width_of(shape.text, shape.size) * (1.1 if shape.bold else 1), shape.size / 2
    start = {"start": 0.0, "middle": width / 2, "end": width}[shape.anchor]
    if shape.turned:
        return shape.x - half, shape.y + start - width, shape.x + half, shape.y + start
    return shape.x - start, shape.y - half, shape.x - start + width, shape.y + half


def check_scene(scene: Scene) -> None:
    """All shapes are on the sheet, and no two boxes or lines of text are on each other."""
    found = [(shape, edges(shape)) for shape in scene.shapes]
    for shape, (left, upper, right, lower) in found:
        assert min(left, upper) >= 0, shape
        assert max(right - scene.width, lower - scene.height) <= 0, shape
    for kind in (Box, Text):
        those = [(shape, place) for shape, place in found if isinstance(shape, kind)]
        for i, (shape, a) in enumerate(those):
            for other, b in those[i + 1 :]:
                apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
                assert apart, (shape, other)


@pytest.mark.parametrize("horizontal", [False, True], ids=["down", "across"])
@pytest.mark.parametrize(
    "names",
    [
        ["vgg19", "plain34", "paper_resnet34"],
        ["cifar_resnet20", "seresnet50", "resnet10t"],
        ["r2plus1d_18"],
        ["resnetv2_50", "resnet18d"],
    ],
    ids="-".join,
)
def test_nothing_covers_anything(names: list[str], horizontal: bool) -> None:
    for detail in ("layers", "blocks"):
        check_scene(rl.draw(names, detail=detail, horizontal=horizontal).scene)
