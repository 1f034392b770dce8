"""The pure parts of the tables of serving: ratios, operations, rendering."""

import copy
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import resnet_layers as rl
from benchmarks.serving import __main__ as serving
from benchmarks.serving import machine as serving_machine
from benchmarks.serving import tables as serving_tables
from benchmarks.serving.contenders import FORMATS, Contenders, Way
from benchmarks.serving.tables import AGAIN, BASELINE, GRAPHS, Data

MEASURED = sorted(Path(__file__).parents[2].joinpath("docs", "data").glob("serving*.json"))


def way(whose: str, runtime: str, precision: str) -> dict[str, str]:
    return {"whose": whose, "runtime": runtime, "precision": precision}


@pytest.fixture
def data() -> Data:
    """Two rounds: Keras takes 0.4 s, ours 0.1 s, torchvision's 0.2 s, the product 0.05 s."""
    return {
        "network": "resnet50",
        "size": 224,
        "machine": {"processor": "Some CPU", "cores": "2"},
        "flags": ["avx512_bf16"],
        "operations": {"ours": 8e9, "Keras": 6e9, "product": 16e9},
        "ways": {
            BASELINE: way("Keras", "predict_on_batch", "float32"),
            GRAPHS[0]: way("Keras", "tf.function", "float32"),
            GRAPHS[1]: way("Keras", "tf.function with XLA", "float32"),
            "OpenVINO float32": way("ours", "OpenVINO", "float32"),
            "TensorFlow graph float32": way("ours", "TensorFlow graph", "float32"),
            "torchvision: OpenVINO float32": way("torchvision", "OpenVINO", "float32"),
            "machine: matrix product float32": way("machine", "matrix product", "float32"),
            AGAIN: way("Keras", "predict_on_batch, again", "float32"),
        },
        "skipped": {"LiteRT int8": "ai_edge_litert not installed"},
        "differences": {"OpenVINO float32": 1e-6},
        "seconds": {
            "8": {
                BASELINE: [0.4, 0.4],
                GRAPHS[0]: [0.3, 0.3],
                GRAPHS[1]: [0.2, 0.2],
                "OpenVINO float32": [0.1, 0.1],
                "TensorFlow graph float32": [0.25, 0.25],
                "torchvision: OpenVINO float32": [0.2, 0.2],
                "machine: matrix product float32": [0.05, 0.05],
                AGAIN: [0.4, 0.4],
            }
        },
        "layers": {"8": {"float32": {"convolutions 3×3": [0.08, 4e9], "Pad": [0.02, 0.0]}}},
    }


def row_of(lines: list[str], start: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_spread_is_the_quartiles_of_paired_ratios() -> None:
    """Not of the ratio of medians, which is 2 here."""
    assert serving_tables.spread([1.0, 2.0, 8.0], [1.0, 4.0, 2.0]) == (0.75, 1.0, 2.5)
    assert serving_tables.spread([3.0], [2.0]) == (1.5, 1.5, 1.5)


def test_rounds_run_backwards_every_second_time() -> None:
    calls: list[str] = []

    def contender(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds

    timed = {"a": lambda: contender("a", 1.0), "b": lambda: contender("b", 2.0)}
    assert serving.rounds_of(timed, 3) == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert calls == ["a", "b", "b", "a", "a", "b"]


def test_operations_of_a_network_written_by_hand() -> None:
    """3×3 from 3 to 4 channels and 1×1 to 2, on 4×4 outputs; and 2 × 5 weights."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    x = keras.layers.Conv2D(2, 1)(x)
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
    count = serving_machine.operations(keras.Model(inputs, x), 8)
    assert count == 2 * (16 * 4 * 27 + 16 * 2 * 4 + 2 * 5)


@pytest.mark.slow
def test_operations_of_resnet50_are_those_that_are_published() -> None:
    """4.09 billion multiply-adds, as torchvision has them."""
    model = rl.ResNet.from_variant("resnet50", input_shape=(224, 224, 3))
    assert serving_machine.operations(model, 224) == pytest.approx(2 * 4.09e9, rel=2e-3)


def test_the_better_graph_is_the_faster_one_of_those_that_ran(data: Data) -> None:
    seconds = data["seconds"]["8"]
    assert serving_tables.best_graph(seconds) == GRAPHS[1]
    del seconds[GRAPHS[1]]
    assert serving_tables.best_graph(seconds) == GRAPHS[0]


def test_fastest_is_ours_of_that_precision(data: Data) -> None:
    assert serving_tables.fastest(data, "8", "float32") == "OpenVINO float32"
    graph = serving_tables.fastest(data, "8", "float32", "TensorFlow graph")
    assert graph == "TensorFlow graph float32"
    assert serving_tables.fastest(data, "8", "int8") is None


def test_achieved_counts_all_images_of_a_batch(data: Data) -> None:
    """8 × 8 GFLOP in 0.1 s, and 320 GFLOP/s are what the machine can do."""
    rate, share = serving_tables.achieved(data, "8", "OpenVINO float32")
    assert rate == pytest.approx(640e9)
    assert share == pytest.approx(2.0)
    keras_rate, _ = serving_tables.achieved(data, "8", BASELINE)
    assert keras_rate == pytest.approx(6e9 * 8 / 0.4)
    del data["seconds"]["8"]["machine: matrix product float32"]
    assert serving_tables.achieved(data, "8", "OpenVINO float32")[1] is None


def test_limit_is_what_the_matrix_product_leaves(data: Data) -> None:
    """64 GFLOP at 320 GFLOP/s take half of Keras' 0.4 s."""
    assert serving_tables.limits(data, "8") == {"float32": pytest.approx(2.0)}
    text = "\n".join(serving_tables.tables(data))
    assert "matrix product our network would reach 2.00 in float32.\n" in text
    del data["seconds"]["8"]["machine: matrix product float32"]
    assert "would reach" not in "\n".join(serving_tables.tables(data))


def test_a_row_has_ratios_target_and_share(data: Data) -> None:
    lines = serving_tables.tables(data)
    assert row_of(lines, "**OpenVINO float32**") == [
        "**OpenVINO float32**",
        "100.0",
        "4.00 (4.00 – 4.00)",
        "1.35",
        "2.00 (2.00 – 2.00)",
        "640",
        "200%",
        "1e-06",
    ]
    product = "machine: matrix product float32"
    assert row_of(lines, product) == [product, "50.0", "", "", "", "320", "", ""]
    assert not [line for line in lines if line.startswith(f"| {AGAIN}")]
    (head,) = [line for line in lines if line.startswith("| way |")]
    assert "× Keras, tf.function with XLA |" in head


def test_pairs_are_torchvisions_time_over_ours(data: Data) -> None:
    cells = row_of(serving_tables.tables(data), "OpenVINO float32")
    assert cells == ["OpenVINO float32", "2.00 (2.00 – 2.00)"]


def test_without_torchvision_there_are_no_pairs_but_the_reason(data: Data) -> None:
    name = "torchvision: OpenVINO float32"
    del data["seconds"]["8"][name]
    data["skipped"][name] = "torch not installed"
    lines = serving_tables.tables(data)
    assert "### Ours beside torchvision's" not in lines
    assert f"- {name}: torch not installed" in lines
    assert "- LiteRT int8: ai_edge_litert not installed" in lines


def test_which_way_is_read_off_the_medians(data: Data) -> None:
    lines = serving_tables.tables(data)
    assert row_of(lines, "the model's outputs")[1] == "OpenVINO float32: 12.5 ms an image"
    alone = row_of(lines, "the model's outputs, TensorFlow alone")
    assert alone[1] == "TensorFlow graph float32: 31.2 ms an image"
    assert row_of(lines, "three digits of them")[1] == "none"


def test_layers_have_shares_and_rates(data: Data) -> None:
    lines = serving_tables.tables(data)
    assert row_of(lines, "convolutions 3×3")[1] == "80.0%, 50"
    assert row_of(lines, "Pad")[1] == "20.0%"
    assert row_of(lines, "all without products")[1] == "20.0%"
    data["layers"] = {}
    assert "### Where the time goes" not in serving_tables.tables(data)


@pytest.mark.parametrize(
    ("flags", "says"),
    [([], "has no AMX"), (["amx_bf16"], "has no AMX"), (["amx_bf16", "amx_int8"], "has AMX")],
)
def test_tables_say_whether_the_targets_are_meant_for_this_processor(
    data: Data, flags: list[str], says: str
) -> None:
    text = "\n".join(serving_tables.tables(data | {"flags": flags}))
    assert f"The processor {says}" in text


def test_page_has_a_part_for_each_machine(data: Data) -> None:
    other = copy.deepcopy(data)
    other["machine"]["processor"] = "Other CPU"
    text = serving_tables.page([data, other])
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## Some CPU, 2 cores", "## Other CPU, 2 cores"]


def test_targets_name_ways_that_exist() -> None:
    ours = {f"{runtime} {precision}" for runtime, precision in FORMATS}
    assert set(serving_tables.TARGETS) <= ours
    assert set(serving_tables.PAIRS) <= ours


def test_a_way_says_what_is_not_installed() -> None:
    lacking = Way(
        "ours", "X", "int8", lambda batch: lambda: batch, ("numpy", "no_such", "nor_this")
    )
    assert lacking.missing() == "no_such and nor_this not installed"
    assert lacking.name == "X int8"
    assert Way("Keras", "X", "int8", lambda batch: lambda: batch).missing() == ""


@pytest.mark.share(6)
def test_outputs_that_differ_are_not_timed(tmp_path: Path) -> None:
    contenders = Contenders("cifar_resnet20", 32, tmp_path)
    batch = np.ones((1, 32, 32, 3), "float32")
    outputs = contenders.model.predict_on_batch(batch)
    lower = Way("ours", "X", "bfloat16", lambda batch: lambda: batch)
    exact = Way("ours", "X", "float32", lambda batch: lambda: batch)
    assert contenders.check(exact, batch, outputs) == 0.0
    assert contenders.check(lower, batch, 1.01 * outputs) == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ArithmeticError, match=r"^X float32 differs from the network by 1\.0e-02$"):
        contenders.check(exact, batch, 1.01 * outputs)
    with pytest.raises(ArithmeticError, match=r"^X bfloat16 differs from the network by nan$"):
        contenders.check(lower, batch, np.nan * outputs)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.name)
def test_measured_data_are_whole(path: Path) -> None:
    """Each way has its rounds in every batch, or a reason."""
    data = json.loads(path.read_text(encoding="utf-8"))
    for seconds in data["seconds"].values():
        assert set(seconds) | set(data["skipped"]) == set(data["ways"])
        assert not set(seconds) & set(data["skipped"])
        assert len({len(rounds) for rounds in seconds.values()}) == 1
        assert len(seconds[BASELINE]) >= 7
