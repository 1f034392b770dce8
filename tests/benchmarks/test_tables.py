"""The pure parts of the benchmarks' report: exponents, rooflines, tables, figures, JSON."""

import doctest
import runpy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import resnet_layers as rl
from benchmarks import bench_growth
from benchmarks.harness import growth, plots, roofline, tables
from benchmarks.harness.report import Comparison, Growth, Memory, Reached, Results
from tests.support.randomize import images

DOCS = Path(__file__).parents[2] / "docs"
# `benchmarks-MACHINE.json`, where there are any.
MEASURED = sorted((DOCS / "data").glob("benchmarks-*.json"))


def comparison(group: str, network: str, details: dict[str, Any]) -> Comparison:
    """Stock layers take 0.4 s, ours 0.2 s, and ours folded 0.1 s."""
    return Comparison(
        group,
        {"network": network, "mode": "graph", "device": "CPU"},
        "stock layers",
        {"ours": [0.2] * 6, "stock layers": [0.4] * 6, "ours, folded": [0.1] * 6},
        {"ours": 1.0},
        {"ours": details},
    )


@pytest.fixture
def results() -> Results:
    """A product of 1000 GFLOP/s, memory of 10 GB/s; networks at 40 and at 400 GFLOP/s."""
    known = {"trace_seconds": 1.234, "compile_seconds": 0.5, "retraces": 0, "nodes": 42}
    run: roofline.Run = {
        "network": "resnet18",
        "batch": 8,
        "pixels": 224,
        "device": "CPU",
        "ways": {
            "float32": {"precision": "float32", "operations": 4e9, "bytes": 4 * 10**8},
            "float32, folded": {"precision": "float32", "operations": 4e9, "bytes": 10**6},
        },
        "products": {"float32": 1e10},
        "moved": 10**9,
        "seconds": {
            "float32": [0.1, 0.1],
            "float32, folded": [0.01, 0.01],
            "product float32": [0.01, 0.01],
            "memory": [0.1, 0.1],
        },
    }
    deep = {20: [0.001, 0.002], 40: [0.002, 0.004]}
    wide = {16: [0.001, 0.001], 32: [0.004, 0.004]}
    case = {"mode": "graph", "device": "CPU"}
    return Results(
        machine={"processor": "Some CPU", "cores": "2", "GPU": "none", "keras": "3 on jax"},
        command="pytest benchmarks/",
        comparisons=[
            comparison("forward", "resnet18", {**known, "difference": 2e-6, "data_wait": 0.046}),
            comparison("forward", "resnet50", {**known, "nodes": None}),
            comparison("construction", "resnet50", {}),
        ],
        growth=[
            Growth("forward", "layers", case, {"ours": deep}),
            Growth("training step", "layers", case, {"ours": deep, "stock": deep}),
            Growth("forward", "width", case, {"ours": wide}),
        ],
        memory=[
            Memory(
                {"network": "resnet50", "batch": 8},
                {"plain": [2**20, 3 * 2**20, 2 * 2**20], "rematerialize": [2**20]},
                {"plain": [1.0, 2.0, 3.0], "rematerialize": [2.5]},
            )
        ],
        reached=[
            Reached(
                {"network": "width 16", "accuracy": "99.0%"},
                10.0,
                [13.0, 11.0, 10.0],
                [8, 6, 5],
                1,
            )
        ],
        roofline={"runs": [run]},
        skipped={"test_forward[gpu:0]": "Keras sees no GPU"},
    )


def cells(table: list[str]) -> list[list[str]]:
    """Rows without the line under the head."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    return [rows[0], *rows[2:]]


def axes_of(figure: Figure) -> Any:
    """The only ones; matplotlib's types do not know a bar's width."""
    (axes,) = figure.axes
    return axes


def test_exponent_of_a_power_law() -> None:
    sizes = {n: [3e-3 * n**1.5, 5e-3 * n**1.5] for n in (20, 56, 110)}
    assert growth.exponent(sizes) == pytest.approx((1.5, 1.5, 1.5), rel=1e-9)
    line = growth.line(sizes)
    assert line.exponent == pytest.approx(1.5, rel=1e-9)
    assert line(56) == pytest.approx(np.sqrt(15) * 1e-3 * 56**1.5, rel=1e-9)


def test_exponent_does_not_see_what_slows_a_whole_round() -> None:
    rng = np.random.default_rng(0)
    pace = rng.uniform(1, 10, 40)
    sizes = {n: (1e-3 * n * pace).tolist() for n in (1, 2, 4)}
    assert growth.exponent(sizes) == pytest.approx((1.0, 1.0, 1.0), rel=1e-9)


def test_exponent_of_noise_has_quartiles_around_it() -> None:
    """Noise of 10 % on three sizes from 1 to 16: a standard deviation of the slope of 0.036."""
    rng = np.random.default_rng(0)
    sizes = {n: (1e-3 * n**2 * np.exp(0.1 * rng.standard_normal(400))).tolist() for n in (1, 4, 16)}
    first, median, third = growth.exponent(sizes)
    deviation = 0.1 / np.sqrt(2) / np.log(4)
    assert median == pytest.approx(2.0, abs=4 * 1.25 * deviation / 20)
    assert third - first == pytest.approx(1.349 * deviation, rel=0.2)


def test_exponent_is_that_of_two_sizes_exactly_and_of_one_not_at_all() -> None:
    assert growth.exponent({2: [1.0, 1.0, 1.0], 4: [1.0, 2.0, 4.0]}) == (0.5, 1.0, 1.5)
    with pytest.raises(ValueError, match=r"^`sizes` must be at least two\. Received: sizes=\[2\]$"):
        growth.exponent({2: [1.0]})


def test_operations_and_bytes_of_a_network_written_by_hand() -> None:
    """3×3 from 3 to 4 channels and 1×1 to 2 in groups, on 4×4 outputs; and 2 × 5 weights."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    x = keras.layers.Conv2D(2, 1, groups=2)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
    network = keras.Model(inputs, x)
    operations, moved = roofline.count(network, (3, 8, 8, 3))
    assert operations == 3 * 2 * (16 * 4 * 27 + 16 * 2 * 2 + 2 * 5)
    kernels = 108 + 4 + 10
    assert moved == 4 * (3 * ((192 + 64) + (64 + 32) + (2 + 5)) + kernels)


def test_bytes_of_bfloat16_are_half_but_for_kernels() -> None:
    """Variables stay float32; and the layers count nothing afterwards."""
    layer = keras.layers.Dense(5, dtype="mixed_bfloat16")
    network = keras.Sequential([keras.Input((3,)), layer])
    assert roofline.count(network, (8, 3)) == (240, 2 * 8 * (3 + 5) + 4 * 15)
    assert layer.call.__func__ is keras.layers.Dense.call


@pytest.mark.share(6)
def test_operations_of_ours_are_those_of_the_folded_network() -> None:
    network = rl.ResNet.from_variant("cifar_resnet20", classes=10, input_shape=(32, 32, 3))
    counts = roofline.count(network, (8, 32, 32, 3))
    assert counts == roofline.count(rl.fold_batch_norm(network), (8, 32, 32, 3))
    # 40.55 million multiply-adds, as are published of this network.
    assert counts[0] == pytest.approx(8 * 2 * 40.55e6, rel=2e-3)


def test_matrix_product_and_memory_compute_what_they_say() -> None:
    x = images(4, 4)
    product = keras.ops.convert_to_numpy(roofline.Product(dtype="float32")(x))
    np.testing.assert_allclose(product, (x @ x).max(), rtol=1e-5)
    assert float(roofline.Scale()(np.ones((2, 2), "float32"))) == 0.5**roofline.PASSES
    assert roofline.Product.operations(4) == 2 * 4**3
    assert roofline.Scale.bytes(100) == 4 * roofline.PASSES * 2 * 100


def test_roof_is_memory_or_the_product(results: Results) -> None:
    """10 operations a byte at 10 GB/s allow 100 GFLOP/s; 4000 allow the product's 1000."""
    (run,) = results.roofline["runs"]
    np.testing.assert_allclose(roofline.roofs(run, "float32"), 1e11)
    np.testing.assert_allclose(roofline.roofs(run, "float32, folded"), 1e12)
    assert roofline.share(run, "float32") == pytest.approx((0.4, 0.4, 0.4))
    products, bandwidth = roofline.machine_peaks([run])
    assert products == {"float32": pytest.approx(1e12)}
    assert bandwidth == pytest.approx(1e10)


def test_share_is_of_the_roof_of_the_same_round(results: Results) -> None:
    (run,) = results.roofline["runs"]
    slow = np.array([1.0, 5.0])
    run["seconds"] = {name: (times * slow).tolist() for name, times in run["seconds"].items()}
    assert roofline.share(run, "float32, folded") == pytest.approx((0.4, 0.4, 0.4))


def test_results_come_back_from_json(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(file)
    assert Results.read(file) == results


def test_comparisons_have_the_details_that_are_known(results: Results) -> None:
    found = dict(tables.parts(results))
    head, first, *rows = cells(found["Forward"])
    details = ["trace s", "compile s", "nodes", "difference", "data wait"]
    assert head == ["case", *tables.HEADS, *details]
    title = "resnet18, graph, CPU"
    assert first == [title, "stock layers", "", "1", "", "", "6", "400", *[""] * 5]
    assert rows[0] == [
        *("", "ours", "≥ 1.00", "2.000", "2.000 – 2.000", "2.000 – 2.000", "6", "200"),
        *("1.23", "0.50", "42", "2e-06", "4.6%"),
    ]
    assert rows[1][:5] == ["", "ours, folded", "", "4.000", "4.000 – 4.000"]
    assert rows[3][8:] == ["1.23", "0.50", "", "", ""]
    assert cells(found["Construction"])[0] == ["case", *tables.HEADS]


def test_growth_has_exponents_and_the_time_of_each_size(results: Results) -> None:
    head, *rows = cells(dict(tables.parts(results))[tables.GROWTH])
    assert head[4:] == ["exponent", "quartiles", "rounds", "ms"]
    assert [row[3] for row in rows] == ["ours", "ours", "stock", "ours"]
    assert rows[0] == [
        *("forward", "layers", "graph, CPU", "ours", "1.000", "1.000 – 1.000", "2"),
        "20: 1.5, 40: 3",
    ]
    assert rows[3][4] == "2.000"


def test_seconds_to_an_accuracy_count_those_that_never_came_there(results: Results) -> None:
    table = cells(tables.reached_table(results.reached))
    assert table[0] == ["case", "goal", "median s", "quartiles", "epochs", "seeds", "never"]
    assert table[1] == ["width 16, 99.0%", "≤ 10 s", "11.0", "10.5 – 12.0", "5 – 8", "4", "1"]
    never = Reached({"network": "width 16"}, 10.0, [], [], 2)
    assert cells(tables.reached_table([never]))[1] == ["width 16", "≤ 10 s", "", "", "", "2", "2"]


def test_memory_has_peaks_beside_the_first(results: Results) -> None:
    _, plain, other = cells(dict(tables.parts(results))["Memory"])
    assert plain == ["resnet50, 8", "plain", "3", "2.0", "1", "1"]
    assert other == ["", "rematerialize", "1", "1.0", "0.500", "1.250"]
    (memory,) = results.memory
    memory.seconds["rematerialize"] = []
    _, _, other = cells(dict(tables.parts(results))["Memory"])
    assert other[-1] == ""


def test_roofline_has_rates_and_shares(results: Results) -> None:
    found = dict(tables.parts(results))
    assert cells(found["Peaks of the machine"])[1] == ["CPU", "1000", "", "10.0"]
    _, plain, folded = cells(found[tables.ROOFLINE])
    assert plain == [
        *("resnet18, batch 8, 224 px, CPU", "float32", "4.00", "381.5", "10.0", "100"),
        *("40", "100", "40%", "40% – 40%"),
    ]
    assert folded[6:] == ["400", "1000", "40%", "40% – 40%"]


def test_lines_go_from_the_machine_to_what_was_left_out(results: Results) -> None:
    lines = tables.lines(results)
    assert cells(lines[:5])[1] == ["processor", "Some CPU"]
    assert "Measured by `pytest benchmarks/`." in lines
    heads = [line for line in lines if line.startswith("#")]
    assert heads[0] == "### Forward"
    assert heads[-1] == "### Left out"
    assert lines[-1] == "- test_forward[gpu:0]: Keras sees no GPU"


def test_without_measurements_there_are_no_lines_and_no_figures(results: Results) -> None:
    nothing = Results(machine=results.machine)
    assert tables.lines(nothing) == []
    assert plots.figures(nothing) == {}


def test_figures_show_all_that_was_measured(results: Results) -> None:
    found = plots.figures(results)
    assert list(found) == ["Forward", "Construction", tables.GROWTH, tables.ROOFLINE]
    axes = axes_of(found["Forward"][0])
    widths = [bar.get_width() for bar in axes.patches]  # from 1 to the ratio
    np.testing.assert_allclose(widths, [1.0, 3.0, 1.0, 3.0])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["resnet18", "", "resnet50", ""]
    assert axes.get_title(loc="left") == "Forward, graph, CPU"
    deep, wide = map(axes_of, found[tables.GROWTH])
    assert len(deep.lines) == 2 * 3  # points, and the fitted line
    assert len(wide.lines) == 2
    (legend,) = found[tables.GROWTH][1].legends
    assert [text.get_text() for text in legend.get_texts()] == ["forward, graph: width^2.00"]
    np.testing.assert_allclose(wide.lines[1].get_ydata(), [1.0, 4.0])
    roof = axes_of(found[tables.ROOFLINE][0])
    assert len(roof.lines) == 1 + 2  # one roof, two ways
    assert max(roof.lines[0].get_ydata()) == pytest.approx(1000)


def test_a_figure_has_a_handful_of_rows(results: Results) -> None:
    many = [comparison("forward", f"network {i}", {}) for i in range(20)]
    found = plots.figures(Results(comparisons=many))
    assert [len(axes_of(figure).patches) for figure in found["Forward"]] == [plots.ROWS, 8]
    assert plots.names("some", found) == {"Forward": ["some-forward-1.svg", "some-forward-2.svg"]}


@pytest.mark.share(6)
def test_figures_are_written_alike_and_know_their_data(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "benchmarks-some.json"
    results.write(file)
    paths = plots.write(file, "some", tmp_path / "images")
    assert [path.name for path in paths] == [
        "some-forward.svg",
        "some-construction.svg",
        "some-growth-1.svg",
        "some-growth-2.svg",
        "some-networks-beside-the-peaks.svg",
    ]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    assert "ours, folded</text>" in texts[0]
    assert {plots.digest_in(path) for path in paths} == {plots.digest(file.read_bytes())}
    plots.write(file, "some", tmp_path / "images")
    assert [path.read_text(encoding="utf-8") for path in paths] == texts


def test_digest_changes_with_the_data(tmp_path: Path) -> None:
    assert plots.digest(b"{}") == plots.digest(b"{}") != plots.digest(b"[]")
    (tmp_path / "other.svg").write_text("<svg></svg>", encoding="utf-8")
    assert plots.digest_in(tmp_path / "other.svg") == ""


@pytest.mark.share(6)
def test_page_has_figures_above_tables(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the figures of data that are gone go."""
    made = runpy.run_path(str(DOCS / "generate.py"))
    monkeypatch.setitem(made["measured"].__globals__, "FOLDER", tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("some", "other"):
        results.write(tmp_path / "data" / f"benchmarks-{name}.json")
    made["write_figures"]()
    text = made["speed_page"]()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == 2 * ["## Some CPU, 2 cores, no GPU, Keras 3 on jax"]
    before, after = text.split("![Forward](images/some-forward.svg)\n\n")
    assert before.endswith("### Forward\n\n")
    assert after.startswith("| case")
    figures = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert all(f"(images/{name})" in text for name in figures)
    assert len(figures) == 2 * 5
    (tmp_path / "data" / "benchmarks-other.json").unlink()
    made["write_figures"]()
    left = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert left == [name for name in figures if name.startswith("some-")]


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.name)
def test_figures_are_current(path: Path) -> None:
    machine = path.stem.removeprefix("benchmarks-")
    files = plots.names(machine, plots.figures(Results.read(path)))
    for file in (file for each in files.values() for file in each):
        assert plots.digest_in(DOCS / "images" / file) == plots.digest(path.read_bytes()), (
            f"{file} is not what its data say: run `python docs/generate.py`"
        )


def test_growing_networks_have_the_given_depth_and_width() -> None:
    network = bench_growth.make(32, 8)
    shapes = [tuple(v.shape) for v in network.trainable_weights if v.name == "kernel"]
    assert len(shapes) == 32
    assert shapes[0] == (3, 3, 3, 8)
    assert shapes[-1] == (32, bench_growth.CLASSES)


@pytest.mark.parametrize("module", [growth, roofline], ids=["growth", "roofline"])
def test_examples_run(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
